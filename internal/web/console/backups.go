package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// backupSection shows the backups, and makes one.
func (s *Server) backupSection() section {
	return section{
		path:  "/backups",
		name:  "Backups",
		icon:  "shield",
		group: "System",
		scope: admin.ScopeSettingsRead,
		routes: append([]route{
			{"GET /admin/backups", []string{"Backups"}, s.showBackups},
		}, actionRoutes("/admin/backups", s.makeBackupAction(), s.loadBackups)...),
		views: []View{&BackupsView{}, &ConfirmView{}},
		notes: map[string]string{"queued": "A server is making the backup. Reload the page to see the result."},
	}
}

// BackupsView shows the state of the backups, and the last ones.
type BackupsView struct {
	Base
	Outcome string // one sentence
	Tone    string // of the outcome: good, warn or bad
	Facts   []Fact
	Missing []string // what a backup does not hold
	Table   Table
	Empty   *Empty // instead of the list, or nil
	Same    Same
}

// Page names the template.
func (*BackupsView) Page() string { return "backups" }

func (s *Server) showBackups(w http.ResponseWriter, r *http.Request, q *request) error {
	b, err := s.ops.Backups(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &BackupsView{Base: s.begin(r, q, "Backups")}
	v.Lead = "A backup is one file with the whole database at one moment. SQLite and PostgreSQL can both restore it."
	if q.actor.Can(admin.ScopeBackup) && b.Policy.Place != "" && !b.Policy.Copy {
		v.Primary = &Link{"Back up now", Root + "/backups/make"}
	}
	v.Outcome, v.Tone = v.backupOutcome(b)
	v.Facts = v.backupFacts(b)
	v.Missing = b.Policy.Missing
	v.Table = v.backupTable(b.List)
	if len(b.List) == 0 {
		v.Empty = &Empty{
			Icon:  "shield",
			Title: "No backup has been made yet",
			Text: "Set BACKUP_TO and BACKUP_EVERY for automatic backups, or make one on " +
				"the command line.",
		}
	}
	v.Same = s.same("GET", "/api/v1/backups", nil, "backup", "status")
	return s.show(w, http.StatusOK, v)
}

// backupOutcome returns the state of the backups as a sentence, and its tone.
func (b *Base) backupOutcome(x *admin.BackupOverview) (text, tone string) {
	p := x.Policy
	switch {
	case p.Copy:
		return "This database is a copy for trying things out: the server makes no backups of it.", "warn"
	case x.Failures > 0:
		return count(x.Failures, "attempt") + " in a row failed.", "bad"
	case x.Newest == nil && p.Every > 0:
		return "There is no backup yet; a server makes the first one soon.", "warn"
	case x.Newest == nil:
		return "There is no backup.", "bad"
	case p.Every > 0 && b.Now.Sub(x.Newest.StartedAt) > 2*p.Every:
		return "The newest backup is too old.", "bad"
	case p.Every <= 0:
		return "Backups are made only when somebody asks for one.", "warn"
	}
	return "Backups are made automatically.", "good"
}

// backupFacts returns what the settings say, and what is newest.
func (b *Base) backupFacts(x *admin.BackupOverview) []Fact {
	p := x.Policy
	place, every, keep, encrypted := "None: BACKUP_TO is not set", "Never: BACKUP_EVERY is not set", "All of them", "No"
	if p.Place != "" {
		place = p.Place
	}
	if p.Every > 0 {
		every = p.Every.String()
		for _, unit := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(every, unit) {
				every = every[:len(every)-2]
			}
		}
	}
	if p.Keep > 0 {
		keep = fmt.Sprintf("The newest %d", p.Keep)
	}
	if p.Encrypted {
		encrypted = "Yes, for BACKUP_RECIPIENTS"
	}
	newest := Cell{Text: "None"}
	if n := x.Newest; n != nil {
		newest = b.timeCell(n.StartedAt, "")
		newest.Sub = n.Name + ", " + size(n.Bytes)
	}
	return []Fact{
		{Name: "Newest", Cell: newest},
		{Name: "Next", Cell: b.timeCell(x.DueAt, "Not planned")},
		{Name: "Place", Cell: codeCell(place)},
		{Name: "Every", Cell: textCell(every)},
		{Name: "Kept", Cell: textCell(keep)},
		{Name: "Encrypted", Cell: textCell(encrypted)},
	}
}

