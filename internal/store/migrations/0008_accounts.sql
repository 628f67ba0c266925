-- Joining, and the addresses of an account.

-- The person must confirm the email address before applications get anything.
ALTER TABLE users ADD COLUMN must_verify_email BOOLEAN NOT NULL DEFAULT FALSE;
-- When the person was invited last; 0 once the account is theirs, or was never an invitation.
ALTER TABLE users ADD COLUMN invited_at BIGINT NOT NULL DEFAULT 0;
-- The address that the link was mailed to; '' for a link that was handed over.
ALTER TABLE links ADD COLUMN email TEXT NOT NULL DEFAULT '';

-- Further addresses of an account, beside users.email. All of them are verified.
CREATE TABLE user_emails (
    email_key   TEXT   NOT NULL PRIMARY KEY,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email       TEXT   NOT NULL,
    verified_at BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX user_emails_user ON user_emails (user_id);

-- Addresses that wait for a proof by mail: a link, or a code to type.
CREATE TABLE confirmations (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL, -- signup, verify, add, change, undo
    user_id    TEXT   REFERENCES users (id) ON DELETE CASCADE, -- NULL for a sign-up
    email      TEXT   NOT NULL, -- the address that is proved; of an undo: the former one
    email_key  TEXT   NOT NULL,
    token_hash TEXT   NOT NULL,
    code_hash  TEXT   NOT NULL, -- '' for none
    guesses    BIGINT NOT NULL,
    sealed     TEXT   NOT NULL, -- what belongs to it, encrypted
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX confirmations_token ON confirmations (token_hash);
CREATE INDEX confirmations_user ON confirmations (user_id);
CREATE INDEX confirmations_email ON confirmations (email_key);
CREATE INDEX confirmations_expires ON confirmations (expires_at);

-- Usernames that only their former owner may take again until a time. An account may be gone.
CREATE TABLE held_usernames (
    username_key TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL,
    until        BIGINT NOT NULL
);
CREATE INDEX held_usernames_user ON held_usernames (user_id);
CREATE INDEX held_usernames_until ON held_usernames (until);
