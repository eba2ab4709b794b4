-- The schema of Portcullis, one text for SQLite and PostgreSQL. Times are milliseconds since the epoch. Ids are UUID text.
-- Every privileged row names the audit event that allowed it: no audit, no effect, said a second time by the database.

-- Locked by the one writer before it reads anything.
CREATE TABLE writer_lock (id {{int}} PRIMARY KEY){{strict}};

-- organisation_id, log_origin, created_at.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL){{strict}};

-- Append-only and chained: hash covers prev_hash and every other column. The columns are the truth; there is no copy.
CREATE TABLE audit (
    seq {{int}} PRIMARY KEY,
    at_ms {{int}} NOT NULL,
    event TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'held', 'refused', 'failed')),
    request_id TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    lineage TEXT NOT NULL,
    verb TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    workspace_id TEXT,
    key TEXT,
    rule TEXT NOT NULL,
    code TEXT,
    reason TEXT,
    issue TEXT,
    approval_id TEXT,
    consequences TEXT NOT NULL,
    detail TEXT NOT NULL,
    prev_hash {{bytes}} NOT NULL,
    hash {{bytes}} NOT NULL
){{strict}};
CREATE INDEX audit_workspace ON audit (workspace_id, seq) WHERE workspace_id IS NOT NULL;
CREATE INDEX audit_approval ON audit (approval_id, seq) WHERE approval_id IS NOT NULL;

-- The head, signed at every commit, and the checkpoints that are kept.
CREATE TABLE audit_head (id {{int}} PRIMARY KEY CHECK (id = 1), size {{int}} NOT NULL, hash {{bytes}} NOT NULL, note TEXT NOT NULL){{strict}};
CREATE TABLE checkpoints (size {{int}} PRIMARY KEY, at_ms {{int}} NOT NULL, note TEXT NOT NULL){{strict}};

-- What live clients follow. Names and ids only. Pruned from the front; the audit log is not.
CREATE TABLE events (
    id {{int}} PRIMARY KEY,
    at_ms {{int}} NOT NULL,
    type TEXT NOT NULL,
    workspace_id TEXT,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    payload TEXT NOT NULL
){{strict}};

-- Keys, wrapped by the root key. purpose: 'data' seals values, 'digest' fingerprints them, 'signing' signs checkpoints.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL CHECK (purpose IN ('data', 'digest', 'signing')),
    wrapped {{bytes}} NOT NULL,
    root_key_id TEXT NOT NULL,
    created_at {{int}} NOT NULL,
    retired_at {{int}}
){{strict}};

CREATE TABLE workspaces (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('platform', 'workspace')),
    parent_id TEXT REFERENCES workspaces (id),
    runtime TEXT,
    status TEXT NOT NULL CHECK (status IN ('provisioning', 'online', 'degraded', 'draining', 'restarting', 'paused', 'offline', 'failed', 'removed')),
    desired_state TEXT NOT NULL CHECK (desired_state IN ('running', 'paused', 'removed')),
    desired_generation {{int}} NOT NULL,
    observed_generation {{int}} NOT NULL,
    created_at {{int}} NOT NULL,
    created_by TEXT NOT NULL,
    updated_at {{int}} NOT NULL,
    audit_id {{int}} NOT NULL REFERENCES audit (seq),
    -- Exactly the root has no parent, and the root is never removed.
    CHECK ((kind = 'platform') = (parent_id IS NULL)),
    CHECK (NOT (kind = 'platform' AND status = 'removed'))
){{strict}};
-- One root (R-10), on both engines.
CREATE UNIQUE INDEX workspaces_one_root ON workspaces (kind) WHERE kind = 'platform';
CREATE INDEX workspaces_parent ON workspaces (parent_id);

-- One per restart that a committed change asks for.
CREATE TABLE intents (
    id {{int}} PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id),
    generation {{int}} NOT NULL,
    effect TEXT NOT NULL,
    audit_id {{int}} NOT NULL REFERENCES audit (seq),
    created_at {{int}} NOT NULL
){{strict}};
CREATE INDEX intents_workspace ON intents (workspace_id, generation);

-- scope is 'organisation' or a workspace's id. Two pointers: latest (put) and active (activated).
CREATE TABLE secrets (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('live', 'deleted', 'slot')),
    latest {{int}} NOT NULL,
    active {{int}},
    description TEXT,
    created_at {{int}} NOT NULL,
    updated_at {{int}} NOT NULL,
    updated_by TEXT NOT NULL,
    audit_id {{int}} NOT NULL REFERENCES audit (seq),
    PRIMARY KEY (scope, key)
){{strict}};
CREATE INDEX secrets_key ON secrets (key, scope);

