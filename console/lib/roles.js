// What a role may ask for, so that the console does not offer what would be refused. The server decides all the same; a
// test holds this table against the policy matrix.
const EVERYBODY = ["audit.export"];
const MEMBER = [...EVERYBODY, "secret.set", "secret.delete", "secret.undelete", "secret.rollback", "secret.activate", "secret.change_set", "secret.import",
  "secret.request", "workspace.create", "workspace.rename", "workspace.configure", "workspace.restart", "workspace.pause",
  "workspace.resume", "workspace.apply", "message.send", "approval.ask", "approval.withdraw"];
const APPROVER = [...MEMBER, "token.mint", "token.revoke", "enrolment.issue", "workspace.reparent", "workspace.remove", "workspace.force_stop",
  "approval.decide"];

/** Verbs of each role, on an ordinary workspace. Who asked decides nothing here: nobody decides what they asked for. */
export const MAY = {
  auditor: EVERYBODY,
  member: MEMBER,
  approver: APPROVER,
  owner: [...APPROVER, "secret.destroy", "operator.create", "operator.update", "operator.invite", "policy.add", "policy.remove", "key.rotate"],
};

/** Verbs that a member has on the root and for the whole organisation as well. */
const ANYWHERE = new Set([...EVERYBODY, "workspace.create", "message.send", "approval.withdraw"]);

/** Whether a role may do this; `wide` when it reaches the root or the whole organisation. */
export function may(role, verb, wide = false) {
  if (!MAY[role]?.includes(verb)) return false;
  return !wide || role !== "member" || ANYWHERE.has(verb);
}

/** Why not, in words. */
export function whyNot(role, verb, wide = false) {
  const able = Object.keys(MAY).filter((other) => may(other, verb, wide));
  return `Your role (${role}) may not do this; ${able.length ? able.join(" or ") : "nobody"} may.`;
}
