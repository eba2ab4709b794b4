// Setting a secret: what it will do to agents is said while it is typed, by the plan the server will act by.
import { html, useEffect, useState } from "../lib/html.js";
import { attemptKey, isHeld } from "../lib/api.js";
import { guardLeaving } from "../lib/route.js";
import { Button, Check, Dialog, Field, Notice, Problem, useAction } from "./basic.js";
import { PlanView, usePlan } from "./impact.js";
import { perform } from "./change.js";
import { basePath } from "./secrets.js";

const KEY = /^[A-Z_][A-Z0-9_]{0,127}$/;
const VALUE_BYTES_MAX = 65_536;
const size = new TextEncoder();

export function SecretForm({ scope, secret, renew, known, onClose }) {
  const fixed = Boolean(secret);
  const existing = secret && !secret.override && secret.state === "live" ? secret : null;
  const [key, setKey] = useState(secret?.key ?? "");
  const [value, setValue] = useState("");
  const [shown, setShown] = useState(false);
  const [delivery, setDelivery] = useState(secret?.delivery ?? "env");
  const [expires, setExpires] = useState("");
  const [description, setDescription] = useState(existing?.description ?? secret?.description ?? "");
  const [reason, setReason] = useState("");
  const [staged, setStaged] = useState(false);
  const [attempt] = useState(attemptKey);
  const [leaving, setLeaving] = useState(null);
  const dirty = value !== "" || reason !== "";

  useEffect(() => {
    guardLeaving(dirty ? (proceed) => setLeaving(() => proceed) : null);
    return () => guardLeaving(null);
  }, [dirty]);
  const close = () => (dirty && !leaving ? setLeaving(() => onClose) : onClose());

  const path = basePath(scope);
  const bytes = size.encode(value).length;
  const taken = !fixed && known.some((one) => one.key === key && one.origin !== "inherited" && one.state === "live");
  const keyError = key && !KEY.test(key) ? "Capital letters, digits and underscores; not a digit first." : null;
  const valueError = bytes > VALUE_BYTES_MAX ? `At most 64 KiB; this is ${Math.ceil(bytes / 1024)} KiB.` : null;
  const complete = KEY.test(key) && value !== "" && !valueError;
  const body = { key, value, delivery, activate: !staged };
  if (description.trim()) body.description = description.trim();
  if (reason.trim()) body.reason = reason.trim();
  if (expires) body.expires_at = new Date(`${expires}T23:59:59`).toISOString();
  // What was looked at is what is changed: a version that came in between is a conflict, not overwritten.
  const headers = existing ? { "if-match": `"${existing.latest_version}"` } : undefined;
  const change = { method: "POST", path, body, headers };
  const planned = usePlan(complete ? change : null);
  const act = useAction(async () => {
    const answer = await perform(change, { done: staged ? `${key} is stored as a new version, not active yet.` : `${key} is saved.`, renew, key: attempt });
    guardLeaving(null);
    onClose(answer);
    return isHeld(answer);
  });
  const refused = planned.plan?.decision === "deny";
  const why = !complete ? "A key and a value are needed." : refused ? "The server would refuse this." : planned.error ? null : !planned.plan ? "Waiting for the plan." : null;
  const submit = (event) => {
    event.preventDefault();
    if (!why && !act.busy) act.run();
  };
  const title = secret?.override ? `Override ${key}` : secret?.state === "slot" ? `Fill ${key}` : fixed ? `Change ${key}` : "Add a secret";
  if (leaving) {
    return html`<${Dialog} title="Discard what you typed?" onClose=${() => setLeaving(null)}><div class="body"><p>The new value of ${key || "this secret"} is not saved.</p>
      <div class="actions"><${Button} control="secret-form.keep" onClick=${() => setLeaving(null)}>Keep typing<//><${Button} control="secret-form.discard" kind="danger" onClick=${() => { guardLeaving(null); onClose(); leaving(); }}>Discard<//></div></div><//>`;
  }
  return html`<${Dialog} title=${title} onClose=${close}><form onSubmit=${submit} autocomplete="off">
    ${secret?.state === "slot" && secret.description && html`<${Notice}><p>Asked for with the words: “${secret.description}”</p><//>`}
    ${!fixed && html`<${Field} label="Key" control="secret-form.key" value=${key} onInput=${(text) => setKey(text.toUpperCase().replace(/[\s-]/g, "_"))} error=${keyError} hint=${taken ? "There is one of this name: this becomes its next version." : undefined} required maxlength="128" class="mono" placeholder="API_KEY" />`}
    <${Field} label="Value" control="secret-form.value" rows="3" class=${shown ? "mono" : "mono masked"} value=${value} onInput=${setValue} error=${valueError} required spellcheck="false" autocomplete="off" hint="Sealed when it arrives; nobody can read it back here, you included." />
    <${Check} label="Show what I type" control="secret-form.show" checked=${shown} onChange=${setShown} />
    <div class="fields"><${Field} label="Delivered as" control="secret-form.delivery" value=${delivery} onInput=${setDelivery} options=${[["env", "Variable, at the next start"], ["file", "File, at once"]]} />
      <${Field} label="Expires" control="secret-form.expires" kind="date" value=${expires} onInput=${setExpires} /></div>
    <${Field} label="What it is for" control="secret-form.description" value=${description} onInput=${setDescription} maxlength="500" />
    <${Field} label="Why it changes" control="secret-form.reason" value=${reason} onInput=${setReason} maxlength="500" hint="Stays in the history." />
    <${Check} label="Only store it; activate it later" control="secret-form.staged" checked=${staged} onChange=${setStaged} />
    ${complete && html`<${PlanView} of=${planned} />`}
    <${Problem} error=${act.error} />
    <div class="actions"><${Button} control="secret-form.cancel" onClick=${close}>Cancel<//><${Button} control="secret-form.save" kind="primary" type="submit" busy=${act.busy} why=${why}>${planned.plan?.decision === "hold" ? "Ask for approval" : "Save"}<//></div></form><//>`;
}
