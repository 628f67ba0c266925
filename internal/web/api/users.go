package api

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Users answers a page of users.
func (s handlers) Users(ctx context.Context, in gen.UsersRequestObject) (gen.UsersResponseObject, error) {
	q, err := userQuery(in.Params)
	if err != nil {
		return nil, err
	}
	found, err := s.Operations.Users(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	users := found.Items
	ids := make([]identity.UserID, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	locks, err := s.Operations.Locks(ctx, actorOf(ctx), ids)
	if err != nil {
		return nil, err
	}
	out := gen.Users200JSONResponse{
		Data:     []management.User{},
		Total:    found.Total,
		TotalIs:  atLeast(found.AtLeast),
		Limit:    q.Page.Limit,
		Offset:   q.Page.Offset,
		Next:     optional(found.Next),
		SortedBy: optional(found.SortedBy),
	}
	for i := range users {
		u := userView(&users[i])
		until, by := locks[users[i].ID], users[i].LockedAt
		locked := !until.IsZero() || !by.IsZero()
		u.Locked, u.LockedUntil = &locked, moment(until)
		if !by.IsZero() {
			u.LockedAt = moment(by)
		}
		out.Data = append(out.Data, u)
	}
	return out, nil
}

// userQuery returns which users a request is for.
func userQuery(p management.UsersParams) (admin.UserQuery, error) {
	q := admin.UserQuery{
		Search:   value(p.Search),
		Status:   string(value(p.Status)),
		Role:     value(p.Role),
		Verified: p.EmailVerified,
		Page:     page(p.Limit, p.Offset, p.Cursor, p.Total != nil),
	}
	by, desc := strings.CutPrefix(string(value(p.Sort)), "-")
	q.Sort = admin.Sort{By: by, Desc: desc}
	var errs [4]error
	q.Created.From, errs[0] = bound("created_from", p.CreatedFrom, false)
	q.Created.Until, errs[1] = bound("created_to", p.CreatedTo, true)
	q.LastLogin.From, errs[2] = bound("last_login_from", p.LastLoginFrom, false)
	q.LastLogin.Until, errs[3] = bound("last_login_to", p.LastLoginTo, true)
	return q, fault.Join(errs[:]...)
}

// UserDetail answers one user.
func (s handlers) UserDetail(
	ctx context.Context, in gen.UserDetailRequestObject,
) (gen.UserDetailResponseObject, error) {
	out, err := s.user(ctx, in.ID)
	return gen.UserDetail200JSONResponse{
		Body:    out,
		Headers: gen.UserDetail200ResponseHeaders{ETag: etag(int64(out.Version))},
	}, err
}

func (s handlers) user(ctx context.Context, ref string) (management.User, error) {
	d, err := s.Operations.UserDetail(ctx, actorOf(ctx), ref)
	if err != nil {
		return management.User{}, err
	}
	return userDetailView(d), nil
}

// after returns a user after a change. A caller who may change users but not read them gets no more
// than what the change knows.
func (s handlers) after(ctx context.Context, u *identity.User) (management.User, error) {
	out, err := s.user(ctx, string(u.ID))
	if fault.Is(err, fault.Denied) {
		return userView(u), nil
	}
	return out, err
}

// CreateUser creates a user, or invites one.
func (s handlers) CreateUser(
	ctx context.Context, in gen.CreateUserRequestObject,
) (gen.CreateUserResponseObject, error) {
	body := exchangeOf(ctx).body
	p, err := userPatch(body)
	if err != nil {
		return nil, err
	}
	if role, _ := body["role"].(string); role != "" && role != identity.RoleUser {
		roles, _ := identityField("roles")
		if err := p.Set(roles, append(slices.Clone(p.Values.Roles), role)...); err != nil {
			return nil, err
		}
	}
	if active, ok := body["active"].(bool); ok && !active {
		disabled, _ := identityField("disabled")
		if err := p.Set(disabled, "true"); err != nil {
			return nil, err
		}
	}
	n := admin.NewUser{Fields: p, Password: text(in.Body.Password)}
	create := s.Operations.CreateUser
	if invite, _ := body["invite"].(bool); invite {
		if create = s.Operations.InviteUser; n.Password != "" {
			return nil, wrong("password", "An invited person chooses the password.")
		}
	}
	made, err := create(ctx, actorOf(ctx), n)
	if err != nil {
		return nil, err
	}
	view, err := s.after(ctx, made.User)
	view.Link, view.Warnings = optional(made.Link), warnings(made.Warnings)
	return gen.CreateUser201JSONResponse{
		Body: view,
		Headers: gen.CreateUser201ResponseHeaders{
			ETag:     etag(int64(view.Version)),
			Location: address(ctx, "users", view.ID),
		},
	}, err
}

// UpdateUser changes a user.
func (s handlers) UpdateUser(
	ctx context.Context, in gen.UpdateUserRequestObject,
) (gen.UpdateUserResponseObject, error) {
	x := exchangeOf(ctx)
	if x.sendsReadOnly() {
		old, err := s.user(ctx, in.ID)
		if err == nil {
			err = unchanged(x.body, old, x.op.readOnly())
		}
		if err != nil {
			return nil, err
		}
	}
	p, err := userPatch(x.body)
	if err != nil {
		return nil, err
	}
	p.IfVersion = ifVersion(in.Params.IfMatch)
	change := admin.UserUpdate{
		Fields:      p,
		Password:    value(in.Body.Password),
		AddRoles:    value(in.Body.AddRoles),
		RemoveRoles: value(in.Body.RemoveRoles),
	}
	if role, _ := x.body["role"].(string); role != "" {
		add, remove := roleChange(role)
		change.AddRoles, change.RemoveRoles = append(change.AddRoles, add...), append(change.RemoveRoles, remove...)
	}
	if active, ok := x.body["active"].(bool); ok {
		change.Active = &active
	}
	changed, err := s.Operations.UpdateUser(ctx, x.actor, in.ID, change)
	if err != nil {
		return nil, err
	}
	view, err := s.after(ctx, changed.User)
	view.Warnings = warnings(changed.Warnings)
	if len(changed.Changed) > 0 {
		view.Changed = &changed.Changed
	}
	return gen.UpdateUser200JSONResponse{
		Body:    view,
		Headers: gen.UpdateUser200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, err
}

// DeleteUser deletes a user.
func (s handlers) DeleteUser(
	ctx context.Context, in gen.DeleteUserRequestObject,
) (gen.DeleteUserResponseObject, error) {
	_, err := s.Operations.DeleteUser(ctx, actorOf(ctx), in.ID, ifVersion(in.Params.IfMatch))
	return gen.DeleteUser204Response{}, err
}

// systemRoles returns the roles that everybody knows, strongest first, without that of everybody.
func systemRoles() []string { return []string{identity.RoleSuperAdmin, identity.RoleAdmin} }

// roleChange returns the roles to give and to take, so that of those that everybody knows the user
// has this one.
func roleChange(role string) (add, remove []string) {
	for _, one := range systemRoles() {
		if one == role {
			add = append(add, one)
		} else {
			remove = append(remove, one)
		}
	}
	return add, remove
}

// roleOf returns the strongest of the roles that everybody knows.
func roleOf(u *identity.User) string {
	for _, role := range systemRoles() {
		if slices.Contains(u.Roles, role) {
			return role
		}
	}
	return identity.RoleUser
}

func identityField(name string) (field.Field[identity.User], bool) {
	return field.Named(identity.UserFields(), name)
}

// userPatch returns what a body changes of the fields of a user. Members are called like claims
// (OpenID Connect Core §5.1), and the address is a member of its own.
func userPatch(body map[string]any) (admin.UserPatch, error) {
	members := maps.Clone(body)
	for member, name := range map[string]string{
		"phone_number":          "phone",
		"phone_number_verified": "phone_verified",
	} {
		if v, ok := members[member]; ok {
			members[name] = v
		}
	}
	delete(members, "disabled")
	if address, ok := members["address"].(map[string]any); ok {
		maps.Copy(members, address)
	}
	return patchOf(identity.UserFields(), members)
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
			Formatted:     addressPart(u.Address.Formatted),
			StreetAddress: addressPart(u.Address.StreetAddress),
			Locality:      addressPart(u.Address.Locality),
			Region:        addressPart(u.Address.Region),
			PostalCode:    addressPart(u.Address.PostalCode),
			Country:       addressPart(u.Address.Country),
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
		Version:            int(u.Version),
	}
}

// userDetailView returns an account with what belongs to it.
func userDetailView(d *admin.UserDetail) management.User {
	out := userView(d.User)
	locked := !d.LockedUntil.IsZero()
	out.Locked = &locked
	out.LockedAt, out.UnlockAt = moment(d.LockedAt), moment(d.UnlockAt)
	out.LockedUntil = moment(d.LockedUntil)
	out.FailedAttempts = &d.Failures
	if d.LockReason != "" {
		out.LockReason = nullable.NewNullableWithValue(d.LockReason)
	} else {
		out.LockReason = nullable.NewNullNullable[string]()
	}
	enabled := len(d.Factors) > 0
	var since time.Time
	for _, f := range d.Factors {
		if since.IsZero() || f.ConfirmedAt.Before(since) {
			since = f.ConfirmedAt
		}
	}
	out.MFAEnabled, out.MFAConfiguredAt = &enabled, moment(since)
	out.Sessions, out.Authorizations = &d.Sessions, &d.Grants
	out.RecoveryReadyAt = moment(d.RecoveryReadyAt)
	emails := make([]string, len(d.Emails))
	for i := range d.Emails {
		emails[i] = d.Emails[i].Email
	}
	out.FurtherEmails = &emails
	return out
}

// moment returns a time, or null for the zero time.
func moment(t time.Time) nullable.Nullable[time.Time] {
	if t.IsZero() {
		return nullable.NewNullNullable[time.Time]()
	}
	return nullable.NewNullableWithValue(t.UTC())
}

// addressPart returns a part of an address; one that is not known is left out.
func addressPart(s string) nullable.Nullable[string] {
	if s == "" {
		return nil
	}
	return nullable.NewNullableWithValue(s)
}
