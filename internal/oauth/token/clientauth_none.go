package token

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// noneAuth is a public client that only names itself (RFC 6749 §2.1).
type noneAuth struct{}

func (noneAuth) Describe() client.AuthMethod {
	return client.AuthMethod{
		Name:    client.MethodNone,
		Summary: "The client only names itself.",
		Public:  true,
	}
}

func (noneAuth) Claim(c *oauth.Call) (client.ID, bool, error) {
	if c.Get("client_id") == "" || c.Get("client_secret") != "" || c.Get("client_assertion") != "" {
		return "", false, nil
	}
	if scheme, _, _ := strings.Cut(c.Authorization, " "); strings.EqualFold(scheme, "Basic") {
		return "", false, nil
	}
	return client.ID(c.Get("client_id")), true, nil
}

func (noneAuth) Prove(context.Context, *client.Client, *oauth.Call) error { return nil }

// emptySecret reports whether a call has HTTP Basic with an empty secret. Some libraries send it
// for public clients, which only name themselves with it: an empty secret may be left out
// (RFC 6749 §2.3.1).
func emptySecret(c *oauth.Call) bool {
	_, pass, ok, err := BasicSecret(c.Authorization)
	return ok && err == nil && pass == ""
}
