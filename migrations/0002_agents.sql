-- Agents that run: runs, turns and messages. Times are milliseconds since the epoch. Ids are UUID text.

-- Until now the text said nothing to anybody. From here on it is a runtime as JSON, or null for an agent that runs elsewhere.
UPDATE workspaces SET runtime = NULL;

-- Why it is in its state, in a sentence.
ALTER TABLE workspaces ADD COLUMN status_reason TEXT NOT NULL DEFAULT '';
-- Up to which generation a human let the root be restarted; it never is by itself.
ALTER TABLE workspaces ADD COLUMN apply_generation {{int}} NOT NULL DEFAULT 0;
-- Since when no new message is delivered, because its agent is to stop at the turn boundary.
ALTER TABLE workspaces ADD COLUMN drain_since {{int}};
-- The run that a human wants stopped at once.
ALTER TABLE workspaces ADD COLUMN force_boot TEXT;
-- The question whether to cut a turn that does not end.
ALTER TABLE workspaces ADD COLUMN asked_approval TEXT;
-- A small number of its own, for a user id of its own. Never given to another workspace.
ALTER TABLE workspaces ADD COLUMN slot {{int}};
-- Crashes before this are not counted: somebody else than the agent changed something about it.
ALTER TABLE workspaces ADD COLUMN crashes_since {{int}} NOT NULL DEFAULT 0;
-- What its agent said of itself, as JSON.
ALTER TABLE workspaces ADD COLUMN agent_card TEXT;

-- One row per execution of an agent. Committed, with the verifier of its token, before anything is started (R-35).
CREATE TABLE runs (
    boot_id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    generation {{int}} NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('process', 'container', 'external')),
    state TEXT NOT NULL CHECK (state IN ('live', 'ended')),
    credential_id TEXT NOT NULL REFERENCES credentials (id),
    spec TEXT NOT NULL,
    -- Keyed tokens over what was delivered as variables and as files: equal tokens, equal content.
    variables_token TEXT NOT NULL,
    files_token TEXT NOT NULL,
    -- Which version of each key it was given, as JSON. Names and numbers.
    versions TEXT NOT NULL,
    context TEXT NOT NULL,
    why TEXT NOT NULL,
    started_at {{int}} NOT NULL,
    registered_at {{int}},
    wants_handoff {{int}} NOT NULL DEFAULT 0,
    handoff TEXT,
    -- When an agent that runs elsewhere last pulled its bundle, and until when that counts as fresh.
    pulled_at {{int}},
    lease_expires_at {{int}},
    ended_at {{int}},
    -- It ended by itself; counted by the back-off.
    crash {{int}} NOT NULL DEFAULT 0,
    -- It cannot be started, however often it is tried.
    hopeless {{int}} NOT NULL DEFAULT 0,
    cause TEXT,
    exit_code {{int}},
    exit_signal {{int}},
    detail TEXT,
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
-- No two runs of one agent at a time.
CREATE UNIQUE INDEX runs_one_live ON runs (workspace_id) WHERE state = 'live';
CREATE INDEX runs_workspace ON runs (workspace_id, started_at);
CREATE INDEX runs_credential ON runs (credential_id);

-- To an agent ('in'), or from one to the people ('out'). Texts are redacted before they come here.
CREATE TABLE messages (
    seq {{int}} PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    sender_kind TEXT NOT NULL,
    sender_id TEXT NOT NULL,
    sender_name TEXT NOT NULL,
    -- The sender's own id of it: the same id again is the same message.
    message_id TEXT NOT NULL,
    context_id TEXT,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    -- Keys whose values a program said in it, one a line: what it knows already, so that no marker tells it anything.
    said TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'completed', 'failed', 'cancelled')),
    turn_id TEXT,
    reply TEXT,
    error TEXT,
    created_at {{int}} NOT NULL,
    ended_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
CREATE UNIQUE INDEX messages_once ON messages (workspace_id, sender_kind, sender_id, message_id);
CREATE INDEX messages_queue ON messages (workspace_id, seq) WHERE state = 'queued';
CREATE INDEX messages_workspace ON messages (workspace_id, seq);
CREATE INDEX messages_out ON messages (workspace_id, created_at) WHERE direction = 'out';

-- The work on one message by one run. It ends once: a run that dies takes its turn along, and nobody repeats it (R-77).
CREATE TABLE turns (
    id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    boot_id TEXT NOT NULL REFERENCES runs (boot_id),
    message_id TEXT NOT NULL REFERENCES messages (id),
    state TEXT NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'lost')),
    started_at {{int}} NOT NULL,
    ended_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
CREATE UNIQUE INDEX turns_one_running ON turns (workspace_id) WHERE state = 'running';
CREATE UNIQUE INDEX turns_message ON turns (message_id);
CREATE INDEX turns_workspace ON turns (workspace_id, started_at);
CREATE INDEX workspaces_drain ON workspaces (drain_since) WHERE drain_since IS NOT NULL;
