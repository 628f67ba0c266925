-- compatible-from: 0029
-- Backups that were made, and attempts that failed.
CREATE TABLE backups (
    id          TEXT    NOT NULL PRIMARY KEY,
    actor       TEXT    NOT NULL,
    place       TEXT    NOT NULL, -- without secrets
    name        TEXT    NOT NULL,
    state       TEXT    NOT NULL, -- queued, running, good, failed
    error       TEXT    NOT NULL,
    started_at  BIGINT  NOT NULL,
    finished_at BIGINT  NOT NULL, -- 0: not yet
    bytes       BIGINT  NOT NULL,
    row_count   BIGINT  NOT NULL,
    sha256      TEXT    NOT NULL,
    encrypted   BOOLEAN NOT NULL,
    deleted_at  BIGINT  NOT NULL  -- by the policy of retention; 0: not deleted
);
CREATE INDEX backups_started ON backups (started_at, id);
