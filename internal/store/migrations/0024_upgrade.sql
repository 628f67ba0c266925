-- compatible-from: 0024
-- Servers that use this database, and rotations of refresh tokens whose answer may be lost.

CREATE TABLE servers (
    id         TEXT   NOT NULL PRIMARY KEY,
    version    TEXT   NOT NULL DEFAULT '',
    schema     TEXT   NOT NULL DEFAULT '',
    key_id     TEXT   NOT NULL DEFAULT '',
    started_at BIGINT NOT NULL DEFAULT 0,
    seen_at    BIGINT NOT NULL DEFAULT 0,
    settled    BIGINT NOT NULL DEFAULT 0
);

-- Which attempt of which server wrote refresh_hash: see internal/store/attempts.go.
ALTER TABLE grants ADD COLUMN attempt TEXT NOT NULL DEFAULT '';
