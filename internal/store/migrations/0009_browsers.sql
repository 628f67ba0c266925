-- Browsers: who stays signed in, which browsers skip the second step, and requests to remove a
-- second factor that is lost.

ALTER TABLE sessions ADD COLUMN stay BOOLEAN NOT NULL DEFAULT FALSE; -- the idle limit does not count

CREATE TABLE trusted_browsers (
    id           TEXT   NOT NULL PRIMARY KEY, -- names the browser, as its device cookie does
    user_id      TEXT   NOT NULL,
    state        TEXT   NOT NULL, -- names the account's state: a change ends the trust
    ip           TEXT   NOT NULL,
    agent        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX trusted_browsers_user ON trusted_browsers (user_id);
CREATE INDEX trusted_browsers_expires ON trusted_browsers (expires_at);

-- A row is deleted when the request is completed, refused or without use; the audit log says how.
CREATE TABLE recoveries (
    id          TEXT   NOT NULL PRIMARY KEY,
    user_id     TEXT   NOT NULL,
    state       TEXT   NOT NULL, -- names the account's state: a change ends the request
    start_hash  TEXT   NOT NULL, -- of the link that starts the wait; '' once it was used
    stop_hash   TEXT   NOT NULL, -- of the link that refuses the request
    finish_hash TEXT   NOT NULL, -- of the link that completes it; '' until it is sent
    ip          TEXT   NOT NULL,
    agent       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    started_at  BIGINT NOT NULL, -- 0: the mailbox has not answered yet
    ready_at    BIGINT NOT NULL, -- from when it can be completed; 0: not started
    expires_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX recoveries_user ON recoveries (user_id);
CREATE INDEX recoveries_expires ON recoveries (expires_at);
