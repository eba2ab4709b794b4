// The log: what was done, held and refused, by whom and by which rule; and the proof that nothing was taken out of it.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { get, Refused } from "../lib/api.js";
import { useGet } from "../lib/query.js";
import { useQueryParameters } from "../lib/route.js";
import { useOrganisation } from "../lib/org.js";
import { useNames, useRuleNames } from "../lib/names.js";
import { fullTime, plural, verb, words } from "../lib/format.js";
import { Answer, Button, Dialog, Empty, Field, Notice, Problem, useAction } from "../ui/basic.js";
import { OutcomeBadge } from "../ui/state.js";
import { Icon } from "../ui/icon.js";
import { AuditList } from "../ui/audit_list.js";
import { Policy } from "../ui/policy_text.js";

const FILTERS = ["q", "outcome", "workspace_id", "event", "code", "key", "approval_id", "from", "to"];

export function AuditPage({ seq }) {
  return seq ? html`<${Entry} key=${seq} seq=${seq} />` : html`<${Log} />`;
}

function Log() {
  const [parameters, setParameters] = useQueryParameters();
  const organisation = useOrganisation();
  const filters = Object.fromEntries(FILTERS.map((name) => [name, parameters.get(name) ?? ""]));
  // Grows when all are cleared, so that what was typed and not yet asked goes too.
  const [round, setRound] = useState(0);
  const [more, setMore] = useState(FILTERS.slice(3).some((name) => filters[name]));
  const [verifying, setVerifying] = useState(false);
  const any = FILTERS.some((name) => filters[name]);
  // Days, as a person picks them, become times.
  const asked = { ...filters };
  asked.from = midnight(filters.from, 0);
  asked.to = midnight(filters.to, 1);
  const workspaces = [["", "All workspaces"], ...[...organisation.list].sort((a, b) => a.name.localeCompare(b.name)).map((one) => [one.id, one.name])];
  if (filters.workspace_id && !organisation.byId.has(filters.workspace_id)) workspaces.push([filters.workspace_id, "a workspace that is gone"]);
  const clear = () => {
    setRound(round + 1);
    setParameters(Object.fromEntries(FILTERS.map((name) => [name, null])));
  };
  return html`<div class="page-head"><div><h1>Audit</h1><p class="quiet">Append-only, hash-chained, signed. Written before anything is answered.</p></div>
      <div class="row"><a class="button" href="/audit/export" download="audit.jsonl" data-control="audit.export"><${Icon} name="download" /> Export</a><${Button} control="audit.verify" kind="primary" icon="shield" onClick=${() => setVerifying(true)}>Verify<//></div></div>
    <div class="filters card" role="search"><div class="search grow"><${Icon} name="search" /><${Typed} key=${`q ${round}`} as=${SearchInput} value=${filters.q} onText=${(q) => setParameters({ q })} /></div>
      <${Field} label="Outcome" control="audit.outcome" value=${filters.outcome} onInput=${(outcome) => setParameters({ outcome })} options=${[["", "Any"], ["done", "Done"], ["held", "Held"], ["refused", "Refused"], ["failed", "Failed"]]} />
      <${Field} label="Workspace" control="audit.workspace" value=${filters.workspace_id} onInput=${(id) => setParameters({ workspace_id: id })} options=${workspaces} />
      <${Button} control="audit.more-filters" kind="ghost" aria-expanded=${more} onClick=${() => setMore(!more)}>${more ? "Fewer filters" : "More filters"}<//>
      ${any && html`<${Button} control="audit.clear" kind="ghost" icon="x" onClick=${clear}>Clear<//>`}
      ${more && html`<div class="fields wide"><${Typed} key=${`event ${round}`} as=${Field} label="Event" control="audit.event-name" value=${filters.event} onText=${(event) => setParameters({ event })} placeholder="secret.set.refused" />
        <${Typed} key=${`code ${round}`} as=${Field} label="Code" control="audit.code" value=${filters.code} onText=${(code) => setParameters({ code: code.toUpperCase() })} placeholder="CONCIERGE_SELF_WRITE_BLOCKED" />
        <${Typed} key=${`key ${round}`} as=${Field} label="Key" control="audit.key" value=${filters.key} onText=${(key) => setParameters({ key: key.toUpperCase() })} placeholder="API_KEY" />
        <${Typed} key=${`from ${round}`} as=${Field} label="From" control="audit.from" kind="date" value=${filters.from} onText=${(from) => setParameters({ from })} />
        <${Typed} key=${`to ${round}`} as=${Field} label="To" control="audit.to" kind="date" value=${filters.to} onText=${(to) => setParameters({ to })} /></div>`}
      ${filters.approval_id && html`<p class="fine wide">Of one request: <a href=${`/console/approvals/${filters.approval_id}`} data-control="audit.request">see it</a>.</p>`}</div>
    <${AuditList} path="/audit" filters=${asked} />
    ${verifying && html`<${Verify} onClose=${() => setVerifying(false)} />`}`;
}

/** The time at which a day begins here, `more` days later; nothing for what is no day. */
function midnight(day, more) {
  const at = new Date(`${day}T00:00:00`);
  at.setDate(at.getDate() + more);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

/** How long a writer pauses before the log is asked, in milliseconds. */
const PAUSE = 300;

/** A text that is asked for once its writer pauses, and follows the address when that changes otherwise. */
function Typed({ as: Input, value, onText, ...rest }) {
  const [text, setText] = useState(value);
  const known = useRef(value);
  useEffect(() => {
    if (value.toLowerCase() !== known.current.toLowerCase()) setText(value);
    known.current = value;
  }, [value]);
  useEffect(() => {
    if (text.trim() === known.current) return undefined;
    const timer = setTimeout(() => {
      known.current = text.trim();
      onText(known.current);
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<${Input} ...${rest} value=${text} onInput=${setText} />`;
}

