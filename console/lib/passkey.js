// Passkeys: the browser's part of WebAuthn. The server gives and checks everything else.
import { post } from "./api.js";

const known = () => globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined && isSecureContext;

/** Whether this browser can use passkeys on this page. */
export const passkeysHere = () => known();

/** What the browser says when nobody was there, or no: its own words help nobody. */
async function ceremony(run) {
  try {
    return await run();
  } catch (error) {
    if (error instanceof DOMException) throw new Error("no passkey was used; try again, or use your password");
    if (error.code === "LOGIN_FAILED") throw new Error("this passkey is not known here; use your password");
    throw error;
  }
}

const prove = (begin, finish) => ceremony(async () => {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post(begin, undefined, { plain: true }));
  const credential = await navigator.credentials.get({ publicKey });
  return post(finish, credential.toJSON(), { plain: true });
});

export const signInWithPasskey = () => prove("/auth/passkey-login/begin", "/auth/passkey-login/finish");
export const stepUpWithPasskey = () => prove("/auth/step-up/passkey/begin", "/auth/step-up/passkey/finish");

/** Makes a passkey for the person who is signed in. */
export const addPasskey = (name) => ceremony(async () => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await post("/auth/passkeys/begin", { name }));
  const credential = await navigator.credentials.create({ publicKey });
  return post("/auth/passkeys/finish", credential.toJSON());
});
