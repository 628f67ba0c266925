-- Codes to sign in by mail, and the sessions of the accounts API.

CREATE TABLE email_codes (
    attempt    TEXT   NOT NULL PRIMARY KEY, -- the keyed hash of the request that caused the message
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code       TEXT   NOT NULL, -- its keyed hash, together with the address that it was sent to
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE INDEX email_codes_user ON email_codes (user_id, created_at);
CREATE INDEX email_codes_expires ON email_codes (expires_at);

-- What a caller of the accounts API has asked for, by the state that the caller chose.
CREATE TABLE login_states (
    hash       TEXT   NOT NULL PRIMARY KEY,
    opening    TEXT   NOT NULL, -- encrypted
    expires_at BIGINT NOT NULL
);
CREATE INDEX login_states_expires ON login_states (expires_at);

-- The tokens of sessions that were opened by the accounts API instead of a browser.
CREATE TABLE session_tokens (
    session_id    TEXT   NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    client_id     TEXT   NOT NULL,
    token_hash    TEXT   NOT NULL,
    token_expires BIGINT NOT NULL,
    refresh_hash  TEXT   NOT NULL
);
CREATE UNIQUE INDEX session_tokens_token ON session_tokens (token_hash);
CREATE INDEX session_tokens_client ON session_tokens (client_id);
