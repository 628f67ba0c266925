package remote

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// claims returns the members of a user that are called like claims and not like fields.
func claims() map[string]string {
	return map[string]string{"phone": "phone_number", "phone_verified": "phone_number_verified"}
}

// addressParts returns the fields of a user that are members of the member address.
func addressParts() []string {
	return []string{"formatted", "street_address", "locality", "region", "postal_code", "country"}
}

// someHash stands for the hash of a password, which the API does not answer.
const someHash = "set"

func userOf(doc object) (*identity.User, error) {
	flat := object{}
	for name, raw := range doc {
		flat[name] = raw
	}
	for name, claim := range claims() {
		if raw, ok := doc[claim]; ok {
			flat[name] = raw
		}
	}
	var address object
	if raw, ok := doc["address"]; ok {
		if err := json.Unmarshal(raw, &address); err != nil {
			return nil, err
		}
	}
	for _, name := range addressParts() {
		if raw, ok := address[name]; ok {
			flat[name] = raw
		}
	}
	u := &identity.User{
		ID:                member[identity.UserID](doc, "id"),
		Disabled:          !member[bool](doc, "active"),
		PasswordChangedAt: at(doc, "password_changed_at"),
		CreatedAt:         at(doc, "created_at"),
		UpdatedAt:         at(doc, "updated_at"),
		LastLoginAt:       at(doc, "last_login_at"),
		LockedAt:          at(doc, "locked_at"),
		Version:           member[int64](doc, "version"),
	}
	delete(flat, "disabled")
	if member[bool](doc, "has_password") {
		u.PasswordHash = someHash
	}
	if member[bool](doc, "invited") {
		u.InvitedAt = u.CreatedAt // when it was is not said
	}
	return u, read(identity.UserFields(), flat, u)
}

// userBody returns a patch of a user as the API takes it.
func userBody(p *admin.UserPatch) (map[string]any, error) {
	out, err := body(identity.UserFields(), p)
	if err != nil {
		return nil, err
	}
	for name, claim := range claims() {
		if v, ok := out[name]; ok {
			delete(out, name)
			out[claim] = v
		}
	}
	address := map[string]any{}
	for _, name := range addressParts() {
		if v, ok := out[name]; ok {
			delete(out, name)
			address[name] = v
		}
	}
	if len(address) > 0 {
		out["address"] = address
	}
	if _, ok := out["disabled"]; ok {
		delete(out, "disabled")
		out["active"] = !p.Values.Disabled
	}
	return out, nil
}

// Users returns a page of users.
func (s *Server) Users(ctx context.Context, _ admin.Actor, q admin.UserQuery) (*admin.List[identity.User], error) {
	s.locks = map[identity.UserID]time.Time{}
	query := userParameters(q)
	return page(ctx, s, query, q.Page, func(doc *object) (identity.User, error) {
		u, err := userOf(*doc)
		if err != nil {
			return identity.User{}, err
		}
		if until := at(*doc, "locked_until"); !until.IsZero() {
			s.locks[u.ID] = until
		}
		return *u, nil
	}, "users")
}

func userParameters(q admin.UserQuery) map[string][]string {
	query := parameters("search", q.Search, "status", q.Status, "role", q.Role, "sort", sortText(q.Sort),
		"created_from", instant(q.Created.From), "created_to", instant(q.Created.Until),
		"last_login_from", instant(q.LastLogin.From), "last_login_to", instant(q.LastLogin.Until))
	if q.Verified != nil {
		query.Set("email_verified", strconv.FormatBool(*q.Verified))
	}
	return query
}

// Locks returns until when users of the last page are locked.
func (s *Server) Locks(
	context.Context, admin.Actor, []identity.UserID,
) (map[identity.UserID]time.Time, error) {
	return s.locks, nil
}

// UserNames returns what the users sign in with whose sessions were listed last.
func (s *Server) UserNames(
	context.Context, admin.Actor, []identity.UserID,
) (map[identity.UserID]string, error) {
	return s.names, nil
}

