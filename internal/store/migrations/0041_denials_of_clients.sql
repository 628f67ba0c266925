-- compatible-from: 0029
-- The client of a denial of the gateway. Those of the last day from before have none.
ALTER TABLE refusals ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
