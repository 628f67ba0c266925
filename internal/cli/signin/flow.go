package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// browserTimeout is how long a sign-in in the browser may take.
const browserTimeout = 5 * time.Minute

// Request is what a sign-in asks for.
type Request struct {
	ClientID string
	Scopes   []string // openid is added
	Resource string   // the API that the tokens are for (RFC 8707), or ""
	Prompt   string   // the OpenID Connect parameter prompt, or ""
	ACR      string   // the class of sign-in that is needed (acr_values), or ""
	MaxAge   string   // the greatest age of the sign-in in seconds (max_age), or ""
	Now      func() time.Time
}

// A Screen is where a person sees what to do next.
type Screen interface {
	// Visit shows an address that this machine's browser is to open, and tries to open it.
	Visit(address string)
	// Enter shows an address for any device, the code to enter there, and an address that has the
	// code already, or "".
	Enter(address, code, complete string)
}

// options returns the parameters that both ways to sign in send.
func (q *Request) options() []oauth2.AuthCodeOption {
	var all []oauth2.AuthCodeOption
	for _, p := range [][2]string{
		{"resource", q.Resource},
		{"prompt", q.Prompt},
		{"acr_values", q.ACR},
		{"max_age", q.MaxAge},
	} {
		if p[1] != "" {
			all = append(all, oauth2.SetAuthURLParam(p[0], p[1]))
		}
	}
	return all
}

func (q *Request) scopes() []string {
	if slices.Contains(q.Scopes, "openid") {
		return q.Scopes
	}
	return append([]string{"openid"}, q.Scopes...)
}

// ByDevice signs in with a browser on any device, where the person enters a code (RFC 8628).
func (p *Provider) ByDevice(ctx context.Context, q Request, s Screen) (*Account, error) {
	if p.Device == "" {
		return nil, fmt.Errorf("%s does not offer sign-in with a code; use --browser", p.Issuer)
	}
	ctx = p.context(ctx)
	c := p.config(q.ClientID, q.scopes())
	device, err := c.DeviceAuth(ctx, q.options()...)
	if err != nil {
		return nil, p.explain(err, q.ClientID)
	}
	s.Enter(device.VerificationURI, device.UserCode, device.VerificationURIComplete)
	t, err := c.DeviceAccessToken(ctx, device) // asks again at the interval of the provider
	switch {
	case rejected(err, "access_denied"):
		return nil, errors.New("the sign-in was denied in the browser")
	case rejected(err, "expired_token"):
		return nil, errors.New("nobody entered the code in time; sign in again")
	case err != nil:
		return nil, p.explain(err, q.ClientID)
	}
	return p.account(q, t, "")
}

// ByBrowser signs in with the browser of this machine, which brings the answer to a port of the
// loopback interface (RFC 8252 §7.3).
func (p *Provider) ByBrowser(ctx context.Context, q Request, s Screen) (*Account, error) {
	if p.Authorization == "" {
		return nil, fmt.Errorf("%s does not offer sign-in in a browser; use --device", p.Issuer)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	ctx = p.context(ctx)
	c := p.config(q.ClientID, q.scopes())
	c.RedirectURL = "http://" + listener.Addr().String() + "/callback"
	// The state binds the answer to this run. The verifier binds the code to this program: who
	// intercepts it cannot use it (RFC 7636). The nonce binds the ID token.
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	options := append(q.options(), oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("nonce", nonce))
	s.Visit(c.AuthCodeURL(state, options...))
	code, err := p.awaitCode(ctx, listener, state)
	if err != nil {
		return nil, err
	}
	t, err := c.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, p.explain(err, q.ClientID)
	}
	return p.account(q, t, nonce)
}

// awaitCode waits for the browser to bring the code.
func (p *Provider) awaitCode(ctx context.Context, listener net.Listener, state string) (string, error) {
	type result struct {
		code string
		err  error
	}
	results := make(chan result, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
			// Any page can send a browser here: keep waiting.
			http.Error(w, "This answer does not belong to the sign-in in progress.", http.StatusBadRequest)
			return
		}
		code, err := p.readAnswer(query)
		writeCallbackPage(w, err)
		select {
		case results <- result{code, err}:
		default: // the page was loaded twice
		}
	})
	callback := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = callback.Serve(listener) }() // ends with Shutdown
	defer func() {                               // the page is delivered before the program ends
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = callback.Shutdown(brief)
	}()
	wait, cancel := context.WithTimeout(ctx, browserTimeout)
	defer cancel()
	select {
	case r := <-results:
		return r.code, r.err
	case <-wait.Done():
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", errors.New("nobody signed in within five minutes; sign in again")
	}
}

