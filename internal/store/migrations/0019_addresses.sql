-- Addresses that belong to one account, sign-ups by network, and what a change of address undoes.

-- Every address of an account, whether it is in users or in user_emails: its key is here once, so
-- that two accounts cannot get one address at the same moment.
CREATE TABLE email_claims (
    email_key TEXT NOT NULL PRIMARY KEY,
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX email_claims_user ON email_claims (user_id);
INSERT INTO email_claims (email_key, user_id) SELECT email_key, id FROM users WHERE email_key IS NOT NULL;
INSERT INTO email_claims (email_key, user_id) SELECT email_key, user_id FROM user_emails
    WHERE NOT EXISTS (SELECT 1 FROM email_claims c WHERE c.email_key = user_emails.email_key);

-- Passwords that were replaced a short while ago: a change of the address can be undone with them.
CREATE TABLE replaced_passwords (
    user_id  TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    ended_at BIGINT NOT NULL,
    hash     TEXT   NOT NULL, -- '' where there was no password
    PRIMARY KEY (user_id, ended_at)
);
CREATE INDEX replaced_passwords_ended ON replaced_passwords (ended_at);

-- The network that a sign-up came from, as a keyed hash; '' for anything else that waits.
ALTER TABLE confirmations ADD COLUMN network TEXT NOT NULL DEFAULT '';
CREATE INDEX confirmations_network ON confirmations (kind, network, created_at);

-- The person wants to be asked for the second step after the password, also where that is a passkey.
ALTER TABLE users ADD COLUMN ask_second BOOLEAN NOT NULL DEFAULT FALSE;
