// Words for times, states and things.
const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const fullTime = (text) => time.format(new Date(text));
export const onDay = (text) => day.format(new Date(text));

const STEPS = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [Infinity, "d"],
];

/** `4 min`, `2 h`: a duration in its largest unit. */
export function duration(ms) {
  let value = Math.max(0, Math.floor(ms / 1000));
  for (const [size, unit] of STEPS) {
    if (value < size) return `${value} ${unit}`;
    value = Math.floor(value / size);
  }
  return "";
}

/** `4 min ago`, `just now`. */
export function ago(text, now = Date.now()) {
  const ms = now - new Date(text).getTime();
  return ms < 5000 ? "just now" : `${duration(ms)} ago`;
}

/** `in 4 min`, `1:09` in the last hour, `expired`. */
export function until(text, now = Date.now()) {
  const ms = new Date(text).getTime() - now;
  if (ms <= 0) return "expired";
  if (ms >= 3_600_000) return `in ${duration(ms)}`;
  const seconds = Math.floor(ms / 1000);
  return `in ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** The first words of an id, for what has no name. */
export const short = (id) => (id && id.length > 13 ? `…${id.slice(-8)}` : id || "");

/** Words for verbs, in the form "wants to …". */
export const VERBS = {
  "secret.set": "set a secret",
  "secret.delete": "delete a secret",
  "secret.undelete": "bring a secret back",
  "secret.destroy": "destroy a secret",
  "secret.rollback": "roll a secret back",
  "secret.activate": "activate a version",
  "secret.change_set": "change several secrets",
  "secret.import": "import secrets",
  "secret.request": "ask for a secret",
  "token.mint": "mint a token",
  "token.revoke": "revoke a token",
  "enrolment.issue": "issue an enrolment code",
  "workspace.create": "create a workspace",
  "workspace.rename": "rename a workspace",
  "workspace.reparent": "move a workspace",
  "workspace.configure": "change how an agent runs",
  "workspace.restart": "restart an agent",
  "workspace.pause": "pause a workspace",
  "workspace.resume": "resume a workspace",
  "workspace.remove": "remove a workspace",
  "workspace.apply": "apply a pending restart",
  "workspace.force_stop": "stop an agent in its turn",
  "message.send": "send a message",
  "approval.ask": "ask a question",
  "approval.decide": "decide an approval",
  "approval.withdraw": "withdraw a request",
  "operator.create": "create an operator",
  "operator.update": "change an operator",
  "policy.add": "add a policy",
  "policy.remove": "remove a policy",
  "key.rotate": "rotate the data key",
  "audit.export": "export the audit log",
};
export const verb = (word) => VERBS[word] ?? word;

/** What a change takes at an agent that runs. */
export const TAKES = {
  restart_after_turn: "restarts after its turn",
  apply: "waits until a human applies it; never restarted by itself",
  stop: "is stopped",
  file: "gets the file at once, without a restart",
  nothing: "is not interrupted",
};

export const LENGTHS = { short: "under 16 bytes", medium: "16 to 255 bytes", long: "256 bytes and more" };
export const words = (text) => (text || "").replaceAll("_", " ");
