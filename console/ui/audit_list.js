// The log as a timeline, newest first: new events appear on top, older ones as one scrolls. What is far off the screen is not
// there, only its height is, so that ten thousand rows scroll as a hundred do.
import { html, useCallback, useEffect, useRef, useState } from "../lib/html.js";
import { get } from "../lib/api.js";
import { listen } from "../lib/live.js";
import { useNames } from "../lib/names.js";
import { words } from "../lib/format.js";
import { Empty, Loading, Problem, When } from "./basic.js";
import { OutcomeBadge } from "./state.js";

const PAGE = 100;
/** Rows that come and go together, at most; and how far from the screen they stay, in pixels. */
const CHUNK_MAX = 150;
const NEAR = "9000px";
/** About how high a row is, until its chunk was measured. */
const ROW = 41;
const NOTHING_YET = { chunks: [], names: {}, error: null, loading: true, known: false, next: null };

const queryOf = (filters) => new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== "" && value != null)).toString();

let chunkCount = 0;
const chunkOf = (events) => ({ key: (chunkCount += 1), events });

/** The list with newer events on top: in the topmost chunk as long as there is room in it. */
function withNewer(chunks, fresh) {
  const [top, ...rest] = chunks;
  if (top && top.events.length + fresh.length <= CHUNK_MAX) return [{ key: top.key, events: [...fresh, ...top.events] }, ...rest];
  return [chunkOf(fresh), ...chunks];
}

/** `{chunks, names, error, loading, more, end}` of a filtered log; follows it as it grows. */
function useLog(path, filters) {
  const query = queryOf(filters);
  const [state, set] = useState(NOTHING_YET);
  const current = useRef(state);
  current.current = state;
  const busy = useRef(false);
  // Which question is being answered: what comes for an earlier one is not shown.
  const asked = useRef(0);

  const load = useCallback(async (after) => {
    if (busy.current) return;
    busy.current = true;
    const question = asked.current;
    set((old) => ({ ...old, loading: true, error: null }));
    try {
      const page = await get(`${path}?order=desc&limit=${PAGE}${query ? `&${query}` : ""}${after ? `&after=${after}` : ""}`);
      if (question !== asked.current) return;
      set((old) => {
        // Asked for twice, it is taken once.
        if (after && old.next !== after) return { ...old, loading: false };
        const more = page.events.length > 0 ? [chunkOf(page.events)] : [];
        const chunks = after ? [...old.chunks, ...more] : more;
        const names = { ...(after ? old.names : {}), ...page.names };
        return { chunks, names, error: null, loading: false, known: true, next: page.next_after };
      });
    } catch (error) {
      if (question !== asked.current) return;
      set((old) => ({ ...old, error, loading: false }));
    }
    busy.current = false;
  }, [path, query]);

  useEffect(() => {
    let timer = null;
    let over = false;
    busy.current = false;
    asked.current += 1;
    set(NOTHING_YET);
    load(null);
    const newer = async () => {
      timer = null;
      const newest = current.current.chunks[0]?.events[0].id;
      if (busy.current) {
        timer = setTimeout(newer, 500);
        return;
      }
      if (newest === undefined) {
        load(null);
        return;
      }
      try {
        const page = await get(`${path}?order=asc&limit=500${query ? `&${query}` : ""}&after=${newest}`);
        if (!over && page.events.length > 0) {
          set((old) => {
            const first = old.chunks[0]?.events[0].id ?? 0;
            const fresh = page.events.filter((event) => event.id > first).reverse();
            if (fresh.length === 0) return old;
            return { ...old, chunks: withNewer(old.chunks, fresh), names: { ...old.names, ...page.names } };
          });
          if (page.next_after) timer ??= setTimeout(newer, 400);
        }
      } catch {
        // The next event, or the next poll, tries again; what is shown stays true.
      }
    };
    const stop = listen((event) => {
      if (event.type === "reset") load(null);
      else timer ??= setTimeout(newer, 400);
    });
    return () => {
      over = true;
      clearTimeout(timer);
      stop();
    };
  }, [path, query]);
  return { ...state, more: () => state.next && load(state.next), reload: () => load(null) };
}

export function AuditList({ path, filters = {}, compact }) {
  const log = useLog(path, filters);
  const nameOf = useNames();
  const sentinel = useRef(null);
  useEffect(() => {
    // After a failure it is asked again by hand, not in a circle.
    if (!sentinel.current || log.error) return undefined;
    const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && log.more(), { rootMargin: "600px" });
    observer.observe(sentinel.current);
    return () => observer.disconnect();
  }, [log.next, log.loading, log.error]);
  const name = (principal) => log.names[principal.id] ?? nameOf(principal);
  if (log.chunks.length === 0) {
    if (log.error) return html`<${Problem} error=${log.error} onRetry=${log.reload} />`;
    if (!log.known) return html`<${Loading} what="Loading the log" />`;
    return html`<div class="card"><${Empty} icon="log" title="No events"><p>${queryOf(filters) ? "Nothing in the log fits these filters." : "Nothing has happened yet."}</p><//></div>`;
  }
  return html`<div class=${`card flush${compact ? " compact" : ""}`} role="group" aria-label="Audit events">${log.chunks.map((chunk) => html`<${Chunk} key=${chunk.key} events=${chunk.events} name=${name} names=${log.names} />`)}</div>
    <${Problem} error=${log.error} onRetry=${log.more} />
    <div ref=${sentinel} class="row center">${log.next && log.loading ? html`<${Loading} what="Older events" />` : log.next ? html`<p class="fine">Older events follow as you scroll.</p>` : html`<p class="fine">This is the beginning.</p>`}</div>`;
}

/** Rows near the screen, or the room they take. */
function Chunk({ events, name, names }) {
  const ref = useRef(null);
  const [near, setNear] = useState(true);
  const height = useRef(events.length * ROW);
  useEffect(() => {
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (!entry.isIntersecting && entry.boundingClientRect.height > 0) height.current = entry.boundingClientRect.height;
        setNear(entry.isIntersecting);
      },
      { rootMargin: `${NEAR} 0px` },
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return html`<ol ref=${ref} class="timeline" style=${{ height: near ? "" : `${height.current}px` }}>${near && events.map((event) => html`<${Row} key=${event.id} event=${event} name=${name} names=${names} />`)}</ol>`;
}

function Row({ event, name, names }) {
  const where = event.workspace_id && (names[event.workspace_id] ?? name({ kind: "agent", id: event.workspace_id }));
  return html`<li><a href=${`/console/audit/${event.id}`} class="event" data-control="audit.event">
    <span class="event-time"><${When} at=${event.at} /></span>
    <${OutcomeBadge} outcome=${event.outcome} />
    <span class="event-what"><strong>${event.event}</strong>${event.key && html` <code>${event.key}</code>`}${where && html` <span class="quiet">· ${where}</span>`}${event.code && html` <code class="code-word">${event.code}</code>`}${event.reason && !event.code && html` <span class="fine">${words(event.reason)}</span>`}</span>
    <span class="event-who fine">${name(event.subject)}</span></a></li>`;
}
