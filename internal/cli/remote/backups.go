package remote

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// Backups returns the state of the backups.
func (s *Server) Backups(ctx context.Context, _ admin.Actor) (*admin.BackupOverview, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "backups"); err != nil {
		return nil, err
	}
	out := &admin.BackupOverview{
		Policy: admin.BackupPolicy{
			Place:     member[string](doc, "place"),
			Every:     time.Duration(member[int64](doc, "every")) * time.Second,
			Keep:      member[int](doc, "keep"),
			Encrypted: member[bool](doc, "encrypted"),
			Missing:   member[[]string](doc, "not_included"),
		},
		Failures: member[int](doc, "failures"),
		DueAt:    at(doc, "due_at"),
	}
	if newest := member[object](doc, "newest"); newest != nil {
		b := backupOf(newest)
		out.Newest = &b
	}
	for _, d := range member[[]object](doc, "data") {
		out.List = append(out.List, backupOf(d))
	}
	return out, nil
}

// WriteBackup asks the server for a backup where its settings say. It returns errHere for any other
// place, which would be one of the server's machine.
func (s *Server) WriteBackup(ctx context.Context, _ admin.Actor, in admin.BackupInput) (*admin.Backup, error) {
	if in.To != "" || in.Recipients != nil {
		return nil, errHere
	}
	var doc object
	if err := s.post(ctx, &doc, nil, "backups"); err != nil {
		return nil, err
	}
	b := backupOf(doc)
	return &b, nil
}

func backupOf(d object) admin.Backup {
	return admin.Backup{
		ID:         member[string](d, "id"),
		Actor:      member[string](d, "actor"),
		Place:      member[string](d, "place"),
		Name:       member[string](d, "name"),
		State:      member[admin.BackupState](d, "state"),
		Error:      member[string](d, "error"),
		StartedAt:  at(d, "started_at"),
		FinishedAt: at(d, "finished_at"),
		Bytes:      member[int64](d, "bytes"),
		Rows:       member[int64](d, "rows"),
		SHA256:     member[string](d, "sha256"),
		Encrypted:  member[bool](d, "encrypted"),
		DeletedAt:  at(d, "deleted_at"),
	}
}
