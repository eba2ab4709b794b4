// Names of people, agents and services, for whoever reads ids.
import { useMemo } from "./html.js";
import { useGet } from "./query.js";
import * as concerns from "./events.js";
import { useOrganisation, principalName } from "./org.js";

/** A function from the rules that decided, as the server lists them, to their names: added ones have an id of their own. */
export function useRuleNames() {
  const policies = useGet("/policies", concerns.policies);
  return useMemo(() => {
    const names = new Map((policies.data ?? []).map((policy) => [policy.id, policy.name]));
    return (rules) => rules.split(",").map((id) => names.get(id) ?? id).join(", ");
  }, [policies.data]);
}

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
