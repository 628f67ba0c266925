-- compatible-from: 0024
-- Configuration as code: the documents that were applied last, and which things carry their labels.

CREATE TABLE config_documents (
    label      TEXT   NOT NULL PRIMARY KEY,
    document   TEXT   NOT NULL DEFAULT '',
    applied_at BIGINT NOT NULL DEFAULT 0,
    applied_by TEXT   NOT NULL DEFAULT ''
);

-- A mark names one thing and no later one of the same name: see internal/admin/configkinds.go.
CREATE TABLE config_labels (
    section TEXT NOT NULL,
    mark    TEXT NOT NULL,
    label   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (section, mark)
);
