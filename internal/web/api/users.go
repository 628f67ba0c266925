package api

import (
	"context"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Users answers a page of users.
func (s handlers) Users(ctx context.Context, in gen.UsersRequestObject) (gen.UsersResponseObject, error) {
	q := admin.UserQuery{
		Search: value(in.Params.Search),
		Limit:  limit(in.Params.Limit),
		Offset: value(in.Params.Offset),
	}
	users, total, err := s.Operations.Users(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	ids := make([]identity.UserID, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	locks, err := s.Operations.Locks(ctx, actorOf(ctx), ids)
	if err != nil {
		return nil, err
	}
	out := gen.Users200JSONResponse{Data: []management.User{}, Total: total, Limit: q.Limit, Offset: q.Offset}
	for i := range users {
		u := userView(&users[i])
		u.Locked = !locks[users[i].ID].IsZero()
		out.Data = append(out.Data, u)
	}
	return out, nil
}

// UserDetail answers one user.
func (s handlers) UserDetail(
	ctx context.Context, in gen.UserDetailRequestObject,
) (gen.UserDetailResponseObject, error) {
	d, err := s.Operations.UserDetail(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := userDetailView(d)
	return gen.UserDetail200JSONResponse{
		Body:    out,
		Headers: gen.UserDetail200ResponseHeaders{ETag: etag(int64(out.Version))},
	}, nil
}

// userView returns an account for an answer: never a hash.
func userView(u *identity.User) management.User {
	return management.User{
		ID:                  string(u.ID),
		Username:            u.Username,
		Email:               u.Email,
		EmailVerified:       u.EmailVerified,
		MustVerifyEmail:     u.MustVerify,
		PhoneNumber:         u.Phone,
		PhoneNumberVerified: u.PhoneVerified,
		Name:                u.Name,
		GivenName:           u.GivenName,
		MiddleName:          u.MiddleName,
		FamilyName:          u.FamilyName,
		Nickname:            u.Nickname,
		Picture:             u.Picture,
		Profile:             u.Profile,
		Website:             u.Website,
		Gender:              u.Gender,
		Birthdate:           u.Birthdate,
		Locale:              u.Locale,
		Zoneinfo:            u.Zoneinfo,
		Address: management.PostalAddress{
			Formatted:     optional(u.Address.Formatted),
			StreetAddress: optional(u.Address.StreetAddress),
			Locality:      optional(u.Address.Locality),
			Region:        optional(u.Address.Region),
			PostalCode:    optional(u.Address.PostalCode),
			Country:       optional(u.Address.Country),
		},
		Role:               roleOf(u),
		Roles:              append([]string{}, u.Roles...),
		Active:             !u.Disabled,
		Invited:            u.Unclaimed(),
		HasPassword:        u.PasswordHash != "",
		MustChangePassword: u.MustChange,
		PasswordChangedAt:  moment(u.PasswordChangedAt),
		CreatedAt:          u.CreatedAt.UTC(),
		UpdatedAt:          u.UpdatedAt.UTC(),
		LastLoginAt:        moment(u.LastLoginAt),
		Version:            0,
	}
}

// userDetailView returns an account with what belongs to it.
func userDetailView(d *admin.UserDetail) management.User {
	out := userView(d.User)
	out.Locked = !d.LockedUntil.IsZero()
	out.LockedAt, out.UnlockAt = moment(d.LockedAt), moment(d.UnlockAt)
	out.FailedAttempts = &d.Failures
	enabled := len(d.Factors) > 0
	var since time.Time
	for _, f := range d.Factors {
		if since.IsZero() || f.ConfirmedAt.Before(since) {
			since = f.ConfirmedAt
		}
	}
	out.MFAEnabled, out.MFAConfiguredAt = &enabled, moment(since)
	out.Sessions, out.Authorizations = &d.Sessions, &d.Grants
	return out
}

// roleOf returns the strongest of the roles that everybody knows.
func roleOf(u *identity.User) string {
	if u.Admin() {
		return identity.RoleAdmin
	}
	return "user"
}

// moment returns a time, or null for the zero time.
func moment(t time.Time) nullable.Nullable[time.Time] {
	if t.IsZero() {
		return nullable.NewNullNullable[time.Time]()
	}
	return nullable.NewNullableWithValue(t.UTC())
}
