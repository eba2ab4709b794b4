-- Messages seen as tasks (A2A): listed by when they last changed.

-- When its state last changed: sent, taken, ended or taken back.
ALTER TABLE messages ADD COLUMN changed_at {{int}} NOT NULL DEFAULT 0;
UPDATE messages SET changed_at = COALESCE(
    ended_at, (SELECT started_at FROM turns WHERE turns.message_id = messages.id), created_at
);
CREATE INDEX messages_changed ON messages (workspace_id, changed_at, seq) WHERE direction = 'in';
