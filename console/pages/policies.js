// The rules as they are, what they add up to, and what they would say to a question.
import { html, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { plural, words } from "../lib/format.js";
import { Answer, Button, Dialog, Field, Notice, Problem, Tabs, useAction, useClose } from "../ui/basic.js";
import { Badge } from "../ui/state.js";
import { Icon } from "../ui/icon.js";
import { Confirm, perform } from "../ui/change.js";
import { Policy, rulesOf } from "../ui/policy_text.js";
import { Matrix } from "../ui/matrix.js";
import { WhatIf } from "../ui/what_if.js";

export function PoliciesPage({ tab = "rules", who }) {
  return html`<div class="page-head"><div><h1>Policies</h1><p class="quiet">The rules every request passes. The shipped ones are always loaded; you can add to them, never take from them.</p></div></div>
    <${Tabs} label="Policies" active=${tab} tabs=${[
      { id: "rules", text: "Rules", to: "/console/policies", control: "policies.tab-rules" },
      { id: "matrix", text: "Matrix", to: "/console/policies/matrix", control: "policies.tab-matrix" },
      { id: "what-if", text: "What if", to: "/console/policies/what-if", control: "policies.tab-what-if" },
    ]} />
    ${tab === "rules" && html`<${Rules} role=${who.operator.role} />`}${tab === "matrix" && html`<${Matrix} />`}${tab === "what-if" && html`<${WhatIf} />`}`;
}

/** Annotations such as `@code("…")`, for a rule's headline. */
function annotations(text) {
  return Object.fromEntries([...text.matchAll(/@(\w+)(?:\("((?:[^"\\]|\\.)*)"\))?/g)].map(([, name, value]) => [name, value ?? ""]));
}

function effectOf(text) {
  const effect = /\b(permit|forbid)\s*\(/.exec(text.replace(/\/\/[^\n]*/g, ""))?.[1];
  if (effect === "permit") return { tone: "good", word: "permits" };
  return annotations(text).hold !== undefined ? { tone: "warn", word: "holds for a human" } : { tone: "bad", word: "forbids" };
}

function Rules({ role }) {
  const answer = useGet("/policies", concerns.policies);
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState(null);
  const wanted = search.trim().toLowerCase();
  const why = (verb) => (may(role, verb) ? null : whyNot(role, verb));
  return html`<div class="stack"><div class="row"><div class="search grow"><${Icon} name="search" /><input type="search" aria-label="Find a rule" placeholder="Find a rule" data-control="policies.search" value=${search} onInput=${(event) => setSearch(event.currentTarget.value)} /></div>
      <${Button} control="policies.add" kind="primary" icon="plus" why=${why("policy.add")} onClick=${() => setOpen({ kind: "add" })}>Add a policy<//></div>
    <${Answer} of=${answer} what="Loading the rules">${(policies) => {
      const rules = policies.flatMap((policy) => rulesOf(policy.text).map((rule) => ({ ...rule, policy, key: `${policy.id} ${rule.id}` })));
      const shown = rules.filter(({ id, text, policy }) => !wanted || `${id} ${policy.name} ${text}`.toLowerCase().includes(wanted));
      const added = rules.filter(({ policy }) => !policy.shipped).length;
      return html`<p class="quiet" role="status">${plural(rules.length - added, "shipped rule")}, ${added} added.${wanted && ` ${shown.length} fit your search.`}</p>
        <div class="card flush">${shown.map(({ id, text, policy, key }) => html`<details class="rule" key=${key}><summary data-control="policies.rule"><${Badge} tone=${effectOf(text).tone}>${effectOf(text).word}<//><strong>${policy.shipped ? words(id) : policy.name}</strong>${!policy.shipped && html`<span class="fine">added</span>`}</summary>
          <${Policy} text=${text} />${!policy.shipped && html`<div class="row"><${Button} control="policies.remove" kind="danger" icon="trash" why=${why("policy.remove")} onClick=${() => setOpen({ kind: "remove", policy })}>Remove<//></div>`}</details>`)}</div>`;
    }}<//>
    ${open?.kind === "add" && html`<${AddPolicy} onClose=${() => setOpen(null)} />`}
    ${open?.kind === "remove" && html`<${Confirm} title=${`Remove ${open.policy.name}?`} words="From then on the other rules decide alone." button="Remove" kind="danger" change=${{ method: "DELETE", path: `/policies/${open.policy.id}` }} done="The policy was removed." renew=${["/policies"]} onClose=${() => setOpen(null)} />`}</div>`;
}

const EXAMPLE = `@code("POLICY_FORBIDS")
@reason("no_restarts_by_agents")
@next_step("ask an operator")
@hold("role:approver=1")
forbid (
  principal is Agent,
  action == Action::"workspace.restart",
  resource
);`;

function AddPolicy({ onClose }) {
  const closeOwn = useClose(onClose);
  const [name, setName] = useState("");
  const [text, setText] = useState(EXAMPLE);
  const [valid, setValid] = useState(null);
  const check = useAction(async () => setValid({ ...(await post("/policies/check", { text })), of: text }));
  const act = useAction(async () => {
    await perform({ method: "POST", path: "/policies", body: { name: name.trim(), text } }, { done: "The policy was added, and decides from now on.", renew: ["/policies"] });
    closeOwn();
  });
  // What was said of the text before says nothing of this one.
  const change = (next) => {
    setText(next);
    setValid(null);
    check.clear();
    act.clear();
  };
  const submit = (event) => {
    event.preventDefault();
    if (name.trim() && text.trim() && !act.busy) act.run();
  };
  return html`<${Dialog} title="Add a policy" onClose=${onClose} wide=${true}><form onSubmit=${submit}><p>In Cedar. It is checked against the schema before it is taken; a rule that could fail is refused.</p>
    <${Field} label="Name" control="add-policy.name" value=${name} onInput=${setName} required maxlength="100" />
    <${Field} label="Text" control="add-policy.text" rows="12" class="mono" value=${text} onInput=${change} required spellcheck="false" />
    ${valid?.of === text && html`<${Notice} tone="good" role="status">It is valid, and is asked for: ${valid.slots.join(", ") || "every request"}.<//>`}
    <${Problem} error=${check.error ?? act.error} />
    <div class="actions"><${Button} control="add-policy.cancel" onClick=${onClose}>Cancel<//><${Button} control="add-policy.check" busy=${check.busy} onClick=${() => check.run()}>Check<//>
      <${Button} control="add-policy.submit" kind="primary" type="submit" busy=${act.busy} why=${name.trim() ? null : "It needs a name."}>Add<//></div></form><//>`;
}
