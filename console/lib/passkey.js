// Passkeys: the browser's part of WebAuthn. The server gives and checks everything else.
import { post } from "./api.js";

const known = () => globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined && isSecureContext;

/** Whether this browser can use passkeys on this page. */
export const passkeysHere = () => known();

async function prove(begin, finish) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post(begin, undefined, { plain: true }));
  const credential = await navigator.credentials.get({ publicKey });
  return post(finish, credential.toJSON(), { plain: true });
}

export const signInWithPasskey = () => prove("/auth/passkey-login/begin", "/auth/passkey-login/finish");
export const stepUpWithPasskey = () => prove("/auth/step-up/passkey/begin", "/auth/step-up/passkey/finish");

/** Makes a passkey for the person who is signed in. */
export async function addPasskey(name) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await post("/auth/passkeys/begin", { name }));
  const credential = await navigator.credentials.create({ publicKey });
  return post("/auth/passkeys/finish", credential.toJSON());
}
