// The organisation as a tree, and names for ids.
import { useMemo } from "./html.js";
import { useGet } from "./query.js";
import * as concerns from "./events.js";
import { short } from "./format.js";

/** `{list, byId, root, children, loading, error, reload}` of all workspaces in sight. */
export function useOrganisation() {
  const answer = useGet("/workspaces", concerns.organisation);
  return useMemo(() => ({ ...answer, ...treeOf(answer.data ?? []) }), [answer.data, answer.error, answer.loading]);
}

export function treeOf(list) {
  const byId = new Map(list.map((workspace) => [workspace.id, workspace]));
  const children = new Map();
  for (const workspace of list) {
    const parent = byId.has(workspace.parent_id) ? workspace.parent_id : null;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(workspace);
  }
  for (const siblings of children.values()) siblings.sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
  const root = list.find((workspace) => workspace.kind === "platform") ?? null;
  return { list, byId, children, root };
}

/** Everything below a workspace. */
export function below(organisation, id) {
  const found = [];
  const visit = (parent) => {
    for (const child of organisation.children.get(parent) ?? []) {
      found.push(child);
      visit(child.id);
    }
  };
  visit(id);
  return found;
}

/** From the root to a workspace, itself included. */
export function pathTo(organisation, id) {
  const path = [];
  for (let at = organisation.byId.get(id); at; at = organisation.byId.get(at.parent_id)) path.unshift(at);
  return path;
}

/** A name for a principal such as `{kind: "agent", id}` or `agent:ID`. */
export function principalName(organisation, principal, names = {}) {
  const { kind, id, name } = typeof principal === "string" ? { kind: principal.split(":")[0], id: principal.slice(principal.indexOf(":") + 1) } : principal;
  if (name) return name;
  if (kind === "system") return `the platform (${id})`;
  return names[id] ?? organisation?.byId.get(id)?.name ?? `${kind} ${short(id)}`;
}
