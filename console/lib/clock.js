// The time, for countdowns and "4 min ago": one timer for the page.
import { useEffect, useState } from "./html.js";

const watchers = new Set();
setInterval(() => {
  if (!document.hidden) for (const watcher of watchers) watcher(Date.now());
}, 1000);

/** Milliseconds since 1970, anew every `every` seconds. */
export function useNow(every = 1) {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    let count = 0;
    const watcher = (at) => {
      count += 1;
      if (count % every === 0) set(at);
    };
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  }, [every]);
  return now;
}
