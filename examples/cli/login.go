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

// account holds what the program needs to use a person's account.
type account struct {
	issuer, clientID string
	api              string // the address of the API
	resource         string // the API's name, which tokens have as audience (RFC 8707)
	file             tokenFile
}

// server holds the authorization server's endpoints from its discovery document.
type server struct {
	*oidc.Provider
	oauth2.Config
	revocation string
}

func (a account) server(ctx context.Context) (*server, error) {
	provider, err := oidc.NewProvider(ctx, a.issuer)
	if err != nil {
		return nil, fmt.Errorf("cannot read the metadata of the server at %s: %w", a.issuer, err)
	}
	var more struct {
		Revocation string `json:"revocation_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	// An installed program cannot keep a secret, so this client has none (RFC 8252 §8.5). Its id
	// goes into the form; otherwise the library would first try HTTP Basic with an empty password.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	return &server{
		Provider:   provider,
		revocation: more.Revocation,
		Config: oauth2.Config{
			ClientID: a.clientID,
			Endpoint: endpoint,
			Scopes: []string{
				oidc.ScopeOpenID, "email", oidc.ScopeOfflineAccess, "notes:read", "notes:write",
			},
		},
	}, nil
}

// signIn obtains tokens from a person's approval.
type signIn func(context.Context, *server) (*oauth2.Token, error)

// login signs a person in and stores the tokens.
func (a account) login(ctx context.Context, signIn signIn) error {
	s, err := a.server(ctx)
	if err != nil {
		return err
	}
	token, err := signIn(ctx, s)
	if err != nil {
		return fmt.Errorf("you are not signed in: %w", err)
	}
	email, err := a.verifyIDToken(ctx, s, token)
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
	fmt.Fprintln(os.Stderr, "You are signed in as", email)
	return nil
}

// verifyIDToken verifies the ID token and returns the person's email address. The access token is
// for the API; a client does not look into it.
func (a account) verifyIDToken(
	ctx context.Context, s *server, token *oauth2.Token,
) (string, error) {
	raw, _ := token.Extra("id_token").(string)
	id, err := s.Verifier(&oidc.Config{ClientID: a.clientID}).Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("the server's ID token is not valid: %w", err)
	}
	var person struct{ Email string }
	err = id.Claims(&person)
	return person.Email, err
}

// byBrowser signs in with the browser of this machine, which brings the response to a local port
// (RFC 8252 §7.3).
func (a account) byBrowser(ctx context.Context, s *server) (*oauth2.Token, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	s.RedirectURL = fmt.Sprintf("http://%s/callback", listener.Addr())

	// state binds the response to this run, and the verifier binds the code to this program: an
	// intercepted code is useless (RFC 7636).
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	address := s.AuthCodeURL(state,
		oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("resource", a.resource))
	fmt.Fprintf(os.Stderr, "Opening your browser. If it does not open, visit\n\n  %s\n\n", address)
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
		if query.Get("state") != state { // any page can send a browser here: keep waiting
			http.Error(w, "This response does not belong to the sign-in in progress.",
				http.StatusBadRequest)
			return
		}
		code, err := readResponse(query, issuer)
		fmt.Fprintln(w, "You can close this page and return to the terminal.")
		select {
		case results <- result{code, err}:
		default: // the page was loaded twice
		}
	})
	callback := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = callback.Serve(listener) }() // ends with Shutdown

	// Deliver the page before the program ends.
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
		return "", errors.New("no sign-in within five minutes")
	}
}

// readResponse returns the code of an authorization response. The response must name the issuer, or
// one server's code could be sent to another (RFC 9207 §2.4).
func readResponse(query url.Values, issuer string) (string, error) {
	switch {
	case query.Get("iss") != issuer:
		return "", fmt.Errorf("the response is from %q, not from %s", query.Get("iss"), issuer)
	case query.Has("error"):
		return "", fmt.Errorf("%s: %s", query.Get("error"), query.Get("error_description"))
	}
	return query.Get("code"), nil
}

// openBrowser tries to open an address. It ignores errors, because the address is also printed.
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

// byDevice signs in with a browser on any device, where the person enters a code (RFC 8628).
func (a account) byDevice(ctx context.Context, s *server) (*oauth2.Token, error) {
	device, err := s.DeviceAuth(ctx, oauth2.SetAuthURLParam("resource", a.resource))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "On any device, open\n\n  %s\n\nand enter the code\n\n  %s\n\n",
		device.VerificationURI, device.UserCode)
	return s.DeviceAccessToken(ctx, device) // polls at the server's interval
}
