-- compatible-from: 0029
-- outside-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS refusals_client ON refusals (client_id, at) WHERE client_id <> '';
