// Many secrets from a file: what would be added, changed or stay the same is shown first, by names only.
import { html, useState } from "../lib/html.js";
import { post } from "../lib/api.js";
import { plural } from "../lib/format.js";
import { Badge } from "./state.js";
import { Button, Dialog, Field, Problem, useAction, useClose } from "./basic.js";
import { PlanView, usePlan } from "./impact.js";
import { perform, useAttempt } from "./change.js";
import { useLeaving } from "./leaving.js";
import { basePath } from "./secrets.js";

const TONES = { add: "good", change: "warn", same: "muted" };

export function ImportSecrets({ scope, renew, onClose }) {
  const closeOwn = useClose(onClose);
  const path = `${basePath(scope)}/import`;
  const [format, setFormat] = useState("env");
  const [content, setContent] = useState("");
  const [answer, setPreview] = useState(null);
  // What it says is true of the content it was asked for, and of nothing else.
  const preview = answer?.of === content && answer.format === format ? answer : null;
  const look = useAction(async () => setPreview({ ...(await post(path, { format, content, apply: false })), of: content, format }));
  const change = { method: "POST", path, body: { format, content, apply: true } };
  const fresh = preview && preview.counts.add + preview.counts.change > 0;
  const planned = usePlan(fresh ? change : null);
  const attempt = useAttempt(change);
  const { close: leave, question } = useLeaving(content !== "", onClose, "What you want to import");
  const close = () => !act.busy && leave();
  const act = useAction(async () => {
    await perform(change, { done: `${plural(preview.changes.length, "secret")} imported.`, renew, key: attempt });
    closeOwn();
  });
  const read = async (event) => {
    const file = event.currentTarget.files[0];
    if (!file) return;
    setFormat(file.name.endsWith(".json") ? "json" : "env");
    setContent(await file.text());
    setPreview(null);
  };
  const edit = (text) => {
    setContent(text);
    setPreview(null);
  };
  const why = !fresh ? "There is nothing new in it." : planned.plan?.decision === "deny" ? "The server would refuse this." : planned.error ? "The plan could not be made." : !planned.plan ? "Waiting for the plan." : null;
  const submit = (event) => {
    event.preventDefault();
    if (!preview) {
      if (content.trim() && !look.busy) look.run();
    } else if (!why && !act.busy) act.run();
  };
  return html`<${Dialog} title="Import secrets" onClose=${close} wide=${true}><form onSubmit=${submit} autocomplete="off">
    <div class="fields"><${Field} label="Format" control="import.format" value=${format} onInput=${(next) => { setFormat(next); setPreview(null); }} options=${[["env", ".env: KEY=value"], ["json", "JSON: {\"KEY\": \"value\"}"]]} />
      <div class="field"><label for="import-file">From a file</label><input id="import-file" type="file" data-control="import.file" accept=".env,.json,.txt,text/plain,application/json" onChange=${read} /></div></div>
    <${Field} label="Content" control="import.content" rows="6" class="mono masked" value=${content} onInput=${edit} spellcheck="false" autocomplete="off" />
    <${Problem} error=${look.error ?? act.error} />
    ${preview && html`<div role="status"><h3>What it changes</h3><p class="fine">${preview.counts.add} added, ${preview.counts.change} changed, ${preview.counts.same} the same</p>
      <ul class="plain-list preview">${preview.changes.map((one) => html`<li key=${one.key}><${Badge} tone=${TONES[one.change]}>${one.change}<//> <code>${one.key}</code></li>`)}</ul></div>`}
    ${fresh && html`<${PlanView} of=${planned} />`}
    <div class="actions"><${Button} control="import.cancel" onClick=${close}>Cancel<//>
      ${preview ? html`<${Button} control="import.apply" kind="primary" type="submit" busy=${act.busy} why=${why}>${planned.plan?.decision === "hold" ? "Ask for approval" : "Import"}<//>` : html`<${Button} control="import.preview" kind="primary" type="submit" busy=${look.busy} why=${content.trim() ? null : "Choose a file or paste its content."}>Preview<//>`}</div></form>${question}<//>`;
}
