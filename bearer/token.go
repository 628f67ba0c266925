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

// Token is what a good access token says. It is shared between requests: do not change it.
type Token struct {
	Issuer   string   // iss
	Subject  string   // sub: the user, or the client that acts for itself
	Client   string   // client_id
	User     string   // the subject if it is a person, else ""
	UserName string   // to show, or ""; never to decide by
	Scopes   []string // scope
	Roles    []string // roles
	Audience []string // aud

	ID      string // jti
	Grant   string // gid: the approval it comes from
	Session string // sid: the browser session it comes from, or ""

	ACR      string    // how the user signed in, or ""
	AMR      []string  // by what
	AuthTime time.Time // when; zero if nobody did
	IssuedAt time.Time // iat
	Expires  time.Time // exp; zero if the introspection endpoint did not say

	Thumbprint  string // of the key it is bound to (RFC 9449), or ""
	Certificate string // thumbprint of the certificate it is bound to (RFC 8705), or ""

	notBefore time.Time
	claims    map[string]json.RawMessage
	key       string // that signed it: its thumbprint; "" if it was introspected
}

// Claims say what a foreign issuer calls things. A name is a claim, or members within claims joined by dots: realm_access.roles. An
// empty name is the default.
type Claims struct {
	Scopes string // default scope, then scp; a string with spaces, or an array
	Roles  string // default roles
	Client string // default client_id, then azp
	User   string // default sub, if it is not the client
	Name   string // of the user; default preferred_username, then username
}

// May reports whether the token has all the scopes.
func (t *Token) May(scopes ...string) bool {
	for _, s := range scopes {
		if !slices.Contains(t.Scopes, s) {
			return false
		}
	}
	return true
}

// Claim decodes a claim that has no field of its own into a pointer, as encoding/json would. It reports whether the claim is there.
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

// identity is what a revocation can name.
func (t *Token) identity() Identity {
	return Identity{ID: t.ID, Grant: t.Grant, Session: t.Session, Subject: t.Subject, Client: t.Client, IssuedAt: t.IssuedAt}
}

type contextKey struct{}

// NewContext gives a context that carries a token, for handlers and their tests.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext gives the token of the request that Require let through.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok
}

// claimSet reads claims and remembers the first that is not what it should be.
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

// at finds a claim by its name, or else by the path that its name is. A null is a claim that is not there.
func (c *claimSet) at(name string) json.RawMessage {
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
	return (&claimSet{all: within}).at(rest)
}

func present(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// decode decodes a claim into a pointer, if it is there.
func (c *claimSet) decode(name string, into any) bool {
	raw := c.at(name)
	if raw == nil {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil && c.err == nil {
		c.err = fmt.Errorf("claim %s is not of the right type", name)
	}
	return true
}

// text is the first of some claims that is there.
func (c *claimSet) text(names ...string) (s string) {
	for _, n := range names {
		if n != "" && c.decode(n, &s) {
			return s
		}
	}
	return ""
}

// words is a claim that is a string of words or an array of strings.
func (c *claimSet) words(names ...string) []string {
	for _, n := range names {
		raw := c.at(n)
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

// list is a claim that is a string or an array of strings (RFC 7519 §4.1.3).
func (c *claimSet) list(name string) (out []string) {
	raw := c.at(name)
	if raw == nil {
		return nil
	}
	if raw[0] == '"' {
		return []string{c.text(name)}
	}
	c.decode(name, &out)
	return out
}

// moment is a NumericDate (RFC 7519 §2).
func (c *claimSet) moment(name string) time.Time {
	var n float64
	if !c.decode(name, &n) {
		return time.Time{}
	}
	if math.IsNaN(n) || n < 0 || n > maxSeconds {
		if c.err == nil {
			c.err = fmt.Errorf("claim %s is not a time", name)
		}
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// maxSeconds is the last second of the year 9999.
const maxSeconds = 253402300799

// token reads the claims that have a field.
func (c *claimSet) token(names Claims) (*Token, error) {
	t := &Token{
		Issuer: c.text("iss"), Subject: c.text("sub"), Audience: c.list("aud"), ID: c.text("jti"), Grant: c.text("gid"), Session: c.text("sid"),
		ACR: c.text("acr"), AMR: c.list("amr"), AuthTime: c.moment("auth_time"), IssuedAt: c.moment("iat"), Expires: c.moment("exp"),
		Scopes: c.words(or(names.Scopes, "scope", "scp")...), Roles: c.list(or(names.Roles, "roles")[0]),
		Client: c.text(or(names.Client, "client_id", "azp")...), UserName: c.text(or(names.Name, "preferred_username", "username")...),
		notBefore: c.moment("nbf"), claims: c.all,
	}
	if names.User != "" {
		t.User = c.text(names.User)
	} else if t.Subject != t.Client {
		t.User = t.Subject
	}
	c.confirmation(t)
	return t, c.err
}

// confirmation reads what a token is bound to (RFC 7800 §3.1). What is not understood cannot be confirmed, and must not be passed over.
func (c *claimSet) confirmation(t *Token) {
	if c.at("cnf") == nil {
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
		c.err = errors.New("the token is bound in a way that is not known here")
	}
}

// or gives a name, or else the usual ones.
func or(name string, usual ...string) []string {
	if name != "" {
		return []string{name}
	}
	return usual
}
