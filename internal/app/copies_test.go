package app

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The server of a copy for trying things out has all the settings of the original, and does nothing
// that others notice: it runs no job, sends no mail, webhook or record, makes no backup and asks
// for no certificate. People can sign in to it.
func TestServerOfACopy(t *testing.T) {
	tasks := map[bool][2]int{} // jobs and background tasks
	for _, copied := range []bool{false, true} {
		dir := t.TempDir()
		in := install(t, "DATABASE_URL=sqlite:"+filepath.Join(dir, "g.db"), "SECRET_KEY="+strings.Repeat("5e", 32),
			"SMTP_HOST=mail.example", "SMTP_FROM=id@example.com", "AUDIT_LOG_SYSLOG=true", "SYSLOG_HOST=log.example",
			"BACKUP_TO="+filepath.Join(dir, "backups"), "BACKUP_EVERY=24h", "AUDIT_LOG_RETENTION_DAYS=1",
			"ACME_DOMAINS=id.example.com", "ACME_EMAIL=ops@example.com", "BASE_URL=https://id.example.com",
		)
		p, err := openParts(t.Context(), in.e, in.cfg, nil)
		testkit.Must(t, err)
		if copied {
			_, err := p.db.InitMeta(t.Context(), "copy", "now")
			testkit.Must(t, err)
			testkit.Must(t, p.Close())
			p, err = openParts(t.Context(), in.e, in.cfg, nil)
			testkit.Must(t, err)
		}
		t.Cleanup(func() { _ = p.Close() })
		testkit.Equal(t, "it is a copy", p.copied, copied)
		s, err := newServer(t.Context(), in.e, p, slog.New(slog.DiscardHandler))
		testkit.Must(t, err)
		t.Cleanup(s.release)
		tasks[copied] = [2]int{s.jobs.Len(), len(s.behind)}
		_, err = newCertificates(in.e, p, s.log)
		testkit.Equal(t, "it is refused certificates", fault.Is(err, fault.Conflict), copied)
	}
	original, copied := tasks[false], tasks[true]
	testkit.Equal(t, "jobs of a copy", copied[0], 0)
	if original[0] < 10 {
		t.Errorf("only %d jobs of the original", original[0])
	}
	// Mail, log servers with webhooks, and backups.
	testkit.Equal(t, "background tasks that a copy has not", original[1]-copied[1], 3)
}
