-- What an account knows about itself and tells its owner.

-- The picture of a person, at an address that cannot be guessed. A new picture is a new row.
CREATE TABLE pictures (
    id         TEXT   NOT NULL PRIMARY KEY, -- random, part of the address
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind       TEXT   NOT NULL, -- image/jpeg or image/png
    data       TEXT   NOT NULL, -- base64
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX pictures_user ON pictures (user_id);

-- Accounts whose owners asked for their deletion. They are disabled until then.
CREATE TABLE account_deletions (
    user_id     TEXT    NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    requested_at    BIGINT  NOT NULL,
    due_at      BIGINT  NOT NULL,
    reminded_at BIGINT  NOT NULL, -- 0: not yet
    held        BOOLEAN NOT NULL  -- an administrator disabled the account meanwhile
);
CREATE INDEX account_deletions_due ON account_deletions (due_at);

-- User names of accounts that their owners deleted: nobody else gets them. Only a hash is kept.
CREATE TABLE former_usernames (
    hash       TEXT   NOT NULL PRIMARY KEY,
    deleted_at BIGINT NOT NULL
);

-- Addresses of accounts that a mail server rejected for good.
CREATE TABLE mail_failures (
    address   TEXT   NOT NULL PRIMARY KEY, -- in the form that addresses are compared in
    user_id   TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    failed_at BIGINT NOT NULL,
    error     TEXT   NOT NULL -- what the server answered
);
CREATE INDEX mail_failures_user ON mail_failures (user_id);

-- Browsers that an account knew before this time count as new ones: their owner said that somebody
-- else had signed in.
CREATE TABLE distrusted_browsers (
    user_id TEXT   NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    before  BIGINT NOT NULL
);

-- The history of sign-ins that a person sees: few of the many events that concern a user.
CREATE INDEX audit_log_sign_ins ON audit_log (user_id, id) WHERE type IN ('LOGIN_SUCCEEDED', 'LOGIN_FAILED');
