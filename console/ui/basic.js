// What every page is made of: buttons, fields, dialogs, notices.
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { Refused } from "../lib/api.js";
import { fullTime, ago, until, words } from "../lib/format.js";
import { useNow } from "../lib/clock.js";
import { Icon } from "./icon.js";

/** A button. `control` is its name in the registry of controls; `why` says why it cannot be used now. */
export function Button({ control, kind = "plain", icon, why, busy, children, label, type = "button", ...rest }) {
  const id = useId();
  const blocked = Boolean(why);
  return html`<button type=${type} data-control=${control} class=${`button ${kind}${children ? "" : " bare"}`} aria-label=${label}
      title=${why || label} aria-disabled=${blocked || busy ? "true" : undefined} aria-describedby=${blocked ? id : undefined} aria-busy=${busy ? "true" : undefined}
      ...${rest} onClick=${(event) => (blocked || busy ? event.preventDefault() : rest.onClick?.(event))}>
    ${busy ? html`<span class="spinner" aria-hidden="true"></span>` : icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
    ${blocked && html`<span id=${id} class="hidden-text">${why}</span>`}</button>`;
}

/** A labelled input. Its `control` is on the input itself. */
export function Field({ label, hint, error, control, kind = "text", value, onInput, options, rows, inputRef, ...rest }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  const common = {
    id,
    "data-control": control,
    "aria-describedby": described,
    "aria-invalid": error ? "true" : undefined,
    value,
    ref: inputRef,
    onInput: (event) => onInput?.(event.currentTarget.value, event),
    ...rest,
  };
  let input;
  if (options) {
    // Whatever chooses for a person says at least that it has changed.
    input = html`<select ...${common} onInput=${undefined} onChange=${common.onInput}>${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}</select>`;
  } else if (rows) {
    input = html`<textarea rows=${rows} ...${common}></textarea>`;
  } else {
    input = html`<input type=${kind} autocomplete="off" spellcheck=${false} ...${common} />`;
  }
  return html`<div class="field"><label for=${id}>${label}</label>${input}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${error && html`<p class="error" id=${`${id}-error`}><${Icon} name="alert" size=${14} /> ${error}</p>`}</div>`;
}

export function Check({ label, control, checked, onChange, ...rest }) {
  return html`<label class="check"><input type="checkbox" data-control=${control} checked=${checked} onChange=${(event) => onChange(event.currentTarget.checked)} ...${rest} /><span>${label}</span></label>`;
}

/** A modal dialog: focus goes in, stays in, and comes back; Escape closes. */
export function Dialog({ title, onClose, children, wide, control }) {
  const ref = useRef(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog.showModal();
    const first = dialog.querySelector("[autofocus], input:not([type=hidden]), select, textarea") ?? dialog.querySelector("button:not(.close)");
    first?.focus();
    return () => {
      dialog.close();
      before?.focus?.();
    };
  }, []);
  const cancel = (event) => {
    // A file chooser within says the same word when it is closed.
    if (event.target !== ref.current) return;
    event.preventDefault();
    onClose?.();
  };
  // Browsers close it without a question when Escape is pressed twice. Whoever opened it decides; until then it stays.
  const closed = (event) => {
    if (event.target !== ref.current || ref.current.open) return;
    ref.current.showModal();
    onClose?.();
  };
  return html`<dialog ref=${ref} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${cancel} onClose=${closed}>
    <header><h2 id=${id}>${title}</h2>${onClose && html`<${Button} control="dialog.close" kind="ghost close" icon="x" label="Close" onClick=${onClose} />`}</header>
    ${children}</dialog>`;
}

/** Some reasons are words for programs, others are for people. */
const isProse = (reason) => /\s/.test(reason);
/** A next step that is done here already. */
const SEE_REASON = "see `reason`";

