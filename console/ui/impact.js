// What a change does to running agents, as the server's own plan says: the same one it will decide by.
import { html, useEffect, useState } from "../lib/html.js";
import { ask, plan } from "../lib/api.js";
import { listen } from "../lib/live.js";
import { duration, plural, TAKES } from "../lib/format.js";
import { Notice, Problem, Since, sentence } from "./basic.js";
import { StatusBadge } from "./state.js";
import { Icon } from "./icon.js";

/** The agents that would be touched, each as it is now. */
export function ImpactList({ impact, consequences = [] }) {
  const grants = consequences.filter((consequence) => consequence.effect === "grants");
  if (impact.length === 0 && grants.length === 0) return html`<p class="impact-none"><${Icon} name="check" /> No running agent is touched.</p>`;
  const ordered = [...impact].sort((a, b) => (a.kind === "platform" ? -1 : 0) - (b.kind === "platform" ? -1 : 0));
  return html`<ul class="impact">${ordered.slice(0, 50).map((one) => html`<li key=${one.workspace_id + one.effect} class=${one.takes === "nothing" ? "" : "touched"}>
      <span class="impact-name"><strong>${one.name}</strong>${one.kind === "platform" && html` <span class="badge info">root</span>`}</span>
      <span>${TAKES[one.takes] ?? one.takes}</span>
      <span class="fine">${one.turn_since ? html`in a turn for <${Since} at=${one.turn_since}>${duration}<//>` : html`<${StatusBadge} status=${one.status} />`}${one.queued > 0 && html`, ${plural(one.queued, "message")} waiting`}</span></li>`)}
    ${ordered.length > 50 && html`<li>and ${ordered.length - 50} more</li>`}
    ${grants.map((grant) => html`<li class="touched"><span class="impact-name"><strong>Power</strong></span><span>gives: ${grant.scope}</span></li>`)}</ul>`;
}

/** Who has to agree, in words. */
export function whoAgrees(requirements = []) {
  return requirements.map(({ who, count }) => {
    if (who.by !== "role") return `${plural(count, "member")} of ${who.name}`;
    return `${plural(count, who.name)}${who.name === "owner" ? "" : " (or a higher role)"}`;
  }).join(" and ");
}

/** The plan of a change: allowed, held or refused, and whom it touches; `file` when only files of theirs change. */
export function PlanView({ of, quiet, file }) {
  if (of.error) return html`<${Problem} error=${of.error} />`;
  if (!of.plan) return html`<p class="fine" role="status"><span class="spinner" aria-hidden="true"></span> Asking what this would do…</p>`;
  const { decision, impact, consequences, requirements, refusal } = of.plan;
  if (decision === "deny") {
    const { error, reason, next_step: next = "", code } = { ...of.plan, ...refusal };
    // Some reasons are words for programs; what is said here already needs no other place to look for it.
    return html`<${Notice} tone="bad"><p><strong>${sentence(error ?? "this is refused")}</strong></p>
      ${/\s/.test(reason ?? "") && html`<p>${sentence(reason)}</p>`}${next && !next.startsWith("see `reason`") && html`<p>${sentence(next.replace("; the rule is named in `reason`", ""))}</p>`}
      <p class="fine"><code>${code}</code>${of.plan.rule && html` · rule <code>${of.plan.rule}</code>`}</p><//>`;
  }
  return html`<div class="plan" role="status">${decision === "hold" && html`<${Notice} tone="warn"><p>This is not done at once: it waits for ${whoAgrees(requirements)}.</p><//>`}
    ${!quiet && html`<h3>What this does</h3>`}<${ImpactList} impact=${(impact ?? []).map((one) => (file && one.takes !== "nothing" ? { ...one, takes: "file" } : one))} consequences=${consequences ?? []} /></div>`;
}

/**
 * Asks the server what a change would do, again whenever agents move. `change` is `{method, path, body, headers}` or null; `{plan,
 * error, loading}`.
 */
export function usePlan(change) {
  const [state, set] = useState({ plan: null, error: null });
  const text = change && JSON.stringify([change.method, change.path, change.body, change.headers]);
  useEffect(() => {
    if (!text) {
      set({ plan: null, error: null });
      return undefined;
    }
    let over = false;
    let timer = null;
    let stepped = false;
    const look = async () => {
      const asked = () => plan(change.method, change.path, change.body, { headers: change.headers });
      try {
        let answer = await asked();
        // Only who has just shown the password is told what it would do. Asked for once; who does not want to, sees why.
        if (answer.code === "STEP_UP_REQUIRED" && !over && !stepped) {
          stepped = true;
          if (await ask.stepUp()) answer = await asked();
        }
        if (!over) set({ plan: answer, error: null, of: text });
      } catch (error) {
        if (!over) set({ plan: null, error, of: text });
      }
    };
    timer = setTimeout(look, 250);
    const stop = listen((event) => {
      if (/^(run|turn|workspace|secret)\.|^reset$|^poll$/.test(event.type)) {
        clearTimeout(timer);
        timer = setTimeout(look, 800);
      }
    });
    return () => {
      over = true;
      clearTimeout(timer);
      stop();
    };
  }, [text]);
  // What was said of an earlier input is not said of this one.
  return state.of === text ? state : { plan: null, error: null };
}
