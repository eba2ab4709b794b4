// Addresses. Each page has one, so that it can be sent to a colleague, kept and come back to.
import { signal, useSignal } from "./signal.js";

const here = () => ({ path: location.pathname.replace(/\/+$/, "") || "/", query: location.search });
export const address = signal(here());

let guard = null;
/** Which entry of the history this is, kept in the entry itself, so that back is told from forward. */
let step = history.state?.step ?? 0;
/** The browser is on its way back to where it was, because leaving is asked about first. */
let returning = false;
if (history.state?.step === undefined) history.replaceState({ step }, "");

addEventListener("popstate", () => {
  if (returning) {
    returning = false;
    return;
  }
  const way = (history.state?.step ?? 0) - step;
  if (guard && way !== 0) {
    returning = true;
    history.go(-way);
    guard(() => {
      guard = null;
      history.go(way);
    });
    return;
  }
  step += way;
  address.set(here());
});

/** While set, `ask(proceed)` is called instead of leaving: for a form with input that is not saved. */
export function guardLeaving(ask) {
  guard = ask;
}
addEventListener("beforeunload", (event) => {
  if (guard) event.preventDefault();
});

/** Goes to an address of the console. `replace` leaves none behind to come back to. */
export function go(to, { replace = false, anyway = false } = {}) {
  if (guard && !anyway) {
    guard(() => go(to, { replace, anyway: true }));
    return;
  }
  guard = null;
  if (!replace) step += 1;
  history[replace ? "replaceState" : "pushState"]({ step }, "", to);
  address.set(here());
  if (!replace) scrollTo(0, 0);
}

/** The parameters of the address's query, and how to change them in place. */
export function useQueryParameters() {
  const parameters = new URLSearchParams(useSignal(address).query);
  const set = (changes) => {
    // As it is now: another change may have come since this was rendered.
    const { path, query } = address.get();
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") next.delete(name);
      else next.set(name, value);
    }
    const text = next.toString();
    go(path + (text ? `?${text}` : ""), { replace: true, anyway: true });
  };
  return [parameters, set];
}

/** A part of a path as text; one that cannot be read as such is left as it is, and names nothing. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Matches `/console/workspaces/:id` against a path; gives the parameters or null. */
export function match(pattern, path) {
  const wanted = pattern.split("/");
  const found = path.split("/");
  if (wanted.length !== found.length) return null;
  const parameters = {};
  for (let i = 0; i < wanted.length; i += 1) {
    if (wanted[i].startsWith(":")) parameters[wanted[i].slice(1)] = decoded(found[i]);
    else if (wanted[i] !== found[i]) return null;
  }
  return parameters;
}

// Every link within the console changes the page in place; a modifier key still opens a new tab.
addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
  if (link.pathname !== "/console" && !link.pathname.startsWith("/console/")) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
