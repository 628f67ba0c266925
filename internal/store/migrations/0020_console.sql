-- How much of a kind happened in an hour, counted from the audit log, so that the overview of
-- administrators reads a few rows however long the log is. Its end is in meta: events_counted.
CREATE TABLE hourly_counts (
    hour BIGINT NOT NULL, -- when it began
    name TEXT   NOT NULL,
    n    BIGINT NOT NULL,
    PRIMARY KEY (hour, name)
);
