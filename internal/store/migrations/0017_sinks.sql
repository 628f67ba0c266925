-- Where the audit log is delivered to: log servers, alerts, and webhooks; and how far each has come.

CREATE TABLE sinks (
    name            TEXT    NOT NULL PRIMARY KEY, -- syslog, file, …; of a webhook: webhook: and its id
    active          BOOLEAN NOT NULL,
    position        BIGINT  NOT NULL, -- what comes before is delivered, or is in sink_gaps
    position_event  TEXT    NOT NULL, -- the last event delivered of this position
    delivered       BIGINT  NOT NULL, -- events
    parked          BIGINT  NOT NULL, -- events given up on
    attempts        BIGINT  NOT NULL, -- that failed one after another
    failing_since   BIGINT  NOT NULL, -- 0: it is not failing
    next_attempt_at BIGINT  NOT NULL,
    delivered_at    BIGINT  NOT NULL, -- the last time
    last_error      TEXT    NOT NULL,
    created_at      BIGINT  NOT NULL
);

-- Events that a sink refused, or that could not be delivered for too long.
CREATE TABLE sink_gaps (
    id              TEXT   NOT NULL PRIMARY KEY,
    sink            TEXT   NOT NULL,
    state           TEXT   NOT NULL, -- waiting: it is tried again; parked
    reason          TEXT   NOT NULL, -- refused, away, off
    position        BIGINT NOT NULL, -- of the first event
    first_event     TEXT   NOT NULL,
    last_event      TEXT   NOT NULL,
    events          BIGINT NOT NULL, -- how many
    attempts        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL, -- 0: parked
    error           TEXT   NOT NULL
);
CREATE INDEX sink_gaps_sink ON sink_gaps (sink, id);
CREATE INDEX sink_gaps_waiting ON sink_gaps (sink, next_attempt_at) WHERE state = 'waiting';

CREATE TABLE webhooks (
    id             TEXT    NOT NULL PRIMARY KEY,
    url            TEXT    NOT NULL,
    events         TEXT    NOT NULL,
    active         BOOLEAN NOT NULL,
    description    TEXT    NOT NULL,
    ended          TEXT    NOT NULL, -- why the server switched it off, or ''
    secret         TEXT    NOT NULL, -- encrypted
    previous       TEXT    NOT NULL, -- encrypted; signs until previous_until, too
    previous_until BIGINT  NOT NULL,
    version        BIGINT  NOT NULL,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL
);

CREATE TABLE webhook_deliveries (
    id              TEXT   NOT NULL PRIMARY KEY,
    webhook_id      TEXT   NOT NULL,
    event_id        TEXT   NOT NULL,
    type            TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    attempts        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    finished_at     BIGINT NOT NULL,
    status          BIGINT NOT NULL, -- of the last answer; 0: none
    answer          TEXT   NOT NULL, -- the beginning of its body
    duration        BIGINT NOT NULL, -- milliseconds
    error           TEXT   NOT NULL
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, state) WHERE state IN ('queued', 'resend');
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (state, finished_at);

-- Which notice of its end a secret has had: 0 none, 1 that it expires soon, 2 that it has expired.
ALTER TABLE client_secrets ADD COLUMN notice BIGINT NOT NULL DEFAULT 0;
CREATE INDEX client_secrets_expiry ON client_secrets (expires_at) WHERE expires_at <> 0 AND notice < 2;
