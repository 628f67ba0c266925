package oauth_test

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A claim that the claims parameter requests is released only if the client's registration has
// the scope that gives it and the person has allowed that scope (OpenID Connect Core §3.1.2.4,
// §5.5).
func TestClaimsNeedScopeAndConsent(t *testing.T) {
	scopeOf := map[string]string{
		"name": "profile", "preferred_username": "profile", "locale": "profile", "zoneinfo": "profile", "updated_at": "profile",
		"email": "email", "email_verified": "email", "phone_number": "phone", "phone_number_verified": "phone", "address": "address",
	}
	w := newWorld(t)
	for claim, scope := range scopeOf {
		for _, place := range []string{"userinfo", "id_token"} {
			request := []string{"scope", "openid", "claims", `{"` + place + `":{"` + claim + `":{"essential":true}}}`}
			release := func(t *testing.T, cl *client.Client, code string) bool {
				t.Helper()
				r, err := w.redeem(cl, code)
				testkit.Must(t, err)
				_, inIDToken := claims(t, r.IDToken)[claim]
				_, inUserInfo := w.userinfo(r.AccessToken)[claim]
				if (place == "id_token" && inUserInfo) || (place == "userinfo" && inIDToken) {
					t.Errorf("%s is where nothing requested it", claim)
				}
				return inIDToken || inUserInfo
			}
			t.Run(place+" "+claim, func(t *testing.T) {
				w.t = t
				bare := w.client(consenting("openid"))
				step := w.authorize(bare, request...)
				if step.Consent == nil {
					t.Fatal("no consent page")
				}
				list(t, "consent without the scope", step.Consent.Scopes, "openid")
				step = w.answer(step, w.sess, true)
				if release(t, bare, params(t, step).Get("code")) {
					t.Error("released to a client without the scope")
				}

				cl := w.client(consenting("openid", scope))
				testkit.Equal(t, "consent to openid", w.code(cl) != "", true)
				c := w.authorizationRequest(cl, append(request, "prompt", "none")...)
				st, err := w.srv.Authorize(t.Context(), c)
				wantReply(t, st, err, "consent_required")
				step = w.authorize(cl, request...)
				if step.Consent == nil {
					t.Fatal("no consent page for the claim")
				}
				list(t, "consent with the scope", step.Consent.Scopes, "openid", scope)
				sealed, err := w.srv.SealFlow(step.Consent)
				testkit.Must(t, err)
				page, err := w.srv.ConsentRequest(t.Context(), sealed, w.sess, w.now)
				testkit.Must(t, err)
				list(t, "the page's scopes", page.Flow.Scopes, "openid", scope)
				list(t, "the page's new scopes", page.Added, scope)
				step = w.answer(step, w.sess, true)
				if !release(t, cl, params(t, step).Get("code")) {
					t.Error("not released with scope and consent")
				}
				consent, err := w.db.Consent(t.Context(), w.user.ID, cl.ID)
				testkit.Must(t, err)
				list(t, "stored consent", slices.Sorted(slices.Values(consent.Scopes)), slices.Sorted(slices.Values([]string{"openid", scope}))...)
				if w.authorize(cl, append(request, "prompt", "none")...).Reply.Params.Get("code") == "" {
					t.Error("the consent does not count the next time")
				}
			})
		}
	}
}

// A registration that loses a scope loses its claims, too, for grants that were made before.
func TestClaimsOfLostScope(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "openid offline_access", "claims", `{"userinfo":{"email":null},"id_token":{"email":null}}`)
	if claims(t, r.IDToken)["email"] == nil || w.userinfo(r.AccessToken)["email"] == nil {
		t.Fatal("no email at first")
	}
	old, err := w.db.Client(t.Context(), cl.ID)
	testkit.Must(t, err)
	narrowed := *old
	narrowed.Scopes = []string{"openid", "offline_access"}
	testkit.Must(t, w.db.UpdateClient(t.Context(), old, &narrowed))
	r, err = w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
	absent(t, claims(t, r.IDToken), "email")
	absent(t, w.userinfo(r.AccessToken), "email")
}

func consenting(scopes ...string) func(*client.Client) {
	return func(c *client.Client) { c.FirstParty, c.Scopes = false, scopes }
}
