package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/bearer/internal/compact"
)

// A tokenHash stands for a token in every cache; no cache contains a token itself.
type tokenHash = [sha256.Size]byte

// A tokenCache caches verified JWTs, so that a signature is verified once and not for each request.
// Only the signature and the claims are cached: times and revocations are checked for each request,
// and the tokens of a key that is no longer published are dropped.
type tokenCache struct {
	*otter.Cache[tokenHash, *Token]
}

func newTokenCache(limit int) tokenCache {
	return tokenCache{otter.Must(&otter.Options[tokenHash, *Token]{MaximumSize: limit})}
}

// looksSigned reports whether a token has the form of a JWS in compact serialization, whose header
// begins with {".
func looksSigned(raw string) bool {
	return strings.HasPrefix(raw, "ey") && strings.Count(raw, ".") == 2
}

// checkJWT returns a JWT whose signature and claims are valid, whatever the time is.
func (v *Verifier) checkJWT(ctx context.Context, hash tokenHash, raw string, now time.Time) (*Token, error) {
	set, err := v.keys.get(ctx, now)
	if err != nil {
		return nil, err
	}
	if t, ok := v.tokens.GetIfPresent(hash); ok {
		if set.has(t.key) {
			return t, nil
		}
		v.tokens.Invalidate(hash)
	}
	t, err := v.verifyJWT(ctx, set, raw, now)
	if err == nil && !v.expired(t, now) {
		v.tokens.Set(hash, t)
	}
	return t, err
}

// verifyJWT verifies a JWT's signature and the claims that do not depend on the time (RFC 9068 §4).
func (v *Verifier) verifyJWT(ctx context.Context, set *keySet, raw string, now time.Time) (*Token, error) {
	jws, err := gojose.ParseSignedCompact(raw, v.algorithms())
	if err != nil || !compact.Strict(raw) {
		return nil, invalid("The access token is malformed, or signed with an algorithm that is not accepted.", err)
	}
	head := jws.Signatures[0].Protected
	typ, _ := head.ExtraHeaders["typ"].(string)
	if !v.isAccessType(typ) {
		return nil, invalid("The token is not an access token.", fmt.Errorf("its typ is %.40q", typ))
	}
	if _, ok := head.ExtraHeaders["crit"]; ok { // RFC 7515 §4.1.11: no critical extension is supported
		return nil, invalid("The access token has critical header members that are not supported.", nil)
	}
	payload, key, ok := verifySignature(jws, set)
	if !ok && len(set.candidates(head.KeyID, head.Algorithm)) == 0 {
		// The key may have been published after we loaded the key set.
		if set, err = v.keys.reload(ctx, now); err != nil {
			return nil, err
		}
		payload, key, ok = verifySignature(jws, set)
	}
	if !ok {
		return nil, invalid("The access token is not signed by this API's authorization server.",
			fmt.Errorf("key %.80q, algorithm %s", head.KeyID, head.Algorithm))
	}
	t, err := v.tokenFromJWT(payload, mediaType(typ))
	if err != nil {
		return nil, err
	}
	t.key = key
	return t, nil
}

// verifySignature tries the keys that may have signed, and returns the thumbprint of the one that
// did.
func verifySignature(jws *gojose.JSONWebSignature, set *keySet) (payload []byte, key string, ok bool) {
	head := jws.Signatures[0].Protected
	for _, k := range set.candidates(head.KeyID, head.Algorithm) {
		if payload, err := jws.Verify(k.key); err == nil {
			return payload, k.thumbprint, true
		}
	}
	return nil, "", false
}

func (v *Verifier) algorithms() []gojose.SignatureAlgorithm {
	out := make([]gojose.SignatureAlgorithm, len(v.Algorithms))
	for i, a := range v.Algorithms {
		out[i] = gojose.SignatureAlgorithm(a)
	}
	return out
}

// typeAccess is the typ of an access token (RFC 9068 §2.1).
const typeAccess = "at+jwt"

// mediaType returns the typ of a header in lower case and without the prefix that may be left out
// (RFC 7515 §4.1.9).
func mediaType(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "application/") }

