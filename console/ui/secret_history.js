// The versions of a key: who, when, why, who agreed; and which of them runs where.
import { html, useState } from "../lib/html.js";
import { useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { words } from "../lib/format.js";
import { Answer, Button, Dialog, When } from "./basic.js";
import { Badge } from "./state.js";
import { Confirm } from "./change.js";
import { basePath } from "./secrets.js";

export function SecretHistory({ scope, secret, role, renew, name, onClose }) {
  const base = `${basePath(scope)}/${secret.key}`;
  const wide = !scope.workspace || scope.workspace.kind === "platform";
  const versions = useGet(`${base}/versions`, concerns.secrets);
  const running = useGet(`/secrets/${secret.key}/running`, concerns.secrets);
  const [open, setOpen] = useState(null);
  const why = (verb) => (may(role, verb, wide) ? null : whyNot(role, verb, wide));
  const close = () => setOpen(null);
  const here = (running.data ?? []).filter((one) => !scope.workspace || one.workspace_id === scope.workspace.id);
  return html`<${Dialog} title=${`History of ${secret.key}`} onClose=${onClose} wide=${true}><div class="body">
    <${Answer} of=${versions} what="Loading its versions">${(list) => html`<ul class="versions">${list.map((one) => html`<li key=${one.version}>
        <div class="row"><strong>v${one.version}</strong>${one.active && html`<${Badge} tone="good" icon="check">active<//>`}${one.latest && !one.active && html`<${Badge} tone="info">newest<//>`}${one.state === "destroyed" && html`<${Badge} tone="muted" icon="trash">destroyed<//>`}
          <span class="fine grow"><${When} at=${one.created_at} /> by ${name(one.created_by)} · ${words(one.origin.replace(":", " to v"))} · ${one.delivery === "file" ? "file" : "variable"}</span>
          ${one.state !== "destroyed" && !one.latest && secret.state !== "slot" && html`<${Button} control="history.roll-back" icon="undo" why=${why("secret.rollback")} onClick=${() => setOpen({ kind: "rollback", version: one.version })}>Roll back to this<//>`}
          ${one.state !== "destroyed" && one.latest && !one.active && secret.state === "live" && html`<${Button} control="history.activate" icon="check" why=${why("secret.activate")} onClick=${() => setOpen({ kind: "activate", version: one.version })}>Activate<//>`}
          ${one.state !== "destroyed" && !one.active && html`<${Button} control="history.destroy" kind="ghost" icon="trash" label=${`Destroy v${one.version}`} why=${why("secret.destroy")} onClick=${() => setOpen({ kind: "destroy", version: one.version })} />`}</div>
        ${one.reason && html`<p class="fine">“${one.reason}”</p>`}
        ${one.approval_id && html`<p class="fine"><a href=${`/console/approvals/${one.approval_id}`} data-control="history.approval">Approved</a>${one.approved_by && html` by ${one.approved_by.split(" ").map((by) => name(by)).join(", ")}`}</p>`}</li>`)}</ul>`}<//>
    <h3>Which version runs where</h3>
    <${Answer} of=${running} what="Asking the agents">${() => (here.length === 0 ? html`<p class="quiet">No running agent has it.</p>` : html`<ul class="plain-list">${here.map((one) => html`<li key=${one.boot_id} class="row"><strong>${one.name}</strong><span>${one.running_version == null ? "has none" : `v${one.running_version}${one.scope === "global" ? " (shared)" : ""}`}</span>${one.current ? html`<${Badge} tone="good" icon="check">current<//>` : html`<${Badge} tone="warn" icon="restart">${one.active_version == null ? "would be given none" : `would be given v${one.active_version}`}<//>`}</li>`)}</ul>`)}<//></div>
    ${open?.kind === "rollback" && html`<${Confirm} title=${`Roll ${secret.key} back to v${open.version}?`} words="Its value becomes a new version; nothing in the history is lost." button="Roll back" change=${{ method: "POST", path: `${base}/rollback`, body: { to_version: open.version } }} done=${`${secret.key} is rolled back.`} renew=${renew} onClose=${close} />`}
    ${open?.kind === "activate" && html`<${Confirm} title=${`Activate v${open.version} of ${secret.key}?`} button="Activate" change=${{ method: "POST", path: `${base}/activate`, body: { version: open.version } }} done=${`v${open.version} of ${secret.key} is active.`} renew=${renew} onClose=${close} />`}
    ${open?.kind === "destroy" && html`<${Confirm} title=${`Destroy v${open.version} of ${secret.key}?`} words="Its ciphertext is erased for good. Nobody can bring it back." button="Destroy" kind="danger" type=${secret.key} change=${{ method: "POST", path: `${base}/destroy`, body: { version: open.version } }} done=${`v${open.version} of ${secret.key} is destroyed.`} renew=${renew} onClose=${close} />`}<//>`;
}
