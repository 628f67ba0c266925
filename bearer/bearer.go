// Package bearer protects APIs (OAuth resource servers): it checks the access tokens that callers
// send, and rejects requests without a valid token with a standard challenge.
//
//	v, err := bearer.New(bearer.Config{
//		Issuer:   "https://id.example.com",
//		Audience: []string{"https://api.example.com"},
//		Client:   bearer.ClientCredentials{ID: "notes-api", Secret: secret},
//	})
//	defer v.Close()
//	mux.Handle("GET /notes", v.Require("notes:read")(notes))
//
// A JWT is verified locally, by its signature and claims (RFC 9068). The keys are read through the
// issuer's discovery document and follow their rotation. The revocation feed of the issuer reports
// revoked tokens within a second. An opaque token is introspected (RFC 7662), and the response is
// cached for a few seconds. A token that is bound to a key (DPoP, RFC 9449) or to a TLS certificate
// (RFC 8705) is accepted only from the holder of the key. Challenges follow RFC 6750, RFC 9449 and
// RFC 9728.
//
// The package is made for Gatehouse, and accepts tokens of other issuers with [Config.Foreign].
package bearer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Verifier checks access tokens of one issuer for one API. It is safe for concurrent use. Close
// it when it is no longer needed.
type Verifier struct {
	settings
	issuerHTTP *issuerClient
	metadata   *cachedDocument[metadata]
	keys       *cachedDocument[*keySet]
	tokens     tokenCache
	pending    introspectionGroup
	slots      chan struct{} // one for each introspection request in progress
	proofs     *proofCache
	feed       *Feed // nil if revocations are not followed

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	start   sync.Once
	running sync.WaitGroup
}

