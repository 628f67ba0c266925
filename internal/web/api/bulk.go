package api

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// BulkUsers acts on many users at once, or begins a job.
func (s handlers) BulkUsers(ctx context.Context, in gen.BulkUsersRequestObject) (gen.BulkUsersResponseObject, error) {
	selection, err := bulkSelection(in.Body)
	if err != nil {
		return nil, err
	}
	job, err := s.Operations.BulkUsers(ctx, actorOf(ctx), admin.BulkRequest{
		Action:    admin.BulkAction(in.Body.Action),
		Reason:    value(in.Body.Reason),
		Selection: selection,
	})
	if err != nil {
		return nil, err
	}
	if job.ID == "" {
		return gen.BulkUsers200JSONResponse(bulkView(job)), nil
	}
	return gen.BulkUsers202JSONResponse{
		Body:    bulkView(job),
		Headers: gen.BulkUsers202ResponseHeaders{Location: address(ctx, "bulk-actions", job.ID)},
	}, nil
}

// bulkSelection returns which users a request is for.
func bulkSelection(in *management.BulkRequest) (admin.UserSelection, error) {
	out := admin.UserSelection{Count: value(in.Count), At: value(in.At)}
	for _, id := range value(in.Ids) {
		out.IDs = append(out.IDs, identity.UserID(id))
	}
	if in.Filter == nil {
		return out, nil
	}
	f := in.Filter
	q := admin.UserQuery{
		Search:   value(f.Search),
		Status:   string(value(f.Status)),
		Role:     value(f.Role),
		Verified: f.EmailVerified,
	}
	var errs [4]error
	q.Created.From, errs[0] = bound("filter.created_from", f.CreatedFrom, false)
	q.Created.Until, errs[1] = bound("filter.created_to", f.CreatedTo, true)
	q.LastLogin.From, errs[2] = bound("filter.last_login_from", f.LastLoginFrom, false)
	q.LastLogin.Until, errs[3] = bound("filter.last_login_to", f.LastLoginTo, true)
	out.Filter = &q
	return out, fault.Join(errs[:]...)
}

// BulkAction answers how far a job is.
func (s handlers) BulkAction(
	ctx context.Context, in gen.BulkActionRequestObject,
) (gen.BulkActionResponseObject, error) {
	job, err := s.Operations.BulkAction(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.BulkAction200JSONResponse(bulkView(job)), nil
}

// StopBulkAction stops a job.
func (s handlers) StopBulkAction(
	ctx context.Context, in gen.StopBulkActionRequestObject,
) (gen.StopBulkActionResponseObject, error) {
	job, err := s.Operations.StopBulkAction(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.StopBulkAction200JSONResponse(bulkView(job)), nil
}

func bulkView(job *admin.BulkJob) management.BulkJob {
	out := management.BulkJob{
		ID:           job.ID,
		Action:       string(job.Action),
		State:        job.State,
		Total:        job.Total,
		Done:         job.Done,
		Refused:      job.Refused,
		RefusedUsers: []management.RefusedUser{},
	}
	for _, x := range job.Items {
		out.RefusedUsers = append(out.RefusedUsers, management.RefusedUser{ID: string(x.User), Error: x.Error})
	}
	return out
}