// isAccessType checks the typ of a header. It distinguishes access tokens from tokens of other
// kinds, which have the same issuer and keys (RFC 9068 §4, RFC 8725 §3.11). Gatehouse sends JWT if
// the client is registered so; then checkRequired tells ID tokens apart. Foreign issuers often send
// JWT or nothing.
func (v *Verifier) isAccessType(typ string) bool {
	typ = mediaType(typ)
	return typ == typeAccess || typ == "jwt" || (v.Foreign != nil && typ == "")
}

// incomplete is the description of an error about missing or malformed claims.
const incomplete = "The access token lacks claims that an access token must have."

// tokenFromJWT reads the claims and checks those that do not depend on the time: issuer, audience
// and that the required claims are present.
func (v *Verifier) tokenFromJWT(payload []byte, typ string) (*Token, error) {
	c, err := parseClaims(payload)
	if err != nil {
		return nil, invalid(incomplete, err)
	}
	t, err := c.token(v.claims)
	if err != nil {
		return nil, invalid(incomplete, err)
	}
	if t.Issuer != v.Issuer {
		return nil, invalid("The access token is from another issuer.", fmt.Errorf("its iss is %.200q", t.Issuer))
	}
	if err := v.checkRequired(t, c, typ); err != nil {
		return nil, invalid(incomplete, err)
	}
	return t, v.checkAudience(t)
}

// checkRequired checks that the claims of RFC 9068 §2.2 are present. For a foreign issuer it checks
// the essential ones. It rejects a token of another kind that the header did not reveal: with the
// type JWT, access tokens of Gatehouse differ from its ID tokens by client_id, jti and gid.
func (v *Verifier) checkRequired(t *Token, c *claimSet, typ string) error {
	if t.Expires.IsZero() {
		return errors.New("exp is missing")
	}
	if c.ofAnotherKind() {
		return errors.New("it is an ID token or a refresh token")
	}
	if v.Foreign != nil {
		if t.Subject == "" && t.Client == "" {
			return errors.New("it names neither a subject nor a client")
		}
		return c.err
	}
	for name, missing := range map[string]bool{
		"sub":       t.Subject == "",
		"client_id": c.raw("client_id") == nil || t.Client == "",
		"jti":       t.ID == "",
		"iat":       t.IssuedAt.IsZero(),
		"gid":       typ != typeAccess && c.text("gid") == "",
	} {
		if missing {
			return errors.New(name + " is missing")
		}
	}
	return nil
}

// ofAnotherKind reports whether claims are those of an ID token, which alone has hashes (OpenID
// Connect Core §3.1.3.6), of a logout token or another security event (RFC 8417 §2.2), or of a
// token that states its kind in a claim, as Keycloak does.
func (c *claimSet) ofAnotherKind() bool {
	kind := c.text("typ")
	return c.raw("at_hash") != nil || c.raw("c_hash") != nil || c.raw("events") != nil ||
		slices.Contains([]string{"ID", "Refresh", "Offline", "Logout"}, kind)
}

// checkAudience checks aud (RFC 9068 §4).
func (v *Verifier) checkAudience(t *Token) error {
	named := func(a string) bool { return slices.Contains(t.Audience, a) }
	if v.AnyAudience || slices.ContainsFunc(v.Audience, named) {
		return nil
	}
	return invalid("The access token is meant for another API.", fmt.Errorf("its aud is %.200q", t.Audience))
}

// expired reports whether exp has passed.
func (v *Verifier) expired(t *Token, now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires.Add(v.expLeeway))
}

// checkTimes checks exp, nbf and iat.
func (v *Verifier) checkTimes(t *Token, now time.Time) error {
	latest := now.Add(v.Leeway)
	switch {
	case v.expired(t, now):
		return invalid("The access token has expired.", nil)
	case t.notBefore.After(latest), t.IssuedAt.After(latest):
		return invalid("The access token is not valid yet.", errors.New("its nbf or iat is in the future; compare the clocks"))
	}
	return nil
}
