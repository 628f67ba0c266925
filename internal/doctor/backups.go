package doctor

import (
	"fmt"
	"time"
)

const (
	manualBackup = 8 * 24 * time.Hour // the greatest age of backups that nobody makes by a schedule
	backupSlack  = time.Hour          // beside two intervals
)

func examineBackups(f *Facts, s *findings) {
	b := f.Backups
	switch {
	case b == nil:
		return
	case b.Copy:
		s.note("copy", "This database is a copy for trying things out: no backups are made of it.", "")
		return
	case b.Place == "":
		examineNoBackups(f, s)
		return
	}
	if b.Err != "" {
		s.problem("place", "Backups cannot be written to "+b.Place+": "+b.Err+".",
			"Repair that, then try it: gatehouse backup")
	}
	if b.Every <= 0 {
		s.warn("schedule", "Backups are made only when somebody asks for one.", "Set BACKUP_EVERY, for example to 24h.")
	}
	if b.Failures > 0 {
		s.problem("failed", fmt.Sprintf("The last %s failed: %s.", plural(b.Failures, "backup", "backups"), b.LastError),
			"The server tries again by itself. Repair the cause, then try it at once: gatehouse backup")
	}
	examineBackupAge(f, s)
	if b.UploadsErr != "" {
		s.note("uploads", "What a crash leaves of an upload cannot be found in the bucket: "+b.UploadsErr+".",
			"Its parts are charged for. Allow the access key s3:ListBucketMultipartUploads, "+
				"or let a rule of the bucket abort incomplete uploads after two days.")
	}
	if b.Bucket && !b.Encrypted {
		s.warn("encrypted", "Backups in the bucket are not encrypted: who can read it has everybody's "+
			"password hash and personal data.", "Set BACKUP_RECIPIENTS to a public key of age, and keep the private key elsewhere.")
	}
	if b.SameDisk {
		s.warn("disk", "Backups are on the disk of the database: both are lost with it.",
			"Use another disk or an S3 bucket, or copy the backups to another machine.")
	}
}

// examineNoBackups looks at an installation whose backups nobody makes, as far as the server knows.
func examineNoBackups(f *Facts, s *findings) {
	d := f.Database
	switch {
	case d != nil && d.Litestream:
		s.note("schedule", "The servers make no backups; Litestream replicates the database.",
			"A replica repeats every mistake within seconds. Set BACKUP_TO and BACKUP_EVERY, too, to be able to go further back.")
	case d != nil && d.Engine != "sqlite":
		s.note("schedule", "The servers make no backups. Perhaps something else backs up PostgreSQL.",
			"If nothing does, set BACKUP_TO and BACKUP_EVERY.")
	case f.Production:
		s.warn("schedule", "No backups are made automatically: if this disk is lost, so are all accounts and keys.",
			"Set BACKUP_TO to a folder of another disk or to s3://BUCKET/PREFIX, and BACKUP_EVERY to 24h.")
	default:
		s.note("schedule", "No backups are made automatically.", "In production, set BACKUP_TO and BACKUP_EVERY.")
	}
}

func examineBackupAge(f *Facts, s *findings) {
	b := f.Backups
	age := f.Now.Sub(b.Newest)
	most := 2*b.Every + backupSlack
	if b.Every <= 0 {
		most = manualBackup
	}
	switch {
	case b.Newest.IsZero():
		s.warn("age", "There is no backup yet.", "Make one: gatehouse backup")
	case age > most:
		s.problem("age", "The newest backup is "+days(age)+" old.",
			"Look for \"a backup failed\" in the log of the servers, or make one: gatehouse backup")
	default:
		s.good("age", fmt.Sprintf("The newest backup is %s old and has %s.", days(age), bytes(b.Size)))
	}
}
