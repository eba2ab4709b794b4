-- Several servers on one database: which there are, and which of them supervises which workspace.

CREATE TABLE servers (
    -- Of the data directory: the same after a restart.
    id TEXT PRIMARY KEY,
    -- Raised by every start. What an earlier process of this server still wants to write is refused by it.
    epoch {{int}} NOT NULL,
    -- Raised by every beat. The others watch whether it moves, each by its own clock: no two clocks are compared.
    beat {{int}} NOT NULL,
    -- Kinds of runtimes it has, and places it reaches, as a JSON list of words.
    reaches TEXT NOT NULL,
    -- For people: when it started, and when it last beat, by the clock of the writer.
    started_at {{int}} NOT NULL,
    beat_at {{int}} NOT NULL
){{strict}};

-- Who supervises it, and in which life of that server. Nobody, until a server that runs agents takes it.
ALTER TABLE workspaces ADD COLUMN owner TEXT;
ALTER TABLE workspaces ADD COLUMN owner_epoch {{int}} NOT NULL DEFAULT 0;
CREATE INDEX workspaces_owner ON workspaces (owner);

-- Where it runs: a host, or an engine. Nothing for runs that began before there were several servers.
ALTER TABLE runs ADD COLUMN place TEXT;
-- Raised when its agent was heard by a server that does not supervise it, with what that one heard.
ALTER TABLE runs ADD COLUMN heard {{int}} NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN troubled {{int}} NOT NULL DEFAULT 0;

-- Challenges that wait for a passkey: the answer may come to another server than the question. Spent by being removed.
CREATE TABLE challenges (
    -- 'door' or 'session': those of strangers push out none of people who are in.
    kind TEXT NOT NULL CHECK (kind IN ('door', 'session')),
    seq {{int}} NOT NULL,
    challenge {{bytes}} NOT NULL UNIQUE,
    -- What it was issued for, and for which page, as JSON.
    purpose TEXT NOT NULL,
    party TEXT NOT NULL,
    until {{int}} NOT NULL,
    PRIMARY KEY (kind, seq)
){{strict}};
