-- How people sign in: with what, and when last.

-- Words for the program a session was opened with, of a fixed vocabulary; only sessions have them.
ALTER TABLE credentials ADD COLUMN device TEXT;

-- When the operator last opened a session.
ALTER TABLE operators ADD COLUMN last_login_at {{int}};
