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
	maxAsking   = 32              // introspections under way at once
	mostKept    = 5 * time.Minute // how long an answer is kept at most
	refusedKept = 5 * time.Second // how long it is kept that a token is not good
	cachePrefix = "gatehouse:introspection:"
)

// answered is an answer of introspection as it is kept.
type answered struct {
	At     int64           `json:"at"`               // when it was asked, Unix milliseconds
	Claims json.RawMessage `json:"claims,omitempty"` // none: the token is not good
}

// introspected asks the introspection endpoint about a token, or believes what it answered a moment ago.
func (v *Verifier) introspected(ctx context.Context, hash tokenHash, raw string, now time.Time) (*Token, error) {
	if v.clientID == "" {
		return nil, invalid("The access token is not of a kind that this API accepts.", errors.New("it is opaque; introspection needs the option Client"))
	}
	key := v.cacheKey(hash)
	if a := v.recall(ctx, key, now); a != nil {
		return v.believe(a, now)
	}
	a, err := v.asking.do(ctx, hash, func(ctx context.Context) (*answered, error) { return v.ask(ctx, key, raw) })
	if err != nil {
		return nil, err
	}
	return v.believe(a, now)
}

// cacheKey tells apart what different servers answer about one token, and to whom.
func (v *Verifier) cacheKey(hash tokenHash) string {
	h := sha256.New()
	for _, part := range []string{v.issuer, v.introspectAt, v.clientID} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(hash[:])
	return cachePrefix + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// recall gives an answer that can still be believed. A cache that fails is a cache that is empty.
func (v *Verifier) recall(ctx context.Context, key string, now time.Time) *answered {
	raw, err := v.cache.Get(ctx, key)
	if err != nil {
		v.told(fmt.Errorf("bearer: the cache cannot be read: %w", err))
		return nil
	}
	if raw == nil {
		return nil
	}
	var a answered
	if len(raw) > 2*maxAnswer || json.Unmarshal(raw, &a) != nil {
		v.told(errors.New("bearer: the cache holds what cannot be read"))
		return nil
	}
	age := now.Sub(time.UnixMilli(a.At))
	if age < -v.leeway || age >= v.believable(&a) {
		return nil
	}
	return &a
}

// believable is how long an answer holds. While the feed is current it tells of every revocation, also of those after the answer.
func (v *Verifier) believable(a *answered) time.Duration {
	switch {
	case a.Claims == nil:
		return min(refusedKept, v.cacheFor)
	case v.feed != nil && v.feed.Current():
		return mostKept
	}
	return v.cacheFor
}

// ask asks the endpoint and keeps the answer.
func (v *Verifier) ask(ctx context.Context, key, raw string) (*answered, error) {
	const failed = "The access token cannot be checked at the moment. Try again."
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return nil, unavailable(failed, errors.New("too many introspections are under way"))
	}
	now := v.now()
	address, err := v.introspection(ctx, now)
	if err != nil {
		return nil, err
	}
	body, err := v.out.post(ctx, address, v.clientID, v.clientSecret, url.Values{"token": {raw}, "token_type_hint": {"access_token"}})
	if err != nil {
		v.told(fmt.Errorf("bearer: introspection: %w", err))
		return nil, unavailable(failed, err)
	}
	a := &answered{At: now.UnixMilli()}
	active, err := parseAnswer(body)
	if err != nil {
		v.told(fmt.Errorf("bearer: introspection: %w", err))
		return nil, unavailable(failed, err)
	}
	life := min(refusedKept, v.cacheFor)
	if active {
		a.Claims = body
		if life = v.cacheFor; v.feed != nil {
			life = mostKept
		}
	}
	v.keep(ctx, key, a, life)
	return a, nil
}

// introspection is the address of the endpoint.
func (v *Verifier) introspection(ctx context.Context, now time.Time) (string, error) {
	if v.introspectAt != "" {
		return v.introspectAt, nil
	}
	m, err := v.metadata.get(ctx, now)
	if err != nil {
		return "", err
	}
	if m.Introspection == "" {
		err := fmt.Errorf("the discovery document of %s names no introspection_endpoint; give it with IntrospectionEndpoint", v.issuer)
		return "", unavailable("The access token cannot be checked.", err)
	}
	return m.Introspection, nil
}

func (v *Verifier) keep(ctx context.Context, key string, a *answered, life time.Duration) {
	if life <= 0 {
		return
	}
	raw, err := json.Marshal(a)
	if err == nil {
		err = v.cache.Set(ctx, key, raw, life)
	}
	if err != nil {
		v.told(fmt.Errorf("bearer: the cache cannot be written: %w", err))
	}
}

// parseAnswer reads whether a token is good (RFC 7662 §2.2): active must be there, and be the value true.
func parseAnswer(body []byte) (active bool, err error) {
	var a struct {
		Active *bool `json:"active"`
	}
	if err := json.Unmarshal(body, &a); err != nil || a.Active == nil {
		return false, errors.New("the introspection endpoint did not say whether the token is active")
	}
	return *a.Active, nil
}

// believe makes a token of an answer, and checks what the server that gave it cannot: that it is meant for this API, and the feed.
func (v *Verifier) believe(a *answered, now time.Time) (*Token, error) {
	if a.Claims == nil {
		return nil, invalid("The access token is unknown, expired or revoked.", nil)
	}
	const unreadable = "The access token does not say what an access token must."
	c, err := parseClaims(a.Claims)
	if err != nil {
		return nil, invalid(unreadable, err)
	}
	t, err := c.token(v.claims)
	kind := strings.ToLower(c.text("token_type")) // some call a refresh token active, too
	switch {
	case err != nil || c.err != nil:
		return nil, invalid(unreadable, errors.Join(err, c.err))
	case t.Issuer != "" && t.Issuer != v.issuer:
		return nil, invalid("The access token is from another issuer.", fmt.Errorf("its iss is %.200q", t.Issuer))
	case c.ofAnotherKind(), !slices.Contains([]string{"", "bearer", "dpop", "access_token", "n_a"}, kind):
		return nil, invalid("The token is not an access token.", fmt.Errorf("its token_type is %.40q", kind))
	case kind == "dpop" && t.Thumbprint == "": // RFC 9449 §6.2: taken for an unbound one, whoever has stolen it could use it
		return nil, invalid(unreadable, errors.New("it is bound to a key, and the answer does not say to which"))
	case t.Subject == "" && t.Client == "":
		return nil, invalid(unreadable, errors.New("it names neither a subject nor a client"))
	}
	t.Issuer = v.issuer
	if err := v.meant(t); err != nil {
		return nil, err
	}
	if err := v.inTime(t, now); err != nil {
		return nil, err
	}
	if v.feed != nil && v.feed.Revoked(t.identity()) {
		return nil, invalid("The access token has been revoked.", nil)
	}
	return t, nil
}
