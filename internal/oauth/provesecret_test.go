package oauth_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestProveSecret(t *testing.T) {
	w := newWorld(t)
	cl, pub := w.client(), w.client(public)
	off := w.client(func(c *client.Client) { c.Disabled = true })
	late := w.client(func(c *client.Client) { c.Secrets[0].ExpiresAt = w.now.Add(-time.Second) })
	post := w.client(func(c *client.Client) { c.AuthMethod = client.MethodPost })
	if got, err := w.srv.ProveSecret(t.Context(), cl.ID, testSecret, w.now); err != nil || got.ID != cl.ID {
		t.Fatalf("%v, %v", got, err)
	}
	for name, row := range map[string]struct {
		id   client.ID
		pass string
	}{
		"wrong": {cl.ID, "wrong"}, "empty": {cl.ID, ""}, "public": {pub.ID, testSecret}, "disabled": {off.ID, testSecret},
		"expired": {late.ID, testSecret}, "another method": {post.ID, testSecret}, "unknown": {"nobody", testSecret},
	} {
		if _, err := w.srv.ProveSecret(t.Context(), row.id, row.pass, w.now); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestActiveFollowsExpiryAndRevocation(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	read := func() *oauth.AccessToken {
		r, err := w.srv.Token(t.Context(), w.from(cl, "grant_type", client.GrantTypeClient))
		testkit.Must(t, err)
		tok, err := w.srv.Access(t.Context(), r.AccessToken, w.now)
		testkit.Must(t, err)
		return tok
	}
	tok := read()
	if !w.srv.Active(tok, w.now) || w.srv.Active(tok, tok.Expires) {
		t.Error("a token lives until it expires")
	}
	testkit.Must(t, w.db.Revoke(t.Context(), oauth.Revocation{Kind: oauth.RevokeToken, ID: tok.ID, NotBefore: w.now, Until: w.now.Add(time.Hour)}))
	if w.srv.Active(tok, w.now) {
		t.Error("a revoked token lives")
	}
}
