// A change and its confirmation: what it does is said before, by the server's own plan, and how it ended after.
import { html, useMemo, useState } from "../lib/html.js";
import { attemptKey, call } from "../lib/api.js";
import { refresh } from "../lib/query.js";
import { Button, Dialog, Field, Problem, useAction, useClose } from "./basic.js";
import { PlanView, usePlan } from "./impact.js";
import { sayOutcome } from "./toast.js";

/** Does a change, says how it ended, and asks anew for what it changed. */
export async function perform({ method, path, body, headers }, { done, renew = [], key } = {}) {
  const answer = await call(method, path, { body, headers, key });
  if (done) sayOutcome(answer, done);
  for (const prefix of renew) refresh(prefix);
  return answer;
}

/** The idempotency key of a change: the same for another attempt at the same, a new one once it is something else. */
export function useAttempt(change) {
  return useMemo(attemptKey, [JSON.stringify(change)]);
}

/**
 * Asks for confirmation. `change`: method, path, body. `type`: a word that must be typed first. `done`: what to say then.
 */
export function Confirm({ title, words, button, kind = "primary", change, type, done, renew, onClose, onDone, children }) {
  const closeOwn = useClose(onClose);
  const planned = usePlan(change);
  const key = useAttempt(change);
  const [typed, setTyped] = useState("");
  const act = useAction(async () => {
    const answer = await perform(change, { done, renew, key });
    closeOwn();
    onDone?.(answer);
  });
  const refused = planned.plan?.decision === "deny";
  const why = planned.error || refused ? "The server would refuse this." : !planned.plan ? "Waiting for the plan." : type && typed !== type ? `Type ${type} first.` : null;
  const submit = (event) => {
    event.preventDefault();
    if (!why && !act.busy) act.run();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}><form onSubmit=${submit}>
    ${words && html`<p>${words}</p>`}${children}
    <${PlanView} of=${planned} />
    ${type && !refused && html`<${Field} label=${html`Type <strong>${type}</strong> to confirm`} control="confirm.type" value=${typed} onInput=${setTyped} />`}
    <${Problem} error=${act.error} />
    <div class="actions"><${Button} control="confirm.cancel" onClick=${onClose}>Cancel<//>
      <${Button} control="confirm.do" kind=${kind} type="submit" busy=${act.busy} why=${why}>${planned.plan?.decision === "hold" ? "Ask for approval" : button}<//></div></form><//>`;
}
