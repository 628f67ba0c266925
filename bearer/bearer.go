// Package bearer protects APIs (OAuth resource servers): it checks the access tokens that their callers send, and answers who
// has no good one.
//
//	v, err := bearer.New("https://id.example.com", bearer.Audience("https://api.example.com"), bearer.Client(id, secret))
//	mux.Handle("GET /notes", v.Require("notes:read")(notes))
//
// A JWT is checked here, by its signature and claims (RFC 9068); its keys are read from the issuer's discovery document and
// follow their rotation. That it has been revoked is learnt from the issuer's feed of revocations, within a second. An
// opaque token is shown to the introspection endpoint (RFC 7662), whose answers are kept for a moment. Tokens that are bound to a
// key (DPoP, RFC 9449) or to a certificate (RFC 8705) are good only from who holds it. Refusals are challenges
// as RFC 6750, RFC 9449 and RFC 9728 write them.
//
// The package is made for Gatehouse and takes tokens of other issuers with [Foreign].
package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Verifier checks access tokens of one issuer for one resource server. It is safe for concurrent use.
type Verifier struct {
	settings
	issuer   string
	out      *outbound
	metadata *kept[metadata]
	keys     *kept[*keySet]
	seen     *seen
	asking   flights
	slots    chan struct{} // one for each introspection under way
	proofs   *proofs
	feed     *Feed // nil: revocations are not followed
	stop     context.CancelFunc
}

// New makes a verifier of the tokens of an issuer, named exactly as in their `iss`. It asks nobody anything yet: the issuer need not run when
// the API starts (see Ready). With Client the feed of revocations is followed from now on, until Close.
func New(issuer string, opts ...Option) (*Verifier, error) {
	v := &Verifier{settings: defaults(), issuer: issuer}
	var errs []error
	for _, o := range opts {
		if err := o(&v.settings); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(append(errs, v.check(issuer))...); err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	v.out = newOutbound(v.http, v.plain)
	v.metadata = newKept(v.now, v.told, v.loadMetadata)
	v.keys = newKept(v.now, v.told, v.loadKeys)
	v.seen = newSeen(v.remember)
	v.slots = make(chan struct{}, maxAsking)
	v.proofs = newProofs(maxProofs)
	if v.cache == nil {
		v.cache = NewMemory(defaultMemory)
	}
	return v, v.follow()
}

// follow starts to follow the feed of revocations, where there is one that we may follow.
func (v *Verifier) follow() error {
	ctx, stop := context.WithCancel(context.Background())
	v.stop = stop
	if v.clientID == "" || v.foreign || v.noFeed {
		return nil
	}
	feed, err := NewFeed(FeedOptions{
		Issuer: v.issuer, ClientID: v.clientID, ClientSecret: v.clientSecret, HTTP: v.out.stream(), OnError: v.told,
	})
	if err != nil {
		stop()
		return err
	}
	v.feed = feed
	go feed.Run(ctx)
	return nil
}

// Close stops following revocations. The verifier must not be used any more.
func (v *Verifier) Close() { v.stop() }

// Ready waits until tokens can be checked without waiting: the issuer's keys are here, and the feed, if it is followed, is current. An API
// that calls it before it serves finds a wrong issuer at its start; one that does not answers 503 until the issuer can be asked.
func (v *Verifier) Ready(ctx context.Context) error {
	if !v.always {
		if _, err := v.keys.get(ctx, v.now()); err != nil {
			return err
		}
	} else if _, err := v.introspection(ctx, v.now()); err != nil {
		return err
	}
	for v.feed != nil && !v.feed.Current() {
		select {
		case <-time.After(readyPause):
		case <-ctx.Done():
			return fmt.Errorf("bearer: the feed of revocations is not current yet: %w", ctx.Err())
		}
	}
	return nil
}

// readyPause is how often Ready looks at the feed.
const readyPause = 20 * time.Millisecond

// Verify checks the access token that a request carries. The error is an *Error: hand it to Refuse. The token is shared with other
// requests and must not be changed.
func (v *Verifier) Verify(ctx context.Context, r *http.Request) (*Token, error) {
	c, err := v.credential(r)
	if err != nil {
		return nil, err
	}
	return v.VerifyCredential(ctx, c)
}

// VerifyCredential is Verify for who has taken the credential out of a request by other means, such as a proxy that is asked
// about a request that it does not hold.
func (v *Verifier) VerifyCredential(ctx context.Context, c *Credential) (*Token, error) {
	if err := c.wellFormed(v.maxToken); err != nil {
		return nil, err
	}
	now := v.now()
	t, err := v.read(ctx, c.Token, now)
	if err == nil {
		err = v.bound(ctx, t, c, now)
	}
	if err != nil {
		return nil, inScheme(err, c.Scheme)
	}
	return t, nil
}

// read reads a token, and checks all of it but whether its sender may use it.
func (v *Verifier) read(ctx context.Context, raw string, now time.Time) (*Token, error) {
	hash := sha256.Sum256([]byte(raw))
	if v.always || !looksSigned(raw) {
		return v.introspected(ctx, hash, raw, now)
	}
	t, err := v.signed(ctx, hash, raw, now)
	if err != nil {
		return nil, err
	}
	if err := v.inTime(t, now); err != nil {
		return nil, err
	}
	return t, v.unrevoked(ctx, t, hash, raw, now)
}

// unrevoked asks the feed about a JWT, and what the owner chose when the feed is not current.
func (v *Verifier) unrevoked(ctx context.Context, t *Token, hash tokenHash, raw string, now time.Time) error {
	if v.feed == nil {
		return nil
	}
	current := v.feed.Current() // before Revoked: what is told between the two counts
	if v.feed.Revoked(t.identity()) {
		return invalid("The access token has been revoked.", nil)
	}
	if current {
		return nil
	}
	if v.blind == Refuse {
		return unavailable("It cannot be told at the moment whether the access token has been revoked. Try again.", nil)
	}
	_, err := v.introspected(ctx, hash, raw, now)
	return err
}

// Require gives middleware that serves requests with a good token of all the scopes, and refuses others. The handler finds the token with
// FromContext. It panics if what it is given is no scope (RFC 6749 §3.3): one string for each.
func (v *Verifier) Require(scopes ...string) func(http.Handler) http.Handler {
	for _, s := range scopes {
		if !isScope(s) {
			panic(fmt.Sprintf("bearer: %q is not one scope", s))
		}
	}
	scopes = slices.Clone(scopes)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			t, err := v.Verify(r.Context(), r)
			if err == nil && !t.May(scopes...) {
				err = &Error{
					Status: http.StatusForbidden, Code: CodeInsufficientScope, Scheme: scheme(t),
					Description: "The access token lacks a scope that this needs. Ask the authorization server for one that has it.",
				}
			}
			if err != nil {
				v.refuse(w, r, err, scopes)
				return
			}
			if v.nonces != nil && t.Thumbprint != "" { // the next one, so that no request need be made twice (RFC 9449 §8.2)
				w.Header().Set("DPoP-Nonce", v.Nonce())
			}
			next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), t)))
		})
	}
}

// isScope reports whether s is a scope-token (RFC 6749 §3.3).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' })
}

// told tells the owner about what failed behind the requests.
func (v *Verifier) told(err error) {
	if v.onError != nil {
		v.onError(err)
	}
}
