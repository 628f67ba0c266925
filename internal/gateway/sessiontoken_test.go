package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// withSessionTokens serves a gateway that knows the sessions of the accounts API, and returns a
// function that signs its user in with a client.
func withSessionTokens(t *testing.T) (w *world, signIn func(client.ID) *login.TokenPair) {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	must(t, err)
	policy := identity.Policy{MinLength: 12}
	l := login.New(login.Config{Policy: policy, AdminPolicy: policy, RevokeTokens: true, Idle: time.Hour},
		shared.db, keys, secret.NewPasswords(1, 10))
	w = newWorld(t, shop(func(r *access.Route) { r.ClientID = true }), func(o *gateway.Options) { o.SessionTokens = l })
	const password = "Tr4verse-the-Quiet-Valley"
	must(t, l.SetPassword(t.Context(), login.Visit{Now: w.now, Actor: "cli"}, w.user, password))
	return w, func(id client.ID) *login.TokenPair {
		t.Helper()
		st, err := l.Password(t.Context(), login.Visit{Now: w.now}, login.Attempt{
			Username: w.user.Email, Password: password, Client: string(id),
		})
		must(t, err)
		return st.Done.Tokens
	}
}

// A session token identifies the person and the client that the person has signed in with.
func TestSessionToken(t *testing.T) {
	w, signIn := withSessionTokens(t)
	pair := signIn(w.client.ID)
	own, other := basic(string(w.client.ID), testSecret), w.newClient()
	for name, row := range map[string]struct {
		header string
		proven bool
	}{
		"alone":          {"Authorization: Bearer session:" + pair.Token, false},
		"with a client":  {"Authorization: " + own + ",Bearer session:" + pair.Token, true},
		"in other order": {"Authorization: bearer session:" + pair.Token + " , " + own, true},
	} {
		for range 2 { // the second time from the cache
			info := w.info(w.received(w.get("/shop/v1", row.header)).Header.Get("X-Auth-Info"))
			client, _ := info["client"].(map[string]any)
			if info["by"] != "session" || info["user"] == nil || client["authenticated"] == true != row.proven {
				t.Errorf("%s: %v", name, info)
			}
		}
	}
	for name, row := range map[string]struct {
		header string
		status int
		code   string
	}{
		"a refresh token":          {"Bearer session:" + pair.Refresh, http.StatusBadRequest, "REFRESH-TOKEN-PASSED"},
		"without the mark":         {"Bearer " + pair.Token, http.StatusUnauthorized, "invalid_token"},
		"empty":                    {"Bearer session:", http.StatusUnauthorized, "invalid_token"},
		"unknown":                  {"Bearer session:x", http.StatusUnauthorized, "invalid_token"},
		"two":                      {"Bearer session:" + pair.Token + ",Bearer session:" + pair.Token, http.StatusBadRequest, "invalid_request"},
		"beside a token":           {"Bearer session:" + pair.Token + ",Bearer " + w.token(), http.StatusBadRequest, "invalid_request"},
		"with another client":      {basic(string(other.ID), testSecret) + ",Bearer session:" + pair.Token, http.StatusBadRequest, "invalid_request"},
		"with a wrong secret":      {basic(string(w.client.ID), "wrong") + ",Bearer session:" + pair.Token, http.StatusUnauthorized, "invalid_client"},
		"of the scheme of a proof": {"DPoP session:" + pair.Token, http.StatusBadRequest, "invalid_request"},
	} {
		r := w.get("/shop/v1", "Authorization: "+row.header)
		if r.Code != row.status || !strings.Contains(r.Body.String(), `"`+row.code+`"`) {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
	}
}

// A session token ends with its time, and with its session within a second.
func TestSessionTokenEnds(t *testing.T) {
	w, signIn := withSessionTokens(t)
	status := func(token string) int { return w.get("/shop/v1", "Authorization: Bearer session:"+token).Code }
	pair := signIn(w.client.ID)
	if got := status(pair.Token); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	w.wait(20 * time.Minute)
	if got := status(pair.Token); got != http.StatusUnauthorized {
		t.Errorf("an expired token: %d", got)
	}
	pair = signIn(w.client.ID)
	if got := status(pair.Token); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	must(t, w.db.EndUserAccess(t.Context(), w.user.ID, w.clock(), ""))
	w.wait(time.Second)
	if got := status(pair.Token); got != http.StatusUnauthorized {
		t.Errorf("an ended session: %d", got)
	}
}
