// Package signin signs a person in to an OpenID provider from a command line, and keeps the tokens
// between runs: the command line is a public client of that provider (RFC 8252).
package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	requestTimeout = 30 * time.Second // for one request to a provider
	maxBody        = 1 << 20          // bytes of a provider's answer that are read
)

// Provider is an OpenID provider, with what its discovery document says (OpenID Connect Discovery
// §3).
type Provider struct {
	Issuer         string   `json:"issuer"`
	Authorization  string   `json:"authorization_endpoint"`
	Token          string   `json:"token_endpoint"`
	Device         string   `json:"device_authorization_endpoint"`
	Revocation     string   `json:"revocation_endpoint"`
	Scopes         []string `json:"scopes_supported"`
	NamesItsIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	client         *http.Client
}

// Discover reads the discovery document of an issuer. The issuer is an https address, or an http
// address of this machine: tokens never travel unprotected.
func Discover(ctx context.Context, issuer string) (*Provider, error) {
	issuer = strings.TrimSuffix(issuer, "/")
	if err := CheckAddress(issuer); err != nil {
		return nil, err
	}
	p := &Provider{client: &http.Client{
		Timeout: requestTimeout,
		// An answer comes from the address that was asked, or it is an error.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	where := issuer + "/.well-known/openid-configuration"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := p.answer(r, p); err != nil {
		return nil, fmt.Errorf("the sign-in server at %s cannot be reached: %w", issuer, err)
	}
	if strings.TrimSuffix(p.Issuer, "/") != issuer {
		return nil, fmt.Errorf("the server at %s calls itself %q; sign in at that address", issuer, p.Issuer)
	}
	for _, endpoint := range []string{p.Authorization, p.Token, p.Device, p.Revocation} {
		if endpoint == "" {
			continue
		}
		if err := CheckAddress(endpoint); err != nil {
			return nil, fmt.Errorf("the discovery document of %s is not safe to use: %w", issuer, err)
		}
	}
	return p, nil
}

// CheckAddress returns an error unless an address is https, or http on this machine.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%q is not an address of a server; use a form like https://login.example.com", address)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%s does not use https; tokens are sent in plain text only to this machine", address)
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// answer sends a request and reads a JSON answer with status 200 into v, or nothing if v is nil.
func (p *Provider) answer(r *http.Request, v any) error {
	res, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("it answered %s", res.Status)
	case v == nil:
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("its answer is not the JSON that was expected: %w", err)
	}
	return nil
}

// config returns the client for the OAuth library.
func (p *Provider) config(clientID string, scopes []string) oauth2.Config {
	return oauth2.Config{
		ClientID: clientID,
		Scopes:   scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:       p.Authorization,
			TokenURL:      p.Token,
			DeviceAuthURL: p.Device,
			// A public client has no secret. Its id goes into the form: in the other style, the
			// library would send HTTP Basic with an empty password first.
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// context returns ctx with the HTTP client for the OAuth library.
func (p *Provider) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.client)
}

// Revoke ends the sign-in of an account: the refresh token, and with it all that was issued from
// it (RFC 7009 §2.1). Without a refresh token it revokes the access token.
func (p *Provider) Revoke(ctx context.Context, a *Account) error {
	if p.Revocation == "" {
		return nil // the provider has no way to say it
	}
	form := url.Values{"client_id": {a.ClientID}}
	if a.Tokens.RefreshToken != "" {
		form.Set("token", a.Tokens.RefreshToken)
		form.Set("token_type_hint", "refresh_token")
	} else {
		form.Set("token", a.Tokens.AccessToken)
		form.Set("token_type_hint", "access_token")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.answer(r, nil)
}

// rejected reports whether an error is the provider's answer with that code (RFC 6749 §5.2).
func rejected(err error, code string) bool {
	var answer *oauth2.RetrieveError
	return errors.As(err, &answer) && answer.ErrorCode == code
}

// ClientToken returns an access token of a confidential client that acts for itself (RFC 6749
// §4.4), with all scopes that the client has unless some are named.
func (p *Provider) ClientToken(ctx context.Context, id, secret string, scopes []string) (*Tokens, error) {
	ctx, cancel := context.WithTimeout(p.context(ctx), requestTimeout)
	defer cancel()
	c := clientcredentials.Config{
		ClientID:     id,
		ClientSecret: secret,
		TokenURL:     p.Token,
		Scopes:       scopes,
		AuthStyle:    oauth2.AuthStyleInHeader,
	}
	t, err := c.Token(ctx)
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && answer.ErrorCode != "":
		return nil, fmt.Errorf("%s does not accept the client %s: %s", p.Issuer, id, answer.ErrorDescription)
	case err != nil:
		return nil, err
	}
	return &Tokens{AccessToken: t.AccessToken, TokenType: t.Type(), ExpiresAt: t.Expiry}, nil
}
