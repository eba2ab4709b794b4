// What waits for a human: asked once, for the header, the inbox, the map and the secrets alike.
import { useGet } from "./query.js";
import * as concerns from "./events.js";

/** The most that the server tells of; where there are as many there may be more. */
export const PENDING_MAX = 200;

export const usePending = () => useGet(`/approvals/pending?limit=${PENDING_MAX}`, concerns.approvals);
