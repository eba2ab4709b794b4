// Names of people, agents and services, for whoever reads ids.
import { useMemo } from "./html.js";
import { useGet } from "./query.js";
import * as concerns from "./events.js";
import { useOrganisation, principalName } from "./org.js";

/** A function from a principal (`operator:ID`, or `{kind, id}`) to a name. */
export function useNames() {
  const organisation = useOrganisation();
  const operators = useGet("/operators", concerns.operators);
  const tokens = useGet("/org/tokens", concerns.tokens);
  return useMemo(() => {
    const names = {};
    for (const operator of operators.data ?? []) names[operator.id] = operator.email;
    for (const token of tokens.data?.tokens ?? []) {
      names[token.id] = token.name;
      if (token.principal.startsWith("service:")) names[token.principal.slice(8)] = token.name;
    }
    return (principal) => (principal ? principalName(organisation, principal, names) : "");
  }, [organisation, operators.data, tokens.data]);
}
