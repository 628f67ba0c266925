-- compatible-from: 0029
-- When the primary address of an account was verified. 0: before this was recorded, or not at all.
ALTER TABLE users ADD COLUMN email_verified_at BIGINT NOT NULL DEFAULT 0;
