package oauth

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// GrantID names one approval; tokens carry it as `gid`.
type GrantID string

// Scope is one defined scope, with the text that the consent page shows for it.
type Scope struct {
	ID          string // UUIDv7
	Name        string
	Description string // completes "This application wants to …" on the consent page
	Default     bool   // given when a client asks for no scope
	System      bool   // built in; cannot be deleted
	CreatedAt   time.Time

	Requires []string // scopes that are granted with this one
	Role     string   // the role whose people may hand it out; "": everybody may
	Icon     string   // a name of the icons of the consent page, or ""
	Version  int64    // raised by changes; 0: not stored
}

// Code is the record of an authorization code (RFC 6749 §4.1.2).
type Code struct {
	Hash            secret.Hash // under which it is stored
	Grant           Grant       // the approval that it will become
	RedirectURI     string      // as sent in the authorization request; "" if it was left out
	Challenge       string      // PKCE (RFC 7636), or ""
	ChallengeMethod string
	Nonce           string
	ExpiresAt       time.Time
}

// FlowUse is the use of a flow, for which there is one code.
type FlowUse struct {
	ID    string
	Until time.Time // when the flow can no longer be opened, on any server
}

// Grant is one approval: a user's for a client, on one device or browser. Tokens carry its id,
// and its refresh token, if it has one, is part of it: the account page lists the same row that
// a refresh updates.
type Grant struct {
	ID        GrantID
	Client    client.ID
	User      identity.UserID    // "" if the client acts for itself
	Session   identity.SessionID // the browser session it came from, or ""
	Kind      string             // the grant type that made it
	Scopes    []string
	Resources []string        // audiences allowed; empty: the issuer
	Claims    json.RawMessage // the claims parameter (OpenID Connect Core §5.5), or empty
	AuthTime  time.Time
	AMR       []string
	ACR       string
	Bound     string // the key that its refresh tokens are bound to: see BoundKey and BoundCert; or ""

	RefreshHash secret.Hash // of the current refresh token; "" if there is none
	PrevHash    secret.Hash // of the one before
	RotatedAt   time.Time
	Attempt     string    // the store's name of the rotation that wrote RefreshHash, or ""
	ExpiresAt   time.Time // the refresh token's, or the access token's end without a refresh token
	AbsoluteEnd time.Time // no refresh moves ExpiresAt past it; zero without a refresh token

	IP, Agent  string // of the latest use
	CreatedAt  time.Time
	LastUsedAt time.Time

	// Impersonator acts as the user. The user has not signed in then, and nothing that the grant
	// gives outlives AbsoluteEnd, which is the end of the session.
	Impersonator identity.Impersonator
}

// Impersonated reports whether somebody else acts as the user.
func (g *Grant) Impersonated() bool { return g.Impersonator != identity.Impersonator{} }

// RefreshRotation says how to replace a grant's refresh hash.
type RefreshRotation struct {
	Grant     GrantID
	Client    client.ID
	Old, New  secret.Hash // the same when the token is not rotated
	Now       time.Time
	ExpiresAt time.Time // the new expiry; the store lowers it to the grant's AbsoluteEnd
	IP, Agent string
	Attempt   string // the store's name of this attempt, or ""
	// Repeats is set if the rotation has probably been stored before, and its answer was lost.
	Repeats bool
}

// AccessToken is the content of an access token in any format.
type AccessToken struct {
	ID       string // jti
	Grant    GrantID
	Client   client.ID
	User     identity.UserID    // "" if the client acts for itself
	Session  identity.SessionID // "" if none, or if the grant outlives its session
	Subject  string             // sub: the user's or the client's id
	Scopes   []string
	Audience []string
	Claims   json.RawMessage // requested userinfo claims, or empty
	Roles    []string
	AuthTime time.Time // zero if no user signed in
	ACR      string
	AMR      []string
	IssuedAt time.Time // whole seconds
	Expires  time.Time // whole seconds
	Bound    string    // as Grant.Bound: only a caller that proves to hold the key may use it
	KeyID    string    // of the key that signed it; "" for an opaque token
	Actor    string    // act.sub (RFC 8693 §4.1): who acts as the user, or ""
}

// Revocation kinds.
const (
	RevokeToken   = "token"   // one access token, by jti
	RevokeGrant   = "grant"   // everything of a grant
	RevokeSession = "session" // everything issued in a browser session
	RevokeUser    = "user"    // everything of a user issued before NotBefore
	RevokeClient  = "client"  // everything of a client issued before NotBefore
)

// Revocation is one entry of the ordered log of revocations.
type Revocation struct {
	Seq       int64  // assigned by the log
	Mark      string // assigned by the log; another history has another one at the same number
	Kind      string // one of the above
	ID        string
	NotBefore time.Time // for users and clients: tokens issued before it are revoked
	Until     time.Time // when the last token that it concerns has expired

	// Client and Audience are those of a revoked token or grant. Without an audience, the tokens
	// may be meant for any API, and all followers of the feed see the entry.
	Client   client.ID
	Audience []string
}

// LogHead is the newest entry of the log of revocations that a server has read.
type LogHead struct {
	Seq     int64
	Mark    string
	History int64 // grows when the server finds that the log is another one than before
}

// Device states.
const (
	DevicePending  = "pending"
	DeviceApproved = "approved"
	DeviceDenied   = "denied"
)

// Device is one device authorization (RFC 8628).
type Device struct {
	Hash      secret.Hash // of the device code
	UserCode  string      // normalized: upper case, no dash
	Client    client.ID
	Scopes    []string
	Resources []string
	State     string
	Interval  time.Duration
	IP, Agent string // of the device
	CreatedAt time.Time
	ExpiresAt time.Time
}

// DeviceDecision is a person's decision about a device authorization.
type DeviceDecision struct {
	UserCode string
	Approve  bool
	Grant    *Grant // for an approval: the grant of the device
	Now      time.Time
}

// DevicePoll is the state that a device's poll finds.
type DevicePoll struct {
	State   string
	TooFast bool
	Expired bool
	Device  Device
	Grant   *Grant // when approved; RedeemDevice stores it
}

// Consent lists the scopes that a user has allowed a client.
type Consent struct {
	User      identity.UserID
	Client    client.ID
	Scopes    []string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Prefixes of Grant.Bound and AccessToken.Bound. The thumbprint follows in base64url.
const (
	BoundKey  = "jkt:" // of a key, by RFC 7638 (RFC 9449 §6.1)
	BoundCert = "x5t:" // the SHA-256 of a certificate (RFC 8705 §3.1)
)

// Schemes of the Authorization header at a resource (RFC 6750 §2.1, RFC 9449 §7.1).
const (
	SchemeBearer = "Bearer"
	SchemeDPoP   = "DPoP"
)

// TypeIDToken is the `typ` header of our ID tokens. It keeps another kind of token from passing
// for one (RFC 8725 §3.11).
const TypeIDToken = "JWT"
