// One stream of events for everything that is shown, resumed where it broke off. Read with `fetch`, because a page must see
// whether it was refused (signed out) or merely cut off, which `EventSource` hides.
import { session } from "./api.js";
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

function tell(event) {
  for (const listener of [...listeners]) listener(event);
}

/** Begins to listen, or goes on. */
export function connect() {
  if (running) return;
  running = new AbortController();
  follow(running.signal);
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
    if (on && poll === null) poll = setInterval(() => tell({ type: "poll" }), POLL_EVERY);
    if (!on && poll !== null) {
      clearInterval(poll);
      poll = null;
    }
  };
  connection.set("connecting");
  while (!stop.aborted) {
    const outcome = await read(stop, () => {
      const wasDown = failures > 0;
      failures = 0;
      polling(false);
      connection.set("live");
      // What happened in between comes by the stream itself, unless there was no position to go on from.
      if (wasDown && position === null) tell({ type: "reset" });
    });
    if (stop.aborted) break;
    if (outcome === "signed out") {
      polling(false);
      running = null;
      connection.set("off");
      tell({ type: "signed out" });
      return;
    }
    failures += 1;
    connection.set(failures > POLL_AFTER ? "polling" : "reconnecting");
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
    tell({ type });
    return;
  }
  try {
    tell({ ...JSON.parse(data), type });
  } catch {
    tell({ type: "reset" });
  }
}

// Who is signed in decides whether there is anything to listen to.
session.watch((who) => (who ? connect() : disconnect()));
