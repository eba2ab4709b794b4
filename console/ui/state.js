// A workspace's state: icon, word and colour, never colour alone.
import { html } from "../lib/html.js";
import { Icon } from "./icon.js";

export const STATES = {
  provisioning: { icon: "clock", tone: "info", word: "starting" },
  online: { icon: "check", tone: "good", word: "online" },
  degraded: { icon: "alert", tone: "warn", word: "degraded" },
  draining: { icon: "half", tone: "info", word: "draining" },
  restarting: { icon: "restart", tone: "info", word: "restarting" },
  paused: { icon: "pause", tone: "muted", word: "paused" },
  offline: { icon: "off", tone: "muted", word: "offline" },
  failed: { icon: "x", tone: "bad", word: "failed" },
  removed: { icon: "trash", tone: "muted", word: "removed" },
};
/** Nobody starts an agent that runs elsewhere: until it is heard, it is only awaited. */
const AWAITED = { icon: "clock", tone: "muted", word: "not heard yet" };
/** A state this console does not know is shown as it is, never as "down" (R-55). */
export const stateOf = (status, runtime) =>
  status === "provisioning" && runtime === "external" ? AWAITED : (STATES[status] ?? { icon: "info", tone: "muted", word: status });

export function Badge({ tone = "muted", icon, children, title }) {
  return html`<span class=${`badge ${tone}`} title=${title}>${icon && html`<${Icon} name=${icon} size=${12} />`}${children}</span>`;
}

export function StatusBadge({ status, reason, runtime }) {
  const { icon, tone, word } = stateOf(status, runtime);
  return html`<${Badge} tone=${tone} icon=${icon} title=${reason || undefined}>${word}<//>`;
}

export const APPROVAL_STATES = {
  pending: { icon: "clock", tone: "warn", word: "waiting" },
  applied: { icon: "check", tone: "good", word: "applied" },
  denied: { icon: "x", tone: "bad", word: "denied" },
  expired: { icon: "clock", tone: "muted", word: "expired" },
  withdrawn: { icon: "undo", tone: "muted", word: "withdrawn" },
  voided: { icon: "alert", tone: "muted", word: "voided" },
  failed: { icon: "alert", tone: "bad", word: "failed" },
};

export function ApprovalBadge({ status }) {
  const { icon, tone, word } = APPROVAL_STATES[status] ?? { icon: "info", tone: "muted", word: status };
  return html`<${Badge} tone=${tone} icon=${icon}>${word}<//>`;
}

const OUTCOMES = {
  done: { icon: "check", tone: "good" },
  held: { icon: "clock", tone: "warn" },
  refused: { icon: "x", tone: "bad" },
  failed: { icon: "alert", tone: "bad" },
};
export function OutcomeBadge({ outcome }) {
  const { icon, tone } = OUTCOMES[outcome] ?? { icon: "info", tone: "muted" };
  return html`<${Badge} tone=${tone} icon=${icon}>${outcome}<//>`;
}
