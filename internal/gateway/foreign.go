package gateway

import (
	"reflect"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Foreign is an external issuer whose tokens may pass.
type Foreign struct {
	made         access.Issuer // what it was made from
	secret       string
	name, issuer string
	opaque       bool // it describes opaque tokens (RFC 7662)
	verifier     *bearer.Verifier
}

// ForeignOptions are the parts of a verifier that do not come from the issuer's definition.
type ForeignOptions struct {
	CacheTTL time.Duration // as in bearer.Config
	OnError  func(error)   // called when the issuer cannot be reached; may be nil
}

// NewForeign returns an external issuer with a verifier of its tokens. The secret authenticates
// this server at the issuer's introspection endpoint; it is "" if the issuer has none. NewForeign
// sends no request.
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

// Same reports whether f was made from exactly this issuer and secret.
func (f *Foreign) Same(i access.Issuer, clientSecret string) bool {
	return reflect.DeepEqual(f.made, i) && secret.Equal(f.secret, clientSecret)
}

// Close ends the verifier's background work.
func (f *Foreign) Close() { _ = f.verifier.Close() }