// User returns a user.
func (s *Server) User(ctx context.Context, _ admin.Actor, ref string) (*identity.User, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "users", ref); err != nil {
		return nil, err
	}
	return userOf(doc)
}

// UserDetail returns a user with what belongs to them.
func (s *Server) UserDetail(ctx context.Context, a admin.Actor, ref string) (*admin.UserDetail, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "users", ref); err != nil {
		return nil, err
	}
	u, err := userOf(doc)
	if err != nil {
		return nil, err
	}
	d := &admin.UserDetail{
		User:        u,
		LockedAt:    at(doc, "locked_at"),
		LockedUntil: at(doc, "locked_until"),
		UnlockAt:    at(doc, "unlock_at"),
		LockReason:  member[string](doc, "lock_reason"),
		Failures:    member[int](doc, "failed_attempts"),
		Sessions:    member[int](doc, "sessions"),
		Grants:      member[int](doc, "authorizations"),

		RecoveryReadyAt: at(doc, "recovery_ready_at"),
	}
	for _, e := range member[[]string](doc, "further_emails") {
		d.Emails = append(d.Emails, identity.OtherEmail{User: u.ID, Email: e})
	}
	d.Factors, err = s.UserFactors(ctx, a, string(u.ID))
	return d, err
}

// PasswordStatus returns when a password expires.
func (s *Server) PasswordStatus(ctx context.Context, _ admin.Actor, ref string) (*admin.PasswordStatus, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "users", ref, "password-status"); err != nil {
		return nil, err
	}
	return &admin.PasswordStatus{
		LastChanged:    at(doc, "last_changed"),
		ExpiresAt:      at(doc, "expires_at"),
		RequiresChange: member[bool](doc, "requires_change"),
	}, nil
}

// CreateUser creates a user.
func (s *Server) CreateUser(ctx context.Context, _ admin.Actor, in admin.NewUser) (*admin.CreatedUser, error) {
	return s.createUser(ctx, in, false)
}

// InviteUser invites a person.
func (s *Server) InviteUser(ctx context.Context, _ admin.Actor, in admin.NewUser) (*admin.CreatedUser, error) {
	return s.createUser(ctx, in, true)
}

func (s *Server) createUser(ctx context.Context, in admin.NewUser, invite bool) (*admin.CreatedUser, error) {
	b, err := userBody(&in.Fields)
	if err != nil {
		return nil, err
	}
	if in.Password != "" {
		b["password"] = in.Password
	}
	if invite {
		b["invite"] = true
	}
	var doc object
	if err := s.post(ctx, &doc, b, "users"); err != nil {
		return nil, err
	}
	u, err := userOf(doc)
	return &admin.CreatedUser{User: u, Link: member[string](doc, "link"), Warnings: warningsOf(doc)}, err
}

// UpdateUser changes a user.
func (s *Server) UpdateUser(
	ctx context.Context, _ admin.Actor, ref string, in admin.UserUpdate,
) (*admin.UpdatedUser, error) {
	b, err := userBody(&in.Fields)
	if err != nil {
		return nil, err
	}
	if len(in.AddRoles) > 0 {
		b["add_roles"] = in.AddRoles
	}
	if len(in.RemoveRoles) > 0 {
		b["remove_roles"] = in.RemoveRoles
	}
	if in.Password != "" {
		b["password"] = in.Password
	}
	if in.Active != nil {
		b["active"] = *in.Active
	}
	var doc object
	if err := s.patch(ctx, &doc, b, in.Fields.IfVersion, "users", ref); err != nil {
		return nil, err
	}
	u, err := userOf(doc)
	return &admin.UpdatedUser{User: u, Changed: member[[]string](doc, "changed"), Warnings: warningsOf(doc)}, err
}

// SetPassword sets a new password.
func (s *Server) SetPassword(ctx context.Context, a admin.Actor, ref, password string) (*identity.User, error) {
	out, err := s.UpdateUser(ctx, a, ref, admin.UserUpdate{Password: password})
	if err != nil {
		return nil, err
	}
	return out.User, nil
}