func (b *Base) backupTable(all []admin.Backup) Table {
	t := Table{Caption: "Backups", Columns: []Column{
		{Name: "Backup"},
		{Name: "State"},
		{Name: "Size", Num: true},
		{Name: "Rows", Num: true, Wide: true},
		{Name: "Began"},
		{Name: "Took", Num: true, Wide: true},
	}}
	for i := range all {
		x := &all[i]
		name := x.Name
		if name == "" {
			name = x.ID
		}
		bytes, rows, took := "", "", ""
		if x.State == admin.BackupGood {
			bytes, rows = size(x.Bytes), grouped(int(x.Rows))
			took = fmt.Sprintf("%.1f s", x.FinishedAt.Sub(x.StartedAt).Seconds())
		}
		t.Rows = append(t.Rows, Row{ID: x.ID, Name: name, Cells: []Cell{
			{Text: name, Code: true, Sub: x.Place},
			b.backupState(x), textCell(bytes), textCell(rows),
			b.timeCell(x.StartedAt, ""), textCell(took),
		}})
	}
	return t
}

func (b *Base) backupState(x *admin.Backup) Cell {
	switch x.State {
	case admin.BackupQueued:
		return badgeCell("plain", "Queued")
	case admin.BackupRunning:
		return badgeCell("warn", "Running")
	case admin.BackupFailed:
		c := badgeCell("bad", "Failed")
		c.Sub = x.Error
		return c
	}
	if !x.DeletedAt.IsZero() {
		c := badgeCell("plain", "Deleted")
		c.Sub = "Newer ones replaced it " + b.When(x.DeletedAt).Relative
		return c
	}
	c := badgeCell("good", "Good")
	if !x.Encrypted {
		c.Sub = "Not encrypted"
	}
	return c
}

// size returns a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1e10:
		return grouped(int(n/1e9)) + " GB"
	case n >= 1e7:
		return grouped(int(n/1e6)) + " MB"
	case n >= 1e4:
		return grouped(int(n/1e3)) + " kB"
	}
	return count(int(n), "byte")
}

// loadBackups returns the state of the backups, for those who may make one.
func (s *Server) loadBackups(r *http.Request, q *request) (*admin.BackupOverview, error) {
	if err := s.mayChange(q, admin.ScopeBackup); err != nil {
		return nil, err
	}
	return s.ops.Backups(r.Context(), q.actor)
}

func (s *Server) makeBackupAction() action[*admin.BackupOverview] {
	return action[*admin.BackupOverview]{
		server: s, ops: []string{"Backups", "MakeBackup"},
		name: "make", title: "Back up now", button: "Make a backup",
		held: func(x *admin.BackupOverview) bool { return x.Policy.Place == "" || x.Policy.Copy },
		text: func(x *admin.BackupOverview) string {
			if x.Policy.Place == "" {
				return "The server does not know where backups go: set BACKUP_TO to a folder or to s3://BUCKET/PREFIX."
			}
			return "A server writes all that the database holds to " + x.Policy.Place + ", while it serves requests."
		},
		ends: func(x *admin.BackupOverview) []string {
			var out []string
			for _, m := range x.Policy.Missing {
				out = append(out, "Not in the backup: "+m+".")
			}
			return out
		},
		same: func(*admin.BackupOverview, url.Values) Same {
			return s.same("POST", "/api/v1/backups", nil, "backup")
		},
		do: func(ctx context.Context, q *request, _ *admin.BackupOverview) error {
			_, err := s.ops.MakeBackup(ctx, q.actor)
			return err
		},
		done: func(*admin.BackupOverview) string { return Root + "/backups?done=queued" },
		back: func(*admin.BackupOverview) Link { return Link{"Backups", Root + "/backups"} },
	}
}
