// One request as it will be decided: who asks, the exact effect, whom it touches now, who may decide, how long it waits.
// The value is not here: only its kind, its rough length, and whether it is the current one.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { post, Refused } from "../lib/api.js";
import { refresh } from "../lib/query.js";
import { may, whyNot } from "../lib/roles.js";
import { LENGTHS, plural, verb, words } from "../lib/format.js";
import { useNow } from "../lib/clock.js";
import { useRuleNames } from "../lib/names.js";
import { Button, Check, Dialog, Field, Notice, Once, Problem, sentence, Until, useAction, When } from "./basic.js";
import { ApprovalBadge, Badge } from "./state.js";
import { ImpactList, whoAgrees } from "./impact.js";
import { approvalTitle } from "./approval_list.js";
import { say } from "./toast.js";

const RANK = { auditor: 0, member: 1, approver: 2, owner: 3 };

/** Why this person cannot vote on it; null when they can. */
function barred(approval, who) {
  const { role, id, groups = [] } = who.operator;
  if (approval.requested_by.kind === "operator" && approval.requested_by.id === id) return "You asked for this; somebody else decides.";
  if (!may(role, "approval.decide")) return whyNot(role, "approval.decide");
  if (approval.votes.some((vote) => vote.operator === who.operator.email)) return "You have voted.";
  const counts = approval.requirements.some(({ who: needed }) => (needed.by === "role" ? RANK[role] >= RANK[needed.name] : groups.includes(needed.name)));
  return approval.requirements.length > 0 && !counts ? `This needs ${whoAgrees(approval.requirements)}.` : null;
}

/** Whether an owner's own vote is not enough, and could be made enough. */
function mayDecideAlone(approval, who) {
  const { role, id, email } = who.operator;
  const uninvolved = approval.requested_by.id !== id && !approval.votes.some((vote) => vote.operator === email);
  const needed = approval.requirements.reduce((sum, one) => sum + one.count, 0);
  return role === "owner" && uninvolved && (needed > 1 || barred(approval, who) !== null);
}

