-- Locks, required second steps and passwords that expire.

ALTER TABLE locks ADD COLUMN locked_at BIGINT NOT NULL DEFAULT 0; -- when the last lock began

ALTER TABLE users ADD COLUMN mfa_required_since BIGINT NOT NULL DEFAULT 0; -- the days of grace count from here

-- The time of the password whose end the person was told; 0: none.
ALTER TABLE users ADD COLUMN expiry_notice_for BIGINT NOT NULL DEFAULT 0;