function SearchInput({ value, onInput }) {
  return html`<input type="search" aria-label="Search the log" placeholder="Search names, verbs, rules, codes, ids" data-control="audit.search" maxlength="100" value=${value} onInput=${(event) => onInput(event.currentTarget.value)} />`;
}

/** Runs the real verification on the server, over the whole log, and shows the signed head it ends in. */
function Verify({ onClose }) {
  const [result, setResult] = useState(null);
  const run = useAction(async () => setResult(await get("/audit/verify")));
  useEffect(() => {
    run.run();
  }, []);
  return html`<${Dialog} title="Verify the log" onClose=${onClose} wide=${true}><div class="body">
    ${run.busy && html`<p role="status"><span class="spinner" aria-hidden="true"></span> Recomputing every hash and checking every signature…</p>`}
    <${Problem} error=${run.error} onRetry=${() => run.run()} />
    ${result?.verified && html`<${Notice} tone="good" role="status"><p><strong>The log verifies.</strong></p><p>${plural(result.entries, "entry", "entries")}, ${plural(result.checkpoints, "signed checkpoint")}, in ${result.elapsed_ms} ms. Each entry holds the hash of the one before; none was changed or taken out.</p><//>
      <dl class="facts"><dt>Head</dt><dd><code>${result.head}</code></dd><dt>Key</dt><dd><code>${result.key}</code></dd></dl>
      <div><h3>Signed checkpoint</h3><p class="fine">Keep it elsewhere: whoever has it can show later that the log was cut. A stranger verifies an export offline with <code>portcullis audit verify</code>.</p><pre class="code wrap" tabindex="0">${result.checkpoint}</pre></div>`}
    ${result && !result.verified && html`<${Notice} tone="bad" role="alert"><p><strong>The log does not verify.</strong></p><p>${result.error}</p>${result.first_bad != null && html`<p>The first bad entry is <a href=${`/console/audit/${result.first_bad}`} data-control="verify.first-bad">${result.first_bad}</a>.</p>`}<//>`}
    <div class="actions"><${Button} control="verify.again" busy=${run.busy} onClick=${() => run.run()}>Verify again<//><${Button} control="verify.close" kind="primary" onClick=${onClose}>Close<//></div></div><//>`;
}

