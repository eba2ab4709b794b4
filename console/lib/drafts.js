// What was typed and not sent, as long as this page lives: changing a tab or signing in again loses nothing.
const kept = new Map();

export const drafts = {
  get: (name) => kept.get(name) ?? "",
  set(name, text) {
    if (text) kept.set(name, text);
    else kept.delete(name);
  },
};
