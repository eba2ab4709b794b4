// Short words about what just happened, read aloud by screen readers, gone after a while or at once.
import { html, useEffect } from "../lib/html.js";
import { signal, useSignal } from "../lib/signal.js";
import { Button } from "./basic.js";
import { Icon } from "./icon.js";

const toasts = signal([]);
let count = 0;

/** Says something. `tone`: `good`, `warn` or `bad`; `to` and `link` lead somewhere. */
export function say(text, { tone = "good", to, link } = {}) {
  count += 1;
  const toast = { id: count, text, tone, to, link };
  toasts.set([...toasts.get().slice(-3), toast]);
}

const drop = (id) => toasts.set(toasts.get().filter((toast) => toast.id !== id));

function Toast({ toast }) {
  useEffect(() => {
    const timer = setTimeout(() => drop(toast.id), toast.to ? 15_000 : 6_000);
    return () => clearTimeout(timer);
  }, []);
  const icon = toast.tone === "good" ? "check" : toast.tone === "warn" ? "clock" : "alert";
  return html`<div class=${`toast ${toast.tone}`}><${Icon} name=${icon} /><span>${toast.text}${toast.to && html` <a href=${toast.to} data-control="toast.link">${toast.link}</a>`}</span>
    <${Button} control="toast.close" kind="ghost" icon="x" label="Dismiss" onClick=${() => drop(toast.id)} /></div>`;
}

export function Toasts() {
  const shown = useSignal(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">${shown.map((toast) => html`<${Toast} key=${toast.id} toast=${toast} />`)}</div>`;
}

/** Says how a change ended: done, or waiting for a human, which is never shown as done. */
export function sayOutcome(answer, done) {
  if (answer?.status === "pending_approval") {
    say("Nothing has changed yet: this waits for approval.", { tone: "warn", to: `/console/approvals/${answer.approval_id}`, link: "See the request" });
  } else {
    say(done);
  }
}
