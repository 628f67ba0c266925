package oauth

import (
	"crypto/x509"
	"encoding/json"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// GrantID names one approval; tokens carry it as `gid`.
type GrantID string

// Scope is one defined scope: what it is called and what a person is told about it.
type Scope struct {
	Name        string
	Description string // completes «This application wants to …» on the consent page
	Default     bool   // given when a client asks for no scope
	System      bool   // made by us; cannot be deleted
	CreatedAt   time.Time
}

// Call is one request to an endpoint, lifted off the wire. Every parameter occurs exactly once (RFC 6749 §3.1)
// but `resource`, which may repeat (RFC 8707 §2).
type Call struct {
	Form          url.Values
	Authorization string            // the header, or ""
	DPoP          []string          // the DPoP headers (RFC 9449 §4.1)
	Cert          *x509.Certificate // the client's in TLS, or nil
	Method        string
	URL           string            // the address as the client sees it, without a query
	Session       *identity.Session // the browser's, or nil
	IP, Agent     string
	RequestID     string
	Now           time.Time // read once per request

	held held // what a token request has proved to hold; set by Token
}

// Get is the value of a parameter, or "".
func (c *Call) Get(name string) string { return c.Form.Get(name) }

// Code is what an authorization code stands for (RFC 6749 §4.1.2).
type Code struct {
	Hash            secret.Hash // under which it is stored
	Grant           Grant       // the approval it will become
	RedirectURI     string      // as sent in the authorization request; "" if it was left out
	Challenge       string      // PKCE (RFC 7636), or ""
	ChallengeMethod string
	Nonce           string
	ExpiresAt       time.Time
}

// Grant is one approval: a user's for a client, on one device or browser. Tokens carry its id,
// and its refresh token, if it has one, is part of it: the row that the account page lists is the row that a refresh turns.
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
	Bound     string // the key that its tokens are bound to: "jkt:" or "x5t:" and a thumbprint, or ""

	RefreshHash secret.Hash // of the current refresh token; "" if there is none
	PrevHash    secret.Hash // of the one before
	RotatedAt   time.Time
	ExpiresAt   time.Time // the refresh token's, or the access token's end when there is no refresh token
	AbsoluteEnd time.Time // no refresh moves ExpiresAt past it; zero when there is no refresh token

	IP, Agent  string // of the newest use
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// RefreshRotation asks to replace a grant's refresh hash.
type RefreshRotation struct {
	Grant     GrantID
	Client    client.ID
	Old, New  secret.Hash // the same when the token is not rotated
	Now       time.Time
	ExpiresAt time.Time // the new expiry; the store lowers it to the grant's AbsoluteEnd
	IP, Agent string
}

// AccessToken is what an access token says, whatever its format.
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
	AuthTime time.Time // zero if nobody authenticated
	ACR      string
	AMR      []string
	IssuedAt time.Time // whole seconds
	Expires  time.Time // whole seconds
	Bound    string    // as Grant.Bound: only who proves to hold the key may use it

	kid string // of the key that signed it; "" for an opaque token
}

// Revocation kinds.
const (
	RevokeToken   = "token"   // one access token, by jti
	RevokeGrant   = "grant"   // everything of a grant
	RevokeSession = "session" // everything issued in a browser session
	RevokeUser    = "user"    // everything of a user issued before NotBefore
	RevokeClient  = "client"  // everything of a client issued before NotBefore
)

// Revocation is one entry of the ordered log.
type Revocation struct {
	Seq       int64  // given by the log
	Kind      string // one of the above
	ID        string
	NotBefore time.Time // for users and clients: tokens issued before it are dead
	Until     time.Time // when the last token it concerns has expired, and the entry may go
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
	UserCode  string      // normalised: upper case, no dash
	Client    client.ID
	Scopes    []string
	Resources []string
	State     string
	Interval  time.Duration
	IP, Agent string // of the device that asked
	CreatedAt time.Time
	ExpiresAt time.Time
}

// DeviceDecision is a person's answer to a device authorization.
type DeviceDecision struct {
	UserCode string
	Approve  bool
	Grant    *Grant // for an approval: what the device gets
	Now      time.Time
}

// DevicePoll is what a poll finds.
type DevicePoll struct {
	State   string
	TooFast bool
	Expired bool
	Device  Device
	Grant   *Grant // when approved; RedeemDevice stores it
}

// Consent is what a user has allowed a client.
type Consent struct {
	User      identity.UserID
	Client    client.ID
	Scopes    []string
	CreatedAt time.Time
	UpdatedAt time.Time
}
