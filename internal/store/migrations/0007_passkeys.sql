-- Passkeys are credentials that a browser names: lookup is a keyed hash of the name. A user handle is
-- what the authenticators of an account are told instead of its id; it stays the same for all of them.

ALTER TABLE credentials ADD COLUMN lookup TEXT; -- NULL for credentials that nothing names
CREATE UNIQUE INDEX credentials_lookup ON credentials (lookup);

CREATE TABLE passkey_handles (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    handle  TEXT NOT NULL
);
