// Before somebody is signed in: the first owner's claim, an invitation, the sign-in.
import { html, useRef, useState } from "../lib/html.js";
import { session, loadSession, post } from "../lib/api.js";
import { announceSignIn } from "../lib/live.js";
import { forget } from "../lib/query.js";
import { go } from "../lib/route.js";
import { Button, Field, Notice, Problem, useAction } from "./basic.js";
import { Logo } from "./app.js";
import { passkeysHere, signInWithPasskey } from "../lib/passkey.js";

function Door({ title, children }) {
  return html`<main class="door"><div class="card"><span class="brand"><${Logo} /> Portcullis</span><h1>${title}</h1>${children}</div></main>`;
}

async function signedIn() {
  await loadSession();
  announceSignIn();
  forget();
}

/** The sign-in form, on its own page and in the dialog of a session that ended. */
export function SignInForm({ email: known, controls }) {
  const [email, setEmail] = useState(known ?? "");
  const [password, setPassword] = useState("");
  const field = useRef(null);
  const enter = useAction(async () => {
    try {
      await post("/auth/login", { email, password }, { plain: true });
    } catch (error) {
      setPassword("");
      field.current?.focus();
      throw error;
    }
    await signedIn();
  });
  const passkey = useAction(async () => {
    await signInWithPasskey();
    await signedIn();
  });
  const submit = (event) => {
    event.preventDefault();
    if (!enter.busy) enter.run();
  };
  return html`<form onSubmit=${submit}>
    <${Problem} error=${enter.error ?? passkey.error} />
    <${Field} label="E-mail address" control=${controls.email} kind="email" value=${email} onInput=${setEmail} required autocomplete="username" readonly=${known ? true : undefined} />
    <${Field} label="Password" control=${controls.password} kind="password" value=${password} onInput=${setPassword} required autocomplete="current-password" inputRef=${field} />
    <${Button} control=${controls.submit} kind="primary" type="submit" busy=${enter.busy}>Sign in<//>
    ${passkeysHere() && html`<${Button} control=${controls.passkey} icon="key" busy=${passkey.busy} onClick=${() => passkey.run()}>Use a passkey<//>`}
  </form>`;
}

const SIGN_IN = { email: "sign-in.email", password: "sign-in.password", submit: "sign-in.submit", passkey: "sign-in.passkey" };

export function SignIn() {
  return html`<${Door} title="Sign in"><${SignInForm} controls=${SIGN_IN} /><//>`;
}

/** The one-time token behind the `#`: browsers send it to nobody, and it leaves the address at once. */
function takeToken() {
  const token = decodeURIComponent(location.hash.slice(1));
  if (token) history.replaceState(null, "", location.pathname);
  return token;
}

function ChoosePassword({ title, words, button, withEmail, send, controls }) {
  const [token] = useState(takeToken);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [mismatch, setMismatch] = useState(null);
  const act = useAction(async () => {
    const known = await send(token, email, password);
    await post("/auth/login", { email: known.email, password }, { plain: true });
    await signedIn();
    go("/console", { replace: true });
  });
  const submit = (event) => {
    event.preventDefault();
    if (password !== again) {
      setMismatch("The two passwords differ.");
      return;
    }
    setMismatch(null);
    if (!act.busy) act.run();
  };
  if (!token) {
    return html`<${Door} title=${title}><${Notice} tone="warn">This link is not complete: the part after the # is missing. Open it as it was given to you.<//><a href="/console" class="button" data-control="door.sign-in">To the sign-in</a><//>`;
  }
  return html`<${Door} title=${title}><p>${words}</p><form onSubmit=${submit}>
    <${Problem} error=${act.error} />
    ${withEmail && html`<${Field} label="Your e-mail address" control=${controls.email} kind="email" value=${email} onInput=${setEmail} required autocomplete="username" />`}
    <${Field} label="Password" hint="At least 12 characters." control=${controls.password} kind="password" value=${password} onInput=${setPassword} required autocomplete="new-password" />
    <${Field} label="The same password again" control=${controls.again} kind="password" value=${again} onInput=${setAgain} error=${mismatch} required autocomplete="new-password" />
    <${Button} control=${controls.submit} kind="primary" type="submit" busy=${act.busy}>${button}<//>
  </form><//>`;
}

const CLAIM = { email: "claim.email", password: "claim.password", again: "claim.again", submit: "claim.submit" };

export function ClaimOwner() {
  const send = (token, email, password) => post("/auth/claim", { token, email, password }, { plain: true });
  return html`<${ChoosePassword} title="Claim this organisation" button="Become the owner" withEmail=${true} controls=${CLAIM} send=${send}
    words="Nobody owns it yet. Whoever uses this link becomes its owner: a human who decides what agents may not decide themselves." />`;
}

const INVITE = { password: "invite.password", again: "invite.again", submit: "invite.submit" };

export function AcceptInvite() {
  const send = (token, _email, password) => post("/auth/accept", { token, password }, { plain: true });
  return html`<${ChoosePassword} title="You are invited" button="Set the password and sign in" controls=${INVITE} send=${send}
    words="You become an operator of this organisation. Choose your password; nobody else has seen it." />`;
}
