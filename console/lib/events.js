// Which events make which answer old.
const begins = (...prefixes) => (event) => prefixes.some((prefix) => event.type.startsWith(prefix));
const about = (id, ...prefixes) => (event) => event.workspace_id === id && prefixes.some((prefix) => event.type.startsWith(prefix));

/** The list of workspaces: their states, turns, queues and debts. */
export const organisation = begins("workspace.", "run.", "turn.", "message.", "secret.", "approval.decide");
/** One workspace. */
export const workspace = (id) => about(id, "workspace.", "run.", "turn.", "message.", "secret.", "approval.");
/** Its conversation. */
export const conversation = (id) => about(id, "message.", "turn.", "run.");
/** Secrets, of a workspace (inherited ones too) or of the organisation. */
export const secrets = begins("secret.", "run.", "approval.", "token.");
/** Requests that wait, and those that ended. What they would do depends on the agents, so turns count as well. */
export const approvals = (event) =>
  event.approval_id != null || event.outcome === "held" || begins("approval.", "turn.", "run.", "workspace.status")(event);
export const tokens = begins("token.", "enrolment.", "claim.", "approval.");
export const operators = begins("operator.", "session.", "invite.");
export const policies = begins("policy.");
export const anything = () => true;
