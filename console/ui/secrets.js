// Secrets of a workspace, or shared by all. Names, versions, origins and what runs where; never a value. There is nothing to
// reveal and nothing to copy: a value goes in and does not come out.
import { html, useState } from "../lib/html.js";
import { useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { usePending } from "../lib/pending.js";
import { may, whyNot } from "../lib/roles.js";
import { useNames } from "../lib/names.js";
import { useNow } from "../lib/clock.js";
import { onDay, until } from "../lib/format.js";
import { Answer, Button, Empty, Notice, When } from "./basic.js";
import { Badge } from "./state.js";
import { Icon } from "./icon.js";
import { Confirm } from "./change.js";
import { SecretForm } from "./secret_form.js";
import { ImportSecrets } from "./secret_import.js";
import { SecretHistory } from "./secret_history.js";

/** Where the secrets of a scope live: `{workspace}` or, for those shared by all, `{}`. */
export const basePath = ({ workspace }) => (workspace ? `/workspaces/${workspace.id}/secrets` : "/settings/secrets");

const ORIGIN = {
  own: { tone: "muted", word: "own", title: "Set in this workspace" },
  inherited: { tone: "info", word: "inherited", title: "Shared by the whole organisation" },
  overriding: { tone: "warn", word: "overrides", title: "Set here instead of the shared one" },
};
/** From how many keys on a search helps. */
const SEARCH_FROM = 6;

export function Secrets({ scope, role }) {
  const base = basePath(scope);
  const root = scope.workspace?.kind === "platform";
  const wide = root || !scope.workspace;
  const list = useGet(base, concerns.secrets);
  const pending = usePending();
  const name = useNames();
  const [open, setOpen] = useState(null);
  const [search, setSearch] = useState("");
  const close = () => setOpen(null);
  const renew = [base, "/secrets", "/approvals", "/workspaces"];
  const why = (verb) => (may(role, verb, wide) ? null : whyNot(role, verb, wide));
  /** A row as it is by now. */
  const now = (secret) => list.data?.find((one) => one.key === secret.key && one.scope === secret.scope) ?? secret;
  const waiting = (pending.data ?? []).filter((one) => one.action.startsWith("secret.") && one.workspace_id === (scope.workspace?.id ?? null));
  return html`<section class="stack" aria-label="Secrets">
    <div class="row"><p class="quiet grow">${scope.workspace ? (root ? "The root agent is never restarted by itself: a change here waits until a human applies it." : "Its agent gets these at the end of its turn, files at once.") : "Every workspace inherits these, unless it has its own under the same name."} Values are write-only.</p>
      <${Button} control="secrets.import" icon="download" why=${why("secret.import")} onClick=${() => setOpen({ kind: "import" })}>Import<//>
      <${Button} control="secrets.add" kind="primary" icon="plus" why=${why("secret.set")} onClick=${() => setOpen({ kind: "set" })}>Add secret<//></div>
    ${waiting.length > 0 && html`<${Notice} tone="warn"><p><strong>Not saved yet.</strong> ${waiting.length === 1 ? "One change waits" : `${waiting.length} changes wait`} for a human:</p><ul class="plain-list">${waiting.map((one) => html`<li key=${one.id}><a href=${`/console/approvals/${one.id}`} data-control="secrets.pending"><code>${one.key ?? one.action}</code>, asked by ${name(one.requested_by)}</a></li>`)}</ul><//>`}
    <${Answer} of=${list} what="Loading the secrets">${(secrets) => {
      const shown = secrets.filter((secret) => secret.key.includes(search.trim().toUpperCase()));
      if (secrets.length === 0) return html`<div class="card"><${Empty} icon="key" title="No secrets yet"><p>Keys, passwords and addresses that agents need. They are sealed when they arrive and never shown again.</p><${Button} control="secrets.first" icon="plus" why=${why("secret.set")} onClick=${() => setOpen({ kind: "set" })}>Add the first<//><//></div>`;
      return html`<div class="card flush">${secrets.length >= SEARCH_FROM && html`<div class="search inset"><${Icon} name="search" /><input type="search" aria-label="Find a key" placeholder="Find a key" data-control="secrets.search" value=${search} onInput=${(event) => setSearch(event.currentTarget.value)} /></div>`}
        <table class="table cards"><thead><tr><th>Key</th><th>Version</th><th>Delivery</th><th>Changed</th><th><span class="hidden-text">Actions</span></th></tr></thead>
        <tbody>${shown.map((secret) => html`<${Row} key=${`${secret.scope} ${secret.key}`} secret=${secret} scope=${scope} name=${name} why=${why} onOpen=${setOpen} />`)}</tbody></table>
        ${shown.length === 0 && html`<p class="inset quiet">No key fits your search.</p>`}</div>`;
    }}<//>
    ${open?.kind === "set" && html`<${SecretForm} scope=${scope} secret=${open.secret} renew=${renew} known=${list.data ?? []} name=${name} onClose=${close} />`}
    ${open?.kind === "import" && html`<${ImportSecrets} scope=${scope} renew=${renew} onClose=${close} />`}
    ${open?.kind === "history" && html`<${SecretHistory} scope=${scope} secret=${now(open.secret)} role=${role} renew=${renew} name=${name} onClose=${close} />`}
    ${open?.kind === "delete" && html`<${Confirm} title=${`Delete ${open.secret.key}?`} words=${open.secret.origin === "overriding" ? "The shared value under the same name is used again." : "Agents do not get it any more. It can be brought back until it is destroyed."} button="Delete" kind="danger" change=${{ method: "DELETE", path: `${base}/${open.secret.key}`, headers: open.secret.state === "live" ? { "if-match": `"${open.secret.latest_version}"` } : undefined }} done=${`${open.secret.key} is deleted.`} renew=${renew} onClose=${close} />`}
    ${open?.kind === "undelete" && html`<${Confirm} title=${`Bring ${open.secret.key} back?`} words="Agents get its last value again." button="Bring back" change=${{ method: "POST", path: `${base}/${open.secret.key}/undelete` }} done=${`${open.secret.key} is back.`} renew=${renew} onClose=${close} />`}
  </section>`;
}

function Row({ secret, scope, name, why, onOpen }) {
  const now = useNow(30);
  const inherited = scope.workspace && secret.origin === "inherited";
  const origin = ORIGIN[secret.origin];
  const behind = secret.running_version != null && secret.active_version != null && secret.running_version !== secret.active_version;
  const soon = secret.expires_at && new Date(secret.expires_at).getTime() - now < 7 * 86_400_000;
  return html`<tr class=${secret.state === "deleted" ? "gone" : ""}>
    <td><div><code class="key">${secret.key}</code> ${scope.workspace && html`<${Badge} tone=${origin?.tone} title=${origin?.title}>${origin?.word ?? secret.origin}<//>`}
      ${secret.state === "slot" && html` <${Badge} tone="warn" icon="clock">to be filled<//>`}${secret.state === "deleted" && html` <${Badge} tone="muted" icon="trash">deleted<//>`}
      ${secret.description && html`<p class="fine">${secret.description}</p>`}</div></td>
    <td data-label="Version">${secret.latest_version === 0 ? html`<span class="quiet">none</span>` : html`<div><span>v${secret.active_version ?? "–"}${secret.latest_version !== secret.active_version && html` <span class="fine">(newest v${secret.latest_version})</span>`}</span>
      ${scope.workspace && html`<p class="fine">${secret.running_version == null ? "runs nowhere" : behind ? html`<${Badge} tone="warn" icon="restart">runs v${secret.running_version}<//>` : `runs v${secret.running_version}`}</p>`}</div>`}</td>
    <td data-label="Delivery">${secret.delivery === "file" ? "file" : secret.delivery === "env" ? "variable" : html`<span class="quiet">–</span>`}${secret.expires_at && html`<p class="fine"><${Badge} tone=${soon ? "warn" : "muted"} icon="clock" title=${onDay(secret.expires_at)}>${until(secret.expires_at, now) === "expired" ? "expired" : `expires ${onDay(secret.expires_at)}`}<//></p>`}</td>
    <td data-label="Changed"><div><${When} at=${secret.updated_at} /><p class="fine">by ${name(secret.updated_by)}</p></div></td>
    <td class="end"><div class="row">
      ${inherited ? html`<${Button} control="secrets.override" why=${why("secret.set")} onClick=${() => onOpen({ kind: "set", secret: { ...secret, override: true } })}>Override<//>`
        : secret.state === "deleted" ? html`<${Button} control="secrets.undelete" icon="undo" why=${why("secret.undelete")} onClick=${() => onOpen({ kind: "undelete", secret })}>Bring back<//>`
        : secret.state === "slot" ? html`<${Button} control="secrets.fill" kind="primary" why=${why("secret.set")} onClick=${() => onOpen({ kind: "set", secret })}>Fill<//>`
        : html`<${Button} control="secrets.change" why=${why("secret.set")} onClick=${() => onOpen({ kind: "set", secret })}>Change<//>`}
      ${!inherited && secret.latest_version > 0 && html`<${Button} control="secrets.history" onClick=${() => onOpen({ kind: "history", secret })}>History<//>`}
      ${!inherited && secret.state !== "deleted" && html`<${Button} control="secrets.delete" kind="ghost" icon="trash" label=${`Delete ${secret.key}`} why=${why("secret.delete")} onClick=${() => onOpen({ kind: "delete", secret })} />`}</div></td></tr>`;
}
