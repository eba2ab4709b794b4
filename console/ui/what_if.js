// "What would happen if X did Y to Z?", answered by the real decision, with the rule that decides. Nothing is done.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { useOrganisation } from "../lib/org.js";
import { Button, Field, Notice, Problem, sentence, useAction } from "./basic.js";
import { Badge } from "./state.js";
import { useRuleNames } from "../lib/names.js";
import { ImpactList, whoAgrees } from "./impact.js";
import { Policy } from "./policy_text.js";

const KEY = { name: "key", label: "Key", initial: "API_KEY" };
/** The questions that can be asked: the operation behind each, and what it needs besides a workspace. */
const DEEDS = {
  secret_set: { text: "set a secret", needs: [KEY], body: (f) => ({ key: f.key, value: "example" }) },
  secret_delete: { text: "delete a secret", needs: [KEY], path: (f) => ({ key: f.key }) },
  org_secret_set: { text: "set a shared secret", shared: true, needs: [KEY], body: (f) => ({ key: f.key, value: "example" }) },
  secret_request: { text: "ask for a secret", needs: [KEY], path: (f) => ({ key: f.key }) },
  workspace_create: { text: "create a workspace below", needs: [], below: true, body: (f) => ({ name: "example", parent_id: f.target }) },
  workspace_update: { text: "change how its agent runs", needs: [], body: () => ({ runtime: "external" }) },
  workspace_restart: { text: "restart it", needs: [] },
  workspace_pause: { text: "pause it", needs: [] },
  workspace_resume: { text: "resume it", needs: [] },
  workspace_remove: { text: "remove it", needs: [] },
  workspace_force_stop: { text: "stop it in its turn", needs: [], body: () => ({ reason: "a question" }) },
  workspace_token_mint: { text: "mint a token for it", needs: [], body: () => ({ name: "example" }) },
  org_token_mint: { text: "mint an organisation token", shared: true, needs: [], body: () => ({ name: "example" }) },
  message_send: { text: "send it a message", needs: [], body: () => ({ text: "hello" }) },
  policy_add: { text: "add a policy", shared: true, needs: [], body: () => ({ name: "example", text: "forbid (principal, action == Action::\"workspace.restart\", resource);" }) },
  operator_create: { text: "create an operator", shared: true, needs: [], body: () => ({ email: "someone@example.org", role: "member" }) },
};

function subjectOf(choice) {
  const [kind, one, two] = choice.split("|");
  if (kind === "agent") return { kind, id: one };
  if (kind === "root") return { kind, credential: "admin" };
  if (kind === "service") return { kind, unattended: one === "unattended" };
  return { kind: "operator", role: one, stepped_up: two === "stepped-up" };
}

export function WhatIf() {
  const organisation = useOrganisation();
  const [who, setWho] = useState("root");
  const [operation, setOperation] = useState("secret_set");
  const [target, setTarget] = useState("");
  const [key, setKey] = useState(KEY.initial);
  const [answer, setAnswer] = useState(null);
  const question = JSON.stringify([who, operation, target, key]);
  const latest = useRef(question);
  latest.current = question;
  const root = organisation.root;
  useEffect(() => {
    if (!target && root) setTarget(root.id);
  }, [root]);
  const deed = DEEDS[operation];
  const form = { key, target };
  const act = useAction(async () => {
    setAnswer(null);
    const path = { ...(deed.shared || deed.below ? {} : { id: target }), ...deed.path?.(form) };
    const asked = { as: subjectOf(who), operation, path };
    const body = deed.body?.(form);
    if (body) asked.body = body;
    const said = await post("/policies/what-if", asked);
    // A question that was changed meanwhile has no answer yet.
    if (latest.current === question) setAnswer(said);
  });
  const submit = (event) => {
    event.preventDefault();
    if (!act.busy) act.run();
  };
  const sorted = [...organisation.list].sort((a, b) => a.name.localeCompare(b.name));
  const subjects = [
    ["root", "the root agent, with the admin token"],
    ...sorted.map((one) => [`agent|${one.id}`, `${one.name}${one.kind === "platform" ? ", the root agent, with its own token" : ", an agent"}`]),
    ["service|attended", "a service (token minted by a human)"],
    ["service|unattended", "a service minted as unattended"],
    ...["auditor", "member", "approver", "owner"].flatMap((role) => [[`operator|${role}`, `an operator: ${role}`], [`operator|${role}|stepped-up`, `an operator: ${role}, password just shown`]]),
  ];
  const change = (set) => (value) => {
    set(value);
    setAnswer(null);
  };
  return html`<div class="stack"><form class="card what-if" onSubmit=${submit}><p>What would happen if</p>
      <div class="fields"><${Field} label="Who" control="what-if.who" value=${who} onInput=${change(setWho)} options=${subjects} />
      <${Field} label="Did what" control="what-if.deed" value=${operation} onInput=${change(setOperation)} options=${Object.entries(DEEDS).map(([id, one]) => [id, one.text])} />
      ${!deed.shared && html`<${Field} label="To" control="what-if.target" value=${target} onInput=${change(setTarget)} options=${sorted.map((one) => [one.id, one.kind === "platform" ? `${one.name} (root)` : one.name])} />`}
      ${deed.needs.includes(KEY) && html`<${Field} label="Key" control="what-if.key" value=${key} onInput=${(text) => change(setKey)(text.toUpperCase())} class="mono" required maxlength="128" />`}</div>
      <div class="row"><${Button} control="what-if.ask" kind="primary" type="submit" busy=${act.busy}>Ask<//><span class="fine">Decided by the same rules as the real request. Nothing is done.</span></div></form>
    <${Problem} error=${act.error} />${answer && html`<${Verdict} answer=${answer} />`}</div>`;
}

const VERDICTS = { allow: { tone: "good", icon: "check", text: "It would be done at once." }, hold: { tone: "warn", icon: "clock", text: "It would wait for a human." }, deny: { tone: "bad", icon: "x", text: "It would be refused." } };

function Verdict({ answer }) {
  const ruleNames = useRuleNames();
  const verdict = VERDICTS[answer.decision] ?? VERDICTS.deny;
  return html`<section class="card" aria-label="Answer" data-decision=${answer.decision}><header><h2>${verdict.text}</h2><${Badge} tone=${verdict.tone} icon=${verdict.icon}>${answer.decision}<//></header>
    <div class="stack">${answer.decision === "hold" && html`<p>Needs ${whoAgrees(answer.requirements)}.</p>`}
    ${answer.refusal && html`<${Notice} tone="bad"><p><strong>${sentence(answer.refusal.error)}</strong></p><p>${sentence(answer.refusal.next_step)}</p><p class="fine"><code>${answer.refusal.code}</code></p><//>`}
    ${answer.decision !== "deny" && html`<div><h3>Whom it would touch</h3><${ImpactList} impact=${answer.impact ?? []} consequences=${answer.consequences ?? []} /></div>`}
    <div><h3>The deciding rule</h3>${answer.rule ? html`<p><code>${ruleNames(answer.rule)}</code></p>` : html`<p class="quiet">None: it is refused before any rule is asked.</p>`}${answer.rule_text && html`<${Policy} text=${answer.rule_text} />`}</div></div></section>`;
}
