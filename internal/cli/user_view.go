package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userMembers returns an account as JSON: never a hash.
func userMembers(u *identity.User) object {
	doc := append(object{{"id", u.ID}}, fieldMembers(identity.UserFields(), u)...)
	return append(doc, object{
		{"has_password", u.PasswordHash != ""},
		{"password_changed_at", timestamp{u.PasswordChangedAt}},
		{"created_at", timestamp{u.CreatedAt}},
		{"updated_at", timestamp{u.UpdatedAt}},
		{"last_login_at", timestamp{u.LastLoginAt}},
	}...)
}

// userState returns the state of an account in a word; locked is zero if it is not locked.
func userState(u *identity.User, locked time.Time) string {
	switch {
	case u.Disabled:
		return "disabled"
	case !locked.IsZero() || !u.LockedAt.IsZero():
		return "locked"
	case u.Unclaimed():
		return "invited"
	case u.PasswordHash == "":
		return "no password"
	}
	return "active"
}

// factorView is a second factor.
type factorView struct {
	Kind       string    `json:"kind"`
	Label      string    `json:"label"`
	CreatedAt  timestamp `json:"created_at"`
	LastUsedAt timestamp `json:"last_used_at"`
}

func userDetailMembers(d *admin.UserDetail, p *admin.PasswordStatus) object {
	factors := []factorView{}
	for _, f := range d.Factors {
		factors = append(factors, factorView{f.Kind, f.Label, timestamp{f.CreatedAt}, timestamp{f.LastUsedAt}})
	}
	emails := make([]string, len(d.Emails))
	for i := range d.Emails {
		emails[i] = d.Emails[i].Email
	}
	return append(userMembers(d.User), object{
		{"further_emails", emails},
		{"locked", !d.LockedUntil.IsZero()},
		{"locked_at", timestamp{d.LockedAt}},
		{"failed_attempts", d.Failures},
		{"unlock_at", timestamp{d.UnlockAt}},
		{"locked_until", timestamp{d.LockedUntil}},
		{"lock_reason", d.LockReason},
		{"password_expires_at", timestamp{p.ExpiresAt}},
		{"password_requires_change", p.RequiresChange},
		{"second_factors", factors},
		{"recovery_ready_at", timestamp{d.RecoveryReadyAt}},
		{"sessions", d.Sessions},
		{"grants", d.Grants},
	}...)
}

func printUser(s *table, d *admin.UserDetail, p *admin.PasswordStatus) {
	u := d.User
	s.pair("id", string(u.ID))
	printFields(s, identity.UserFields(), u)
	for i := range d.Emails {
		s.pair("further_email", d.Emails[i].Email)
	}
	s.pair("state", userState(u, d.LockedUntil))
	s.pair("locked_at", timestamp{d.LockedAt}.String())
	s.pair("locked_until", timestamp{d.LockedUntil}.String())
	s.pair("lock_reason", d.LockReason)
	if d.Failures > 0 {
		s.pair("failed_attempts", strconv.Itoa(d.Failures))
	}
	s.pair("password_changed_at", timestamp{u.PasswordChangedAt}.String())
	s.pair("password_expires_at", timestamp{p.ExpiresAt}.String())
	if p.RequiresChange {
		s.pair("password", "must be changed at the next sign-in")
	}
	for _, f := range d.Factors {
		s.pair("second_factor", strings.TrimSpace(f.Kind+" "+f.Label))
	}
	s.pair("recovery_ready_at", timestamp{d.RecoveryReadyAt}.String())
	s.pair("sessions", strconv.Itoa(d.Sessions))
	s.pair("grants", strconv.Itoa(d.Grants))
	s.pair("created_at", timestamp{u.CreatedAt}.String())
	s.pair("last_login_at", timestamp{u.LastLoginAt}.String())
}
