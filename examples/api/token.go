package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// claims are what we use of an access token (RFC 9068 §2.2).
type claims struct {
	Subject  string `json:"sub"`       // the person, or the client when it acts for itself
	ClientID string `json:"client_id"` // the application that calls
	Scope    string `json:"scope"`     // what it may do, separated by spaces
}

func (c claims) may(scope string) bool { return slices.Contains(strings.Fields(c.Scope), scope) }

// checker checks access tokens.
type checker struct{ verifier *oidc.IDTokenVerifier }

// newChecker reads the issuer's discovery document, which says where its keys are. The keys themselves are
// fetched with the first token, kept, and fetched again when a token names one that is not known yet:
// so the issuer can change its keys without a restart here.
func newChecker(ctx context.Context, issuer, audience string) (*checker, error) {
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	// The library calls the expected audience ClientID, because that is what it is in an ID token.
	return &checker{provider.Verifier(&oidc.Config{ClientID: audience})}, nil
}

// check verifies a token the way RFC 9068 §4 asks: signature, issuer, audience and expiry by the library, and
// then the type, which the library leaves to us.
func (c *checker) check(ctx context.Context, raw string) (claims, error) {
	token, err := c.verifier.Verify(ctx, raw)
	if err != nil {
		return claims{}, err
	}
	// An ID token has the same issuer and is signed with the same keys. Only its type tells that it was made to be read
	// by an application, and not to be shown to an API.
	if typ := headerType(raw); typ != "at+jwt" && typ != "application/at+jwt" {
		return claims{}, fmt.Errorf("the token is of type %q, not an access token", typ)
	}
	var out claims
	if err := token.Claims(&out); err != nil {
		return claims{}, err
	}
	if out.Subject == "" {
		return claims{}, errors.New("the token has no subject")
	}
	return out, nil
}

// headerType reads the type of a token whose signature, which covers the header, has been verified.
func headerType(raw string) string {
	header, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return ""
	}
	var fields map[string]any // not a struct: encoding/json would also take "TYP"
	_ = json.Unmarshal(decoded, &fields)
	typ, _ := fields["typ"].(string)
	return strings.ToLower(typ) // media types have no case
}

// require serves a route to callers whose token has a scope, and challenges all others (RFC 6750 §3).
func (c *checker) require(scope string, serve func(http.ResponseWriter, *http.Request, claims)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := bearer(r)
		if !ok { // who shows nothing is told nothing but that a token is needed
			refuse(w, http.StatusUnauthorized, "", "")
			return
		}
		caller, err := c.check(r.Context(), raw)
		if err != nil { // why it failed is for our log, not for whoever sent it
			fmt.Println("refused a token:", err)
			refuse(w, http.StatusUnauthorized, "invalid_token", "")
			return
		}
		if !caller.may(scope) { // the scope tells the application what to ask for
			refuse(w, http.StatusForbidden, "insufficient_scope", scope)
			return
		}
		serve(w, r, caller)
	})
}

// bearer takes the token from the Authorization header: the one place that neither logs nor history keep.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

func refuse(w http.ResponseWriter, status int, code, scope string) {
	challenge := `Bearer realm="notes"`
	if code != "" {
		challenge += fmt.Sprintf(`, error=%q`, code)
	}
	if scope != "" {
		challenge += fmt.Sprintf(`, scope=%q`, scope)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	answer(w, status, map[string]string{"error": cmp.Or(code, "unauthorized")})
}
