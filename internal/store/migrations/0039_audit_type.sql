-- compatible-from: 0029
-- See 0038_audit_rare. Without this index, an earlier program finds the same events more slowly.
DROP INDEX IF EXISTS audit_log_type;
