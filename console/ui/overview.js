// How an agent is: state, runtime, generations, why it last started, its log.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { get, Refused } from "../lib/api.js";
import { useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { duration, plural, words } from "../lib/format.js";
import { Answer, Button, Notice, Problem, Since, When } from "./basic.js";
import { WorkspaceActions } from "./workspace_actions.js";
import { EditWorkspace } from "./workspace_forms.js";
import { stateOf } from "./state.js";
import { go } from "../lib/route.js";

export function Overview({ workspace, organisation, role }) {
  const [editing, setEditing] = useState(false);
  const root = workspace.kind === "platform";
  const parent = organisation.byId.get(workspace.parent_id);
  const children = organisation.children.get(workspace.id) ?? [];
  const runs = useGet(`/workspaces/${workspace.id}/runs?limit=8`, concerns.workspace(workspace.id));
  const live = runs.data?.find((run) => run.state === "live");
  return html`<div class="stack">
    ${workspace.restart_debt && html`<${Notice} tone="warn"><p><strong>Restart debt.</strong> It runs on generation ${workspace.observed_generation}; ${workspace.desired_generation} is current. ${root ? "The root agent is never restarted by itself: apply the changes when it suits." : "It restarts at the end of its turn."}</p><//>`}
    <div class="grid"><section class="card" aria-label="State"><header><h2>State</h2><${Button} control="overview.edit" icon="edit" why=${may(role, "workspace.configure", root) ? null : whyNot(role, "workspace.configure", root)} onClick=${() => setEditing(true)}>Change<//></header>
      <dl class="facts"><dt>Now</dt><dd>${stateOf(workspace.status, workspace.runtime).word}${workspace.status_reason && `: ${workspace.status_reason}`}</dd>
        <dt>Turn</dt><dd>${workspace.turn_since ? html`running for <${Since} at=${workspace.turn_since}>${duration}<//>` : "none"}</dd>
        <dt>Queue</dt><dd>${plural(workspace.queued, "message")} waiting</dd>
        <dt>Wanted</dt><dd>${workspace.desired_state}${workspace.draining_since && html`, draining since <${When} at=${workspace.draining_since} />`}</dd>
        <dt>Generation</dt><dd>runs ${workspace.observed_generation || "none"}, wanted ${workspace.desired_generation}</dd>
        <dt>Runtime</dt><dd>${runtimeWords(workspace)}</dd>
        <dt>Under</dt><dd>${parent ? html`<a href=${`/console/workspaces/${parent.id}`} data-control="overview.parent">${parent.name}</a>` : "nobody: it is the root"}</dd>
        <dt>Below it</dt><dd>${children.length === 0 ? "nobody" : children.slice(0, 12).map((child, i) => html`${i > 0 && ", "}<a href=${`/console/workspaces/${child.id}`} data-control="overview.child">${child.name}</a>`)}${children.length > 12 && ` and ${children.length - 12} more`}</dd>
        <dt>Created</dt><dd><${When} at=${workspace.created_at} /></dd><dt>Id</dt><dd><code>${workspace.id}</code></dd></dl></section>
    <section class="card" aria-label="Last start"><header><h2>Why it last started</h2></header>
      <${Answer} of=${runs} what="Loading its runs">${(list) => (list.length === 0 ? html`<p class="quiet">It has not run yet.</p>` : html`<${LastRun} run=${live ?? list[0]} />
        <h3 class="spaced">Earlier runs</h3><ul class="plain-list">${list.slice(live ? 1 : 0, 6).map((run) => html`<li key=${run.boot_id} class="fine"><${When} at=${run.started_at} />: ${words(run.reason)}${run.ended_at && html`, ended (${words(run.cause)}${run.crash ? ", by itself" : ""})`}</li>`)}</ul>`)}<//></section></div>
    <section class="card" aria-label="Actions"><header><h2>Actions</h2></header><${WorkspaceActions} workspace=${workspace} role=${role} onRemoved=${() => go("/console")} /></section>
    <${Logs} workspace=${workspace} boot=${live?.boot_id} />
    ${editing && html`<${EditWorkspace} workspace=${workspace} onClose=${() => setEditing(false)} />`}</div>`;
}

function runtimeWords({ runtime, runtime_spec: spec }) {
  if (!spec) return `${runtime}, not configured`;
  const agent = spec.agent ?? {};
  const what = agent.mind === "model" ? `model ${agent.model}` : agent.command ? html`<code>${agent.command.join(" ")}</code>` : agent.mind === "echo" ? "built-in echo" : "";
  return html`${runtime}${runtime !== "external" && html`: ${what}`}${spec.image && html`, image <code>${spec.image}</code>`}${spec.limits?.memory_mb ? `, at most ${spec.limits.memory_mb} MiB` : ""}`;
}

function LastRun({ run }) {
  const versions = Object.entries(run.versions ?? {});
  return html`<dl class="facts"><dt>Reason</dt><dd>${words(run.reason)}</dd><dt>Started</dt><dd><${When} at=${run.started_at} /></dd>
    <dt>State</dt><dd>${run.state === "live" ? (run.registered_at ? "runs" : "starting") : html`ended <${When} at=${run.ended_at} />`}</dd>
    ${run.cause && html`<dt>Ended by</dt><dd>${words(run.cause)}${run.detail && `: ${run.detail}`}</dd>`}
    <dt>Generation</dt><dd>${run.generation}</dd>
    <dt>Given</dt><dd>${versions.length === 0 ? "no secrets" : plural(versions.length, "secret") + ", see Secrets"}</dd>
    ${run.handoff && html`<dt>Hand-off note</dt><dd><pre class="code wrap">${run.handoff}</pre></dd>`}<dt>Boot</dt><dd><code>${run.boot_id}</code></dd></dl>`;
}

/** The agent's output, followed as it comes. Secret values were taken out before it was sent here. */
function Logs({ workspace, boot }) {
  const [state, set] = useState({ text: "", error: null, ready: false });
  const [following, setFollowing] = useState(true);
  const box = useRef(null);
  const kind = workspace.runtime;
  useEffect(() => {
    if (kind === "external") return undefined;
    const stop = new AbortController();
    (async () => {
      let after = null;
      set({ text: "", error: null, ready: false });
      while (!stop.signal.aborted) {
        // Each wait holds one of the few connections a browser has: not for a window that nobody sees.
        if (document.hidden) {
          await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal: stop.signal }));
          continue;
        }
        try {
          const query = after === null ? "tail=200" : `after=${after}&wait=5${boot ? `&boot_id=${boot}` : ""}`;
          const piece = await get(`/workspaces/${workspace.id}/logs?${query}`, { signal: stop.signal });
          if (stop.signal.aborted) return;
          set((old) => ({ text: (piece.reset ? "" : old.text).slice(-400_000) + piece.text, error: null, ready: true }));
          after = piece.position;
          if (!boot) await new Promise((resolve) => setTimeout(resolve, 5000));
        } catch (error) {
          if (stop.signal.aborted) return;
          set((old) => ({ ...old, error, ready: true }));
          if (error instanceof Refused && error.status < 500 && error.status !== 429) return;
          await new Promise((resolve) => setTimeout(resolve, 5000));
        }
      }
    })();
    return () => stop.abort();
  }, [workspace.id, kind, boot]);
  useEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [state.text, following]);
  if (kind === "external") return html`<section class="card"><header><h2>Log</h2></header><p class="quiet">Its agent runs elsewhere, and so does its log.</p></section>`;
  return html`<section class="card" aria-label="Log"><header><h2>Log</h2><label class="check"><input type="checkbox" data-control="logs.follow" checked=${following} onChange=${(event) => setFollowing(event.currentTarget.checked)} /><span>Follow</span></label></header>
    ${state.error ? (state.error.code === "LOG_UNAVAILABLE" || state.error.status === 404 ? html`<p class="quiet">${state.error.status === 404 ? "It has not run yet." : "There is no log of it on this server."}</p>` : html`<${Problem} error=${state.error} />`) : html`<pre class="code log" ref=${box} tabindex="0" aria-label="Output of the agent">${state.text || (state.ready ? "Nothing yet." : "…")}</pre>`}</section>`;
}
