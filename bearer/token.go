package bearer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json" // refuses members that are repeated or differ from ours in case
)

// A Token holds the claims of a valid access token. It is shared between requests: do not modify
// it.
type Token struct {
	Issuer   string   // iss
	Subject  string   // sub: the user, or the client if it acts for itself
	Client   string   // client_id
	User     string   // the subject if it is a person, otherwise ""
	UserName string   // for display only, or ""; never decide by it
	Scopes   []string // scope
	Roles    []string // roles
	Audience []string // aud

	ID      string // jti
	Grant   string // gid: the approval that it belongs to
	Session string // sid: the browser session that it belongs to, or ""

	// Actor is act.sub (RFC 8693 §4.1): who acts as the user, such as an administrator, or "". The
	// user has not signed in then. Reject such a token where only the user may act.
	Actor string

	ACR      string    // acr: how strongly the user signed in, or ""
	AMR      []string  // amr: the methods the user signed in with
	AuthTime time.Time // auth_time; zero if no user signed in
	IssuedAt time.Time // iat
	Expires  time.Time // exp; zero if the introspection response has none

	Thumbprint  string // of the key that it is bound to (RFC 9449), or ""
	Certificate string // thumbprint of the certificate that it is bound to (RFC 8705), or ""

	notBefore time.Time
	claims    map[string]json.RawMessage
	key       string // thumbprint of the key that signed it; "" if it was introspected
}

// Claims holds the names of claims that differ between issuers. A name is that of a claim, or a
// path of members joined by dots: realm_access.roles. An empty name means the default.
type Claims struct {
	Scopes string // default scope, then scp; a space-separated string or an array
	Roles  string // default roles
	Client string // default client_id, then azp
	User   string // default sub, if it is not the client
	Name   string // the user's name; default preferred_username, then username
}

// HasScopes reports whether the token has all the scopes.
func (t *Token) HasScopes(scopes ...string) bool {
	for _, s := range scopes {
		if !slices.Contains(t.Scopes, s) {
			return false
		}
	}
	return true
}

// Claim decodes a claim that has no field of its own into a pointer, like encoding/json. It reports
// whether the claim is present.
func (t *Token) Claim(name string, into any) (bool, error) {
	raw, ok := t.claims[name]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return true, fmt.Errorf("bearer: claim %s: %w", name, err)
	}
	return true, nil
}

// ref returns the claims that a revocation can name.
func (t *Token) ref() TokenRef {
	return TokenRef{
		ID:       t.ID,
		Grant:    t.Grant,
		Session:  t.Session,
		Subject:  t.Subject,
		Client:   t.Client,
		IssuedAt: t.IssuedAt,
	}
}

type contextKey struct{}

// NewContext returns a context that carries a token, for handlers and their tests.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the token of a request that passed Require.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok
}

// A claimSet reads claims and records the first that has the wrong type.
type claimSet struct {
	all map[string]json.RawMessage
	err error
}

func parseClaims(payload []byte) (*claimSet, error) {
	c := &claimSet{}
	if err := json.Unmarshal(payload, &c.all); err != nil || c.all == nil {
		return nil, errors.New("the claims are not one JSON object")
	}
	return c, nil
}

// raw returns a claim by its name, or else by its name as a path. It returns nil for a claim that
// is absent or null.
func (c *claimSet) raw(name string) json.RawMessage {
	if raw, ok := c.all[name]; ok {
		return present(raw)
	}
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		return nil
	}
	var within map[string]json.RawMessage
	if raw, ok := c.all[first]; !ok || json.Unmarshal(raw, &within) != nil {
		return nil
	}
	return (&claimSet{all: within}).raw(rest)
}

