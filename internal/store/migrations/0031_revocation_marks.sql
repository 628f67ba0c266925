-- compatible-from: 0029
-- See 0030_change_marks.
ALTER TABLE revocations ADD COLUMN mark TEXT NOT NULL DEFAULT '';
