// Forms about workspaces: create, move, change name, role and runtime.
import { html, useState } from "../lib/html.js";
import { below, pathTo } from "../lib/org.js";
import { Button, Dialog, Field, Problem, useAction, useClose } from "./basic.js";
import { perform, useAttempt } from "./change.js";
import { PlanView, usePlan } from "./impact.js";

const RUNS = [
  ["default", "As the organisation's default"],
  ["echo", "Built-in: echo (to try things out)"],
  ["exec", "Built-in: a command per message"],
  ["model", "Built-in: a model behind an endpoint"],
  ["command", "A program of its own"],
  ["container", "A container"],
  ["swarm", "A service of the swarm"],
  ["external", "Elsewhere; I start it myself"],
];

/** Words of a command line; quotes keep words together. */
export function commandWords(text) {
  const found = text.match(/"([^"\\]|\\.)*"|'[^']*'|[^\s"']+/g) ?? [];
  return found.map((word) => (/^["']/.test(word) ? word.slice(1, -1).replace(/\\(.)/g, "$1") : word));
}

const quoted = (command) => (command ?? []).map((word) => (/[\s"']/.test(word) ? `"${word.replace(/(["\\])/g, "\\$1")}"` : word)).join(" ");

function runtimeOf(form) {
  const limits = { ...form.was?.limits, memory_mb: form.memory ? Number(form.memory) : undefined };
  switch (form.run) {
    case "default":
      return undefined;
    case "external":
      return "external";
    case "echo":
      return { kind: "process", agent: { mind: "echo" }, limits };
    case "exec":
      return { kind: "process", agent: { mind: "exec", command: commandWords(form.command) }, limits };
    case "command":
      return { kind: "process", agent: { mind: "command", command: commandWords(form.command) }, limits };
    case "container":
      return { kind: "container", image: form.image, agent: inImage(form), limits };
    case "swarm":
      return { kind: "swarm", image: form.image, placement: constraints(form.placement), agent: inImage(form), limits };
    default: {
      const kept = form.was?.agent?.mind === "model" ? form.was.agent : {};
      const agent = { ...kept, mind: "model", model: form.model, base_url: form.baseUrl, key: form.key || undefined };
      return { kind: "process", agent, limits };
    }
  }
}

/** Placement constraints as they are written: between commas. */
const constraints = (text) => (text ?? "").split(",").map((one) => one.trim()).filter(Boolean);

const hasImage = (run) => ["container", "swarm"].includes(run);

/** What runs from an image: what did, as long as nobody writes another command. */
function inImage({ command, was }) {
  if (hasImage(was?.kind) && command === quoted(was.agent?.command)) return was.agent;
  return command ? { mind: "command", command: commandWords(command) } : { mind: "echo" };
}

/** What the form shows of a runtime that is there; what it has no field for, it keeps. */
function formOf(spec) {
  if (!spec) return { run: "default" };
  if (spec.kind === "external") return { run: "external" };
  const agent = spec.agent ?? { mind: "echo" };
  return {
    run: hasImage(spec.kind) ? spec.kind : agent.mind,
    command: quoted(agent.command),
    image: spec.image ?? "",
    placement: (spec.placement ?? []).join(", "),
    model: agent.model ?? "",
    baseUrl: agent.base_url ?? "",
    key: agent.key ?? "",
    memory: spec.limits?.memory_mb ? String(spec.limits.memory_mb) : "",
    was: spec,
  };
}

function RuntimeFields({ form, set, withDefault }) {
  const choices = withDefault ? RUNS : RUNS.filter(([key]) => key !== "default");
  return html`<${Field} label="How its agent runs" control="runtime.kind" value=${form.run} onInput=${(run) => set({ run })} options=${choices} />
    ${(hasImage(form.run) || ["exec", "command"].includes(form.run)) && html`<${Field} label=${hasImage(form.run) ? "Command (empty: the built-in echo agent)" : "Command"} control="runtime.command" value=${form.command} onInput=${(command) => set({ command })} placeholder="python3 agent.py" class="mono" required=${!hasImage(form.run)} hint=${form.run === "exec" ? "Started for each message: message on standard input, reply on standard output. No shell." : undefined} />`}
    ${hasImage(form.run) && html`<${Field} label="Image" control="runtime.image" value=${form.image} onInput=${(image) => set({ image })} placeholder="my-agent:1" required />`}
    ${form.run === "swarm" && html`<${Field} label="Placement (empty: any node)" control="runtime.placement" value=${form.placement} onInput=${(placement) => set({ placement })} placeholder="node.labels.zone==b, node.role==worker" class="mono" hint="Constraints of the swarm, between commas; a node has to meet all of them." />`}
    ${form.run === "model" && html`<${Field} label="Model" control="runtime.model" value=${form.model} onInput=${(model) => set({ model })} required /><${Field} label="Endpoint" control="runtime.endpoint" value=${form.baseUrl} onInput=${(baseUrl) => set({ baseUrl })} placeholder="https://example.org/v1" required />
      <${Field} label="Secret with the endpoint's key" control="runtime.key" value=${form.key} onInput=${(key) => set({ key: key.toUpperCase() })} hint="Its name; the value is added under Secrets." />`}
    ${form.run !== "external" && form.run !== "default" && html`<${Field} label="Memory limit, MiB" control="runtime.memory" kind="number" min="16" value=${form.memory} onInput=${(memory) => set({ memory })} placeholder="no limit" />`}`;
}

/** What a button does: the thing itself, or asking for it. */
const orAsk = ({ plan }, words) => (plan?.decision === "hold" ? "Ask for approval" : words);

/** Why a change cannot be asked for yet: its effect is said first. */
function notPlanned({ plan, error }) {
  if (error) return "The plan could not be made.";
  if (!plan) return "Waiting for the plan.";
  return plan.decision === "deny" ? "The server would refuse this." : null;
}

const useForm = (initial) => {
  const [form, setForm] = useState({ command: "", image: "", model: "", baseUrl: "", key: "", memory: "", ...initial });
  return [form, (change) => setForm((old) => ({ ...old, ...change }))];
};

export function CreateWorkspace({ organisation, parent, onClose, onDone }) {
  const closeOwn = useClose(onClose);
  const [form, set] = useForm({ run: "default", name: "", role: "", parent: parent ?? organisation.root?.id ?? "" });
  const body = { name: form.name.trim(), parent_id: form.parent || undefined, role: form.role.trim() || undefined, runtime: runtimeOf(form) };
  const planned = usePlan(form.name.trim() ? { method: "POST", path: "/workspaces", body } : null);
  const key = useAttempt(body);
  const act = useAction(async () => {
    const made = await perform({ method: "POST", path: "/workspaces", body }, { done: `${body.name} was created.`, renew: ["/workspaces"], key });
    closeOwn();
    onDone?.(made);
  });
  const submit = (event) => {
    event.preventDefault();
    if (!act.busy) act.run();
  };
  return html`<${Dialog} title="New workspace" onClose=${onClose}><form onSubmit=${submit}>
    <${Field} label="Name" control="create.name" value=${form.name} onInput=${(name) => set({ name })} required maxlength="100" placeholder="researcher" />
    <${Field} label="Role" control="create.role" value=${form.role} onInput=${(role) => set({ role })} maxlength="500" placeholder="reads and summarises" hint="What its agent does, in a sentence. Its peers see this." />
    <${ParentField} organisation=${organisation} value=${form.parent} onInput=${(id) => set({ parent: id })} control="create.parent" />
    <${RuntimeFields} form=${form} set=${set} withDefault=${true} />
    ${form.name.trim() && html`<${PlanView} of=${planned} quiet=${true} />`}
    <${Problem} error=${act.error} />
    <div class="actions"><${Button} control="create.cancel" onClick=${onClose}>Cancel<//><${Button} control="create.submit" kind="primary" type="submit" busy=${act.busy} why=${!form.name.trim() ? "It needs a name." : notPlanned(planned)}>${orAsk(planned, "Create")}<//></div></form><//>`;
}

function ParentField({ organisation, value, onInput, control, except = new Set() }) {
  const options = organisation.list.filter((one) => !except.has(one.id)).map((one) => [one.id, pathTo(organisation, one.id).map((step) => step.name).join(" / ")]);
  options.sort((a, b) => a[1].localeCompare(b[1]));
  return html`<${Field} label="Under" control=${control} value=${value} onInput=${onInput} options=${options} />`;
}

/** Moves a workspace under another; says whom its agent may then talk to. */
export function MoveWorkspace({ organisation, id, parent: dropped, onClose }) {
  const closeOwn = useClose(onClose);
  const workspace = organisation.byId.get(id);
  const except = new Set([id, ...below(organisation, id).map((one) => one.id)]);
  const [parent, setParent] = useState(dropped ?? workspace.parent_id);
  const change = parent !== workspace.parent_id ? { method: "PATCH", path: `/workspaces/${id}`, body: { parent_id: parent } } : null;
  const planned = usePlan(change);
  const names = (of) => [organisation.byId.get(of)?.name, ...(organisation.children.get(of) ?? []).filter((one) => one.id !== id).map((one) => one.name)].filter(Boolean);
  const act = useAction(async () => {
    await perform(change, { done: `${workspace.name} is now under ${organisation.byId.get(parent)?.name}.`, renew: ["/workspaces"] });
    closeOwn();
  });
  const why = !change ? "Choose another parent." : notPlanned(planned);
  const submit = (event) => {
    event.preventDefault();
    if (!why && !act.busy) act.run();
  };
  const moving = except.size - 1;
  return html`<${Dialog} title=${`Move ${workspace.name}`} onClose=${onClose}><form onSubmit=${submit}>
    <${ParentField} organisation=${organisation} value=${parent} onInput=${setParent} control="move.parent" except=${except} />
    ${change && html`<div><h3>Whom its agent sees</h3><p>Until now: ${list(names(workspace.parent_id))}. From then on: ${list(names(parent))}.${moving > 0 ? ` ${moving} below it move along.` : ""}</p></div>`}
    ${change && html`<${PlanView} of=${planned} />`}
    <${Problem} error=${act.error} /><div class="actions"><${Button} control="move.cancel" onClick=${onClose}>Cancel<//><${Button} control="move.submit" kind="primary" type="submit" busy=${act.busy} why=${why}>${orAsk(planned, "Move")}<//></div></form><//>`;
}

const list = (names) => (names.length > 8 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : names.join(", ") || "nobody");

/** Changes name, role or how the agent runs. */
export function EditWorkspace({ workspace: now, onClose }) {
  const closeOwn = useClose(onClose);
  // Compared with what it was opened with: what somebody else changes meanwhile is not changed back.
  const [workspace] = useState(now);
  const [form, set] = useForm({ name: workspace.name, role: workspace.role ?? "", ...formOf(workspace.runtime_spec) });
  const initial = JSON.stringify(runtimeOf({ command: "", image: "", model: "", baseUrl: "", key: "", memory: "", ...formOf(workspace.runtime_spec) }));
  const body = {};
  if (form.name.trim() !== workspace.name) body.name = form.name.trim();
  if (form.role.trim() !== (workspace.role ?? "")) body.role = form.role.trim();
  const runtime = runtimeOf(form);
  if (JSON.stringify(runtime) !== initial && runtime !== undefined) body.runtime = runtime;
  const changed = Object.keys(body).length > 0;
  const change = { method: "PATCH", path: `/workspaces/${workspace.id}`, body };
  const planned = usePlan(changed ? change : null);
  const act = useAction(async () => {
    await perform(change, { done: "Saved.", renew: ["/workspaces"] });
    closeOwn();
  });
  const why = !changed ? "Nothing is changed." : notPlanned(planned);
  const submit = (event) => {
    event.preventDefault();
    if (!why && !act.busy) act.run();
  };
  return html`<${Dialog} title=${`Change ${workspace.name}`} onClose=${onClose}><form onSubmit=${submit}>
    <${Field} label="Name" control="edit.name" value=${form.name} onInput=${(name) => set({ name })} required maxlength="100" />
    <${Field} label="Role" control="edit.role" value=${form.role} onInput=${(role) => set({ role })} maxlength="500" />
    <${RuntimeFields} form=${form} set=${set} withDefault=${!workspace.runtime_spec} />
    ${changed && html`<${PlanView} of=${planned} />`}<${Problem} error=${act.error} />
    <div class="actions"><${Button} control="edit.cancel" onClick=${onClose}>Cancel<//><${Button} control="edit.submit" kind="primary" type="submit" busy=${act.busy} why=${why}>${orAsk(planned, "Save")}<//></div></form><//>`;
}
