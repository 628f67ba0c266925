-- Dynamic client registration (RFC 7591, RFC 7592), and limits of single clients.

ALTER TABLE clients ADD COLUMN rate_limits TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN loopback_only BOOLEAN NOT NULL DEFAULT FALSE;

-- Who registered it: '' an administrator, 'anybody', or 'token:' and the id of an initial token.
ALTER TABLE clients ADD COLUMN registered_by TEXT NOT NULL DEFAULT '';
-- What the client may register of itself, in JSON.
ALTER TABLE clients ADD COLUMN registration_policy TEXT NOT NULL DEFAULT '';
-- Its registration access token, of a series, and the successor that was issued but not used yet.
ALTER TABLE clients ADD COLUMN registration_chain TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN registration_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN registration_next TEXT NOT NULL DEFAULT '';
-- When somebody last signed in to a client that nobody has checked.
ALTER TABLE clients ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;

-- Initial access tokens, which register clients.
CREATE TABLE initial_tokens (
    id          TEXT   NOT NULL PRIMARY KEY,
    hash        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    policy      TEXT   NOT NULL, -- JSON
    max_uses    BIGINT NOT NULL,
    uses        BIGINT NOT NULL,
    created_by  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX initial_tokens_hash ON initial_tokens (hash);
CREATE INDEX initial_tokens_expires ON initial_tokens (expires_at);
