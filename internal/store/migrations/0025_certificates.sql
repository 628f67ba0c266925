-- What certificates obtained by ACME are made of, for all servers: accounts, keys, certificates,
-- challenges in progress, and when a failed attempt may be repeated. Values are sealed.
CREATE TABLE certificate_files (
    name        TEXT   NOT NULL PRIMARY KEY,
    value       TEXT   NOT NULL,
    modified_at BIGINT NOT NULL
);
