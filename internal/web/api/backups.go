package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Backups answers the state of the backups.
func (s handlers) Backups(ctx context.Context, _ gen.BackupsRequestObject) (gen.BackupsResponseObject, error) {
	b, err := s.Operations.Backups(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.Backups200JSONResponse{
		Place:       b.Policy.Place,
		Every:       int(b.Policy.Every / time.Second),
		Keep:        b.Policy.Keep,
		Encrypted:   b.Policy.Encrypted,
		Failures:    b.Failures,
		DueAt:       moment(b.DueAt),
		NotIncluded: append([]string{}, b.Policy.Missing...),
		Data:        []management.Backup{},
		Total:       len(b.List),
		Limit:       len(b.List),
	}
	if b.Newest != nil {
		newest := backupView(b.Newest)
		out.Newest = &newest
	}
	for i := range b.List {
		out.Data = append(out.Data, backupView(&b.List[i]))
	}
	return out, nil
}

// MakeBackup asks the servers for a backup.
func (s handlers) MakeBackup(
	ctx context.Context, _ gen.MakeBackupRequestObject,
) (gen.MakeBackupResponseObject, error) {
	b, err := s.Operations.MakeBackup(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	return gen.MakeBackup202JSONResponse(backupView(b)), nil
}

func backupView(b *admin.Backup) management.Backup {
	return management.Backup{
		ID:         b.ID,
		Actor:      b.Actor,
		Place:      b.Place,
		Name:       b.Name,
		State:      string(b.State),
		Error:      b.Error,
		StartedAt:  b.StartedAt.UTC(),
		FinishedAt: moment(b.FinishedAt),
		Bytes:      b.Bytes,
		Rows:       b.Rows,
		Sha256:     b.SHA256,
		Encrypted:  b.Encrypted,
		DeletedAt:  moment(b.DeletedAt),
	}
}
