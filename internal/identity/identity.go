// Package identity holds who and what Gatehouse knows: users, their credentials
// and browser sessions, with the rules that need nothing but the values themselves.
package identity

import (
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Identifiers are UUIDv7 in their 36-character form.
type (
	UserID       string
	SessionID    string // the `sid` of tokens; not the cookie's secret
	CredentialID string
)

// User is a person with an account.
type User struct {
	ID            UserID
	Username      string // "" if the person signs in by email only
	Email         string // "" if none
	EmailVerified bool
	MustVerify    bool // the address must be confirmed before applications get anything
	Phone         string
	PhoneVerified bool
	Name          string
	GivenName     string
	MiddleName    string
	FamilyName    string
	Nickname      string
	Picture       string // https URL
	Profile       string // https or http URL of a page about the person
	Website       string // https or http URL of the person's own site or employer
	Gender        string // in the person's own words
	Birthdate     string // YYYY-MM-DD, 0000-MM-DD or YYYY (OpenID Connect Core §5.1)
	Locale        string // BCP 47
	Zoneinfo      string // IANA time zone
	Address       Address
	Roles         []string

	Disabled          bool
	PasswordHash      string // PHC string; "" if no password is set
	PasswordChangedAt time.Time
	MustChange        bool // the next login must set a new password
	CreatedAt         time.Time
	UpdatedAt         time.Time
	LastLoginAt       time.Time
	InvitedAt         time.Time // of the last invitation; zero once the account is the person's
	LockedAt          time.Time // of an administrator's lock; zero if there is none
	LockReason        string    // of that lock, for administrators
	EmailVerifiedAt   time.Time // zero: not verified, or before this was recorded
	Version           int64     // raised by changes of what an administrator sets; 0: not stored
}

// Blocked reports whether an administrator keeps the person from signing in: the account is
// disabled or locked.
func (u *User) Blocked() bool { return u.Disabled || !u.LockedAt.IsZero() }

// Unclaimed reports whether the person was invited and has not accepted yet.
func (u *User) Unclaimed() bool { return !u.InvitedAt.IsZero() }

// OtherEmail is a verified address of an account beside User.Email.
type OtherEmail struct {
	User       UserID
	Email      string
	VerifiedAt time.Time
	CreatedAt  time.Time
}

// Address is the postal address claim (OpenID Connect Core §5.1.1).
type Address struct {
	Formatted     string `json:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty"`
	Region        string `json:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty"`
	Country       string `json:"country,omitempty"`
}

// SuperAdmin reports whether the user may do everything.
func (u *User) SuperAdmin() bool { return slices.Contains(u.Roles, RoleSuperAdmin) }

// Admin reports whether the user has one of the system roles that administer the server.
func (u *User) Admin() bool { return u.SuperAdmin() || slices.Contains(u.Roles, RoleAdmin) }

// Label returns the shortest name that a person recognizes the account by.
func (u *User) Label() string {
	for _, s := range []string{u.Name, u.Username, u.Email} {
		if s != "" {
			return s
		}
	}
	return string(u.ID)
}

// LoginName returns what the person types to sign in.
func (u *User) LoginName() string {
	if u.Email != "" {
		return u.Email
	}
	return u.Username
}

// PreferredUsername returns the name that applications call the account by: the user name, or the
// email address of an account without one (`preferred_username`, OpenID Connect Core §5.1).
func (u *User) PreferredUsername() string {
	if u.Username != "" {
		return u.Username
	}
	return u.Email
}

// Credential is something that a person has and can prove to have, besides the password.
type Credential struct {
	ID          CredentialID
	User        UserID
	Kind        string // names the factor
	Label       string
	Sealed      string // the secret, sealed; opened only by the factor that owns the kind
	Counter     int64  // the greatest counter or time step accepted, so that a code works once
	CreatedAt   time.Time
	ConfirmedAt time.Time // zero until the person has proved once that it works
	LastUsedAt  time.Time
	Lookup      secret.Hash // of the name that a browser gives it, or ""; unique
}

// Session is one signed-in browser.
type Session struct {
	ID         SessionID
	User       UserID
	AuthTime   time.Time // when the person last proved who they are
	AMR        []string  // how (RFC 8176): pwd, otp, mfa, …
	ACR        string    // ACR1 or ACR2
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time // absolute end
	Stay       bool      // the person stays signed in: it does not end by not being used
	IP, Agent  string

	// Impersonator acts as the person. The person has not signed in then: such a session has
	// neither AuthTime nor AMR nor ACR, so that it counts for no proof.
	Impersonator Impersonator
}

// Impersonated reports whether somebody else acts as the person.
func (s *Session) Impersonated() bool { return s.Impersonator != Impersonator{} }

// Authentication context classes that we assert, weakest first.
const (
	ACR1 = "aal1" // one factor
	ACR2 = "aal2" // two factors
)

// ACRRank orders authentication context classes; 0 is unknown.
func ACRRank(acr string) int {
	switch acr {
	case ACR1:
		return 1
	case ACR2:
		return 2
	}
	return 0
}

// AccountState is the part of an account that a sign-in is proved against. It differs after a
// change of the password, and after a factor was set up or removed.
type AccountState struct {
	PasswordChangedAt time.Time
	Factors           []CredentialID // the confirmed ones
}

// SessionTerms says when a new session may be stored and what it ends.
type SessionTerms struct {
	Proved *AccountState // stored only while this is the account's state; nil accepts any
	Single bool          // the user's other sessions end
	Tokens bool          // with them, the tokens issued in them
}

// Browser is where a request came from.
type Browser struct{ IP, Agent string }

// NewSession returns a session of a user who has just proved who they are. It ends after ttl.
func NewSession(u UserID, amr []string, now time.Time, ttl time.Duration, from Browser) *Session {
	return &Session{
		ID:         SessionID(secret.NewID(now)),
		User:       u,
		AuthTime:   now,
		AMR:        amr,
		ACR:        ACRFor(amr),
		CreatedAt:  now,
		LastSeenAt: now,
		ExpiresAt:  now.Add(ttl),
		IP:         from.IP,
		Agent:      from.Agent,
	}
}

// AMRMultiFactor is the authentication method of proofs by several factors (RFC 8176 §2).
const AMRMultiFactor = "mfa"

// ACRFor returns the context class that a list of methods reaches.
func ACRFor(amr []string) string {
	if slices.Contains(amr, AMRMultiFactor) {
		return ACR2
	}
	return ACR1
}
