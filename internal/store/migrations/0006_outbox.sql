-- What must be delivered, and what became of it: mail, and later webhooks and notices.

CREATE TABLE outbox (
    id              TEXT   NOT NULL PRIMARY KEY,
    kind            TEXT   NOT NULL,
    target          TEXT   NOT NULL, -- deliveries with the same target are sent in the order of ids
    recipient       TEXT   NOT NULL,
    about           TEXT   NOT NULL,
    content         TEXT   NOT NULL, -- encrypted; '' once it is sent or expired
    state           TEXT   NOT NULL, -- queued, sent, expired, dead
    attempts        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL, -- 0: never
    finished_at     BIGINT NOT NULL, -- 0: not yet
    last_error      TEXT   NOT NULL,
    holder          TEXT   NOT NULL  -- the server that is sending it; '' for none
);
CREATE INDEX outbox_due ON outbox (next_attempt_at, id) WHERE state = 'queued';
CREATE INDEX outbox_target ON outbox (target, id) WHERE state = 'queued';
CREATE INDEX outbox_finished ON outbox (state, finished_at) WHERE state <> 'queued';
