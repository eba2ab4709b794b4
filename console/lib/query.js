// What the server said, shared by all who show it, and asked again when an event says that it has changed.
import { useEffect, useState } from "./html.js";
import { get } from "./api.js";
import { listen } from "./live.js";

/** Shortest time between two questions for the same thing, in milliseconds: a busy organisation must not flood its server. */
const CALM = 700;

const entries = new Map();

class Entry {
  constructor(path) {
    this.path = path;
    this.state = { data: undefined, error: null, loading: false, at: 0 };
    this.watchers = new Map();
    this.timer = null;
    this.asked = 0;
    this.running = false;
    this.again = false;
  }

  set(change) {
    this.state = { ...this.state, ...change };
    for (const notify of [...this.watchers.keys()]) notify(this.state);
  }

  /** Asks again: now, or a little later if it was asked a moment ago. */
  refresh() {
    if (this.timer !== null) return;
    const wait = Math.max(0, this.asked + CALM - Date.now());
    this.timer = setTimeout(() => {
      this.timer = null;
      this.load();
    }, wait);
  }

  /** One question at a time, and once more if something happened meanwhile: on a slow line too there is an answer. */
  async load() {
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = true;
    this.again = false;
    this.asked = Date.now();
    this.set({ loading: true });
    try {
      const data = await get(this.path);
      this.set({ data, error: null, loading: false, at: Date.now() });
    } catch (error) {
      this.set({ error, loading: false });
    }
    this.running = false;
    if (this.again) this.refresh();
  }
}

listen((event) => {
  for (const [path, entry] of entries) {
    if (entry.watchers.size === 0) {
      // Nobody shows it: forgotten, so that the next who does asks anew.
      if (entry.timer === null && !entry.state.loading) entries.delete(path);
      continue;
    }
    const all = event.type === "reset" || event.type === "poll";
    if (all || [...entry.watchers.values()].some((concerns) => concerns?.(event))) entry.refresh();
  }
});

/**
 * The answer to `GET path`: `{data, error, loading, reload}`. `concerns(event)` says which events make it old. A null path
 * asks nothing. While a new answer is awaited, the old one stays.
 */
export function useGet(path, concerns) {
  let entry = path ? entries.get(path) : null;
  if (path && !entry) {
    entry = new Entry(path);
    entries.set(path, entry);
  }
  const [state, set] = useState(entry ? entry.state : { data: undefined, error: null, loading: false });
  useEffect(() => {
    if (!entry) {
      set({ data: undefined, error: null, loading: false });
      return undefined;
    }
    entries.set(path, entry);
    entry.watchers.set(set, concerns);
    set(entry.state);
    if (entry.asked === 0 || (Date.now() - entry.asked > CALM && entry.watchers.size === 1)) entry.load();
    return () => entry.watchers.delete(set);
  }, [path]);
  if (entry && entry.watchers.has(set)) entry.watchers.set(set, concerns);
  const shown = entry ? entry.state : state;
  return { ...shown, reload: () => entry?.load() };
}

/** Asks again for everything whose path begins like this: after an own change, without waiting for its event. */
export function refresh(prefix) {
  for (const [path, entry] of entries) {
    if (path.startsWith(prefix) && entry.watchers.size > 0) entry.load();
  }
}

/** Forgets everything: somebody else is signed in. */
export function forget() {
  for (const [path, entry] of entries) {
    if (entry.watchers.size === 0) entries.delete(path);
    else entry.load();
  }
}
