package config

import (
	"strings"
	"time"
)

// Backups holds where backups go, and when.
type Backups struct {
	To         string        // a folder, s3://bucket/prefix, or ""
	Every      time.Duration // 0: never by itself
	Keep       int           // complete backups that stay; 0: all
	Recipients []string      // public keys of age; none: backups are not encrypted
}

func backupRows() []Setting {
	return []Setting{
		{
			Name: "BACKUP_TO",
			Doc: "Where backups go: a folder, or s3://BUCKET/PREFIX for an S3 bucket, with the names of AWS for " +
				"what belongs to it: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION and, " +
				"for other servers than Amazon's, AWS_ENDPOINT_URL_S3. The default is none.",
			place: func(c *Config) value { return text{&c.Backups.To, "a folder, or s3://BUCKET/PREFIX"} },
		},
		{
			Name:    "BACKUP_EVERY",
			Default: "0",
			Doc: "How often a server makes a backup by itself, such as 24h. Of several servers one does. " +
				"0 means never.",
			place: func(c *Config) value { return duration{p: &c.Backups.Every, unit: time.Second, max: year} },
		},
		{
			Name:    "BACKUP_KEEP",
			Default: "7",
			Doc: "How many backups of the schedule and of the command line stay at BACKUP_TO. After each backup " +
				"there, what is older than they are is deleted; files of others never. Backups that were asked " +
				"for over the API do not count. 0 means that all stay.",
			place: func(c *Config) value { return number[int]{&c.Backups.Keep, 0, 100_000} },
		},
		{
			Name: "BACKUP_RECIPIENTS",
			Doc: "Public keys of age (age1…), as age-keygen makes them, for which backups are encrypted. Whoever " +
				"has one of the private keys can read them; the server cannot. The default is none.",
			place: func(c *Config) value {
				return list{
					p:     &c.Backups.Recipients,
					what:  "public keys of age (age1…)",
					check: func(s string) bool { return strings.HasPrefix(s, "age1") },
				}
			},
		},
	}
}

// checkBackups adds what does not fit together.
func (c *Config) checkBackups(p *Problems) {
	b := &c.Backups
	if b.Every > 0 && b.To == "" {
		p.add("BACKUP_EVERY is set, but BACKUP_TO is not; set it to a folder or to s3://BUCKET/PREFIX")
	}
	if b.Every > 0 && b.Every < time.Minute {
		p.add("BACKUP_EVERY must be at least one minute")
	}
	if rest, ok := strings.CutPrefix(b.To, "s3://"); ok && (rest == "" || rest[0] == '/') {
		p.add("BACKUP_TO must name a bucket, as in s3://BUCKET/PREFIX")
	}
}
