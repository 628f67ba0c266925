-- What the gateway knows: routes, restrictions of clients, why requests were refused, and browser apps whose tokens stay here.

ALTER TABLE clients ADD COLUMN roles TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN from_networks TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN to_hosts TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN to_routes TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN dpop_bound BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN cert_bound BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE clients ADD COLUMN keep_refresh BOOLEAN NOT NULL DEFAULT FALSE;

-- The key that a grant's tokens are bound to: jkt:… (RFC 9449) or x5t:… (RFC 8705), or nothing.
ALTER TABLE grants ADD COLUMN bound TEXT NOT NULL DEFAULT '';

CREATE TABLE routes (
    id         TEXT   NOT NULL PRIMARY KEY,
    definition TEXT   NOT NULL, -- JSON, as access.Route writes it
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
INSERT INTO changes (topic, seq) VALUES ('routes', 0);

-- Why the gateway refused a request; a bounded number, for a bounded time.
CREATE TABLE refusals (
    request_id TEXT   NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    data       TEXT   NOT NULL -- JSON
);
CREATE INDEX refusals_at ON refusals (at);

-- A browser app's session: the cookie's hash, and the tokens it stands for, sealed.
CREATE TABLE app_sessions (
    id           TEXT   NOT NULL PRIMARY KEY,
    hash         TEXT   NOT NULL,
    client_id    TEXT   NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    user_id      TEXT   NOT NULL,
    grant_id     TEXT   NOT NULL,
    session_id   TEXT   NOT NULL,
    tokens       TEXT   NOT NULL, -- sealed
    version      BIGINT NOT NULL, -- grows with every refresh
    busy_until   BIGINT NOT NULL, -- a server is refreshing until then
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX app_sessions_hash ON app_sessions (hash);
CREATE INDEX app_sessions_expires ON app_sessions (expires_at);
CREATE INDEX app_sessions_user ON app_sessions (user_id);
