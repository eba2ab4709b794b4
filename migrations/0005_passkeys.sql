-- Passkeys of operators (Web Authentication). Public keys only: nothing here opens anything.

CREATE TABLE passkeys (
    id TEXT PRIMARY KEY,
    operator_id TEXT NOT NULL REFERENCES operators (id),
    -- What the authenticator calls it.
    credential_id {{bytes}} NOT NULL UNIQUE,
    -- The number of the algorithm in COSE, and the key.
    algorithm {{int}} NOT NULL,
    public_key {{bytes}} NOT NULL,
    -- The server's name that it is for.
    rp_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- How often it was used, as the authenticator counts; 0 for those that do not count.
    sign_count {{int}} NOT NULL,
    created_at {{int}} NOT NULL,
    last_used_at {{int}},
    audit_id {{int}} NOT NULL REFERENCES audit (seq)
){{strict}};
CREATE INDEX passkeys_operator ON passkeys (operator_id);
