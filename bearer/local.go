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
)

// tokenHash stands for a token where it is kept: in no memory and no cache is there a token.
type tokenHash = [sha256.Size]byte

// seen remembers verified JWTs, so that a signature is verified once and not at each request. It says only that a token is genuine: times
// and revocations are looked at every time, and a key that is published no longer takes its tokens' entries with it.
type seen struct {
	tokens *otter.Cache[tokenHash, *Token]
}

func newSeen(most int) *seen {
	return &seen{otter.Must(&otter.Options[tokenHash, *Token]{MaximumSize: most})}
}

// looksSigned reports whether a token has the form of a JWS in compact serialisation, whose header begins with {".
func looksSigned(raw string) bool {
	return strings.HasPrefix(raw, "ey") && strings.Count(raw, ".") == 2
}

// signed gives a JWT whose signature and claims are good, whatever the time is.
func (v *Verifier) signed(ctx context.Context, hash tokenHash, raw string, now time.Time) (*Token, error) {
	set, err := v.keys.get(ctx, now)
	if err != nil {
		return nil, err
	}
	if t, ok := v.seen.tokens.GetIfPresent(hash); ok {
		if set.has(t.key) {
			return t, nil
		}
		v.seen.tokens.Invalidate(hash)
	}
	t, err := v.verify(ctx, set, raw, now)
	if err == nil && !v.over(t, now) {
		v.seen.tokens.Set(hash, t)
	}
	return t, err
}

// verify verifies a JWT's signature and what its claims must say at any time (RFC 9068 §4).
func (v *Verifier) verify(ctx context.Context, set *keySet, raw string, now time.Time) (*Token, error) {
	jws, err := gojose.ParseSignedCompact(raw, v.algorithms())
	if err != nil {
		return nil, invalid("The access token is malformed, or signed with an algorithm that is not accepted.", err)
	}
	head := jws.Signatures[0].Protected
	typ, _ := head.ExtraHeaders["typ"].(string)
	if !v.isAccess(typ) {
		return nil, invalid("The token is not an access token.", fmt.Errorf("its typ is %.40q", typ))
	}
	if _, ok := head.ExtraHeaders["crit"]; ok { // RFC 7515 §4.1.11: nothing that could be critical is known here
		return nil, invalid("The access token has critical header members that are not known here.", nil)
	}
	payload, key, ok := check(jws, set)
	if !ok && len(set.candidates(head.KeyID, head.Algorithm)) == 0 {
		// It may have been signed with a key that was published after ours were read.
		if set, err = v.keys.again(ctx, now); err != nil {
			return nil, err
		}
		payload, key, ok = check(jws, set)
	}
	if !ok {
		return nil, invalid("The access token is not signed by this API's authorization server.", fmt.Errorf("key %.80q, algorithm %s", head.KeyID, head.Algorithm))
	}
	t, err := v.accept(payload)
	if err != nil {
		return nil, err
	}
	t.key = key
	return t, nil
}

// check verifies the signature with the keys that may have made it.
func check(jws *gojose.JSONWebSignature, set *keySet) (payload []byte, key string, ok bool) {
	head := jws.Signatures[0].Protected
	for _, k := range set.candidates(head.KeyID, head.Algorithm) {
		if payload, err := jws.Verify(k.key); err == nil {
			return payload, k.thumbprint, true
		}
	}
	return nil, "", false
}

func (v *Verifier) algorithms() []gojose.SignatureAlgorithm {
	out := make([]gojose.SignatureAlgorithm, len(v.algs))
	for i, a := range v.algs {
		out[i] = gojose.SignatureAlgorithm(a)
	}
	return out
}

// isAccess looks at the type in the header. It tells an access token from an ID token, which has the same issuer and the same
// keys (RFC 9068 §4, RFC 8725 §3.11); foreign issuers often say no more than JWT.
func (v *Verifier) isAccess(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/") // media types have no case (RFC 7515 §4.1.9)
	return typ == "at+jwt" || (v.foreign && (typ == "jwt" || typ == ""))
}

// accept reads the claims and checks those that stay true: issuer, audience, and that what must be there is.
func (v *Verifier) accept(payload []byte) (*Token, error) {
	const unreadable = "The access token does not say what an access token must."
	c, err := parseClaims(payload)
	if err != nil {
		return nil, invalid(unreadable, err)
	}
	t, err := c.token(v.claims)
	if err != nil {
		return nil, invalid(unreadable, err)
	}
	if t.Issuer != v.issuer {
		return nil, invalid("The access token is from another issuer.", fmt.Errorf("its iss is %.200q", t.Issuer))
	}
	if err := v.complete(t, c); err != nil {
		return nil, invalid(unreadable, err)
	}
	return t, v.meant(t)
}

// complete checks that the claims of RFC 9068 §2.2 are there; of a foreign issuer those that we could not do without, and that it is not one of
// its tokens of another kind, which the header did not tell.
func (v *Verifier) complete(t *Token, c *claimSet) error {
	if t.Expires.IsZero() {
		return errors.New("exp is missing")
	}
	if v.foreign {
		if c.ofAnotherKind() {
			return errors.New("it is an ID token or a refresh token")
		}
		if t.Subject == "" && t.Client == "" {
			return errors.New("it names neither a subject nor a client")
		}
		return c.err
	}
	for name, missing := range map[string]bool{
		"sub": t.Subject == "", "client_id": c.at("client_id") == nil || t.Client == "", "jti": t.ID == "", "iat": t.IssuedAt.IsZero(),
	} {
		if missing {
			return errors.New(name + " is missing")
		}
	}
	return nil
}

// ofAnotherKind reports whether claims are those of an ID token, by the hashes that only it has (OpenID Connect Core §3.1.3.6), of a
// logout token or another message about events (RFC 8417 §2.2), or of another token whose kind stands in a claim, as Keycloak writes it.
func (c *claimSet) ofAnotherKind() bool {
	kind := c.text("typ")
	return c.at("at_hash") != nil || c.at("c_hash") != nil || c.at("events") != nil || slices.Contains([]string{"ID", "Refresh", "Offline", "Logout"}, kind)
}

// meant checks the audience (RFC 9068 §4).
func (v *Verifier) meant(t *Token) error {
	if v.anyAudience || slices.ContainsFunc(v.audiences, func(a string) bool { return slices.Contains(t.Audience, a) }) {
		return nil
	}
	return invalid("The access token is meant for another API.", fmt.Errorf("its aud is %.200q", t.Audience))
}

// over reports whether a token has expired.
func (v *Verifier) over(t *Token, now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires.Add(v.late))
}

// inTime checks what changes with time.
func (v *Verifier) inTime(t *Token, now time.Time) error {
	soon := now.Add(v.leeway)
	switch {
	case v.over(t, now):
		return invalid("The access token has expired.", nil)
	case t.notBefore.After(soon), t.IssuedAt.After(soon):
		return invalid("The access token is not valid yet.", errors.New("its nbf or iat is in the future; compare the clocks"))
	}
	return nil
}
