package bearer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

const (
	maxIntrospections = 32              // requests in progress at once
	maxCacheTTL       = 5 * time.Minute // of an active response
	inactiveTTL       = 5 * time.Second // how long it is cached that a token is not active
	cachePrefix       = "gatehouse:introspection:"
)

// An introspection is an introspection response as it is cached.
type introspection struct {
	At     int64           `json:"at"`               // when it was requested, Unix milliseconds
	Claims json.RawMessage `json:"claims,omitempty"` // absent if the token is not active
}

// introspect sends a token to the introspection endpoint, or uses a cached response.
func (v *Verifier) introspect(ctx context.Context, hash tokenHash, raw string, now time.Time) (*Token, error) {
	if v.Client.ID == "" {
		return nil, invalid("The access token is not of a kind that this API accepts.",
			errors.New("it is opaque; introspection needs Config.Client"))
	}
	key := v.cacheKey(hash)
	if in := v.cachedIntrospection(ctx, key, now); in != nil {
		return v.tokenFromIntrospection(in, now)
	}
	in, err := v.pending.do(ctx, hash, func(ctx context.Context) (*introspection, error) {
		return v.requestIntrospection(ctx, key, raw)
	})
	if err != nil {
		return nil, err
	}
	return v.tokenFromIntrospection(in, now)
}

// cacheKey returns the key of a token's response. It includes the server and the client, since the
// response depends on both.
func (v *Verifier) cacheKey(hash tokenHash) string {
	h := sha256.New()
	for _, part := range []string{v.Issuer, v.IntrospectionURL, v.Client.ID} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(hash[:])
	return cachePrefix + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// cachedIntrospection returns a cached response that has not expired, or nil. A cache that fails is
// treated as empty.
func (v *Verifier) cachedIntrospection(ctx context.Context, key string, now time.Time) *introspection {
	raw, err := v.Cache.Get(ctx, key)
	if err != nil {
		v.reportError(fmt.Errorf("bearer: the cache cannot be read: %w", err))
		return nil
	}
	if raw == nil {
		return nil
	}
	var in introspection
	if len(raw) > 2*maxResponse || json.Unmarshal(raw, &in) != nil {
		v.reportError(errors.New("bearer: the cache has a value that cannot be parsed"))
		return nil
	}
	age := now.Sub(time.UnixMilli(in.At))
	if age < -v.Leeway || age >= v.ttlOf(&in) {
		return nil
	}
	return &in
}

// ttlOf returns how long a response may be reused. While the feed is current it reports every
// revocation, including those after the response.
func (v *Verifier) ttlOf(in *introspection) time.Duration {
	switch {
	case in.Claims == nil:
		return min(inactiveTTL, v.CacheTTL)
	case v.feed != nil && v.feed.Current():
		return maxCacheTTL
	}
	return v.CacheTTL
}

// requestIntrospection sends a token to the endpoint and caches the response.
func (v *Verifier) requestIntrospection(ctx context.Context, key, raw string) (*introspection, error) {
	const failed = "The access token cannot be checked at the moment. Try again."
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return nil, unavailable(failed, errors.New("too many introspections are in progress"))
	}
	now := v.Clock()
	endpoint, err := v.introspectionEndpoint(ctx, now)
	if err != nil {
		return nil, err
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	body, err := v.issuerHTTP.post(ctx, endpoint, v.Client, form)
	var active bool
	if err == nil {
		active, err = parseActive(body)
	}
	if err != nil {
		v.reportError(fmt.Errorf("bearer: introspection: %w", err))
		return nil, unavailable(failed, err)
	}
	in, ttl := &introspection{At: now.UnixMilli()}, min(inactiveTTL, v.CacheTTL)
	if active {
		in.Claims = body
		if ttl = v.CacheTTL; v.feed != nil {
			ttl = maxCacheTTL
		}
	}
	v.cacheIntrospection(ctx, key, in, ttl)
	return in, nil
}

// introspectionEndpoint returns the address of the endpoint.
func (v *Verifier) introspectionEndpoint(ctx context.Context, now time.Time) (string, error) {
	if v.IntrospectionURL != "" {
		return v.IntrospectionURL, nil
	}
	m, err := v.metadata.get(ctx, now)
	if err != nil {
		return "", err
	}
	if m.Introspection == "" {
		err := fmt.Errorf("the discovery document of %s names no introspection_endpoint; set Config.IntrospectionURL", v.Issuer)
		return "", unavailable("The access token cannot be checked.", err)
	}
	return m.Introspection, nil
}

func (v *Verifier) cacheIntrospection(ctx context.Context, key string, in *introspection, ttl time.Duration) {
	if ttl <= 0 {
		return
	}
	raw, err := json.Marshal(in)
	if err == nil {
		err = v.Cache.Set(ctx, key, raw, ttl)
	}
	if err != nil {
		v.reportError(fmt.Errorf("bearer: the cache cannot be written: %w", err))
	}
}

// parseActive reads active from a response (RFC 7662 §2.2), which must be present and a boolean.
func parseActive(body []byte) (active bool, err error) {
	var r struct {
		Active *bool `json:"active"`
	}
	if err := json.Unmarshal(body, &r); err != nil || r.Active == nil {
		return false, errors.New("the introspection response does not say whether the token is active")
	}
	return *r.Active, nil
}

// tokenFromIntrospection returns the token of a response, and checks what the server cannot: that
// the token is meant for this API, and the revocation feed.
func (v *Verifier) tokenFromIntrospection(in *introspection, now time.Time) (*Token, error) {
	if in.Claims == nil {
		return nil, invalid("The access token is unknown, expired or revoked.", nil)
	}
	c, err := parseClaims(in.Claims)
	if err != nil {
		return nil, invalid(incomplete, err)
	}
	t, err := c.token(v.claims)
	kind := strings.ToLower(c.text("token_type")) // some servers report a refresh token as active, too
	switch {
	case err != nil || c.err != nil:
		return nil, invalid(incomplete, errors.Join(err, c.err))
	case t.Issuer != "" && t.Issuer != v.Issuer:
		return nil, invalid("The access token is from another issuer.", fmt.Errorf("its iss is %.200q", t.Issuer))
	case c.ofAnotherKind(), !slices.Contains([]string{"", "bearer", "dpop", "access_token", "n_a"}, kind):
		return nil, invalid("The token is not an access token.", fmt.Errorf("its token_type is %.40q", kind))
	case kind == "dpop" && t.Thumbprint == "": // RFC 9449 §6.2: as an unbound token it could be used by a thief
		return nil, invalid(incomplete, errors.New("it is bound to a key that the response does not name"))
	case t.Subject == "" && t.Client == "":
		return nil, invalid(incomplete, errors.New("it names neither a subject nor a client"))
	}
	t.Issuer = v.Issuer
	if err := v.checkAudience(t); err != nil {
		return nil, err
	}
	if err := v.checkTimes(t, now); err != nil {
		return nil, err
	}
	if v.feed != nil && v.feed.Revoked(t.ref()) {
		return nil, invalid("The access token has been revoked.", nil)
	}
	return t, nil
}
