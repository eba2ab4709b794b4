// The humans: who they are, what they may decide, and how they come in.
import { html, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { refresh, useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { Answer, Button, Dialog, Field, Notice, Once, Problem, useAction, useClose, When } from "../ui/basic.js";
import { Badge } from "../ui/state.js";
import { Confirm, perform } from "../ui/change.js";

const ROLES = {
  owner: "everything, operators and policies included",
  approver: "decides requests, mints tokens, the root's secrets",
  member: "works with ordinary workspaces",
  auditor: "reads, and changes nothing",
};
const choices = Object.entries(ROLES).map(([role, words]) => [role, `${role}: ${words}`]);
const groupsOf = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);

export function OperatorsPage({ who }) {
  const role = who.operator.role;
  const answer = useGet("/operators", concerns.operators);
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  const why = may(role, "operator.update") ? null : whyNot(role, "operator.update");
  return html`<div class="page-head"><div><h1>Operators</h1><p class="quiet">Only humans decide. An agent is never one of these, whatever token it holds.</p></div>
      <${Button} control="operators.invite" kind="primary" icon="plus" why=${why} onClick=${() => setOpen({ kind: "invite" })}>Invite<//></div>
    <${Answer} of=${answer} what="Loading operators">${(operators) => html`<div class="card flush"><table class="table cards"><thead><tr><th>E-mail address</th><th>Role</th><th>Groups</th><th>Last sign-in</th><th><span class="hidden-text">Actions</span></th></tr></thead><tbody>
      ${operators.map((operator) => html`<tr key=${operator.id} class=${operator.disabled ? "gone" : ""}><td><div><strong>${operator.email}</strong>${operator.id === who.operator.id && html` <${Badge} tone="info">you<//>`}${operator.disabled && html` <${Badge} tone="muted">disabled<//>`}${operator.invited && html` <${Badge} tone="warn" icon="clock">invited<//>`}</div></td>
        <td data-label="Role">${operator.role}</td><td data-label="Groups">${operator.groups.length ? operator.groups.join(", ") : html`<span class="quiet">none</span>`}</td>
        <td data-label="Last sign-in">${operator.last_login_at ? html`<${When} at=${operator.last_login_at} />` : html`<span class="quiet">never</span>`}</td>
        <td class="end"><div class="row"><${Button} control="operators.edit" why=${why} onClick=${() => setOpen({ kind: "edit", operator })}>Change<//>
          ${!operator.disabled && html`<${Button} control="operators.link" why=${why} onClick=${() => setOpen({ kind: "link", operator })}>New link<//>`}
          ${operator.disabled ? html`<${Button} control="operators.enable" why=${why} onClick=${() => setOpen({ kind: "enable", operator })}>Enable<//>` : html`<${Button} control="operators.disable" kind="danger" why=${why} onClick=${() => setOpen({ kind: "disable", operator })}>Disable<//>`}</div></td></tr>`)}</tbody></table></div>`}<//>
    ${open?.kind === "invite" && html`<${Invite} onClose=${close} />`}
    ${open?.kind === "edit" && html`<${Edit} operator=${open.operator} onClose=${close} />`}
    ${open?.kind === "link" && html`<${NewLink} operator=${open.operator} onClose=${close} />`}
    ${open?.kind === "disable" && html`<${Confirm} title=${`Disable ${open.operator.email}?`} words="Every session ends at once, and nobody can sign in as this operator. What was decided stays decided." button="Disable" kind="danger" change=${{ method: "PATCH", path: `/operators/${open.operator.id}`, body: { disabled: true } }} done=${`${open.operator.email} is disabled.`} renew=${["/operators"]} onClose=${close} />`}
    ${open?.kind === "enable" && html`<${Confirm} title=${`Enable ${open.operator.email}?`} button="Enable" change=${{ method: "PATCH", path: `/operators/${open.operator.id}`, body: { disabled: false } }} done=${`${open.operator.email} can sign in again.`} renew=${["/operators"]} onClose=${close} />`}`;
}

const linkOf = (token) => `${location.origin}/invite#${token}`;

function Invite({ onClose }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("member");
  const [groups, setGroups] = useState("");
  const [made, setMade] = useState(null);
  const act = useAction(async () => {
    setMade(await post("/operators", { email, role, groups: groupsOf(groups) }));
    refresh("/operators");
  });
  const submit = (event) => {
    event.preventDefault();
    if (!act.busy) act.run();
  };
  if (made) return html`<${Dialog} title=${`Invitation for ${made.email}`} onClose=${onClose}><div class="body"><p>Give this link to ${made.email}, and to nobody else: whoever opens it within a day chooses the password.</p><${Once} value=${linkOf(made.invite_token)} what="link" /><div class="actions"><${Button} control="invite-form.done" kind="primary" onClick=${onClose}>Done<//></div></div><//>`;
  return html`<${Dialog} title="Invite an operator" onClose=${onClose}><form onSubmit=${submit}>
    <${Field} label="E-mail address" control="invite-form.email" kind="email" value=${email} onInput=${setEmail} required />
    <${Field} label="Role" control="invite-form.role" value=${role} onInput=${setRole} options=${choices} />
    <${Field} label="Groups" control="invite-form.groups" value=${groups} onInput=${setGroups} placeholder="security, qa" hint="Policies can ask for members of a group. Separated by commas." />
    <${Notice}>No password is set here. You get a link that works once, for a day.<//>
    <${Problem} error=${act.error} /><div class="actions"><${Button} control="invite-form.cancel" onClick=${onClose}>Cancel<//><${Button} control="invite-form.submit" kind="primary" type="submit" busy=${act.busy}>Make the link<//></div></form><//>`;
}

function Edit({ operator, onClose }) {
  const closeOwn = useClose(onClose);
  const [role, setRole] = useState(operator.role);
  const [groups, setGroups] = useState(operator.groups.join(", "));
  // Only what was changed here: somebody else may have changed the rest meanwhile.
  const body = {};
  if (role !== operator.role) body.role = role;
  if (groupsOf(groups).join() !== operator.groups.join()) body.groups = groupsOf(groups);
  const act = useAction(async () => {
    await perform({ method: "PATCH", path: `/operators/${operator.id}`, body }, { done: "Saved.", renew: ["/operators"] });
    closeOwn();
  });
  const submit = (event) => {
    event.preventDefault();
    if (!act.busy) act.run();
  };
  return html`<${Dialog} title=${`Change ${operator.email}`} onClose=${onClose}><form onSubmit=${submit}><${Field} label="Role" control="operator-form.role" value=${role} onInput=${setRole} options=${choices} />
    <${Field} label="Groups" control="operator-form.groups" value=${groups} onInput=${setGroups} placeholder="security, qa" />
    <${Problem} error=${act.error} /><div class="actions"><${Button} control="operator-form.cancel" onClick=${onClose}>Cancel<//><${Button} control="operator-form.submit" kind="primary" type="submit" busy=${act.busy}>Save<//></div></form><//>`;
}

function NewLink({ operator, onClose }) {
  const [made, setMade] = useState(null);
  const act = useAction(async () => setMade(await post(`/operators/${operator.id}/invite`)));
  return html`<${Dialog} title=${`New link for ${operator.email}`} onClose=${onClose}><div class="body">${made ? html`<${Once} value=${linkOf(made.invite_token)} what="link" />` : html`<p>For an invitation that ran out, or a password that was forgotten: whoever opens the link within a day chooses a new password, and every session of this operator ends then. Earlier links stop working now.</p><${Problem} error=${act.error} />`}
    <div class="actions">${!made && html`<${Button} control="new-link.make" kind="primary" busy=${act.busy} onClick=${() => act.run()}>Make the link<//>`}<${Button} control="new-link.close" onClick=${onClose}>${made ? "Done" : "Cancel"}<//></div></div><//>`;
}
