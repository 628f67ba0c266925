package console_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestBackups shows the state of backups, asks for one, and shows what became of it.
func TestBackups(t *testing.T) {
	s := newSite(t)
	s.signIn(s.newUser("root", identity.RoleSuperAdmin))
	s.get("/admin/backups").shows(200, "No backup has been made yet", "There is no backup.", "BACKUP_TO is not set").
		hides("Back up now").wellFormed()
	s.get("/admin/backups/make").shows(200, "set BACKUP_TO").hides("Make a backup").wellFormed()
	s.post("/admin/backups/make").shows(409, "set BACKUP_TO")

	s.backups = admin.BackupPolicy{
		Place:   "s3://safe/gatehouse/",
		Every:   24 * time.Hour,
		Keep:    7,
		Missing: []string{"SECRET_KEY, <without> which it cannot be restored"},
	}
	s.get("/admin/backups").shows(200, "Back up now", "s3://safe/gatehouse/", "The newest 7", "24h",
		"SECRET_KEY, &lt;without&gt; which").wellFormed()
	s.get("/admin/backups/make").shows(200, "Make a backup", "Not in the backup: SECRET_KEY").wellFormed()
	s.post("/admin/backups/make").leads("/admin/backups?done=queued")
	s.get("/admin/backups?done=queued").shows(200, "A server is making the backup", "Queued").wellFormed()
	s.post("/admin/backups/make").shows(409, "queued or being made already")

	x, err := s.db.QueuedBackup(t.Context(), s.backups.Place, s.now.Add(-time.Hour))
	testkit.Must(t, err)
	failed := x.Finish(s.now, errors.New("the <disk> is full"))
	testkit.Must(t, s.db.SetBackup(t.Context(), x, failed))
	s.get("/admin/backups").shows(200, "1 attempt in a row failed", "the &lt;disk&gt; is full").wellFormed()

	good := &admin.Backup{ID: "b", Place: s.backups.Place, Name: "gatehouse-1.backup", StartedAt: s.now.Add(time.Second), Bytes: 12e6, Rows: 4321}
	testkit.Must(t, s.db.AddBackup(t.Context(), good, s.now))
	testkit.Must(t, s.db.SetBackup(t.Context(), good, good.Finish(s.now.Add(3*time.Second), nil)))
	s.get("/admin/backups").shows(200, "Backups are made automatically", "gatehouse-1.backup", "12 MB", "4,321",
		"Not encrypted").wellFormed()
	testkit.Must(t, s.db.BackupsDeleted(t.Context(), good.Place, []string{good.Name}, s.now))
	s.get("/admin/backups").shows(200, "Deleted").wellFormed()

	s.backups.Copy = true
	s.get("/admin/backups").shows(200, "is a copy for trying things out").hides("Back up now")
	s.post("/admin/backups/make").shows(409, "is a copy")
}

// TestBackupsNeedTheirScope hides backups from those without the scopes.
func TestBackupsNeedTheirScope(t *testing.T) {
	s := newSite(t)
	s.backups.Place = "/var/backups"
	s.signIn(s.newUser("admin", identity.RoleAdmin))
	s.get("/admin").hides("/admin/backups")
	s.get("/admin/backups").shows(403)
	s.post("/admin/backups/make").shows(403)
}
