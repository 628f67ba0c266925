package oauth

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// wrongSecret is the audit log's word for a secret that is none of the client's.
const wrongSecret = "wrong_secret"

// authBasic is client_secret_basic (RFC 6749 §2.3.1).
type authBasic struct{}

func (authBasic) Method() string { return client.MethodBasic }

func (authBasic) Claim(c *Call) (client.ID, bool, error) {
	id, _, ok, err := basicCredentials(c.Authorization)
	return client.ID(id), ok, err
}

func (authBasic) Prove(_ context.Context, s *Server, cl *client.Client, c *Call) error {
	_, pass, _, err := basicCredentials(c.Authorization)
	if err != nil {
		return err
	}
	return s.proveSecret(cl, pass, c.Now)
}

// basicCredentials reads the header. Both halves are form-encoded before they are joined (RFC 6749 §2.3.1); a
// client that forgot to is understood as long as what it sent has no escapes.
func basicCredentials(header string) (id, pass string, ok bool, err error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false, nil
	}
	bad := func() *Error { return invalidClient("Basic", "The Authorization header is not valid HTTP Basic.") }
	raw, e := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if e != nil {
		return "", "", false, bad()
	}
	id, pass, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", false, bad()
	}
	id, e1 := url.QueryUnescape(id)
	pass, e2 := url.QueryUnescape(pass)
	if e1 != nil || e2 != nil || id == "" {
		return "", "", false, bad()
	}
	return id, pass, true, nil
}

// authPost is client_secret_post (RFC 6749 §2.3.1).
type authPost struct{}

func (authPost) Method() string { return client.MethodPost }

func (authPost) Claim(c *Call) (client.ID, bool, error) {
	if c.Get("client_secret") == "" {
		return "", false, nil
	}
	if c.Get("client_id") == "" {
		return "", false, invalidRequest("client_secret needs client_id beside it.")
	}
	return client.ID(c.Get("client_id")), true, nil
}

func (authPost) Prove(_ context.Context, s *Server, cl *client.Client, c *Call) error {
	return s.proveSecret(cl, c.Get("client_secret"), c.Now)
}

// proveSecret compares with every live secret of the client, in constant time.
func (s *Server) proveSecret(cl *client.Client, pass string, now time.Time) error {
	if pass == "" {
		return denied("no_secret")
	}
	have := string(s.keys.Hash(pass))
	match, expired := false, false
	for _, one := range cl.Secrets {
		if !secret.Equal(have, string(one.Hash)) {
			continue
		}
		if one.ExpiresAt.IsZero() || one.ExpiresAt.After(now) {
			match = true
		} else {
			expired = true
		}
	}
	switch {
	case match:
		return nil
	case expired:
		return denied("secret_expired")
	}
	return denied(wrongSecret)
}

// authNone is a public client that only names itself (RFC 6749 §2.1).
type authNone struct{}

func (authNone) Method() string { return client.MethodNone }

func (authNone) Claim(c *Call) (client.ID, bool, error) {
	if c.Get("client_id") == "" || c.Get("client_secret") != "" || c.Get("client_assertion") != "" {
		return "", false, nil
	}
	if scheme, _, _ := strings.Cut(c.Authorization, " "); strings.EqualFold(scheme, "Basic") {
		return "", false, nil
	}
	return client.ID(c.Get("client_id")), true, nil
}

func (authNone) Prove(context.Context, *Server, *client.Client, *Call) error { return nil }