// New returns a Verifier. It sends no request and starts no goroutine: that happens at the first
// token, or with Start or Ready. The issuer need not run when the API starts. The error lists all
// problems of the Config.
func New(c Config) (*Verifier, error) {
	s, err := newSettings(c)
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	v := &Verifier{
		settings:   s,
		issuerHTTP: newIssuerClient(s.HTTPClient, s.AllowHTTP),
		tokens:     newTokenCache(s.MaxCachedTokens),
		slots:      make(chan struct{}, maxIntrospections),
		proofs:     newProofCache(maxProofs),
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.metadata = newCachedDocument(v.ctx, v.Clock, v.reportError, v.loadMetadata)
	v.keys = newCachedDocument(v.ctx, v.Clock, v.reportError, v.loadKeys)
	if s.followsFeed() {
		v.feed, err = NewFeed(FeedConfig{
			Issuer:     s.Issuer,
			Client:     s.Client,
			Audience:   s.Audience,
			HTTPClient: v.issuerHTTP.streaming(),
			OnError:    v.reportError,
		})
	}
	return v, err
}

// Start begins to follow the revocation feed, if the Config asks for it, until Close. The first
// token does the same; with Start the feed is already current when that token arrives. Further
// calls do nothing.
func (v *Verifier) Start() {
	v.start.Do(func() {
		if v.feed != nil {
			v.running.Go(func() { v.feed.Run(v.ctx) })
		}
	})
}

// Close ends what the Verifier does in the background and waits for the revocation feed to stop.
// The Verifier must not be used afterwards. The error is always nil.
func (v *Verifier) Close() error {
	v.cancel()
	v.start.Do(func() {}) // a Verifier that was closed does not start any more
	v.running.Wait()
	return nil
}

// Ready calls Start and waits until tokens can be checked without waiting: the issuer's keys are
// loaded and the revocation feed, if it is followed, is current. An API that calls Ready before it
// serves notices a wrong issuer when it starts; one that does not responds 503 until the issuer can
// be reached.
func (v *Verifier) Ready(ctx context.Context) error {
	v.Start()
	if !v.AlwaysIntrospect {
		if _, err := v.keys.get(ctx, v.Clock()); err != nil {
			return err
		}
	} else if _, err := v.introspectionEndpoint(ctx, v.Clock()); err != nil {
		return err
	}
	for v.feed != nil && !v.feed.Current() {
		select {
		case <-time.After(readyPause):
		case <-ctx.Done():
			return fmt.Errorf("bearer: the revocation feed is not current yet: %w", ctx.Err())
		}
	}
	return nil
}

// readyPause is how often Ready checks the feed.
const readyPause = 20 * time.Millisecond

// Verify checks the access token of a request. An error is an *Error; pass it to Reject. The token
// is shared with other requests and must not be modified.
func (v *Verifier) Verify(ctx context.Context, r *http.Request) (*Token, error) {
	c, err := v.credential(r)
	if err != nil {
		return nil, err
	}
	return v.VerifyCredential(ctx, c)
}

// VerifyCredential does the same as Verify, for callers that extracted the credential themselves,
// such as a proxy that is asked about a request it does not serve.
func (v *Verifier) VerifyCredential(ctx context.Context, c *Credential) (*Token, error) {
	if err := c.checkForm(v.MaxTokenBytes); err != nil {
		return nil, err
	}
	v.Start()
	now := v.Clock()
	t, err := v.checkToken(ctx, c.Token, now)
	if err == nil {
		err = v.checkBinding(ctx, t, c, now)
	}
	if err != nil {
		return nil, inScheme(err, c.Scheme)
	}
	return t, nil
}

// checkToken checks everything about a token except whether its sender may use it.
func (v *Verifier) checkToken(ctx context.Context, raw string, now time.Time) (*Token, error) {
	hash := sha256.Sum256([]byte(raw))
	if v.AlwaysIntrospect || !looksSigned(raw) {
		return v.introspect(ctx, hash, raw, now)
	}
	t, err := v.checkJWT(ctx, hash, raw, now)
	if err != nil {
		return nil, err
	}
	if err := v.checkTimes(t, now); err != nil {
		return nil, err
	}
	return t, v.checkRevocation(ctx, t, hash, raw, now)
}

// checkRevocation asks the feed about a JWT, and applies the StaleFeedPolicy while it is stale.
func (v *Verifier) checkRevocation(ctx context.Context, t *Token, hash tokenHash, raw string, now time.Time) error {
	if v.feed == nil {
		return nil
	}
	current := v.feed.Current() // before Revoked, so that a revocation between the two calls counts
	if v.feed.Revoked(t.ref()) {
		return invalid("The access token has been revoked.", nil)
	}
	if current {
		return nil
	}
	if v.StaleFeed == RejectWhenStale {
		return unavailable("Whether the access token has been revoked cannot be determined at the moment. Try again.", nil)
	}
	_, err := v.introspect(ctx, hash, raw, now)
	return err
}

// Require returns middleware that serves requests whose valid token has all the scopes, and rejects
// all others. The handler gets the token from FromContext. Require panics if an argument is not one
// scope (RFC 6749 §3.3): pass each as a string of its own.
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
			if err == nil && !t.HasScopes(scopes...) {
				err = &Error{
					Status:      http.StatusForbidden,
					Code:        CodeInsufficientScope,
					Scheme:      schemeOf(t),
					Description: "The access token lacks a scope that this needs. Ask the authorization server for one that has it.",
				}
			}
			if err != nil {
				v.reject(w, r, err, scopes)
				return
			}
			if v.nonces != nil && t.Thumbprint != "" { // the next nonce saves a second request (RFC 9449 §8.2)
				w.Header().Set("DPoP-Nonce", v.Nonce())
			}
			next.ServeHTTP(w, r.WithContext(NewContext(r.Context(), t)))
		})
	}
}

// isScope reports whether s is a scope-token (RFC 6749 §3.3).
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || c == '"' || c == '\\'
	})
}

// reportError passes an error of background work to the owner of the API.
func (v *Verifier) reportError(err error) {
	if v.OnError != nil {
		v.OnError(err)
	}
}
