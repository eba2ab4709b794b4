// Requests, newest first, whatever became of them; older ones on demand.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { useNames } from "../lib/names.js";
import { verb } from "../lib/format.js";
import { Answer, Button, Empty, Field, Problem, useAction, When } from "./basic.js";
import { APPROVAL_STATES, ApprovalBadge } from "./state.js";

const PAGE = 50;

/** What is asked, in one line. */
export function approvalTitle(approval, name) {
  const where = approval.workspace_id ? name(`agent:${approval.workspace_id}`) : null;
  const what = approval.action === "approval.ask" && approval.deed?.action ? approval.deed.action : verb(approval.action);
  const text = what[0].toUpperCase() + what.slice(1);
  return html`${text}${approval.key && html` <code>${approval.key}</code>`}${where ? html` · ${where}` : approval.action.startsWith("secret.") ? " · whole organisation" : ""}`;
}

export function ApprovalList({ path }) {
  const [state, setState] = useState("");
  const query = `${path}?limit=${PAGE}${state ? `&state=${state}` : ""}`;
  const newest = useGet(query, concerns.approvals);
  const [older, setOlder] = useState([]);
  const [over, setOver] = useState(false);
  const name = useNames();
  useEffect(() => {
    setOlder([]);
    setOver(false);
  }, [query]);
  // What new requests push out of the newest page belongs to the older ones, once those are shown.
  const shown = useRef([]);
  useEffect(() => {
    // Times are compared as such: as texts they have no fixed length.
    const last = Date.parse(newest.data?.at(-1)?.created_at);
    const kept = new Set(newest.data?.map((one) => one.id));
    const pushed = shown.current.filter((one) => Date.parse(one.created_at) <= last && !kept.has(one.id));
    if (pushed.length > 0) setOlder((old) => (old.length > 0 ? [...pushed, ...old] : old));
    shown.current = newest.data ?? [];
  }, [newest.data]);
  const all = [...(newest.data ?? []), ...older];
  const more = useAction(async () => {
    const page = await get(`${query}&before=${encodeURIComponent(all.at(-1).created_at)}`);
    const known = new Set(all.map((one) => one.id));
    setOlder([...older, ...page.filter((one) => !known.has(one.id))]);
    setOver(page.length < PAGE);
  });
  return html`<div class="stack"><div class="row filters"><${Field} label="State" control="approvals.state" value=${state} onInput=${setState} options=${[["", "All"], ...Object.entries(APPROVAL_STATES).map(([key, { word }]) => [key, word])]} /></div>
    <${Answer} of=${newest} what="Loading requests">${() => (all.length === 0 ? html`<div class="card"><${Empty} icon="inbox" title="No requests"><p>${state ? "None is in this state." : "Nothing has been asked yet."}</p><//></div>` : html`<div class="card flush"><table class="table cards"><thead><tr><th>Request</th><th>State</th><th>Asked by</th><th>Asked</th><th>Decided</th></tr></thead><tbody>
      ${all.map((one) => html`<tr key=${one.id}><td><a href=${`/console/approvals/${one.id}`} data-control="approvals.history-row">${approvalTitle(one, name)}</a></td><td><${ApprovalBadge} status=${one.status} /></td><td data-label="Asked by">${name(one.requested_by)}</td><td data-label="Asked"><${When} at=${one.created_at} /></td>
        <td data-label="Decided">${one.votes.length > 0 ? html`${one.votes.map((vote) => vote.operator).join(", ")} ` : null}${one.decided_at ? html`<${When} at=${one.decided_at} />` : html`<span class="quiet">not yet</span>`}</td></tr>`)}</tbody></table></div>`)}<//>
    <${Problem} error=${more.error} />
    ${newest.data?.length === PAGE && !over && html`<div class="row center"><${Button} control="approvals.older" busy=${more.busy} onClick=${() => more.run()}>Older<//></div>`}</div>`;
}
