-- Whose token or grant a revocation concerns and which APIs it is for; empty: every follower sees it.

ALTER TABLE revocations ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
ALTER TABLE revocations ADD COLUMN audience TEXT NOT NULL DEFAULT '';

-- Until now every confidential client saw all tokens. Whoever relies on it goes on.
UPDATE clients SET introspect_any = TRUE WHERE public = FALSE;
