-- Who acted, on what, and what changed; and the proof that the log is whole.

ALTER TABLE audit_log ADD COLUMN actor_type  TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN target_type TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN target_id   TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN changes     TEXT NOT NULL DEFAULT ''; -- JSON: fields with their values before and after
-- What hides the personal parts of a row in its hash, and what stands for them once they are erased.
ALTER TABLE audit_log ADD COLUMN salt        TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN erased      TEXT NOT NULL DEFAULT '';

-- Every index costs time at every event: most are for the events only that have the value.
DROP INDEX audit_log_user;
CREATE INDEX audit_log_user ON audit_log (user_id, id) WHERE user_id <> '';
CREATE INDEX audit_log_client ON audit_log (client_id, id) WHERE client_id <> '';
CREATE INDEX audit_log_type ON audit_log (type, id);
-- What users cause about themselves, and clients for themselves, is found by the indexes before.
CREATE INDEX audit_log_actor ON audit_log (actor, id) WHERE actor <> user_id AND actor <> client_id;
CREATE INDEX audit_log_target ON audit_log (target_type, target_id, id) WHERE target_id <> '';
CREATE INDEX audit_log_failed_request ON audit_log (request_id) WHERE reason <> '';

-- A page is what one transaction added to the log. It waits here for its place in the tree.
CREATE TABLE audit_pending (
    id       TEXT   NOT NULL PRIMARY KEY,
    writer   TEXT   NOT NULL, -- the process
    seq      BIGINT NOT NULL, -- counts the pages of the process
    n        BIGINT NOT NULL, -- of events
    first_id TEXT   NOT NULL, -- the smallest and the largest id of its events
    last_id  TEXT   NOT NULL,
    root     TEXT   NOT NULL, -- the Merkle root of its events
    entries  TEXT   NOT NULL, -- ids and hashes of its events, in order
    mac      TEXT   NOT NULL  -- by a key of the server
);

-- The leaves of the tree, in order.
CREATE TABLE audit_pages (
    position BIGINT NOT NULL PRIMARY KEY, -- from 0, without gaps
    id       TEXT   NOT NULL,
    writer   TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    n        BIGINT NOT NULL,
    first_id TEXT   NOT NULL,
    last_id  TEXT   NOT NULL,
    root     TEXT   NOT NULL,
    entries  TEXT   NOT NULL, -- empty once its events are removed by policy
    hash     TEXT   NOT NULL  -- of the leaf
);
CREATE UNIQUE INDEX audit_pages_id ON audit_pages (id);
CREATE INDEX audit_pages_last ON audit_pages (last_id);

-- Inner nodes of the tree, of every eighth level; the others follow from them.
CREATE TABLE audit_nodes (
    level BIGINT NOT NULL,
    n     BIGINT NOT NULL,
    hash  TEXT   NOT NULL,
    PRIMARY KEY (level, n)
);

-- One row: the head of the tree.
CREATE TABLE audit_tree (
    name   TEXT   NOT NULL PRIMARY KEY,
    size   BIGINT NOT NULL, -- leaves
    root   TEXT   NOT NULL,
    pruned BIGINT NOT NULL, -- the leaves before this one are removed by policy
    epoch  BIGINT NOT NULL, -- counts the histories that were published, beginning with 1
    at     BIGINT NOT NULL
);

-- The newest checkpoint of each history.
CREATE TABLE audit_checkpoints (
    epoch BIGINT NOT NULL PRIMARY KEY,
    size  BIGINT NOT NULL,
    root  TEXT   NOT NULL,
    note  TEXT   NOT NULL, -- the signed text
    at    BIGINT NOT NULL
);

-- The public keys that have signed checkpoints.
CREATE TABLE audit_keys (
    verifier TEXT   NOT NULL PRIMARY KEY,
    since    BIGINT NOT NULL
);
