// What a role may ask for, so that the console does not offer what would be refused. The server decides all the same; a
// test holds this table against the policy matrix.
const ALL = ["secret.set", "secret.delete", "secret.undelete", "secret.rollback", "secret.activate", "secret.change_set", "secret.import",
  "secret.request", "workspace.create", "workspace.rename", "workspace.configure", "workspace.restart", "workspace.pause",
  "workspace.resume", "workspace.apply", "message.send", "approval.ask", "approval.withdraw"];
const APPROVER = [...ALL, "token.mint", "token.revoke", "enrolment.issue", "workspace.reparent", "workspace.remove", "workspace.force_stop",
  "approval.decide"];

/** Verbs of each role, on an ordinary workspace. */
export const MAY = {
  auditor: [],
  member: ALL,
  approver: APPROVER,
  owner: [...APPROVER, "secret.destroy", "operator.create", "operator.update", "policy.add", "policy.remove", "key.rotate"],
};

/** Verbs that a member has on ordinary workspaces only, not on the root and not for the whole organisation. */
const ORDINARY_ONLY = new Set([...ALL, "token.mint"].filter((verb) => verb !== "workspace.create" && verb !== "message.send" && verb !== "approval.withdraw"));

/** Whether a role may do this; `wide` when it reaches the root or the whole organisation. */
export function may(role, verb, wide = false) {
  if (!MAY[role]?.includes(verb)) return false;
  return !(wide && role === "member" && ORDINARY_ONLY.has(verb));
}

/** Why not, in words. */
export function whyNot(role, verb, wide = false) {
  const able = Object.keys(MAY).filter((other) => may(other, verb, wide));
  return `Your role (${role}) may not do this; ${able.length ? able.join(" or ") : "nobody"} may.`;
}