export function ApprovalCard({ approval, who, name, reload }) {
  const now = useNow(1);
  const pending = approval.status === "pending";
  const overdue = pending && new Date(approval.expires_at).getTime() <= now;
  const ruleNames = useRuleNames();
  // A rule that gives no reason is its own.
  const because = approval.rule.split(",").includes(approval.reason) ? "" : `: ${words(approval.reason)}`;
  // What a vote left behind is kept here: its buttons go away with the request's end.
  const [late, setLate] = useState(null);
  const [claim, setClaim] = useState(null);
  return html`<article class="card approval" aria-labelledby="approval-title" data-approval=${approval.id} data-status=${approval.status}>
    <header><h2 id="approval-title">${approvalTitle(approval, name)}</h2><${ApprovalBadge} status=${approval.status} /></header>
    <div class="stack">
      <p><strong>${name(approval.requested_by)}</strong> <span class="quiet">(${approval.requested_by.kind})</span> wants to ${verb(approval.action)}. <span class="quiet">Asked <${When} at=${approval.created_at} />.</span></p>
      ${pending ? html`<p class=${overdue ? "expiry over" : "expiry"}>Expires <${Until} at=${approval.expires_at} />. <span class="quiet">Without a yes until then, nothing happens.</span></p>` : html`<${Ended} approval=${approval} />`}
      ${late && html`<${Notice} tone="warn" role="alert"><p><strong>${sentence(late.message)}</strong></p><p>Your vote was not counted; this is how it stands now.</p><//>`}
      <${Effect} approval=${approval} name=${name} />
      <section><h3>${pending ? "Whom it touches, as they are now" : "Whom it concerned"}</h3><${ImpactList} impact=${approval.impact} consequences=${approval.consequences} /></section>
      <section><h3>Who decides</h3><${Votes} approval=${approval} /><p class="fine">Held by <code>${ruleNames(approval.rule)}</code>${because}.</p></section>
      ${pending && html`<${Decide} approval=${approval} who=${who} reload=${reload} overdue=${overdue} onLate=${setLate} onClaim=${setClaim} />`}
      <p class="fine"><a href=${`/console/audit?approval_id=${approval.id}`} data-control="approval.audit">Its audit events</a></p></div>
    ${claim && html`<${TakeToken} claim=${claim} onClose=${() => setClaim(null)} />`}</article>`;
}

const HIDDEN = new Set(["deed", "workspace", "scope", "key"]);

function shownValue(value, name) {
  if (typeof value === "string" && /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(value)) return name(`agent:${value}`);
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return value.join(", ");
  if (typeof value === "object") return html`<code>${JSON.stringify(value)}</code>`;
  return String(value);
}

/** What every request of this kind says unless it says something else. */
const USUAL = { base: "any", activate: true, unattended: false, delivery: "env" };

/** The deed, in words where there are some and in its own members otherwise. */
function Effect({ approval, name }) {
  const deed = approval.deed ?? {};
  const members = Object.entries(deed).filter(([key, value]) => !HIDDEN.has(key) && USUAL[key] !== value && value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0));
  const base = approval.base_versions.filter((one) => one.version > 0);
  return html`<section><h3>The exact effect</h3><dl class="facts"><dt>Does</dt><dd>${verb(approval.action)}</dd>
    ${approval.workspace_id ? html`<dt>Workspace</dt><dd><a href=${`/console/workspaces/${approval.workspace_id}`} data-control="approval.workspace">${name(`agent:${approval.workspace_id}`)}</a></dd>` : html`<dt>Where</dt><dd>the whole organisation</dd>`}
    ${approval.key && html`<dt>Key</dt><dd><code>${approval.key}</code></dd>`}
    ${approval.value && html`<dt>New value</dt><dd>${approval.value.values.map((shape) => `${shape.format_class === "url" ? "URL" : words(shape.format_class)}, ${LENGTHS[shape.length_class] ?? shape.length_class}`).join("; ")} ${approval.value.same_as_current ? html`<${Badge} tone="muted">same as current<//>` : html`<${Badge} tone="warn">differs from current<//>`}</dd>`}
    ${base.length > 0 && html`<dt>Based on</dt><dd>${base.map((one) => `${one.key} v${one.version}`).join(", ")}</dd>`}
    ${members.map(([key, value]) => html`<dt key=${key}>${label(key)}</dt><dd>${key === "text" ? html`<pre class="code wrap">${value}</pre>` : key.endsWith("_ms") ? duration(value) : shownValue(value, name)}</dd>`)}</dl></section>`;
}

/** The name of a member, as a label; how a time is counted is said by the time. */
const label = (key) => key[0].toUpperCase() + words(key.slice(1).replace(/_ms$/, ""));

const duration = (ms) => (ms >= 86_400_000 ? plural(Math.round(ms / 86_400_000), "day") : plural(Math.round(ms / 60_000), "minute"));

function Votes({ approval }) {
  const yes = approval.votes.filter((vote) => vote.decision === "approved").length;
  const needed = approval.requirements.reduce((sum, one) => sum + one.count, 0);
  return html`<p>${whoAgrees(approval.requirements) || "any approver"}${needed > 1 && html` <strong>(${yes} of ${needed} so far)</strong>`}</p>
    ${approval.votes.length > 0 && html`<ul class="plain-list">${approval.votes.map((vote) => html`<li key=${vote.operator + vote.at}><${Badge} tone=${vote.decision === "approved" ? "good" : "bad"} icon=${vote.decision === "approved" ? "check" : "x"}>${vote.decision}<//> ${vote.operator} <span class="fine"><${When} at=${vote.at} /></span>${vote.break_glass && html` <${Badge} tone="bad" icon="alert">break-glass<//>`}${vote.note && html`<p>“${vote.note}”</p>`}</li>`)}</ul>`}`;
}

const ENDS = {
  applied: { tone: "good", text: "It was agreed to, and the platform has done it." },
  denied: { tone: "bad", text: "It was denied. Nothing has changed." },
  expired: { tone: "info", text: "It expired before anybody said yes. Nothing has changed." },
  withdrawn: { tone: "info", text: "Whoever asked has taken it back. Nothing has changed." },
  voided: { tone: "warn", text: "What was asked is no longer what would happen, so it cannot be decided any more. Nothing has changed." },
  failed: { tone: "bad", text: "It was agreed to and could not be done. Nothing has changed." },
};

function Ended({ approval }) {
  const end = ENDS[approval.status];
  const by = approval.votes.map((vote) => vote.operator).join(", ");
  return html`<${Notice} tone=${end?.tone ?? "info"} role="status"><p><strong>${end?.text ?? approval.status}</strong></p>${by && html`<p>Decided by ${by}${approval.decided_at && html`, <${When} at=${approval.decided_at} />`}.</p>`}${approval.code && html`<p class="fine"><code>${approval.code}</code></p>`}<//>`;
}

/** Refusals of a vote on a request that has ended. */
const LATE = ["APPROVAL_NOT_PENDING", "APPROVAL_EXPIRED", "APPROVAL_VOIDED", "APPROVAL_DENIED"];

function Decide({ approval, who, reload, overdue, onLate, onClaim }) {
  const [note, setNote] = useState("");
  const [checks, setChecks] = useState({});
  const [breaking, setBreaking] = useState(false);
  const noteField = useRef(null);
  const open = approval.checklist.filter((item) => !checks[item]);
  const why = barred(approval, who) ?? (overdue ? "It has expired." : null);
  const vote = useAction(async (decision, break_glass = false) => {
    try {
      const answer = await post(`/approvals/${approval.id}/decide`, { decision, note: note.trim() || undefined, checklist: checks, break_glass });
      if (answer.result?.claim_token) onClaim(answer.result.claim_token);
      if (answer.status === "pending") say("Your vote counts. It waits for others.", { tone: "warn" });
      else if (answer.status === "applied") say("Approved, and done.");
      else if (answer.status === "denied") say("Denied. Nothing has changed.");
      else say(`It ended as ${answer.status}: nothing has changed.`, { tone: "bad" });
    } catch (error) {
      if (!(error instanceof Refused && LATE.includes(error.code))) throw error;
      onLate(error);
    } finally {
      reload();
      refresh("/approvals");
    }
  });
  // Who can neither vote nor decide alone reads what is asked of others.
  const looksOn = why !== null && !mayDecideAlone(approval, who);
  const needsNote = approval.note_required && !note.trim();
  const notYet = why ?? (needsNote ? "A note is required." : open.length > 0 ? `${plural(open.length, "item")} of the checklist open.` : null);
  const approve = () => (notYet ? needsNote && !why && noteField.current.focus() : vote.run("approved"));
  useEffect(() => {
    const keys = (event) => {
      if (event.target.closest("input, textarea, select, dialog") || event.metaKey || event.ctrlKey || event.altKey || vote.busy) return;
      if (event.key === "a" && !notYet) vote.run("approved");
      else if (event.key === "d" && !why) vote.run("denied");
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });
  return html`<section class="decide" aria-label="Your decision">
    ${approval.checklist.length > 0 && looksOn && html`<div><h3>Checklist</h3><ul>${approval.checklist.map((item) => html`<li key=${item}>${item}</li>`)}</ul></div>`}
    ${approval.checklist.length > 0 && !looksOn && html`<fieldset><legend>Checklist</legend>${approval.checklist.map((item) => html`<div class="row check-item" key=${item}><span class="grow">${item}</span>
      <${Check} control="approval.check" label=${html`done<span class="hidden-text">: ${item}</span>`} checked=${checks[item] === "ok"} onChange=${(on) => setChecks({ ...checks, [item]: on ? "ok" : undefined })} />
      <${Check} control="approval.not-applicable" label=${html`not applicable<span class="hidden-text">: ${item}</span>`} checked=${checks[item] === "n/a"} onChange=${(on) => setChecks({ ...checks, [item]: on ? "n/a" : undefined })} /></div>`)}</fieldset>`}
    ${!why && html`<${Field} label=${approval.note_required ? "Note (required)" : "Note"} control="approval.note" rows="2" value=${note} onInput=${setNote} inputRef=${noteField} maxlength="500" />`}
    <${Problem} error=${vote.error} />
    ${why && html`<${Notice}>${why}<//>`}
    ${!why && notYet && html`<p class="quiet">${notYet}</p>`}
    <div class="actions big"><${Button} control="approval.deny" kind="danger" icon="x" busy=${vote.busy} why=${why} onClick=${() => vote.run("denied")}>Deny<//>
      <${Button} control="approval.approve" kind="primary" icon="check" busy=${vote.busy} why=${notYet} onClick=${approve}>Approve<//></div>
    ${mayDecideAlone(approval, who) && !overdue && html`<p class="fine"><button type="button" class="link" data-control="approval.break-glass" onClick=${() => setBreaking(true)}>Decide alone (break-glass)</button></p>`}
    ${breaking && html`<${BreakGlass} note=${note} setNote=${setNote} onClose=${() => setBreaking(false)} onDo=${() => { setBreaking(false); vote.run("approved", true); }} />`}</section>`;
}

function BreakGlass({ note, setNote, onClose, onDo }) {
  const submit = (event) => {
    event.preventDefault();
    if (note.trim()) onDo();
  };
  return html`<${Dialog} title="Decide alone?" onClose=${onClose}><form onSubmit=${submit}><p>As an owner you can approve without the others, if the organisation allows it. Everybody sees that you did, and the reason stays in the audit log.</p>
    <${Field} label="Reason" control="break-glass.reason" rows="2" value=${note} onInput=${setNote} required maxlength="500" />
    <div class="actions"><${Button} control="break-glass.cancel" onClick=${onClose}>Cancel<//><${Button} control="break-glass.do" kind="danger" type="submit" why=${note.trim() ? null : "A reason is needed."}>Approve alone<//></div></form><//>`;
}

/** A token that was agreed to: whoever decided takes it, once, and gives it to whom it is for. */
function TakeToken({ claim, onClose }) {
  const [token, setToken] = useState(null);
  const take = useAction(async () => setToken((await post("/auth/token-claims", { claim_token: claim })).auth_token));
  return html`<${Dialog} title="The token is minted" onClose=${onClose}><div class="body">${token ? html`<${Once} value=${token} what="token" />` : html`<p>You agreed to a token. Take it here, once, and store it where it is needed; the agent that asked never sees it.</p><${Problem} error=${take.error} />`}
    <div class="actions">${!token && html`<${Button} control="take-token.take" kind="primary" busy=${take.busy} onClick=${() => take.run()}>Show the token once<//>`}<${Button} control="take-token.close" onClick=${onClose}>${token ? "Done" : "Leave it"}<//></div></div><//>`;
}
