-- Lists of millions of rows, versions, idempotent requests, bulk actions. COLLATE "C" and WITHOUT ROWID are read by
-- sqldb: each engine gets the one that it knows. Both sort these columns by bytes.

-- Raised by changes of what an administrator sets; a change may name the version that it expects.
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE clients ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE scopes ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE routes ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- The name in lower case and without accents, for sorting.
ALTER TABLE users ADD COLUMN name_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN name_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE users DROP COLUMN search_key;

-- An administrator's lock, which does not end by itself. 0: none.
ALTER TABLE users ADD COLUMN locked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN lock_reason TEXT NOT NULL DEFAULT '';

-- The words by which users and clients are found. Their rows have no foreign keys, which would need a second index as
-- large as the table: a row without its user is not shown.
CREATE TABLE user_terms (
    term TEXT COLLATE "C" NOT NULL, -- a word, @ and an address, or # and a role
    id   TEXT NOT NULL,
    PRIMARY KEY (term, id)
) WITHOUT ROWID;
CREATE TABLE client_terms (
    term TEXT COLLATE "C" NOT NULL,
    id   TEXT NOT NULL,
    PRIMARY KEY (term, id)
) WITHOUT ROWID;

CREATE INDEX users_created ON users (created_at, id);
CREATE INDEX users_name ON users (name_key, id);
CREATE INDEX users_last_login ON users (last_login_at, id);
CREATE INDEX users_disabled ON users (created_at, id) WHERE disabled = TRUE;
CREATE INDEX users_locked ON users (created_at, id) WHERE locked_at > 0;
CREATE INDEX users_verified ON users (created_at, id) WHERE email_verified = TRUE;
CREATE INDEX users_unverified ON users (created_at, id) WHERE email_verified = FALSE;
CREATE INDEX locks_until ON locks (locked_until, name) WHERE locked_until > 0;
CREATE INDEX clients_created ON clients (created_at, id);
CREATE INDEX clients_name ON clients (name_key, id);
CREATE INDEX client_secrets_expires ON client_secrets (expires_at, client_id) WHERE expires_at > 0;
CREATE INDEX sessions_created ON sessions (created_at, id);
CREATE INDEX sessions_user_created ON sessions (user_id, created_at, id);
DROP INDEX sessions_user; -- the one before begins with the same column
CREATE INDEX sessions_address ON sessions (ip COLLATE "C", created_at, id);
CREATE INDEX outbox_kind ON outbox (kind, id);
CREATE INDEX outbox_recipient ON outbox (recipient, id) WHERE recipient <> '';

-- How many rows a table has: the sum of one row for each process that has changed it.
CREATE TABLE counts (
    name   TEXT   NOT NULL, -- users, clients
    writer TEXT   NOT NULL,
    n      BIGINT NOT NULL,
    at     BIGINT NOT NULL, -- of the last change
    PRIMARY KEY (name, writer)
);
INSERT INTO counts (name, writer, n, at) SELECT 'users', '', COUNT(*), 0 FROM users;
INSERT INTO counts (name, writer, n, at) SELECT 'clients', '', COUNT(*), 0 FROM clients;

-- Requests that have effects once, however often they are sent (Idempotency-Key).
CREATE TABLE idempotent_requests (
    key_hash   TEXT   NOT NULL PRIMARY KEY, -- of actor, method, path and key
    body_hash  TEXT   NOT NULL,
    status     BIGINT NOT NULL, -- of the answer; 0 until there is one
    resource   TEXT   NOT NULL,
    sealed     TEXT   NOT NULL, -- the answer, encrypted with a key that only the caller's key opens
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX idempotent_requests_expires ON idempotent_requests (expires_at);

-- Actions on many users at once, which a job carries out.
CREATE TABLE bulk_actions (
    id         TEXT   NOT NULL PRIMARY KEY,
    actor      TEXT   NOT NULL, -- JSON: who asked for it, and with which scopes
    action     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    state      TEXT   NOT NULL, -- running, stopped, done
    total      BIGINT NOT NULL,
    done       BIGINT NOT NULL,
    refused    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX bulk_actions_created ON bulk_actions (created_at, id);
CREATE INDEX bulk_actions_running ON bulk_actions (id) WHERE state = 'running';
-- The users that were selected, in the order of the work. What is done is deleted; what is refused stays with its reason.
CREATE TABLE bulk_items (
    action_id TEXT   NOT NULL REFERENCES bulk_actions (id) ON DELETE CASCADE,
    n         BIGINT NOT NULL,
    user_id   TEXT   NOT NULL,
    error     TEXT   NOT NULL, -- '' until it is refused
    PRIMARY KEY (action_id, n)
);
