package config

import (
	"time"
)

func auditRows() []Setting {
	return []Setting{
		{
			Name:    "AUDIT_LOG_RETENTION_DAYS",
			Default: "90",
			Doc:     "For how many days audit records are kept; 0 means forever.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Audit.Retention,
					unit:  day,
					max:   100 * year,
					plain: true,
				}
			},
		},
		{
			Name:    "AUDIT_LOG_CLEANUP_SCHEDULE",
			Default: "0 2 * * *",
			Doc: "When records older than AUDIT_LOG_RETENTION_DAYS are removed, in UTC: minute, hour, " +
				"day of the month, month and day of the week, as cron reads them.",
			place: func(c *Config) value { return schedule{&c.Audit.Cleanup} },
		},
		{
			Name:    "AUDIT_ISSUANCE",
			Default: "each",
			Doc: "How to record tokens that are issued without a sign-in (client " +
				"credentials, refresh): each writes one record per token before the " +
				"response; aggregate writes one record per client and ten seconds, with the " +
				"number of tokens.",
			place: func(c *Config) value {
				return choice[string]{&c.Audit.Issuance, []string{"each", "aggregate"}}
			},
		},
	}
}

// proofRows returns the settings of the proof of the audit log.
func proofRows() []Setting {
	return []Setting{
		{
			Name:    "AUDIT_TREE",
			Default: "true",
			Doc: "Whether a tree of hashes proves that audit records were not altered or removed. " +
				"Switch it off only to measure what it costs: gatehouse audit verify names the records " +
				"that were written meanwhile.",
			place: func(c *Config) value { return boolean{&c.Audit.Tree} },
		},
		{
			Name: "AUDIT_CHECKPOINT_FILE",
			path: true,
			Doc: "A file for the newest signed checkpoint of the audit log. What it proves depends on " +
				"where copies of it are kept: see docs/guides/audit.md.",
			place: func(c *Config) value { return text{&c.Audit.CheckpointFile, "a path"} },
		},
		{
			Name:  "AUDIT_CHECKPOINT_URL",
			Doc:   "An address that gets each signed checkpoint by PUT.",
			place: func(c *Config) value { return text{&c.Audit.CheckpointURL, "an http or https address"} },
		},
		{
			Name: "AUDIT_CHECKPOINT_KEY",
			Doc: "The private key that signs checkpoints, as gatehouse audit key prints it; several, " +
				"separated by spaces, while it is replaced. By default a key is made beside " +
				"AUDIT_CHECKPOINT_FILE.",
			place: func(c *Config) value { return sealed{&c.Audit.CheckpointKey, "a private key"} },
		},
		{
			Name:    "AUDIT_CHECKPOINT_INTERVAL",
			Default: "60",
			Doc: "How often the audit log is signed, in seconds or as in 5m. What is removed before it " +
				"was signed is not missed.",
			place: func(c *Config) value { return seconds(&c.Audit.CheckpointEvery, time.Second, day) },
		},
	}
}