CREATE TABLE secret_versions (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    version {{int}} NOT NULL,
    -- Null once destroyed.
    sealed {{bytes}},
    key_id TEXT,
    -- Keyed digest: equality is visible to the platform, content is not.
    digest {{bytes}},
    delivery TEXT NOT NULL CHECK (delivery IN ('env', 'file')),
    origin TEXT NOT NULL,
    base_version {{int}} NOT NULL,
    created_at {{int}} NOT NULL,
    created_by TEXT NOT NULL,
    approval_id TEXT,
    approved_by TEXT,
    reason TEXT,
    expires_at {{int}},
    reminded_at {{int}},
    destroyed_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq),
    PRIMARY KEY (scope, key, version),
    FOREIGN KEY (scope, key) REFERENCES secrets (scope, key)
){{strict}};
CREATE INDEX secret_versions_expiry ON secret_versions (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX secret_versions_key_id ON secret_versions (key_id);

CREATE TABLE operators (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'approver', 'member', 'auditor')),
    groups_json TEXT NOT NULL,
    created_at {{int}} NOT NULL,
    disabled_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};

-- Every credential of every kind. Only a hash is stored. principal_* never changes by minting.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('admin', 'organisation', 'workspace', 'session', 'enrolment', 'claim')),
    token_hash {{bytes}} NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    name TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    parent_id TEXT REFERENCES credentials (id),
    -- Ids from the parent up, separated by spaces.
    ancestors TEXT NOT NULL,
    workspace_id TEXT REFERENCES workspaces (id),
    scopes_json TEXT NOT NULL,
    unattended {{int}} NOT NULL,
    created_at {{int}} NOT NULL,
    created_by TEXT NOT NULL,
    expires_at {{int}} NOT NULL,
    idle_ms {{int}},
    last_used_at {{int}},
    stepped_up_at {{int}},
    -- For claims: what the code turns into, sealed.
    payload {{bytes}},
    payload_key_id TEXT,
    revoked_at {{int}},
    revoked_why TEXT,
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
CREATE INDEX credentials_parent ON credentials (parent_id);
CREATE INDEX credentials_workspace ON credentials (workspace_id);
CREATE INDEX credentials_principal ON credentials (principal_kind, principal_id);

CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    verb TEXT NOT NULL,
    workspace_id TEXT,
    key TEXT,
    requester_kind TEXT NOT NULL,
    requester_id TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    lineage TEXT NOT NULL,
    -- Keyed digest over principal, deed and value: the same request is the same approval.
    request_digest {{bytes}} NOT NULL,
    deed_json TEXT NOT NULL,
    -- The values, sealed to this approval. Nobody sees them.
    sealed {{bytes}},
    key_id TEXT,
    shape_json TEXT NOT NULL,
    pins_json TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    requirements_json TEXT NOT NULL,
    consequences_json TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'applied', 'denied', 'expired', 'withdrawn', 'voided', 'failed')),
    code TEXT,
    result_json TEXT,
    created_at {{int}} NOT NULL,
    expires_at {{int}} NOT NULL,
    ended_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
-- Spent once: only one request like this can wait.
CREATE UNIQUE INDEX approvals_one_pending ON approvals (request_digest) WHERE state = 'pending';
CREATE INDEX approvals_digest ON approvals (request_digest, created_at);
CREATE INDEX approvals_state ON approvals (state, expires_at);
CREATE INDEX approvals_requester ON approvals (requester_kind, requester_id, state);
CREATE INDEX approvals_workspace ON approvals (workspace_id);

CREATE TABLE votes (
    approval_id TEXT NOT NULL REFERENCES approvals (id),
    operator_id TEXT NOT NULL REFERENCES operators (id),
    approve {{int}} NOT NULL,
    note TEXT,
    checklist_json TEXT NOT NULL,
    break_glass {{int}} NOT NULL,
    at_ms {{int}} NOT NULL,
    audit_id {{int}} NOT NULL REFERENCES audit (seq),
    PRIMARY KEY (approval_id, operator_id)
){{strict}};

CREATE TABLE policies (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    -- Where the index files it, one slot a line.
    slots TEXT NOT NULL,
    created_at {{int}} NOT NULL,
    created_by TEXT NOT NULL,
    removed_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
-- Raised by every change; part of the policy version an approval binds.
CREATE TABLE policy_revision (id {{int}} PRIMARY KEY CHECK (id = 1), revision {{int}} NOT NULL){{strict}};

CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_digest {{bytes}} NOT NULL,
    answer TEXT NOT NULL,
    created_at {{int}} NOT NULL,
    PRIMARY KEY (principal, idempotency_key)
){{strict}};
CREATE INDEX idempotency_age ON idempotency (created_at);

INSERT INTO policy_revision (id, revision) VALUES (1, 0);