func present(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// decode decodes a claim into a pointer and reports whether the claim is present.
func (c *claimSet) decode(name string, into any) bool {
	raw := c.raw(name)
	if raw == nil {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil && c.err == nil {
		c.err = fmt.Errorf("claim %s has the wrong type", name)
	}
	return true
}

// text returns the first of the claims that is present, or "".
func (c *claimSet) text(names ...string) (s string) {
	for _, n := range names {
		if n != "" && c.decode(n, &s) {
			return s
		}
	}
	return ""
}

// spaceList returns the first of the claims that is present: a space-separated string or an array
// of strings.
func (c *claimSet) spaceList(names ...string) []string {
	for _, n := range names {
		raw := c.raw(n)
		if n == "" || raw == nil {
			continue
		}
		if raw[0] == '"' {
			return strings.Fields(c.text(n))
		}
		return c.list(n)
	}
	return nil
}

// list returns a claim that is a string or an array of strings (RFC 7519 §4.1.3).
func (c *claimSet) list(name string) (out []string) {
	raw := c.raw(name)
	if raw == nil {
		return nil
	}
	if raw[0] == '"' {
		return []string{c.text(name)}
	}
	c.decode(name, &out)
	return out
}

// date returns a claim that is a NumericDate (RFC 7519 §2).
func (c *claimSet) date(name string) time.Time {
	var n float64
	if !c.decode(name, &n) {
		return time.Time{}
	}
	if math.IsNaN(n) || n < 0 || n > maxSeconds {
		if c.err == nil {
			c.err = fmt.Errorf("claim %s is not a date", name)
		}
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// maxSeconds is the last second of the year 9999.
const maxSeconds = 253402300799

// token returns a Token with the claims that have a field.
func (c *claimSet) token(names Claims) (*Token, error) {
	t := &Token{
		Issuer:    c.text("iss"),
		Subject:   c.text("sub"),
		Client:    c.text(or(names.Client, "client_id", "azp")...),
		UserName:  c.text(or(names.Name, "preferred_username", "username")...),
		Scopes:    c.spaceList(or(names.Scopes, "scope", "scp")...),
		Roles:     c.list(or(names.Roles, "roles")[0]),
		Audience:  c.list("aud"),
		ID:        c.text("jti"),
		Grant:     c.text("gid"),
		Session:   c.text("sid"),
		ACR:       c.text("acr"),
		AMR:       c.list("amr"),
		AuthTime:  c.date("auth_time"),
		IssuedAt:  c.date("iat"),
		Expires:   c.date("exp"),
		notBefore: c.date("nbf"),
		claims:    c.all,
	}
	if names.User != "" {
		t.User = c.text(names.User)
	} else if t.Subject != t.Client {
		t.User = t.Subject
	}
	c.confirmation(t)
	c.actor(t)
	return t, c.err
}

// actor reads who acts as the subject (RFC 8693 §4.1). The claim is for access control only at its
// outermost level: those within it have acted before.
func (c *claimSet) actor(t *Token) {
	if c.raw("act") == nil {
		return
	}
	var act map[string]json.RawMessage
	c.decode("act", &act)
	in := &claimSet{all: act}
	t.Actor = in.text("sub", "client_id")
	if c.err == nil {
		c.err = in.err
	}
	if t.Actor == "" && c.err == nil {
		c.err = errors.New("the token does not say who acts as its subject")
	}
}

// confirmation reads the key or certificate that a token is bound to (RFC 7800 §3.1). A binding of
// another kind cannot be checked, so it is an error.
func (c *claimSet) confirmation(t *Token) {
	if c.raw("cnf") == nil {
		return
	}
	var cnf map[string]json.RawMessage
	c.decode("cnf", &cnf)
	in := &claimSet{all: cnf}
	t.Thumbprint, t.Certificate = in.text("jkt"), in.text("x5t#S256")
	if c.err == nil {
		c.err = in.err
	}
	if t.Thumbprint == "" && t.Certificate == "" && c.err == nil {
		c.err = errors.New("the token is bound in a way that is not supported")
	}
}

// or returns the configured name, or else the usual ones.
func or(name string, usual ...string) []string {
	if name != "" {
		return []string{name}
	}
	return usual
}