function Entry({ seq }) {
  const answer = useGet(`/audit/entries/${encodeURIComponent(seq)}`);
  // The newest one has none behind it, until the next comes.
  const later = useGet(`/audit?limit=1&after=${encodeURIComponent(seq)}`, () => !hasLater);
  const hasLater = later.data?.events.length > 0;
  const nameOf = useNames();
  const ruleNames = useRuleNames();
  if (answer.error instanceof Refused && [400, 404].includes(answer.error.status)) return html`<${Empty} icon="log" title="There is no such event" page=${true}><p><a href="/console/audit" data-control="entry.to-log">To the log</a></p><//>`;
  return html`<${Answer} of=${answer} what="Loading the event">${(event) => {
    const name = (principal) => event.names[principal.id] ?? nameOf(principal);
    const rules = Object.entries(event.rule_texts ?? {});
    return html`<div class="page-head"><div><p class="crumbs"><a href="/console/audit" data-control="entry.crumb">Audit</a><span>/ event ${event.id}</span></p><h1>${event.event}</h1><p class="quiet">${fullTime(event.at)}</p></div>
        <div class="row"><${OutcomeBadge} outcome=${event.outcome} />${event.id > 1 && html`<a class="button" href=${`/console/audit/${event.id - 1}`} data-control="entry.previous">Before it</a>`}${hasLater && html`<a class="button" href=${`/console/audit/${event.id + 1}`} data-control="entry.next">After it</a>`}</div></div>
      <div class="stack"><section class="card" aria-label="The event"><dl class="facts">
        <dt>Who</dt><dd>${name(event.subject)} <span class="quiet">(${event.subject.kind})</span></dd>
        <dt>Did</dt><dd>${verb(event.verb)} <code>${event.verb}</code></dd>
        ${event.target?.id && html`<dt>To</dt><dd>${event.target.kind} ${name({ kind: event.target.kind, id: event.target.id })}</dd>`}
        ${event.workspace_id && html`<dt>Workspace</dt><dd><a href=${`/console/workspaces/${event.workspace_id}`} data-control="entry.workspace">${name({ kind: "agent", id: event.workspace_id })}</a></dd>`}
        ${event.key && html`<dt>Key</dt><dd><code>${event.key}</code></dd>`}
        <dt>Outcome</dt><dd>${event.outcome}${event.code && html` <code>${event.code}</code>`}</dd>
        ${event.reason && html`<dt>Reason</dt><dd>${words(event.reason)}</dd>`}
        ${event.issue && html`<dt>Issue</dt><dd><code>${event.issue}</code></dd>`}
        ${event.approval_id && html`<dt>Request</dt><dd><a href=${`/console/approvals/${event.approval_id}`} data-control="entry.approval">see the request</a></dd>`}
        <dt>${event.outcome === "done" ? "Consequences" : "Would cause"}</dt><dd>${event.consequences?.length > 0 ? html`<ul class="plain-list">${event.consequences.map((one, i) => html`<li key=${i}>${one.effect} ${one.workspace ? name({ kind: "agent", id: one.workspace }) : one.scope}</li>`)}</ul>` : "none"}</dd>
        <dt>Rule</dt><dd>${event.rule ? html`<code>${ruleNames(event.rule)}</code>` : "none"}</dd>
        ${event.lineage.length > 0 && html`<dt>Credentials</dt><dd>${event.lineage.map((id) => html`<code key=${id} class="block">${id}</code>`)}</dd>`}
        <dt>Request id</dt><dd><code>${event.request_id}</code></dd>
        ${event.detail && Object.keys(event.detail).length > 0 && html`<dt>Detail</dt><dd><pre class="code wrap" tabindex="0">${JSON.stringify(event.detail, null, 2)}</pre></dd>`}</dl></section>
      ${rules.length > 0 && html`<section class="card" aria-label="The rule"><header><h2>${rules.length === 1 ? "The rule that decided" : "The rules that decided"}</h2></header>${rules.map(([id, text]) => html`<div key=${id} class="spaced"><p class="fine"><code>${ruleNames(id)}</code></p><${Policy} text=${text} /></div>`)}</section>`}
      <section class="card" aria-label="Its place in the chain"><header><h2>Its place in the chain</h2></header><dl class="facts"><dt>Hash</dt><dd><code>${event.hash}</code></dd><dt>Hash before it</dt><dd><code>${event.prev_hash}</code></dd></dl></section></div>`;
  }}<//>`;
}
