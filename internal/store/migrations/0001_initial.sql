-- Times are Unix milliseconds (0: none), lists are space-separated, hashes and sealed values are base64url.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row per kind of thing that servers keep in memory; the number grows with every change.
-- The row of 'revocations' also gives out the log's sequence numbers: its lock makes them gapless and ordered.
CREATE TABLE changes (
    topic TEXT   NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL
);
INSERT INTO changes (topic, seq) VALUES ('clients', 0), ('keys', 0), ('scopes', 0), ('revocations', 0);

CREATE TABLE leases (
    name   TEXT   NOT NULL PRIMARY KEY,
    holder TEXT   NOT NULL,
    until  BIGINT NOT NULL
);

CREATE TABLE keys (
    id          TEXT   NOT NULL PRIMARY KEY,
    alg         TEXT   NOT NULL,
    public_jwk  TEXT   NOT NULL,
    sealed      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    active_at   BIGINT NOT NULL,
    retired_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);

CREATE TABLE scopes (
    name        TEXT    NOT NULL PRIMARY KEY,
    description TEXT    NOT NULL,
    is_default  BOOLEAN NOT NULL,
    is_system   BOOLEAN NOT NULL,
    created_at  BIGINT  NOT NULL
);

CREATE TABLE users (
    id                  TEXT    NOT NULL PRIMARY KEY,
    username            TEXT    NOT NULL,
    username_key        TEXT,
    email               TEXT    NOT NULL,
    email_key           TEXT,
    email_verified      BOOLEAN NOT NULL,
    phone               TEXT    NOT NULL,
    phone_verified      BOOLEAN NOT NULL,
    name                TEXT    NOT NULL,
    given_name          TEXT    NOT NULL,
    family_name         TEXT    NOT NULL,
    picture             TEXT    NOT NULL,
    locale              TEXT    NOT NULL,
    zoneinfo            TEXT    NOT NULL,
    address             TEXT    NOT NULL,
    roles               TEXT    NOT NULL,
    disabled            BOOLEAN NOT NULL,
    password_hash       TEXT    NOT NULL,
    password_changed_at BIGINT  NOT NULL,
    must_change         BOOLEAN NOT NULL,
    created_at          BIGINT  NOT NULL,
    updated_at          BIGINT  NOT NULL,
    last_login_at       BIGINT  NOT NULL,
    search_key          TEXT    NOT NULL -- username, e-mail and name in lower case
);
CREATE UNIQUE INDEX users_username_key ON users (username_key);
CREATE UNIQUE INDEX users_email_key ON users (email_key);

CREATE TABLE password_history (
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    seq        BIGINT NOT NULL,
    hash       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, seq)
);

