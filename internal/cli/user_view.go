package cli

import (
	"context"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userView is an account as the command line shows it: never a hash.
type userView struct {
	ID                identity.UserID `json:"id"`
	Username          string          `json:"username"`
	Email             string          `json:"email"`
	EmailVerified     bool            `json:"email_verified"`
	Name              string          `json:"name"`
	GivenName         string          `json:"given_name"`
	FamilyName        string          `json:"family_name"`
	Phone             string          `json:"phone"`
	PhoneVerified     bool            `json:"phone_verified"`
	Locale            string          `json:"locale"`
	Zoneinfo          string          `json:"zoneinfo"`
	Roles             []string        `json:"roles"`
	Disabled          bool            `json:"disabled"`
	HasPassword       bool            `json:"has_password"`
	PasswordChangedAt when            `json:"password_changed_at"`
	MustChange        bool            `json:"must_change_password"`
	CreatedAt         when            `json:"created_at"`
	UpdatedAt         when            `json:"updated_at"`
	LastLoginAt       when            `json:"last_login_at"`
	PasswordLink      string          `json:"password_link,omitempty"`
}

func viewUser(u *identity.User) userView {
	return userView{
		ID: u.ID, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name, GivenName: u.GivenName,
		FamilyName: u.FamilyName, Phone: u.Phone, PhoneVerified: u.PhoneVerified, Locale: u.Locale, Zoneinfo: u.Zoneinfo,
		Roles: words(u.Roles), Disabled: u.Disabled, HasPassword: u.PasswordHash != "",
		PasswordChangedAt: when{u.PasswordChangedAt}, MustChange: u.MustChange,
		CreatedAt: when{u.CreatedAt}, UpdatedAt: when{u.UpdatedAt}, LastLoginAt: when{u.LastLoginAt},
	}
}

func (v userView) state() string {
	switch {
	case v.Disabled:
		return "disabled"
	case !v.HasPassword:
		return "no password"
	}
	return "active"
}

// userDetail is an account with what hangs on it.
type userDetail struct {
	userView
	LockedUntil   when         `json:"locked_until"`
	SecondFactors []factorView `json:"second_factors"`
	Sessions      int          `json:"sessions"`
	Grants        int          `json:"grants"`
}

// factorView is a second factor.
type factorView struct {
	Kind       string `json:"kind"`
	Label      string `json:"label"`
	CreatedAt  when   `json:"created_at"`
	LastUsedAt when   `json:"last_used_at"`
}

func detail(ctx context.Context, p *Parts, u *identity.User, now time.Time) (*userDetail, error) {
	v := &userDetail{userView: viewUser(u), SecondFactors: []factorView{}}
	credentials, err := p.DB.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range credentials {
		if !c.ConfirmedAt.IsZero() {
			v.SecondFactors = append(v.SecondFactors, factorView{c.Kind, c.Label, when{c.CreatedAt}, when{c.LastUsedAt}})
		}
	}
	lock, err := p.Login.LockOf(ctx, visit(now), u.ID)
	if err != nil {
		return nil, err
	}
	if lock.Locked(now) {
		v.LockedUntil = when{lock.LockedUntil}
	}
	sessions, err := p.DB.UserSessions(ctx, u.ID, now)
	if err != nil {
		return nil, err
	}
	grants, err := p.DB.UserGrants(ctx, u.ID, now)
	v.Sessions, v.Grants = len(sessions), len(grants)
	return v, err
}

func (v *userDetail) print(s *sheet) {
	s.pair("id", string(v.ID))
	s.pair("email", v.Email)
	if v.Email != "" {
		s.pair("email_verified", yesNo(v.EmailVerified))
	}
	s.pair("username", v.Username)
	s.pair("name", v.Name)
	s.pair("given_name", v.GivenName)
	s.pair("family_name", v.FamilyName)
	s.pair("phone", v.Phone)
	s.pair("locale", v.Locale)
	s.pair("zoneinfo", v.Zoneinfo)
	s.pair("roles", strings.Join(v.Roles, " "))
	s.pair("state", v.state())
	s.pair("locked_until", v.LockedUntil.String())
	s.pair("password_changed_at", v.PasswordChangedAt.String())
	for _, f := range v.SecondFactors {
		s.pair("second_factor", strings.TrimSpace(f.Kind+" "+f.Label))
	}
	s.pair("sessions", strconv.Itoa(v.Sessions))
	s.pair("grants", strconv.Itoa(v.Grants))
	s.pair("created_at", v.CreatedAt.String())
	s.pair("last_login_at", v.LastLoginAt.String())
}

const maxName = 200 // bytes

func plainText(s string, atMost int) bool {
	return len(s) <= atMost && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// word reports whether s can stand in a list of words and in a token without quoting.
func word(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._:-", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
