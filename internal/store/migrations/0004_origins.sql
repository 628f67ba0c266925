-- Origins that a client may call the gateway from, beside its networks and hosts.

ALTER TABLE clients ADD COLUMN from_origins TEXT NOT NULL DEFAULT '';