CREATE TABLE credentials (
    id           TEXT   NOT NULL PRIMARY KEY,
    user_id      TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind         TEXT   NOT NULL,
    label        TEXT   NOT NULL,
    sealed       TEXT   NOT NULL,
    last_step    BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX credentials_user ON credentials (user_id);

CREATE TABLE backup_codes (
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE locks (
    name         TEXT   NOT NULL PRIMARY KEY,
    failures     BIGINT NOT NULL,
    rounds       BIGINT NOT NULL,
    last_at      BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);
CREATE INDEX locks_last ON locks (last_at);

CREATE TABLE links (
    hash       TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    user_id    TEXT   REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE INDEX links_user ON links (user_id);
CREATE INDEX links_expires ON links (expires_at);

CREATE TABLE sessions (
    id           TEXT   NOT NULL PRIMARY KEY,
    hash         TEXT   NOT NULL,
    user_id      TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    auth_time    BIGINT NOT NULL,
    amr          TEXT   NOT NULL,
    acr          TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    ip           TEXT   NOT NULL,
    agent        TEXT   NOT NULL
);
CREATE UNIQUE INDEX sessions_hash ON sessions (hash);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires ON sessions (expires_at);

CREATE TABLE clients (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    uri          TEXT    NOT NULL,
    logo_uri     TEXT    NOT NULL,
    public       BOOLEAN NOT NULL,
    auth_method  TEXT    NOT NULL,
    jwks         TEXT    NOT NULL,
    jwks_uri     TEXT    NOT NULL,
    grants       TEXT    NOT NULL,
    redirects    TEXT    NOT NULL,
    post_logout  TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    resources    TEXT    NOT NULL,
    token_format TEXT    NOT NULL,
    alg          TEXT    NOT NULL,
    first_party  BOOLEAN NOT NULL,
    plain_pkce   BOOLEAN NOT NULL,
    require_pkce BOOLEAN NOT NULL,
    rotation     TEXT    NOT NULL,
    access_ttl   BIGINT  NOT NULL,
    id_token_ttl BIGINT  NOT NULL,
    refresh_ttl  BIGINT  NOT NULL,
    disabled     BOOLEAN NOT NULL,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL
);

CREATE TABLE client_secrets (
    id         TEXT   NOT NULL PRIMARY KEY,
    client_id  TEXT   NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    hash       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX client_secrets_client ON client_secrets (client_id);

CREATE TABLE consents (
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT   NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    scopes     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_client ON consents (client_id);

-- One approval, with its refresh token: what the account page lists is what a refresh turns.
CREATE TABLE grants (
    id           TEXT   NOT NULL PRIMARY KEY,
    client_id    TEXT   NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    user_id      TEXT   REFERENCES users (id) ON DELETE CASCADE,
    session_id   TEXT   NOT NULL,
    offline      BOOLEAN NOT NULL, -- scopes hold offline_access: it outlives its session
    kind         TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,
    resources    TEXT   NOT NULL,
    claims       TEXT   NOT NULL,
    auth_time    BIGINT NOT NULL,
    amr          TEXT   NOT NULL,
    acr          TEXT   NOT NULL,
    refresh_hash TEXT   NOT NULL,
    prev_hash    TEXT   NOT NULL,
    rotated_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    absolute_end BIGINT NOT NULL,
    ip           TEXT   NOT NULL,
    agent        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_expires ON grants (expires_at);

CREATE TABLE codes (
    hash       TEXT   NOT NULL PRIMARY KEY,
    grant_id   TEXT   NOT NULL,
    client_id  TEXT   NOT NULL,
    data       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT NOT NULL
);
CREATE INDEX codes_expires ON codes (expires_at);
CREATE INDEX codes_client ON codes (client_id);

CREATE TABLE devices (
    hash         TEXT   NOT NULL PRIMARY KEY,
    user_code    TEXT   NOT NULL,
    client_id    TEXT   NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    scopes       TEXT   NOT NULL,
    resources    TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    grant_data   TEXT   NOT NULL,
    interval_ms  BIGINT NOT NULL,
    last_poll_at BIGINT NOT NULL,
    slowed       BOOLEAN NOT NULL, -- the last poll came too soon
    ip           TEXT   NOT NULL,
    agent        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX devices_user_code ON devices (user_code);
CREATE INDEX devices_expires ON devices (expires_at);
CREATE INDEX devices_client ON devices (client_id);

CREATE TABLE opaque_tokens (
    hash       TEXT   NOT NULL PRIMARY KEY,
    grant_id   TEXT   NOT NULL,
    data       TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX opaque_tokens_expires ON opaque_tokens (expires_at);

CREATE TABLE once (
    name       TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX once_expires ON once (expires_at);

CREATE TABLE revocations (
    seq        BIGINT NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    target     TEXT   NOT NULL,
    not_before BIGINT NOT NULL,
    until      BIGINT NOT NULL
);
CREATE INDEX revocations_until ON revocations (until);
CREATE INDEX revocations_target ON revocations (kind, target);

CREATE TABLE audit_log (
    id         TEXT   NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    type       TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    user_id    TEXT   NOT NULL,
    client_id  TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    grant_id   TEXT   NOT NULL,
    ip         TEXT   NOT NULL,
    agent      TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    detail     TEXT   NOT NULL
);
-- Ids are UUIDv7, in order of time: the primary key serves ranges of time, too.
CREATE INDEX audit_log_user ON audit_log (user_id, id);
