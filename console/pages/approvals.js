// What waits for a human, what it would do, and what became of it. Usable on a phone and by keyboard alone.
import { html, useEffect, useMemo, useRef } from "../lib/html.js";
import { Refused } from "../lib/api.js";
import { useGet } from "../lib/query.js";
import { PENDING_MAX, usePending } from "../lib/pending.js";
import { go, useQueryParameters } from "../lib/route.js";
import { useNames } from "../lib/names.js";
import { Answer, Empty, Tabs, Until, When } from "../ui/basic.js";
import { ApprovalCard } from "../ui/approval_card.js";
import { approvalTitle, ApprovalList } from "../ui/approval_list.js";

export function ApprovalsPage({ approval, who }) {
  const [parameters] = useQueryParameters();
  const history = parameters.get("show") === "history";
  const pending = usePending();
  const name = useNames();
  // The one that ends soonest comes first.
  const inbox = useMemo(() => [...(pending.data ?? [])].sort((a, b) => Date.parse(a.expires_at) - Date.parse(b.expires_at)), [pending.data]);
  const list = useRef(null);

  const keys = (event) => {
    if (event.target.closest("input, textarea, select, dialog") || event.metaKey || event.ctrlKey || event.altKey) return;
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (!step || inbox.length === 0 || history) return;
    event.preventDefault();
    const at = inbox.findIndex((one) => one.id === approval);
    const next = inbox[Math.min(inbox.length - 1, Math.max(0, at + step))];
    go(`/console/approvals/${next.id}`, { replace: at >= 0 });
    requestAnimationFrame(() => list.current?.querySelector("[aria-current]")?.focus());
  };
  useEffect(() => {
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });
  return html`<div class="page-head"><div><h1>Approvals</h1><p class="quiet">What agents may not do without a human.</p></div></div>
    <${Tabs} label="Approvals" active=${history ? "history" : "inbox"} tabs=${[
      { id: "inbox", text: "Waiting", to: "/console/approvals", control: "approvals.tab-inbox", count: inbox.length },
      { id: "history", text: "History", to: "/console/approvals?show=history", control: "approvals.tab-history" },
    ]} />
    ${history ? html`<${ApprovalList} path="/approvals" />` : html`<div class=${`inbox${approval ? " open" : ""}`}>
      <div class="inbox-list" ref=${list}><${Answer} of=${pending} what="Loading what waits">${() => (inbox.length === 0 ? html`<div class="card"><${Empty} icon="check" title="Nothing waits for you"><p>When an agent asks for something that needs a human, it appears here at once.</p><//></div>` : html`${inbox.length >= PENDING_MAX && html`<p class="fine">The newest ${PENDING_MAX} are shown; older ones follow as these are decided.</p>`}<ul class="card flush" aria-label="Waiting">${inbox.map((one) => html`<li key=${one.id}><a href=${`/console/approvals/${one.id}`} class="inbox-row" data-control="approvals.row" aria-current=${one.id === approval ? "true" : undefined}>
          <strong>${approvalTitle(one, name)}</strong><span class="fine">asked by ${name(one.requested_by)} <${When} at=${one.created_at} /> · expires <${Until} at=${one.expires_at} /></span></a></li>`)}</ul>`)}<//></div>
      <div class="inbox-detail">${approval ? html`<${OneApproval} key=${approval} id=${approval} who=${who} name=${name} />` : inbox.length > 0 && html`<div class="card wide-only"><${Empty} icon="inbox" title="Choose a request"><p>J and K, or the arrows, go through them. In a request, A approves and D denies.</p><//></div>`}</div></div>`}`;
}

function OneApproval({ id, who, name }) {
  const answer = useGet(`/approvals/${id}`, (event) => event.approval_id === id || /^(run|turn|workspace|secret|policy|operator)\./.test(event.type));
  if (answer.error instanceof Refused && [400, 404].includes(answer.error.status)) return html`<div class="card"><${Empty} title="This request is not there"><p>The link may be mistyped.</p><//></div>`;
  return html`<p class="narrow-only"><a href="/console/approvals" data-control="approvals.back">All that wait</a></p><${Answer} of=${answer} what="Loading the request">${(approval) => html`<${ApprovalCard} approval=${approval} who=${who} name=${name} reload=${answer.reload} />`}<//>`;
}
