// One workspace: how its agent is, what is said to it, what it is given, what it did, what it asked for.
import { html } from "../lib/html.js";
import { useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { useOrganisation, pathTo } from "../lib/org.js";
import { Refused } from "../lib/api.js";
import { Answer, Empty, Tabs } from "../ui/basic.js";
import { StatusBadge } from "../ui/state.js";
import { Overview } from "../ui/overview.js";
import { Chat } from "../ui/chat.js";
import { Secrets } from "../ui/secrets.js";
import { AuditList } from "../ui/audit_list.js";
import { ApprovalList } from "../ui/approval_list.js";
import { Tokens } from "../ui/tokens.js";
import { NotFound } from "../ui/not_found.js";

const TABS = ["overview", "chat", "secrets", "activity", "approvals", "tokens"];

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What is no id names nothing, and is no part of any request. */
export function WorkspacePage({ id, tab = "overview", who }) {
  return ID.test(id) && TABS.includes(tab) ? html`<${OneWorkspace} id=${id} tab=${tab} who=${who} />` : html`<${NotFound} />`;
}

function OneWorkspace({ id, tab, who }) {
  const answer = useGet(`/workspaces/${id}`, concerns.workspace(id));
  const organisation = useOrganisation();
  const pending = useGet(`/workspaces/${id}/approvals?state=pending&limit=50`, concerns.approvals);
  if (answer.error instanceof Refused && answer.error.status === 404) {
    return html`<${Empty} icon="info" title="This workspace is not there" page=${true}><p>It was removed, or never existed. What happened in it stays in the <a href=${`/console/audit?workspace_id=${id}`} data-control="workspace.gone-audit">audit log</a>.</p><//>`;
  }
  const to = (name) => `/console/workspaces/${id}${name === "overview" ? "" : `/${name}`}`;
  const role = who.operator.role;
  return html`<${Answer} of=${answer} what="Loading the workspace">${(workspace) => {
    const path = pathTo(organisation, id).slice(0, -1);
    return html`<div class="page-head"><div>
        <p class="crumbs"><a href="/console" data-control="workspace.crumb">Organisation</a>${path.map((step) => html`<span key=${step.id}>/ <a href=${`/console/workspaces/${step.id}`} data-control="workspace.crumb-parent">${step.name}</a></span>`)}</p>
        <h1>${workspace.name}</h1><p class="quiet">${workspace.role}</p></div>
        <div class="row"><${StatusBadge} status=${workspace.status} runtime=${workspace.runtime} reason=${workspace.status_reason} />${workspace.kind === "platform" && html`<span class="badge info">root</span>`}${workspace.restart_debt && html`<span class="badge warn">restart debt</span>`}</div></div>
      <${Tabs} label="Workspace" active=${tab} tabs=${[
        { id: "overview", text: "Overview", to: to("overview"), control: "workspace.tab-overview" },
        { id: "chat", text: "Chat", to: to("chat"), control: "workspace.tab-chat", count: workspace.queued },
        { id: "secrets", text: "Secrets", to: to("secrets"), control: "workspace.tab-secrets" },
        { id: "activity", text: "Activity", to: to("activity"), control: "workspace.tab-activity" },
        { id: "approvals", text: "Approvals", to: to("approvals"), control: "workspace.tab-approvals", count: pending.data?.length },
        { id: "tokens", text: "Tokens", to: to("tokens"), control: "workspace.tab-tokens" },
      ]} />
      ${tab === "overview" && html`<${Overview} workspace=${workspace} organisation=${organisation} role=${role} />`}
      ${tab === "chat" && html`<${Chat} key=${id} workspace=${workspace} role=${role} me=${who.operator} />`}
      ${tab === "secrets" && html`<${Secrets} key=${id} scope=${{ workspace }} role=${role} />`}
      ${tab === "activity" && html`<${AuditList} path=${`/workspaces/${id}/audit`} compact=${true} />`}
      ${tab === "approvals" && html`<${ApprovalList} path=${`/workspaces/${id}/approvals`} />`}
      ${tab === "tokens" && html`<${Tokens} key=${id} workspace=${workspace} role=${role} />`}`;
  }}<//>`;
}
