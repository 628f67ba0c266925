package token

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// basicAuth is client_secret_basic (RFC 6749 §2.3.1).
type basicAuth struct{ secrets secretChecker }

func (basicAuth) Describe() client.AuthMethod {
	return client.AuthMethod{
		Name:    client.MethodBasic,
		Summary: "The client sends its secret with HTTP Basic.",
	}
}

func (basicAuth) Claim(c *oauth.Call) (client.ID, bool, error) {
	id, _, ok, err := BasicSecret(c.Authorization)
	return id, ok, err
}

func (a basicAuth) Prove(_ context.Context, cl *client.Client, c *oauth.Call) error {
	_, pass, _, err := BasicSecret(c.Authorization)
	if err != nil {
		return err
	}
	return a.secrets.check(cl, pass, c.Now)
}

// BasicSecret reads the id and the secret from an Authorization header. It returns false if the
// scheme is not Basic. Both parts are form-encoded before they are joined (RFC 6749 §2.3.1);
// those of a client that forgot it can be read as long as they contain no escapes.
func BasicSecret(header string) (id client.ID, pass string, ok bool, err error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", false, nil
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return "", "", false, invalidBasic()
	}
	name, pass, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", false, invalidBasic()
	}
	name, nameErr := url.QueryUnescape(name)
	pass, passErr := url.QueryUnescape(pass)
	if nameErr != nil || passErr != nil || name == "" {
		return "", "", false, invalidBasic()
	}
	return client.ID(name), pass, true, nil
}

func invalidBasic() error {
	return oauth.InvalidClient("Basic", "The Authorization header is not valid HTTP Basic.")
}

// postAuth is client_secret_post (RFC 6749 §2.3.1).
type postAuth struct{ secrets secretChecker }

func (postAuth) Describe() client.AuthMethod {
	return client.AuthMethod{
		Name:    client.MethodPost,
		Summary: "The client sends its secret in the request body.",
	}
}

func (postAuth) Claim(c *oauth.Call) (client.ID, bool, error) {
	if c.Get("client_secret") == "" {
		return "", false, nil
	}
	if c.Get("client_id") == "" {
		return "", false, oauth.InvalidRequest("client_secret must be sent with client_id.")
	}
	return client.ID(c.Get("client_id")), true, nil
}

func (a postAuth) Prove(_ context.Context, cl *client.Client, c *oauth.Call) error {
	return a.secrets.check(cl, c.Get("client_secret"), c.Now)
}

// secretChecker checks client secrets.
type secretChecker struct{ keys *secret.Keys }

// check compares a secret with every active secret of a client, in constant time.
func (s secretChecker) check(cl *client.Client, pass string, now time.Time) error {
	if pass == "" {
		return denied(audit.ReasonNoSecret)
	}
	hash := string(s.keys.Hash(pass))
	match, expired := false, false
	for _, one := range cl.Secrets {
		if !secret.Equal(hash, string(one.Hash)) {
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
		return denied(audit.ReasonSecretExpired)
	}
	return denied(audit.ReasonWrongSecret)
}
