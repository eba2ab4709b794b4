// One's own account, this browser, and the server.
import { html, useState } from "../lib/html.js";
import { del, post } from "../lib/api.js";
import { refresh, useGet } from "../lib/query.js";
import * as concerns from "../lib/events.js";
import { may, whyNot } from "../lib/roles.js";
import { onDay } from "../lib/format.js";
import { addPasskey, passkeysHere } from "../lib/passkey.js";
import { Answer, Button, Dialog, Field, Notice, Problem, useAction, useClose, When } from "../ui/basic.js";
import { Badge } from "../ui/state.js";
import { Confirm } from "../ui/change.js";
import { Connection } from "../ui/app.js";
import { chooseTheme, chosenTheme } from "../ui/theme.js";
import { say } from "../ui/toast.js";

export function SettingsPage({ who }) {
  return html`<div class="page-head"><div><h1>Settings</h1></div></div><div class="grid">
    <${Account} who=${who} /><${Sessions} /><${Passkeys} /><${Browser} /><${Server} role=${who.operator.role} /></div>`;
}

function Account({ who }) {
  const [open, setOpen] = useState(false);
  return html`<section class="card" aria-label="You"><header><h2>You</h2><${Button} control="settings.password" onClick=${() => setOpen(true)}>Change password<//></header>
    <dl class="facts"><dt>E-mail</dt><dd>${who.operator.email}</dd><dt>Role</dt><dd>${who.operator.role}</dd><dt>Groups</dt><dd>${who.operator.groups?.join(", ") || "none"}</dd><dt>Session ends</dt><dd>${onDay(who.expires_at)}</dd></dl>
    ${open && html`<${ChangePassword} onClose=${() => setOpen(false)} />`}</section>`;
}

function ChangePassword({ onClose }) {
  const closeOwn = useClose(onClose);
  const [password, setPassword] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const act = useAction(async () => {
    await post("/auth/password", { password, new_password: next });
    say("Your password is changed. Your other sessions have ended.");
    refresh("/auth/sessions");
    closeOwn();
  });
  const differ = again && next !== again ? "The two differ." : null;
  const submit = (event) => {
    event.preventDefault();
    if (next === again && !act.busy) act.run();
  };
  return html`<${Dialog} title="Change your password" onClose=${onClose}><form onSubmit=${submit}><${Field} label="Password now" control="password.now" kind="password" value=${password} onInput=${setPassword} required autocomplete="current-password" />
    <${Field} label="New password" hint="At least 12 characters." control="password.new" kind="password" value=${next} onInput=${setNext} required autocomplete="new-password" /><${Field} label="New password again" control="password.again" kind="password" value=${again} onInput=${setAgain} error=${differ} required autocomplete="new-password" />
    <${Problem} error=${act.error} /><div class="actions"><${Button} control="password.cancel" onClick=${onClose}>Cancel<//><${Button} control="password.submit" kind="primary" type="submit" busy=${act.busy}>Change<//></div></form><//>`;
}

