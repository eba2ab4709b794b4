// What can be done to an agent: restart, apply, pause, resume, stop at once, remove. Each says first whom it touches.
import { html, useState } from "../lib/html.js";
import { may, whyNot } from "../lib/roles.js";
import { Button, Dialog, Field, Problem, useAction, useClose } from "./basic.js";
import { Confirm, perform } from "./change.js";

export function WorkspaceActions({ workspace, role, onRemoved }) {
  const [open, setOpen] = useState(null);
  const root = workspace.kind === "platform";
  const path = `/workspaces/${workspace.id}`;
  const why = (verb) => (may(role, verb, root) ? null : whyNot(role, verb, root));
  const renew = ["/workspaces", "/audit"];
  const close = () => setOpen(null);
  const paused = workspace.desired_state === "paused";
  const name = workspace.name;
  return html`<div class="row">
    <${Button} control="workspace.restart" icon="restart" why=${why("workspace.restart")} onClick=${() => setOpen("restart")}>Restart<//>
    ${workspace.restart_debt && html`<${Button} control="workspace.apply" kind="primary" icon="check" why=${why("workspace.apply")} onClick=${() => setOpen("apply")}>Apply changes<//>`}
    ${paused ? html`<${Button} control="workspace.resume" icon="play" why=${why("workspace.resume")} onClick=${() => setOpen("resume")}>Resume<//>` : html`<${Button} control="workspace.pause" icon="pause" why=${why("workspace.pause")} onClick=${() => setOpen("pause")}>Pause<//>`}
    ${workspace.turn_since && html`<${Button} control="workspace.force-stop" kind="danger" icon="stop" why=${why("workspace.force_stop")} onClick=${() => setOpen("stop")}>Stop now<//>`}
    ${!root && html`<${Button} control="workspace.remove" kind="danger" icon="trash" why=${why("workspace.remove")} onClick=${() => setOpen("remove")}>Remove<//>`}
    ${open === "restart" && html`<${Confirm} title=${`Restart ${name}?`} words="Its turn ends first; nothing is cut off. Then it starts anew with everything that has changed." button="Restart" change=${{ method: "POST", path: `${path}/restart` }} done=${`${name} restarts at the end of its turn.`} renew=${renew} onClose=${close} />`}
    ${open === "apply" && html`<${Confirm} title=${`Apply changes to ${name}?`} words="It runs on something older than it should. At the end of its turn it starts anew with what is current." button="Apply" change=${{ method: "POST", path: `${path}/apply` }} done=${`${name} gets what is current at the end of its turn.`} renew=${renew} onClose=${close} />`}
    ${open === "pause" && html`<${Confirm} title=${`Pause ${name}?`} words="It and everything below it stop at the end of their turns. Messages wait until it is resumed." button="Pause" change=${{ method: "POST", path: `${path}/pause` }} done=${`${name} pauses at the end of its turn.`} renew=${renew} onClose=${close} />`}
    ${open === "resume" && html`<${Confirm} title=${`Resume ${name}?`} words="It starts again, and what waited is delivered." button="Resume" change=${{ method: "POST", path: `${path}/resume` }} done=${`${name} resumes.`} renew=${renew} onClose=${close} />`}
    ${open === "stop" && html`<${ForceStop} workspace=${workspace} renew=${renew} onClose=${close} />`}
    ${open === "remove" && html`<${Confirm} title=${`Remove ${name}?`} words="Its agent stops, its secrets and tokens are gone, and so is everything below it. What happened stays in the audit log." button="Remove" kind="danger" type=${name} change=${{ method: "DELETE", path: `${path}?confirm=${encodeURIComponent(name)}` }} done=${`${name} was removed.`} renew=${renew} onClose=${close} onDone=${onRemoved} />`}
  </div>`;
}

/** The one way to cut a turn: a human's, with a reason that stays in the log. */
function ForceStop({ workspace, renew, onClose }) {
  const closeOwn = useClose(onClose);
  const [reason, setReason] = useState("");
  const act = useAction(async () => {
    await perform({ method: "POST", path: `/workspaces/${workspace.id}/force-stop`, body: { reason } }, { done: `${workspace.name} is stopped.`, renew });
    closeOwn();
  });
  const submit = (event) => {
    event.preventDefault();
    if (reason.trim() && !act.busy) act.run();
  };
  return html`<${Dialog} title=${`Stop ${workspace.name} in its turn?`} onClose=${onClose}><form onSubmit=${submit}><p>Its turn is lost: the work on the current message ends here and is reported to its sender as failed.</p>
    <${Field} label="Why" control="force-stop.reason" hint="Stays in the audit log." value=${reason} onInput=${setReason} required maxlength="500" />
    <${Problem} error=${act.error} /><div class="actions"><${Button} control="force-stop.cancel" onClick=${onClose}>Cancel<//><${Button} control="force-stop.do" kind="danger" type="submit" busy=${act.busy} why=${reason.trim() ? null : "A reason is needed."}>Stop now<//></div></form><//>`;
}
