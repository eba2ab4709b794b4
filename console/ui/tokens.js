// Tokens of the organisation, or of one workspace: who made them, what they may do, when they were last used; the
// plaintext is shown once, when it is made.
import { html, useState } from "../lib/html.js";
import { attemptKey, isHeld, post } from "../lib/api.js";
import { refresh, useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { useNames } from "../lib/names.js";
import { useNow } from "../lib/clock.js";
import { onDay } from "../lib/format.js";
import { Answer, Button, Check, Dialog, Empty, Field, Notice, Once, Problem, useAction, useClose, When } from "./basic.js";
import { Badge } from "./state.js";
import { Confirm } from "./change.js";
import { sayOutcome } from "./toast.js";

export function Tokens({ workspace, role }) {
  const path = workspace ? `/workspaces/${workspace.id}/tokens` : "/org/tokens";
  const answer = useGet(path, concerns.tokens);
  const [open, setOpen] = useState(null);
  const [all, setAll] = useState(false);
  const now = useNow(30);
  const name = useNames();
  const why = (verb) => (may(role, verb) ? null : whyNot(role, verb));
  const close = () => setOpen(null);
  const dead = (token) => token.revoked_at || (token.expires_at !== null && new Date(token.expires_at).getTime() <= now);
  return html`<section class="stack" aria-label="Tokens"><div class="row"><p class="quiet grow">${workspace ? "A token of this workspace is its agent, wherever it is used. Tokens made for each run are the platform's own and end with it." : "A token minted by a human is a service: a program with these scopes, never a human. Secret writes are held for a human, unless it is minted as unattended."}</p>
      ${workspace && workspace.runtime === "external" && html`<${Button} control="tokens.enrol" why=${why("enrolment.issue")} onClick=${() => setOpen({ kind: "enrol" })}>Enrolment code<//>`}
      <${Button} control="tokens.mint" kind="primary" icon="plus" why=${why("token.mint")} onClick=${() => setOpen({ kind: "mint" })}>New token<//></div>
    <${Answer} of=${answer} what="Loading tokens">${({ tokens }) => {
      const shown = tokens.filter((token) => all || !dead(token));
      const hidden = tokens.length - shown.length;
      return html`${shown.length === 0 ? html`<div class="card"><${Empty} icon="token" title="No live tokens"><p>Programs that talk to Portcullis need one.</p><//></div>` : html`<div class="card flush"><table class="table cards"><thead><tr><th>Name</th><th>Scopes</th><th>Made</th><th>Last used</th><th>Ends</th><th><span class="hidden-text">Actions</span></th></tr></thead><tbody>
        ${shown.map((token) => html`<tr key=${token.id} class=${dead(token) ? "gone" : ""}><td><div><strong>${token.name}</strong> ${token.unattended && html`<${Badge} tone="warn">unattended<//>`}<p class="fine"><code>${token.prefix}…</code></p></div></td>
          <td data-label="Scopes"><span class="fine scopes">${token.scopes.join(", ")}</span></td><td data-label="Made"><div><${When} at=${token.created_at} /><p class="fine">by ${name(token.created_by)}</p></div></td>
          <td data-label="Last used">${token.last_used_at ? html`<${When} at=${token.last_used_at} />` : html`<span class="quiet">never</span>`}</td>
          <td data-label="Ends">${token.revoked_at ? html`<${Badge} tone="muted">revoked<//>` : dead(token) ? html`<${Badge} tone="muted">expired<//>` : token.expires_at === null ? html`<span class="quiet">with its run</span>` : onDay(token.expires_at)}</td>
          <td class="end">${!dead(token) && html`<${Button} control="tokens.revoke" kind="danger" why=${why("token.revoke")} onClick=${() => setOpen({ kind: "revoke", token })}>Revoke<//>`}</td></tr>`)}</tbody></table></div>`}
        ${(hidden > 0 || all) && html`<${Check} label=${all ? "Show those that ended" : `Show ${hidden} that ended`} control="tokens.ended" checked=${all} onChange=${setAll} />`}`;
    }}<//>
    ${open?.kind === "mint" && html`<${Mint} workspace=${workspace} path=${path} onClose=${close} />`}
    ${open?.kind === "enrol" && html`<${Enrol} workspace=${workspace} onClose=${close} />`}
    ${open?.kind === "revoke" && html`<${Confirm} title=${`Revoke ${open.token.name}?`} words="It and every token minted from it stop working at once." button="Revoke" kind="danger" change=${{ method: "DELETE", path: `${path}/${open.token.id}` }} done=${`${open.token.name} is revoked.`} renew=${[path]} onClose=${close} />`}</section>`;
}

const SCOPES = {
  "workspaces:read": "see workspaces and peers",
  "workspaces:write": "create, restart, pause, remove workspaces",
  "secrets:read": "see names and versions of secrets",
  "secrets:write": "set and delete secrets",
  "tokens:read": "see tokens",
  "tokens:write": "mint and revoke tokens",
  approvals: "ask, and see what was asked",
  messages: "talk to agents",
  "audit:read": "read the audit log",
  "events:read": "listen to events",
  "metrics:read": "read metrics",
};
const DAYS = [["86400", "1 day"], ["604800", "7 days"], ["2592000", "30 days"], ["7776000", "90 days"], ["31536000", "1 year"]];

function Mint({ workspace, path, onClose }) {
  const closeOwn = useClose(onClose);
  const [name, setName] = useState("");
  const [life, setLife] = useState("2592000");
  const [scopes, setScopes] = useState(new Set(["workspaces:read", "messages"]));
  const [unattended, setUnattended] = useState(false);
  const [attempt] = useState(attemptKey);
  const [made, setMade] = useState(null);
  const act = useAction(async () => {
    const body = { name: name.trim(), expires_in_s: Number(life) };
    if (!workspace) Object.assign(body, { scopes: [...scopes], unattended });
    const answer = await post(path, body, { key: attempt });
    refresh(path);
    if (isHeld(answer)) {
      sayOutcome(answer);
      closeOwn();
    } else if (!answer.auth_token) {
      throw new Error("this token was minted by an attempt whose answer was lost, and is not shown again: revoke it, and mint another");
    } else setMade(answer);
  });
  const flip = (scope) => (on) => {
    const next = new Set(scopes);
    if (on) next.add(scope);
    else next.delete(scope);
    setScopes(next);
  };
  if (made) return html`<${Dialog} title=${`Token ${made.name}`} onClose=${onClose}><div class="body"><${Once} value=${made.auth_token} what="token" /><div class="actions"><${Button} control="mint.done" kind="primary" onClick=${onClose}>I have stored it<//></div></div><//>`;
  const why = !name.trim() ? "It needs a name." : !workspace && scopes.size === 0 ? "Choose at least one scope." : null;
  const submit = (event) => {
    event.preventDefault();
    if (!why && !act.busy) act.run();
  };
  return html`<${Dialog} title=${workspace ? `Token for ${workspace.name}` : "New organisation token"} onClose=${onClose}><form onSubmit=${submit}>
    <${Field} label="Name" control="mint.name" value=${name} onInput=${setName} required maxlength="100" placeholder="deploy pipeline" hint="What it is for." />
    <${Field} label="Ends after" control="mint.life" value=${life} onInput=${setLife} options=${DAYS} />
    ${workspace ? html`<${Notice}>Whoever has it is ${workspace.name}'s agent, no more and no less.<//>` : html`<fieldset><legend>It may</legend>${Object.entries(SCOPES).map(([scope, words]) => html`<${Check} key=${scope} control="mint.scope" label=${html`${words} <code class="fine">${scope}</code>`} checked=${scopes.has(scope)} onChange=${flip(scope)} />`)}</fieldset>
      <${Check} control="mint.unattended" label="Unattended: its secret writes need no human (never on the root)" checked=${unattended} onChange=${setUnattended} />`}
    <${Problem} error=${act.error} /><div class="actions"><${Button} control="mint.cancel" onClick=${onClose}>Cancel<//><${Button} control="mint.submit" kind="primary" type="submit" busy=${act.busy} why=${why}>Mint<//></div></form><//>`;
}

function Enrol({ workspace, onClose }) {
  const closeOwn = useClose(onClose);
  const [made, setMade] = useState(null);
  const act = useAction(async () => {
    const answer = await post(`/workspaces/${workspace.id}/enrolments`, {});
    if (answer.code) setMade(answer);
    else {
      sayOutcome(answer, "The code is issued.");
      closeOwn();
    }
  });
  return html`<${Dialog} title=${`Enrol ${workspace.name}'s agent`} onClose=${onClose}><div class="body">${made ? html`<${Once} value=${made.code} what="code" /><p class="fine">On its machine: <code>portcullis agent --url … --workspace ${workspace.id} --enrol-code-file FILE</code></p>` : html`<p>A code that works once, within an hour: with it the agent on another machine gets its token.</p><${Problem} error=${act.error} />`}
    <div class="actions">${!made && html`<${Button} control="enrol.issue" kind="primary" busy=${act.busy} onClick=${() => act.run()}>Issue a code<//>`}<${Button} control="enrol.close" onClick=${onClose}>${made ? "Done" : "Cancel"}<//></div></div><//>`;
}