function Sessions() {
  const answer = useGet("/auth/sessions", concerns.operators);
  const end = useAction(async (one) => {
    await del(`/auth/sessions/${one.id}`);
    say("The session has ended.");
    refresh("/auth/sessions");
  });
  return html`<section class="card" aria-label="Sessions"><header><h2>Your sessions</h2></header><${Problem} error=${end.error} />
    <${Answer} of=${answer} what="Loading sessions">${(sessions) => html`<ul class="plain-list">${sessions.map((one) => html`<li key=${one.id} class="row"><div class="grow"><strong>${one.device}</strong>${one.current && html` <${Badge} tone="good">this one<//>`}<p class="fine">since <${When} at=${one.created_at} />${one.last_used_at && html`, used <${When} at=${one.last_used_at} />`}</p></div>
      ${!one.current && html`<${Button} control="sessions.revoke" kind="danger" busy=${end.busy} onClick=${() => end.run(one)}>End<//>`}</li>`)}</ul>`}<//></section>`;
}

function Passkeys() {
  const answer = useGet("/auth/passkeys", concerns.operators);
  const [name, setName] = useState("");
  const [removing, setRemoving] = useState(null);
  const add = useAction(async () => {
    await addPasskey(name.trim());
    setName("");
    say("The passkey is added.");
    refresh("/auth/passkeys");
  });
  const remove = useAction(async () => {
    await del(`/auth/passkeys/${removing.id}`);
    say("The passkey is removed.");
    setRemoving(null);
    refresh("/auth/passkeys");
  });
  const submit = (event) => {
    event.preventDefault();
    if (name.trim() && !add.busy) add.run();
  };
  return html`<section class="card" aria-label="Passkeys"><header><h2>Passkeys</h2></header><div class="stack"><p class="fine">Instead of the password: to sign in, and to confirm a decision.</p>
    <${Answer} of=${answer} what="Loading passkeys">${(keys) => html`<ul class="plain-list">${keys.map((one) => html`<li key=${one.id} class="row"><div class="grow"><strong>${one.name}</strong><p class="fine">added <${When} at=${one.created_at} />${one.last_used_at ? html`, used <${When} at=${one.last_used_at} />` : ", not used yet"}</p></div><${Button} control="passkeys.remove" kind="danger" onClick=${() => setRemoving(one)}>Remove<//></li>`)}${keys.length === 0 && html`<li class="quiet">None yet.</li>`}</ul>`}<//>
    ${passkeysHere() ? html`<form class="row end-row" onSubmit=${submit}><div class="grow"><${Field} label="Name of a new passkey" control="passkeys.name" value=${name} onInput=${setName} placeholder="laptop" maxlength="100" /></div><${Button} control="passkeys.add" type="submit" busy=${add.busy} why=${name.trim() ? null : "It needs a name."}>Add<//></form>` : html`<${Notice}>This browser cannot make passkeys on this page; they need https, or this machine's own address.<//>`}<${Problem} error=${add.error} />
    ${removing && html`<${Dialog} title=${`Remove ${removing.name}?`} onClose=${() => setRemoving(null)}><div class="body"><p>It cannot be used any more. Your password still can.</p><${Problem} error=${remove.error} /><div class="actions"><${Button} control="passkeys.keep" onClick=${() => setRemoving(null)}>Keep it<//><${Button} control="passkeys.remove-now" kind="danger" busy=${remove.busy} onClick=${() => remove.run()}>Remove<//></div></div><//>`}</div></section>`;
}

function Browser() {
  const [theme, setTheme] = useState(chosenTheme());
  return html`<section class="card" aria-label="This browser"><header><h2>This browser</h2></header><div class="stack"><${Field} label="Colours" control="settings.theme" value=${theme} onInput=${(choice) => { chooseTheme(choice); setTheme(choice); }} options=${[["system", "As the system"], ["light", "Light"], ["dark", "Dark"]]} />
    <p class="row">Live updates: <${Connection} /></p></div></section>`;
}

function Server({ role }) {
  const health = useGet("/health");
  const ready = useGet("/ready", concerns.anything);
  const key = useGet("/audit/key");
  const [rotating, setRotating] = useState(false);
  return html`<section class="card" aria-label="Server"><header><h2>Server</h2><${Button} control="settings.rotate" why=${may(role, "key.rotate") ? null : whyNot(role, "key.rotate")} onClick=${() => setRotating(true)}>New data key<//></header>
    <dl class="facts"><dt>Version</dt><dd>${health.data?.version ?? "…"}</dd><dt>Ready</dt><dd>${ready.data ? (ready.data.ready ? html`<${Badge} tone="good" icon="check">ready<//>` : html`<${Badge} tone="bad" icon="alert">not ready<//>`) : ready.error ? html`<${Badge} tone="bad" icon="alert">not ready<//>` : "…"}</dd>
      ${ready.data && Object.entries(ready.data.checks).map(([name, value]) => html`<dt key=${name}>${name.replaceAll("_", " ")}</dt><dd>${typeof value === "boolean" ? (value ? "fine" : "broken") : String(value)}</dd>`)}
      <dt>Log's key</dt><dd><code>${key.data?.verifier_key ?? "…"}</code></dd></dl><p class="fine">Programs: <a href="/openapi.json" data-control="settings.openapi" target="_blank" rel="noopener">OpenAPI</a></p>
    ${rotating && html`<${Confirm} title="Seal new values with a new data key?" words="Values that are stored stay readable; the new key seals from now on." button="Rotate" change=${{ method: "POST", path: "/keys/rotate" }} done="A new data key seals from now on." onClose=${() => setRotating(false)} />`}</section>`;
}
