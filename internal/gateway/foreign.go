package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Foreign is another issuer whose tokens may pass.
type Foreign struct {
	made         access.Issuer // from this
	secret       string
	name, issuer string
	opaque       bool // it tells about tokens that are no JWT
	verifier     *bearer.Verifier
}

// ForeignOptions are the parts of a verifier that do not come from the issuer's definition.
type ForeignOptions struct {
	CacheTTL time.Duration // as in bearer.Config
	OnError  func(error)   // called when the issuer cannot be reached; may be nil
}

// NewForeign returns what verifies an issuer's tokens. The secret authenticates us at its
// introspection endpoint; it is "" if the issuer has none. NewForeign sends no request.
func NewForeign(i access.Issuer, clientSecret string, o ForeignOptions) (*Foreign, error) {
	if len(i.Audiences) == 0 {
		return nil, fault.InvalidField("audiences",
			"the issuer %s needs audiences: without them, tokens for any other API would be accepted here", i.Name)
	}
	config := bearer.Config{
		Issuer:            i.Issuer,
		Audience:          i.Audiences,
		JWKSURL:           i.JWKSURI,
		Foreign:           &bearer.Claims{Scopes: i.ScopesClaim, Roles: i.RolesClaim, User: i.UserClaim},
		IgnoreRevocations: true,
		CacheTTL:          o.CacheTTL,
		OnError:           o.OnError,
	}
	if len(i.Algs) > 0 {
		config.Algorithms = i.Algs
	}
	f := &Foreign{made: i, secret: clientSecret, name: i.Name, issuer: i.Issuer}
	if in := i.Introspection; in != nil {
		f.opaque = true
		config.IntrospectionURL = in.URL
		config.Client = bearer.ClientCredentials{ID: in.ClientID, Secret: clientSecret}
	}
	var err error
	if f.verifier, err = bearer.New(config); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the issuer %s cannot be used", i.Name)
	}
	return f, nil
}

// Same reports whether this was made from just that issuer and secret.
func (f *Foreign) Same(i access.Issuer, clientSecret string) bool {
	return reflect.DeepEqual(f.made, i) && secret.Equal(f.secret, clientSecret)
}

// Close ends what the verifier does in the background.
func (f *Foreign) Close() { _ = f.verifier.Close() }

// foreign is the other issuer that a token says it is from, or nil. It is not believed: that issuer's verifier looks at it. A token that
// says nothing may be anybody's, so it is shown to an issuer only where the route takes that issuer's tokens.
func (g *Gateway) foreign(token string, route *access.Route) *Foreign {
	all := g.table.Load().foreign
	if len(all) == 0 || strings.HasPrefix(token, secret.PrefixAny) {
		return nil
	}
	iss, signed := claimedIssuer(token)
	for _, f := range all {
		if signed && f.issuer == iss || !signed && f.opaque && slices.Contains(route.Issuers, f.name) {
			return f
		}
	}
	return nil
}

// claimedIssuer is the iss of a JWT, unverified; false for a token that is none.
func claimedIssuer(token string) (string, bool) {
	_, rest, ok := strings.Cut(token, ".")
	payload, rest, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(rest, ".") {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return "", false
	}
	return c.Issuer, true
}

// byForeign is whoever holds another issuer's token. The verifier remembers tokens; here it is only remembered what one makes of them.
func (g *Gateway) byForeign(a *asked, c *credentials, f *Foreign) (*known, *access.Denial) {
	if c.basic {
		return nil, conflict("A client's credentials and a token of another issuer come together; they cannot be of one client.")
	}
	p := &bearer.Credential{Scheme: c.scheme, Token: c.token, Proofs: a.r.Header["Dpop"], Method: a.target.Method, URL: a.url(), Certificate: a.certificate()}
	t, err := f.verifier.VerifyCredential(a.r.Context(), p)
	if err != nil {
		return nil, foreignFault(f, err)
	}
	key := keyOf(access.ByForeign, c.token, "")
	if k, ok := g.callers.GetIfPresent(key); ok && k.foreign == t {
		return k, nil
	}
	k := &known{foreign: t, caller: access.Caller{
		By: access.ByForeign, Client: t.Client, Proven: true, User: t.User, UserName: t.UserName, UserRoles: t.Roles, Scopes: t.Scopes,
		Audience: t.Audience, Issuer: f.name, Subject: t.Subject, TokenID: t.ID, ACR: t.ACR, AMR: t.AMR, AuthTime: t.AuthTime, Expires: t.Expires,
	}}
	if t.User == "" {
		k.caller.UserRoles, k.caller.ClientRoles = nil, t.Roles
	}
	g.callers.Set(key, k)
	return k, nil
}

// foreignFault is a verifier's refusal in our words.
func foreignFault(f *Foreign, err error) *access.Denial {
	var e *bearer.Error
	if !errors.As(err, &e) {
		return unjudged(err)
	}
	if e.Status >= http.StatusInternalServerError {
		return unjudged(fault.Wrap(fault.Unavailable, err, "the issuer %s cannot be asked", f.name))
	}
	scheme := e.Scheme
	if scheme == "" {
		scheme = schemeBearer
	}
	r := badCredential(scheme, e.Code, e.Description, "The token of the issuer "+f.name+" is not good: "+err.Error())
	r.Status = e.Status
	return r
}

// holds checks that the caller holds the key or the certificate that its token is bound to (RFC 9449 §7, RFC 8705 §3), and uses the
// proof up.
func (g *Gateway) holds(a *asked, c *credentials, t *oauth.AccessToken) *access.Denial {
	proof, err := g.Tokens.VerifyBinding(t, &token.Presentation{
		Token: c.token, Scheme: c.scheme, Proofs: a.r.Header["Dpop"], Cert: a.certificate(),
		Method: a.target.Method, URL: a.url(), Now: a.target.Now,
	})
	if err == nil {
		err = g.Tokens.CheckReplay(a.r.Context(), proof, a.target.Now)
	}
	if proof != nil || c.scheme == schemeDPoP {
		a.nonce = g.Tokens.Nonce(a.target.Now)
	}
	if err == nil {
		return nil
	}
	var e *oauth.Error
	if !errors.As(err, &e) {
		return unjudged(err)
	}
	return badCredential(e.Challenge, e.Code, e.Description, e.Description)
}
