// One stream of events for everything that is shown, resumed where it broke off. Read with `fetch`, because a page must see
// whether it was refused (signed out) or merely cut off, which `EventSource` hides. Browsers allow few connections to one
// server, so of several windows one listens and tells the others; when it goes, another takes over at the same position.
import { loadSession, session } from "./api.js";
import { signal } from "./signal.js";

/** How long until the next attempt, in milliseconds; longer after each failure. */
const WAITS = [500, 1000, 2000, 4000, 8000, 15000];
/** After this many failures in a row, pages ask for themselves until the stream is back. */
const POLL_AFTER = 2;
const POLL_EVERY = 10_000;
/** The server speaks at least every ten seconds; a connection that is silent for longer is taken for dead. */
const SILENCE = 25_000;

/** `off`, `connecting`, `live`, `reconnecting` or `polling`. */
export const connection = signal("off");

const listeners = new Set();
let running = null;
let position = null;

/** Calls `listener` with every event; `{type: "reset"}` means that everything shown may be old. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const readers = new Set();

/** Calls `reader` with replies that are being written: `{workspace_id, message_id, text}`. They are no events: nothing keeps them. */
export function readReplies(reader) {
  readers.add(reader);
  return () => readers.delete(reader);
}

function tell(event) {
  if (event.type === "turn.progress") {
    for (const reader of [...readers]) reader(event);
    return;
  }
  for (const listener of [...listeners]) listener(event);
}

/** To the other windows of this browser; nothing where it has none of that. */
const windows = globalThis.BroadcastChannel ? new BroadcastChannel("portcullis-events") : null;
let leads = false;

/** Tells this window, and the others if it is the one that listens. */
function pass(event) {
  tell(event);
  if (leads) windows?.postMessage({ event, position });
}

function show(state) {
  connection.set(state);
  if (leads) windows?.postMessage({ state, position });
}

/** A window that is told nothing for longer than the one that listens may be silent does not believe that all is well. */
let told = null;
function expectWord() {
  clearTimeout(told);
  told = setTimeout(() => {
    if (leads || !running) return;
    connection.set("polling");
    tell({ type: "poll" });
    expectWord();
  }, SILENCE + POLL_EVERY);
}

windows?.addEventListener("message", ({ data }) => {
  if (leads && !data.signedIn) {
    if (data.hello) windows.postMessage({ state: connection.get(), position });
    return;
  }
  if (data.signedIn) loadSession().catch(() => {});
  if (!running) return;
  expectWord();
  if (data.position !== undefined) position = data.position;
  if (data.state) connection.set(data.state);
  if (data.event) tell(data.event);
});

/** Somebody signed in here: the other windows have the same session. */
export const announceSignIn = () => windows?.postMessage({ signedIn: true });

/** Begins to listen, or goes on. */
export function connect() {
  if (running) return;
  running = new AbortController();
  const { signal: stop } = running;
  if (!windows || !navigator.locks) {
    follow(stop);
    return;
  }
  connection.set("connecting");
  windows.postMessage({ hello: true });
  expectWord();
  const lead = async () => {
    leads = true;
    await follow(stop);
    leads = false;
  };
  // Held as long as this window listens; given to the next when it closes.
  navigator.locks.request("portcullis-events", { signal: stop }, lead).catch(() => {});
}

/** Stops listening: nobody is signed in. */
export function disconnect() {
  running?.abort();
  running = null;
  position = null;
  connection.set("off");
}

async function follow(stop) {
  let failures = 0;
  let poll = null;
  const polling = (on) => {
    if (on && poll === null) poll = setInterval(() => pass({ type: "poll" }), POLL_EVERY);
    if (!on && poll !== null) {
      clearInterval(poll);
      poll = null;
    }
  };
  show("connecting");
  while (!stop.aborted) {
    const outcome = await read(stop, () => {
      failures = 0;
      polling(false);
      show("live");
      // What happened in between comes by the stream itself. Without a position to go on from, what was asked for before the
      // stream was open may be old already.
      if (position === null) pass({ type: "reset" });
    });
    if (stop.aborted) break;
    if (outcome === "signed out") {
      polling(false);
      running = null;
      show("off");
      pass({ type: "signed out" });
      return;
    }
    failures += 1;
    show(failures > POLL_AFTER ? "polling" : "reconnecting");
    polling(failures > POLL_AFTER);
    await pause(WAITS[Math.min(failures, WAITS.length) - 1], stop);
  }
  polling(false);
}

/** Waits, but not once the machine says that it is online again. */
function pause(ms, stop) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      stop.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms + Math.random() * 250);
    addEventListener("online", done);
    stop.addEventListener("abort", done);
  });
}

async function read(stop, opened) {
  const attempt = new AbortController();
  const end = () => attempt.abort();
  stop.addEventListener("abort", end);
  addEventListener("offline", end);
  let silence = setTimeout(end, SILENCE);
  try {
    const headers = { accept: "text/event-stream" };
    if (position !== null) headers["last-event-id"] = String(position);
    const response = await fetch("/events", { headers, signal: attempt.signal, credentials: "same-origin", cache: "no-store" });
    if (response.status === 401) return "signed out";
    if (!response.ok) return "refused";
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return "ended";
      clearTimeout(silence);
      silence = setTimeout(end, SILENCE);
      // The server speaks every ten seconds; so do we to the other windows.
      if (leads) windows.postMessage({ state: connection.get(), position });
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) take(block);
    }
  } catch {
    return "broken";
  } finally {
    clearTimeout(silence);
    stop.removeEventListener("abort", end);
    removeEventListener("offline", end);
  }
}

function take(block) {
  let type = "";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("id:")) position = line.slice(3).trim();
    else if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5);
  }
  if (!type) return;
  if (type === "reset") {
    pass({ type });
    return;
  }
  try {
    pass({ ...JSON.parse(data), type });
  } catch {
    pass({ type: "reset" });
  }
}

// Who is signed in decides whether there is anything to listen to.
session.watch((who) => (who ? connect() : disconnect()));
