-- compatible-from: 0029
-- outside-transaction
-- Failures by client: a client has few among millions of events.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_failures ON audit_log (client_id, id) WHERE reason <> '';
