// The organisation as an indented list.
import { html, useState } from "../lib/html.js";
import { duration, plural } from "../lib/format.js";
import { Badge, StatusBadge } from "./state.js";
import { Since } from "./basic.js";
import { Icon } from "./icon.js";

export function TreeList({ organisation, waiting, selected, onSelect, matches }) {
  const [closed, setClosed] = useState(new Set());
  const rows = [];
  const visit = (workspace, depth) => {
    const children = organisation.children.get(workspace.id) ?? [];
    // While somebody searches, what is found is shown, wherever it hangs.
    if (!matches || matches(workspace)) rows.push({ workspace, depth: matches ? 0 : depth, children: matches ? 0 : children.length });
    if (matches || !closed.has(workspace.id)) for (const child of children) visit(child, depth + 1);
  };
  for (const top of organisation.children.get(null) ?? []) visit(top, 0);
  const toggle = (id) => {
    const next = new Set(closed);
    if (!next.delete(id)) next.add(id);
    setClosed(next);
  };
  return html`<ul class="tree-list card flush" aria-label="Workspaces">${rows.map(({ workspace, depth, children }) => html`<li key=${workspace.id} class=${selected === workspace.id ? "selected" : ""} style=${{ paddingLeft: `${8 + Math.min(depth, 8) * 18}px` }}>
      ${children > 0 ? html`<button type="button" class="button ghost bare" data-control="map.list-toggle" aria-expanded=${!closed.has(workspace.id)} aria-label=${`${closed.has(workspace.id) ? "Show" : "Hide"} those below ${workspace.name}`} onClick=${() => toggle(workspace.id)}><${Icon} name=${closed.has(workspace.id) ? "right" : "down"} /></button>` : html`<span class="tree-pad"></span>`}
      <button type="button" class="tree-name" data-control="map.list-row" aria-pressed=${selected === workspace.id} onClick=${() => onSelect(workspace.id)}><strong>${workspace.name}</strong>${workspace.role && html`<span class="fine"> ${workspace.role}</span>`}</button>
      <span class="row">${workspace.kind === "platform" && html`<${Badge} tone="info">root<//>`}<${StatusBadge} status=${workspace.status} runtime=${workspace.runtime} reason=${workspace.status_reason} />
        ${workspace.turn_since && html`<${Badge} tone="info" icon="play">turn <${Since} at=${workspace.turn_since}>${duration}<//><//>`}
        ${workspace.queued > 0 && html`<${Badge}>${workspace.queued} queued<//>`}
        ${workspace.restart_debt && html`<${Badge} tone="warn" icon="restart">restart debt<//>`}
        ${waiting.get(workspace.id) > 0 && html`<${Badge} tone="warn" icon="inbox">${plural(waiting.get(workspace.id), "request")}<//>`}</span></li>`)}
    ${rows.length === 0 && html`<li class="quiet">Nothing fits your search.</li>`}</ul>`;
}
