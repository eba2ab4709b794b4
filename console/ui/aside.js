// One workspace beside the map: what is most asked about it, and the ways to go on.
import { html } from "../lib/html.js";
import { may, whyNot } from "../lib/roles.js";
import { duration, plural } from "../lib/format.js";
import { Button, Since, When, Notice } from "./basic.js";
import { StatusBadge } from "./state.js";
import { WorkspaceActions } from "./workspace_actions.js";

export function Aside({ workspace, organisation, waiting, role, onClose, onCreate, onMove, onRemoved }) {
  const parent = organisation.byId.get(workspace.parent_id);
  const below = organisation.children.get(workspace.id)?.length ?? 0;
  const root = workspace.kind === "platform";
  return html`<aside class="card aside" aria-label=${workspace.name}><header><h2>${workspace.name}</h2><${Button} control="aside.close" kind="ghost" icon="x" label="Close" onClick=${onClose} /></header>
    <div class="stack tight"><div class="row"><${StatusBadge} status=${workspace.status} runtime=${workspace.runtime} />${root && html`<span class="badge info">root</span>`}${workspace.restart_debt && html`<span class="badge warn">restart debt</span>`}</div>
    ${workspace.status_reason && html`<p class="fine">${workspace.status_reason}</p>`}
    ${workspace.role && html`<p>${workspace.role}</p>`}
    <dl class="facts"><dt>Turn</dt><dd>${workspace.turn_since ? html`running for <${Since} at=${workspace.turn_since}>${duration}<//>` : "none"}</dd>
      <dt>Queue</dt><dd>${plural(workspace.queued, "message")}</dd><dt>Runtime</dt><dd>${workspace.runtime}</dd><dt>Under</dt><dd>${parent ? parent.name : "nobody"}</dd><dt>Below it</dt><dd>${plural(below, "workspace")}</dd><dt>Changed</dt><dd><${When} at=${workspace.updated_at} /></dd></dl>
    ${waiting > 0 && html`<${Notice} tone="warn"><a href="/console/approvals" data-control="aside.waiting">${plural(waiting, "request")} about it or from it</a> waiting for a human.<//>`}
    <div class="row"><a class="button primary" href=${`/console/workspaces/${workspace.id}`} data-control="aside.open">Open</a><a class="button" href=${`/console/workspaces/${workspace.id}/chat`} data-control="aside.chat">Chat</a><a class="button" href=${`/console/workspaces/${workspace.id}/secrets`} data-control="aside.secrets">Secrets</a></div>
    <div class="row"><${Button} control="aside.create" icon="plus" why=${may(role, "workspace.create") ? null : whyNot(role, "workspace.create")} onClick=${onCreate}>New below<//>
      ${!root && html`<${Button} control="aside.move" why=${may(role, "workspace.reparent") ? null : whyNot(role, "workspace.reparent")} onClick=${onMove}>Move…<//>`}</div>
    <${WorkspaceActions} workspace=${workspace} role=${role} onRemoved=${onRemoved} /></div></aside>`;
}