// DisableUser keeps a user from signing in.
func (s *Server) DisableUser(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.setActive(ctx, a, ref, false)
}

// EnableUser lets a user sign in again.
func (s *Server) EnableUser(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.setActive(ctx, a, ref, true)
}

func (s *Server) setActive(ctx context.Context, a admin.Actor, ref string, active bool) (*identity.User, error) {
	out, err := s.UpdateUser(ctx, a, ref, admin.UserUpdate{Active: &active})
	if err != nil {
		return nil, err
	}
	return out.User, nil
}

// CreatePasswordLink makes a link to choose a password.
func (s *Server) CreatePasswordLink(ctx context.Context, a admin.Actor, ref string) (*admin.CreatedUser, error) {
	u, err := s.User(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	var doc object
	err = s.post(ctx, &doc, nil, "users", string(u.ID), "password-link")
	return &admin.CreatedUser{User: u, Link: member[string](doc, "link")}, err
}

// ImpersonateUser makes a link to act as a user.
func (s *Server) ImpersonateUser(
	ctx context.Context, a admin.Actor, ref, reason string,
) (*admin.ImpersonationLink, error) {
	u, err := s.User(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	var doc object
	err = s.post(ctx, &doc, map[string]any{"reason": reason}, "users", string(u.ID), "impersonate")
	return &admin.ImpersonationLink{
		User:      u,
		URL:       member[string](doc, "url"),
		ExpiresAt: at(doc, "expires_at"),
	}, err
}

// LockUser locks a user.
func (s *Server) LockUser(ctx context.Context, _ admin.Actor, ref, reason string) (*identity.User, error) {
	return s.userAfter(ctx, map[string]any{"reason": reason}, "users", ref, "lock")
}

// UnlockUser ends the lock of a user.
func (s *Server) UnlockUser(ctx context.Context, _ admin.Actor, ref string) (*identity.User, error) {
	return s.userAfter(ctx, nil, "users", ref, "unlock")
}

func (s *Server) userAfter(ctx context.Context, b map[string]any, path ...string) (*identity.User, error) {
	var sent any
	if b != nil {
		sent = b
	}
	var doc object
	if err := s.post(ctx, &doc, sent, path...); err != nil {
		return nil, err
	}
	return userOf(doc)
}

// act does something to a user whose answer does not show the user.
func (s *Server) act(
	ctx context.Context, a admin.Actor, ref string, do func(id string) error,
) (*identity.User, error) {
	u, err := s.User(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	return u, do(string(u.ID))
}

// DeleteUser deletes a user.
func (s *Server) DeleteUser(ctx context.Context, a admin.Actor, ref string, version int64) (*identity.User, error) {
	return s.act(ctx, a, ref, func(id string) error { return s.remove(ctx, nil, nil, version, "users", id) })
}

// ResetTwoStep removes all second factors of a user.
func (s *Server) ResetTwoStep(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.act(ctx, a, ref, func(id string) error { return s.remove(ctx, nil, nil, 0, "users", id, "factors") })
}

// StopRecovery ends the request for recovery of a user.
func (s *Server) StopRecovery(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.act(ctx, a, ref, func(id string) error { return s.remove(ctx, nil, nil, 0, "users", id, "recovery") })
}

// RevokeUserTokens ends all tokens of a user.
func (s *Server) RevokeUserTokens(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.act(ctx, a, ref, func(id string) error { return s.post(ctx, nil, nil, "users", id, "revoke_tokens") })
}

// SendPasswordReset mails a link to set a new password.
func (s *Server) SendPasswordReset(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.act(ctx, a, ref, func(id string) error {
		return s.post(ctx, nil, nil, "users", id, "send-password-reset")
	})
}

// SendVerification mails a link that proves the address.
func (s *Server) SendVerification(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
	return s.act(ctx, a, ref, func(id string) error {
		return s.post(ctx, nil, nil, "users", id, "send-verification")
	})
}

// UserFactors returns the second factors of a user.
func (s *Server) UserFactors(ctx context.Context, _ admin.Actor, ref string) ([]identity.Credential, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "users", ref, "factors"); err != nil {
		return nil, err
	}
	var out []identity.Credential
	for _, doc := range answer.Data {
		out = append(out, identity.Credential{
			ID:         member[identity.CredentialID](doc, "id"),
			Kind:       member[string](doc, "kind"),
			Label:      member[string](doc, "label"),
			CreatedAt:  at(doc, "created_at"),
			LastUsedAt: at(doc, "last_used_at"),
		})
	}
	return out, nil
}

// RemoveFactor removes a second factor.
func (s *Server) RemoveFactor(ctx context.Context, _ admin.Actor, ref string, id identity.CredentialID) error {
	return s.remove(ctx, nil, nil, 0, "users", ref, "factors", string(id))
}

// UserAuthorizations returns what a user has allowed which clients.
func (s *Server) UserAuthorizations(ctx context.Context, _ admin.Actor, ref string) ([]admin.Authorization, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "users", ref, "authorizations"); err != nil {
		return nil, err
	}
	var out []admin.Authorization
	for _, doc := range answer.Data {
		out = append(out, admin.Authorization{
			Client:     member[client.ID](doc, "client_id"),
			ClientName: member[string](doc, "client_name"),
			Scopes:     words(member[string](doc, "scope")),
			Since:      at(doc, "created_at"),
			LastUsedAt: at(doc, "last_used_at"),
			Grants:     member[int](doc, "grants"),
		})
	}
	return out, nil
}

// RevokeUserAuthorizations disconnects a client, or all of them for "".
func (s *Server) RevokeUserAuthorizations(ctx context.Context, _ admin.Actor, user, ref string) (int, error) {
	var doc object
	err := s.remove(ctx, &doc, parameters("client_id", ref), 0, "users", user, "authorizations")
	return member[int](doc, "revoked"), err
}

// BulkUsers acts on many users.
func (s *Server) BulkUsers(ctx context.Context, _ admin.Actor, in admin.BulkRequest) (*admin.BulkJob, error) {
	b := map[string]any{"action": in.Action}
	if in.Reason != "" {
		b["reason"] = in.Reason
	}
	if in.Selection.IDs != nil {
		b["ids"] = in.Selection.IDs
	}
	if q := in.Selection.Filter; q != nil {
		filter := map[string]any{}
		for name, values := range userParameters(*q) {
			if name != "sort" && name != "email_verified" {
				filter[name] = values[0]
			}
		}
		if q.Verified != nil {
			filter["email_verified"] = *q.Verified
		}
		b["filter"], b["count"], b["at"] = filter, in.Selection.Count, in.Selection.At
	}
	var doc object
	if err := s.post(ctx, &doc, b, "users", "bulk"); err != nil {
		return nil, err
	}
	return jobOf(doc), nil
}

// BulkAction returns how far a job is.
func (s *Server) BulkAction(ctx context.Context, _ admin.Actor, id string) (*admin.BulkJob, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "bulk-actions", id); err != nil {
		return nil, err
	}
	return jobOf(doc), nil
}

// StopBulkAction stops a job.
func (s *Server) StopBulkAction(ctx context.Context, _ admin.Actor, id string) (*admin.BulkJob, error) {
	var doc object
	if err := s.post(ctx, &doc, nil, "bulk-actions", id, "stop"); err != nil {
		return nil, err
	}
	return jobOf(doc), nil
}

func jobOf(doc object) *admin.BulkJob {
	job := &admin.BulkJob{
		ID:      member[string](doc, "id"),
		Action:  member[admin.BulkAction](doc, "action"),
		State:   member[string](doc, "state"),
		Total:   member[int](doc, "total"),
		Done:    member[int](doc, "done"),
		Refused: member[int](doc, "refused"),
	}
	for _, x := range member[[]object](doc, "refused_users") {
		job.Items = append(job.Items, admin.BulkItem{
			User:  member[identity.UserID](x, "id"),
			Error: member[string](x, "error"),
		})
	}
	return job
}
