-- compatible-from: 0029
-- outside-transaction
-- The index of 0029_audit_type, with a condition that costs nothing at an event: for NOT IN, SQLite
-- makes a table of its values at each of them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_rare ON audit_log (type, id) WHERE
    type <> 'ACCESS_TOKEN_ISSUED' AND type <> 'CLIENT_CREDENTIALS_TOKEN_ISSUED'
    AND type <> 'REFRESH_TOKEN_USED' AND type <> 'TOKENS_ISSUED';
