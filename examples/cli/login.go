package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// account is a person's account at an authorization server, as this program uses it.
type account struct {
	issuer, clientID string
	api              string // where the API is
	resource         string // the API's name: what the tokens shall be meant for (RFC 8707)
	file             tokenFile
}

// server is the authorization server, as its discovery document describes it.
type server struct {
	*oidc.Provider
	oauth2.Config
	revocation string
}

func (a account) server(ctx context.Context) (*server, error) {
	provider, err := oidc.NewProvider(ctx, a.issuer)
	if err != nil {
		return nil, fmt.Errorf("the server at %s does not answer: %w", a.issuer, err)
	}
	var more struct {
		Revocation string `json:"revocation_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	// A program that people install cannot keep a secret, so it has none (RFC 8252 §8.5). It names itself in
	// the form; left to guess, the library would try an empty password first.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	return &server{
		Provider: provider, revocation: more.Revocation,
		Config: oauth2.Config{
			ClientID: a.clientID, Endpoint: endpoint,
			Scopes: []string{oidc.ScopeOpenID, "email", oidc.ScopeOfflineAccess, "notes:read", "notes:write"},
		},
	}, nil
}

// login signs a person in by one way or the other and keeps the tokens.
func (a account) login(ctx context.Context, by func(context.Context, *server) (*oauth2.Token, error)) error {
	s, err := a.server(ctx)
	if err != nil {
		return err
	}
	token, err := by(ctx, s)
	if err != nil {
		return fmt.Errorf("you are not signed in: %w", err)
	}
	person, err := a.who(ctx, s, token)
	if err != nil {
		return err
	}
	unlock, err := a.file.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := a.file.write(token); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "You are signed in as", person)
	return nil
}

// who reads from the ID token who has signed in. It is for us; the access token is for the API, and we do not look into it.
func (a account) who(ctx context.Context, s *server, token *oauth2.Token) (string, error) {
	raw, _ := token.Extra("id_token").(string)
	id, err := s.Verifier(&oidc.Config{ClientID: a.clientID}).Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("the server's ID token is not valid: %w", err)
	}
	var person struct{ Email string }
	err = id.Claims(&person)
	return person.Email, err
}

// byBrowser signs in with the browser of this machine, which brings the answer to a port that we open for it (RFC 8252 §7.3).
func (a account) byBrowser(ctx context.Context, s *server) (*oauth2.Token, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	s.RedirectURL = fmt.Sprintf("http://%s/callback", listener.Addr())

	// state ties the answer to this run, and the verifier ties the code to this program: whoever intercepts the
	// code cannot use it (RFC 7636).
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	address := s.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", a.resource))
	fmt.Fprintf(os.Stderr, "Your browser opens to sign you in. If it does not, open this address in it:\n\n  %s\n\n", address)
	openBrowser(address)

	code, err := awaitCode(ctx, listener, state, a.issuer)
	if err != nil {
		return nil, err
	}
	return s.Exchange(ctx, code, oauth2.VerifierOption(verifier))
}

// awaitCode waits five minutes for the browser to bring the code.
func awaitCode(ctx context.Context, listener net.Listener, state, issuer string) (string, error) {
	type result struct {
		code string
		err  error
	}
	results := make(chan result, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Get("state") != state { // not our answer: any page can send a browser here, so we go on waiting
			http.Error(w, "This answer belongs to no sign-in that is under way.", http.StatusBadRequest)
			return
		}
		code, err := readAnswer(query, issuer)
		fmt.Fprintln(w, "That is all. You can close this page and go back to the terminal.")
		select {
		case results <- result{code, err}:
		default: // a page that was loaded twice
		}
	})
	callback := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = callback.Serve(listener) }() // ends with Shutdown

	// The page must have been delivered before the program ends.
	defer func() {
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = callback.Shutdown(brief)
	}()
	select {
	case r := <-results:
		return r.code, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(5 * time.Minute):
		return "", errors.New("nobody signed in within five minutes")
	}
}

// readAnswer reads the answer to an authorization request. It must name the server that we asked, or the code of one
// server could be lured to another (RFC 9207 §2.4).
func readAnswer(query url.Values, issuer string) (string, error) {
	switch {
	case query.Get("iss") != issuer:
		return "", fmt.Errorf("the answer is from %q, not from %s", query.Get("iss"), issuer)
	case query.Has("error"):
		return "", fmt.Errorf("%s: %s", query.Get("error"), query.Get("error_description"))
	}
	return query.Get("code"), nil
}

// openBrowser does what it can: the address has been printed as well.
func openBrowser(address string) {
	switch runtime.GOOS {
	case "darwin":
		_ = exec.Command("open", address).Start()
	case "windows":
		_ = exec.Command("rundll32", "url.dll,FileProtocolHandler", address).Start()
	default:
		_ = exec.Command("xdg-open", address).Start()
	}
}

// byDevice signs in with a browser anywhere: the person types in the code that we show (RFC 8628).
func (a account) byDevice(ctx context.Context, s *server) (*oauth2.Token, error) {
	device, err := s.DeviceAuth(ctx, oauth2.SetAuthURLParam("resource", a.resource))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "On any device, open\n\n  %s\n\nand enter the code\n\n  %s\n\n", device.VerificationURI, device.UserCode)
	return s.DeviceAccessToken(ctx, device) // asks as often as the server allows, until there is an answer
}
