// What was typed and not sent, as long as this page lives: changing a tab or signing in again loses nothing.
const kept = new Map();

export const drafts = {
  get: (name) => kept.get(name) ?? "",
  /** Somebody else may sit here next. */
  clear: () => kept.clear(),
  set(name, text) {
    if (text) kept.set(name, text);
    else kept.delete(name);
  },
};
