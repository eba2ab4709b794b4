// Setting a secret: what it will do to agents is said while it is typed, by the plan the server will act by.
import { html, useState } from "../lib/html.js";
import { onDay } from "../lib/format.js";
import { Button, Check, Dialog, Field, Notice, Problem, useAction, useClose, When } from "./basic.js";
import { PlanView, usePlan } from "./impact.js";
import { perform, useAttempt } from "./change.js";
import { useLeaving } from "./leaving.js";
import { basePath } from "./secrets.js";

const KEY = /^[A-Z_][A-Z0-9_]{0,127}$/;
const VALUE_BYTES_MAX = 65_536;
const size = new TextEncoder();

export function SecretForm({ scope, secret, renew, known, name, onClose }) {
  const closeOwn = useClose(onClose);
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
  const [base, setBase] = useState(existing?.latest_version ?? null);
  const leaving = useLeaving(value !== "" || reason !== "", onClose, `The new value of ${key || "this secret"}`);
  // While it is being saved it is neither saved nor not.
  const close = () => !act.busy && leaving.close();

  const path = basePath(scope);
  const bytes = size.encode(value).length;
  const taken = !fixed && known.some((one) => one.key === key && one.origin !== "inherited" && one.state === "live");
  // Files are replaced under a running agent; what was a variable before is gone only with a restart.
  const before = known.find((one) => one.key === key && one.state === "live");
  const onlyFile = delivery === "file" && (!before || before.delivery === "file");
  const keyError = key && !KEY.test(key) ? "Capital letters, digits and underscores; not a digit first." : null;
  const valueError = bytes > VALUE_BYTES_MAX ? `At most 64 KiB; this is ${Math.ceil(bytes / 1024)} KiB.` : null;
  const complete = KEY.test(key) && value !== "" && !valueError;
  const body = { key, value, delivery, activate: !staged };
  if (description.trim()) body.description = description.trim();
  if (reason.trim()) body.reason = reason.trim();
  if (expires) body.expires_at = new Date(`${expires}T23:59:59`).toISOString();
  // What was looked at is what is changed: a version that came in between is a conflict, not overwritten.
  const headers = base === null ? undefined : { "if-match": `"${base}"` };
  const change = { method: "POST", path, body, headers };
  const planned = usePlan(complete ? change : null);
  const attempt = useAttempt(change);
  const act = useAction(async () => {
    await perform(change, { done: staged ? `${key} is stored as a new version, not active yet.` : `${key} is saved.`, renew, key: attempt });
    closeOwn();
  });
  const newer = base === null || act.busy ? null : known.find((one) => one.key === key && one.origin !== "inherited" && one.latest_version > base);
  const rebase = () => {
    setBase(newer.latest_version);
    act.clear();
  };
  const refused = planned.plan?.decision === "deny";
  const why = !complete ? "A key and a value are needed." : refused ? "The server would refuse this." : newer ? "Another version came in between." : planned.error ? "The plan could not be made." : !planned.plan ? "Waiting for the plan." : null;
  const submit = (event) => {
    event.preventDefault();
    if (!why && !act.busy) act.run();
  };
  const title = secret?.override ? `Override ${key}` : secret?.state === "slot" ? `Fill ${key}` : fixed ? `Change ${key}` : "Add a secret";
  return html`<${Dialog} title=${title} onClose=${close}><form onSubmit=${submit} autocomplete="off">
    ${secret?.state === "slot" && secret.description && html`<${Notice}><p>Asked for with the words: “${secret.description}”</p><//>`}
    ${newer && html`<${Notice} tone="warn" role="alert"><p><strong>Meanwhile ${name(newer.updated_by)} saved v${newer.latest_version}</strong>, <${When} at=${newer.updated_at} />. What you typed is still here and not saved.</p>
      <${Button} control="secret-form.rebase" onClick=${rebase}>Save mine after v${newer.latest_version}<//><//>`}
    ${!fixed && html`<${Field} label="Key" control="secret-form.key" value=${key} onInput=${(text) => setKey(text.toUpperCase().replace(/[\s-]/g, "_"))} error=${keyError} hint=${taken ? "There is one of this name: this becomes its next version." : undefined} required maxlength="128" class="mono" placeholder="API_KEY" />`}
    <${Field} label="Value" control="secret-form.value" rows="3" class=${shown ? "mono" : "mono masked"} value=${value} onInput=${setValue} error=${valueError} required spellcheck="false" autocomplete="off" hint="Sealed when it arrives; nobody can read it back here, you included." />
    <${Check} label="Show what I type" control="secret-form.show" checked=${shown} onChange=${setShown} />
    <div class="fields"><${Field} label="Delivered as" control="secret-form.delivery" value=${delivery} onInput=${setDelivery} options=${[["env", "Variable, at the next start"], ["file", "File, at once"]]} />
      <${Field} label="Expires" control="secret-form.expires" kind="date" value=${expires} onInput=${setExpires} hint=${existing?.expires_at ? `The value so far: ${onDay(existing.expires_at)}. A new one needs its own date.` : undefined} /></div>
    <${Field} label="What it is for" control="secret-form.description" value=${description} onInput=${setDescription} maxlength="500" />
    <${Field} label="Why it changes" control="secret-form.reason" value=${reason} onInput=${setReason} maxlength="500" hint="Stays in the history." />
    <${Check} label="Only store it; activate it later" control="secret-form.staged" checked=${staged} onChange=${setStaged} />
    ${complete && html`<${PlanView} of=${planned} file=${onlyFile} />`}
    <${Problem} error=${act.error} />
    <div class="actions"><${Button} control="secret-form.cancel" onClick=${close}>Cancel<//><${Button} control="secret-form.save" kind="primary" type="submit" busy=${act.busy} why=${why}>${planned.plan?.decision === "hold" ? "Ask for approval" : "Save"}<//></div></form>${leaving.question}<//>`;
}
