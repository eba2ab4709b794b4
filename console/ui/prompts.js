// Dialogs that a request needs on its way: the session has ended, or a decision needs the password again. The page
// behind stays as it is, with everything that was typed.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { ask, loadSession, post, session } from "../lib/api.js";
import { listen } from "../lib/live.js";
import { signal, useSignal } from "../lib/signal.js";
import { Button, Dialog, Field, Problem, useAction } from "./basic.js";
import { SignInForm } from "./door.js";
import { passkeysHere, stepUpWithPasskey } from "../lib/passkey.js";

/** What is asked, the latest last: a session can end while the password is asked for, which is then asked for again. */
const open = signal([]);

/** Shows a dialog of this kind; several requests that need the same wait for the same. */
function need(kind) {
  const known = open.get().find((one) => one.kind === kind);
  if (known) return known.done;
  let finish;
  const done = new Promise((resolve) => (finish = resolve));
  const one = {
    kind,
    done,
    close(result) {
      open.set(open.get().filter((other) => other !== one));
      finish(result);
    },
  };
  open.set([...open.get(), one]);
  return done;
}

ask.signIn = () => need("sign in");
ask.stepUp = () => need("step up");
// The stream notices first when nobody asks for anything.
listen((event) => {
  if (event.type === "signed out" && session.get()) need("sign in");
});

// Signed in again, here or in another window.
let lastWho = null;
session.watch((who) => {
  const same = lastWho === null || who?.operator.id === lastWho;
  if (who) lastWho = who.operator.id;
  // Somebody else: what waits was asked by the one before, and is not sent in another's name.
  for (const one of open.get()) if (who && one.kind === "sign in") one.close(same);
});

const AGAIN = { email: "again.email", password: "again.password", submit: "again.submit", passkey: "again.passkey" };

export function Prompts() {
  const shown = useSignal(open).at(-1);
  if (!shown) return null;
  return shown.kind === "sign in" ? html`<${SessionEnded} shown=${shown} />` : html`<${StepUp} shown=${shown} />`;
}

function SessionEnded({ shown }) {
  const who = useSignal(session);
  const leave = () => {
    for (const one of open.get()) one.close(false);
    session.set(null);
  };
  return html`<${Dialog} title="Your session has ended" onClose=${leave}><div class="body"><p>Sign in again to go on. What you have typed is still there.</p></div>
    <${SignInForm} email=${who?.operator.email} controls=${AGAIN} /><//>`;
}

function StepUp({ shown }) {
  const who = useSignal(session);
  const [password, setPassword] = useState("");
  const field = useRef(null);
  const confirm = useAction(async () => {
    try {
      await post("/auth/step-up", { password }, { plain: true });
    } catch (error) {
      setPassword("");
      field.current?.focus();
      throw error;
    }
    await loadSession();
    shown.close(true);
  });
  const passkey = useAction(async () => {
    await stepUpWithPasskey();
    await loadSession();
    shown.close(true);
  });
  useEffect(() => field.current?.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    if (!confirm.busy) confirm.run();
  };
  return html`<${Dialog} title="Confirm that it is you" onClose=${() => shown.close(false)}><form onSubmit=${submit}>
    <p>This decision needs your password again. It then counts for five minutes.</p>
    <${Problem} error=${confirm.error ?? passkey.error} />
    <input type="text" hidden readonly autocomplete="username" value=${who?.operator.email} />
    <${Field} label="Password" control="step-up.password" kind="password" value=${password} onInput=${setPassword} required autocomplete="current-password" inputRef=${field} />
    <div class="actions">${passkeysHere() && html`<${Button} control="step-up.passkey" icon="key" busy=${passkey.busy} onClick=${() => passkey.run()}>Use a passkey<//>`}
      <${Button} control="step-up.cancel" onClick=${() => shown.close(false)}>Cancel<//>
      <${Button} control="step-up.submit" kind="primary" type="submit" busy=${confirm.busy}>Confirm<//></div></form><//>`;
}
