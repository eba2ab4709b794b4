// The organisation: who is there, how they are, what waits. As a map, and as a list for narrow screens and for who prefers it.
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { usePending } from "../lib/pending.js";
import { useOrganisation } from "../lib/org.js";
import { useQueryParameters } from "../lib/route.js";
import { may, whyNot } from "../lib/roles.js";
import { plural } from "../lib/format.js";
import { Answer, Button, Empty } from "../ui/basic.js";
import { stateOf } from "../ui/state.js";
import { Icon } from "../ui/icon.js";
import { MapView } from "../ui/map_view.js";
import { TreeList } from "../ui/tree_list.js";
import { Aside } from "../ui/aside.js";
import { CreateWorkspace, MoveWorkspace } from "../ui/workspace_forms.js";

/** Requests that wait, by workspace: those about it and those it asked for. */
export function waitingOf(pending) {
  const waiting = new Map();
  for (const one of pending ?? []) {
    const touched = new Set([one.workspace_id, one.requested_by.kind === "agent" ? one.requested_by.id : null]);
    for (const id of touched) if (id) waiting.set(id, (waiting.get(id) ?? 0) + 1);
  }
  return waiting;
}

export function MapPage({ who }) {
  const organisation = useOrganisation();
  const pending = usePending();
  const waiting = useMemo(() => waitingOf(pending.data), [pending.data]);
  const [parameters, setParameters] = useQueryParameters();
  const [narrow, setNarrow] = useState(matchMedia("(max-width: 760px)").matches);
  const [dialog, setDialog] = useState(null);
  const [search, setSearch] = useState("");
  useEffect(() => {
    const media = matchMedia("(max-width: 760px)");
    const changed = () => setNarrow(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  const view = parameters.get("view") ?? (narrow ? "list" : "map");
  const selected = parameters.get("selected");
  const select = (id) => setParameters({ selected: id });
  const role = who.operator.role;
  const found = search.trim().toLowerCase();
  const matches = (workspace) => !found || `${workspace.name} ${workspace.role ?? ""} ${workspace.id}`.toLowerCase().includes(found);
  const alone = organisation.data && organisation.list.length <= 1;
  const create = (parent) => setDialog({ kind: "create", parent });

  return html`<div class="map-page"><div class="page-head"><div><h1>Organisation</h1><${Summary} organisation=${organisation} waiting=${pending.data?.length ?? 0} /></div>
      <div class="row map-tools">
        ${!alone && html`<div class="search"><${Icon} name="search" /><input type="search" aria-label="Find a workspace" placeholder="Find a workspace" data-control="map.search" value=${search}
          onInput=${(event) => setSearch(event.currentTarget.value)} onKeyDown=${(event) => {
            const first = organisation.list.find(matches);
            if (event.key === "Enter" && first) select(first.id);
          }} /></div>
        <div class="switch" role="group" aria-label="View"><button type="button" data-control="map.as-map" aria-pressed=${view === "map"} onClick=${() => setParameters({ view: "map" })}><${Icon} name="map" /> Map</button>
          <button type="button" data-control="map.as-list" aria-pressed=${view === "list"} onClick=${() => setParameters({ view: "list" })}><${Icon} name="list" /> List</button></div>`}
        <${Button} control="map.create" kind="primary" icon="plus" why=${may(role, "workspace.create") ? null : whyNot(role, "workspace.create")} onClick=${() => create(selected ?? organisation.root?.id)}>New workspace<//>
      </div></div>
    <${Answer} of=${organisation} what="Loading the organisation">${() => html`
      ${alone && html`<${First} root=${organisation.root} role=${role} onCreate=${() => create(organisation.root?.id)} />`}
      <div class=${selected ? "map-split with-aside" : "map-split"}>
        ${view === "map" ? html`<${MapView} organisation=${organisation} waiting=${waiting} selected=${selected} onSelect=${select} matches=${found ? matches : null}
            onMove=${(id, parent) => setDialog({ kind: "move", id, parent })} canMove=${may(role, "workspace.reparent")} />`
          : html`<${TreeList} organisation=${organisation} waiting=${waiting} selected=${selected} onSelect=${select} matches=${found ? matches : null} />`}
        ${selected && organisation.byId.has(selected) && html`<${Aside} key=${selected} workspace=${organisation.byId.get(selected)} organisation=${organisation} waiting=${waiting.get(selected) ?? 0} role=${role}
            onClose=${() => select(null)} onCreate=${() => create(selected)} onMove=${() => setDialog({ kind: "move", id: selected, parent: null })} onRemoved=${() => select(null)} />`}
      </div>`}<//>
    ${dialog?.kind === "create" && html`<${CreateWorkspace} organisation=${organisation} parent=${dialog.parent} role=${role} onClose=${() => setDialog(null)} onDone=${(made) => made?.id && select(made.id)} />`}
    ${dialog?.kind === "move" && html`<${MoveWorkspace} organisation=${organisation} id=${dialog.id} parent=${dialog.parent} onClose=${() => setDialog(null)} />`}</div>`;
}

function Summary({ organisation, waiting }) {
  const { list } = organisation;
  if (list.length === 0) return null;
  const turns = list.filter((workspace) => workspace.turn_since).length;
  const debts = list.filter((workspace) => workspace.restart_debt).length;
  const trouble = list.filter((workspace) => ["failed", "degraded"].includes(workspace.status)).length;
  const online = list.filter((workspace) => workspace.status === "online").length;
  const parts = [plural(list.length, "workspace"), `${online} online`];
  if (turns) parts.push(`${turns} in a turn`);
  if (trouble) parts.push(`${trouble} in trouble`);
  if (debts) parts.push(plural(debts, "restart debt"));
  return html`<p class="quiet" role="status" data-summary>${parts.join(" · ")}${waiting > 0 && html` · <a href="/console/approvals" data-control="map.waiting">${plural(waiting, "request")} waiting for a human</a>`}</p>`;
}

function First({ root, role, onCreate }) {
  const { word } = stateOf(root?.status, root?.runtime);
  return html`<div class="card first"><${Empty} icon="map" title="Your organisation has its root, and no other agent yet">
    <p>The root agent (${root?.name}, ${word}) manages the others. Create the first workspace: it is the home of one agent, and that agent starts at once.</p>
    <${Button} control="map.first" kind="primary" icon="plus" why=${may(role, "workspace.create") ? null : whyNot(role, "workspace.create")} onClick=${onCreate}>Create the first workspace<//>
    ${root && html`<p class="fine">Or <a href=${`/console/workspaces/${root.id}/chat`} data-control="map.ask-root">ask the root agent</a> to do it.</p>`}<//></div>`;
}
