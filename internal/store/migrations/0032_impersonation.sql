-- compatible-from: 0032
-- Sessions in which somebody acts as another person: who, why, and the one-time link that opens one.
-- An earlier program would issue tokens that do not say so.

CREATE TABLE impersonations (
    id            TEXT    NOT NULL PRIMARY KEY, -- of the session that the link opens
    link_hash     TEXT    NOT NULL,
    user_id       TEXT    NOT NULL, -- its deletion ends the session, which is recorded with this row
    actor         TEXT    NOT NULL,
    actor_type    TEXT    NOT NULL,
    actor_session TEXT    NOT NULL DEFAULT '', -- of the actor's own browser, or ''
    bound         BOOLEAN NOT NULL DEFAULT FALSE, -- only that browser may use the link
    reason        TEXT    NOT NULL,
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL, -- of the link
    opened_at     BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX impersonations_link ON impersonations (link_hash);
CREATE INDEX impersonations_user ON impersonations (user_id);
CREATE INDEX impersonations_opened ON impersonations (opened_at);

ALTER TABLE links DROP COLUMN actor;
ALTER TABLE links DROP COLUMN note;
