-- compatible-from: 0029
-- A random text that each change of a topic sets anew, and that an entry of the log of revocations
-- keeps: with the number it names one history. After the promotion of a standby that lacked the
-- newest entries, or after a restore, the same number has another mark.
ALTER TABLE changes ADD COLUMN mark TEXT NOT NULL DEFAULT '';