/** What went wrong, and what to do next, in the server's words. */
export function Problem({ error, onRetry }) {
  if (!error) return null;
  const refused = error instanceof Refused;
  return html`<div class="notice bad" role="alert"><${Icon} name="alert" />
    <div><p><strong>${sentence(error.message)}</strong></p>
      ${refused && isProse(error.reason) && html`<p>${sentence(error.reason)}</p>`}
      ${refused && error.nextStep && !error.nextStep.startsWith(SEE_REASON) && html`<p>${sentence(error.nextStep)}</p>`}
      ${refused && html`<p class="fine"><code>${error.code || error.status}</code>${error.reason && !isProse(error.reason) && ` · ${words(error.reason)}`}${error.auditId != null && html` · <a href=${`/console/audit/${error.auditId}`} data-control="refusal.audit">audit event ${error.auditId}</a>`}</p>`}
    </div>
    ${onRetry && html`<${Button} control="problem.retry" onClick=${onRetry}>Try again<//>`}</div>`;
}

export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

export function Notice({ tone = "info", icon, children, role }) {
  return html`<div class=${`notice ${tone}`} role=${role}><${Icon} name=${icon ?? (tone === "info" ? "info" : tone === "good" ? "check" : "alert")} /><div>${children}</div></div>`;
}

/** Nothing to show, and what to do about it. `page`: it is all of the page, so its title is the page's. */
export function Empty({ icon = "info", title, page, children }) {
  return html`<div class="empty"><${Icon} name=${icon} size=${28} />${page ? html`<h1>${title}</h1>` : html`<h2>${title}</h2>`}${children}</div>`;
}

export function Loading({ what = "Loading" }) {
  return html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span> ${what}…</p>`;
}

/** Shows an answer once there is one; says what is wrong if there is none. */
export function Answer({ of, what, children }) {
  if (of.data !== undefined) return html`${of.error && html`<${Problem} error=${of.error} onRetry=${of.reload} />`}${children(of.data)}`;
  if (of.error) return html`<${Problem} error=${of.error} onRetry=${of.reload} />`;
  return html`<${Loading} what=${what} />`;
}

export function When({ at }) {
  const now = useNow(5);
  return html`<time datetime=${at} title=${fullTime(at)}>${ago(at, now)}</time>`;
}

export function Until({ at }) {
  const now = useNow(1);
  return html`<time datetime=${at} title=${fullTime(at)}>${until(at, now)}</time>`;
}

export function Since({ at, children }) {
  const now = useNow(1);
  return html`<time datetime=${at} title=${fullTime(at)}>${children(Math.max(0, now - new Date(at).getTime()))}</time>`;
}

/** Tabs as links: each has an address. */
export function Tabs({ label, tabs, active }) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map(
    (tab) => html`<a key=${tab.id} href=${tab.to} data-control=${tab.control} aria-current=${tab.id === active ? "page" : undefined} onClick=${tab.onClick}>${tab.text}${tab.count ? html` <span class="count">${tab.count}</span>` : null}</a>`,
  )}</nav>`;
}

/** An asynchronous action of a button: busy while it runs, the error kept. */
export function useAction(action) {
  const [state, set] = useState({ busy: false, error: null });
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  const run = async (...args) => {
    set({ busy: true, error: null });
    try {
      const answer = await action(...args);
      if (alive.current) set({ busy: false, error: null });
      return answer;
    } catch (error) {
      if (alive.current) set({ busy: false, error });
      return undefined;
    }
  };
  return { ...state, run, clear: () => set({ busy: false, error: null }) };
}

/** `onClose`, unless this dialog is gone already: a late answer closes its own dialog and no other. */
export function useClose(onClose) {
  const alive = useRef(true);
  useEffect(() => () => (alive.current = false), []);
  return (...args) => alive.current && onClose?.(...args);
}

/** A value that is shown once: with a copy button, and said to be shown once. */
export function Once({ value, what }) {
  const [copied, set] = useState(false);
  const ref = useRef(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      set(true);
    } catch {
      // No clipboard for this page: selected, so that the person copies it.
      ref.current.select();
    }
  };
  return html`<div class="once"><${Notice} tone="warn">This ${what} is shown once. Store it now; nobody can show it again.<//>
    <div class="row"><input ref=${ref} readonly value=${value} aria-label=${what} class="mono" data-control="once.value" onFocus=${(event) => event.currentTarget.select()} />
    <${Button} control="once.copy" kind="primary" onClick=${copy}>${copied ? "Copied" : "Copy"}<//></div></div>`;
}
