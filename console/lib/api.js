// Requests. The console is a client of the same routes as everybody else; what it may do is decided there.
import { signal } from "./signal.js";

/** The server refused: `code`, `error`, `next_step`, `retryable`, `denied_class` as in the refusal contract. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.error || `the server answered ${status}`);
    this.status = status;
    this.body = body;
    this.code = body.code || "";
    this.reason = body.reason || "";
    this.nextStep = body.next_step || "";
    this.auditId = body.audit_id ?? null;
  }
}

/** The server could not be asked, or did not answer. */
export class Unreachable extends Error {
  constructor() {
    super("the server cannot be reached");
  }
}

/** Who is signed in: undefined before it is known, null for nobody, else what `GET /auth/session` says. */
export const session = signal(undefined);

/** Dialogs that a request may need on its way; the shell sets them. Each resolves to true when it was done. */
export const ask = { signIn: async () => false, stepUp: async () => false };

const isChange = (method) => method !== "GET";

async function once(method, path, { body, headers = {}, signal: abort } = {}) {
  const sent = { accept: "application/json", ...headers };
  if (body !== undefined) sent["content-type"] = "application/json";
  const csrf = session.get()?.csrf_token;
  if (isChange(method) && csrf) sent["x-csrf-token"] = csrf;
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      signal: abort,
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  let json = text;
  if ((response.headers.get("content-type") || "").includes("json")) {
    try {
      json = JSON.parse(text);
    } catch {
      throw new Unreachable();
    }
  }
  if (!response.ok) throw new Refused(response.status, typeof json === "object" ? json : {});
  return json;
}

/** Loads the session anew: after a sign-in, and when the CSRF token is not known any more. */
export async function loadSession() {
  try {
    session.set(await once("GET", "/auth/session"));
  } catch (error) {
    // Only "not signed in" means nobody: a server in trouble says nothing about the session.
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    session.set(null);
  }
  return session.get();
}

/**
 * Asks the server. A session that ended in between is opened anew in a dialog, and a vote that needs the password again
 * asks for it; then the same request goes out once more, so that no input is lost. Options: `body`, `headers`, `signal`,
 * `key` (an idempotency key: the same attempt twice is done once), `plain` (no dialogs).
 */
export async function call(method, path, options = {}) {
  const headers = { ...options.headers };
  if (options.key) headers["idempotency-key"] = options.key;
  const request = () => once(method, path, { ...options, headers });
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await request();
    } catch (error) {
      if (options.plain || attempt >= 3 || !(error instanceof Refused)) throw error;
      if (error.status === 401 && session.get()) {
        if (!(await ask.signIn())) throw error;
      } else if (error.code === "STEP_UP_REQUIRED") {
        if (!(await ask.stepUp())) throw error;
      } else if (error.code === "CSRF_REQUIRED" && attempt === 0) {
        await loadSession();
      } else {
        throw error;
      }
    }
  }
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { ...options, body });
export const del = (path, options) => call("DELETE", path, options);

/** The request waits for a human: nothing has changed. */
export const isHeld = (answer) => answer?.status === "pending_approval";

/** What a change would do: the same request with `dry_run`. */
export function plan(method, path, body, options = {}) {
  const mark = path.includes("?") ? "&" : "?";
  return call(method, `${path}${mark}dry_run=true`, { ...options, body });
}

/** A new idempotency key. */
export const attemptKey = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].join("-");