// readAnswer returns the code of an authorization response. A provider that names itself in its
// answers must do so, or the code of one server could be sent to another (RFC 9207 §2.4).
func (p *Provider) readAnswer(query url.Values) (string, error) {
	issuer := query.Get("iss")
	switch {
	case issuer != p.Issuer && (issuer != "" || p.NamesItsIssuer):
		return "", fmt.Errorf("the answer comes from %q, not from %s", issuer, p.Issuer)
	case query.Get("error") == "access_denied":
		return "", errors.New("the sign-in was denied in the browser")
	case query.Has("error"):
		return "", fmt.Errorf("the sign-in failed: %s: %s", query.Get("error"), query.Get("error_description"))
	case query.Get("code") == "":
		return "", errors.New("the browser brought no code; sign in again")
	}
	return query.Get("code"), nil
}

// writeCallbackPage writes the page that sends the person back to the terminal.
func writeCallbackPage(w http.ResponseWriter, err error) {
	title, text := "You are signed in", "Close this page and return to the terminal."
	if err != nil {
		title, text = "You are not signed in", "The terminal shows why."
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address has the code
	fmt.Fprintf(w, "<!doctype html><html lang=en><meta name=viewport content=\"width=device-width\">"+
		"<title>%[1]s</title><h1>%[1]s</h1><p>%[2]s</p>", html.EscapeString(title), html.EscapeString(text))
}

// explain adds what to do to the answers of providers that people meet first.
func (p *Provider) explain(err error, clientID string) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.ErrorCode {
	case "":
		return fmt.Errorf("%s answered %s", p.Issuer, answer.Response.Status)
	case "invalid_client":
		return fmt.Errorf("%s does not know a public client %q; register one, and name it with --client-id",
			p.Issuer, clientID)
	case "unauthorized_client":
		return fmt.Errorf("%s does not allow the client %q this way to sign in; try --device or --browser",
			p.Issuer, clientID)
	}
	return fmt.Errorf("%s: %s: %s", p.Issuer, answer.ErrorCode, answer.ErrorDescription)
}

// person are the claims of an ID token that are used.
type person struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expires  float64  `json:"exp"`
	Nonce    string   `json:"nonce"`
	Email    string   `json:"email"`
	Username string   `json:"preferred_username"`
	Name     string   `json:"name"`
}

// audience is one name or a list of names (RFC 7519 §4.1.3).
type audience []string

// UnmarshalJSON reads a string or a list of strings.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// account returns whose tokens these are. The ID token came straight from the token endpoint over
// a protected connection, which stands for the check of its signature (OpenID Connect Core
// §3.1.3.7, point 6).
func (p *Provider) account(q Request, t *oauth2.Token, nonce string) (*Account, error) {
	raw, _ := t.Extra("id_token").(string)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%s did not say who signed in; is it an OpenID provider?", p.Issuer)
	}
	var who person
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(claims, &who)
	}
	now := q.Now()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the ID token of %s cannot be read: %w", p.Issuer, err)
	case who.Issuer != p.Issuer || !slices.Contains(who.Audience, q.ClientID) || who.Subject == "":
		return nil, fmt.Errorf("the ID token of %s is for another client or from another server", p.Issuer)
	case subtle.ConstantTimeCompare([]byte(who.Nonce), []byte(nonce)) != 1:
		return nil, fmt.Errorf("the ID token of %s does not belong to this sign-in", p.Issuer)
	case time.Unix(int64(who.Expires), 0).Before(now.Add(-time.Minute)):
		return nil, fmt.Errorf("the ID token of %s has expired; is the clock of this machine right?", p.Issuer)
	}
	a := &Account{
		Issuer:     p.Issuer,
		ClientID:   q.ClientID,
		Subject:    who.Subject,
		Email:      who.Email,
		Name:       who.Name,
		Resource:   q.Resource,
		SignedInAt: now.UTC().Truncate(time.Second),
		IDToken:    raw,
	}
	if a.Email == "" {
		a.Email = who.Username
	}
	a.setTokens(t)
	return a, nil
}
