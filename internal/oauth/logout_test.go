package oauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const goodbye = "https://app.example/bye"

func (w *world) logout(sess *identity.Session, pairs ...string) (*oauth.LogoutStep, error) {
	c := w.call(pairs...)
	c.Method, c.Session = "GET", sess
	return w.srv.Logout(w.t.Context(), c)
}

// OpenID Connect RP-Initiated Logout 1.0 §2: an ID token of the signed-in person proves the
// intent.
func TestLogoutWithHint(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl)
	w.advance(2 * time.Hour) // the hint may have expired
	st, err := w.logout(w.sess, "id_token_hint", r.IDToken, "post_logout_redirect_uri", goodbye, "state", "a b")
	testkit.Must(t, err)
	testkit.Equal(t, "ended", st.Ended, true)
	testkit.Equal(t, "address", st.Redirect, goodbye+"?state=a+b")
	if _, err := w.db.Session(t.Context(), w.sess.ID, w.now); err == nil {
		t.Fatal("the session lives on")
	}
	w.audited(cl, audit.Logout, 1)
}

func TestLogoutEndsTokens(t *testing.T) {
	for name, ends := range map[string]bool{"with their session": true, "not with their session": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *oauth.Config) { c.EndWithSession = ends })
			r := w.login(w.client())
			_, err := w.logout(w.sess, "id_token_hint", r.IDToken)
			testkit.Must(t, err)
			if ends {
				w.wantRevoked(r.AccessToken)
				return
			}
			w.wantActive(r.AccessToken)
		})
	}
}

// Without such a hint any page could sign people out, so the person is asked (§6).
func TestLogoutAsks(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	bob := w.newUser("bob")
	c := w.authorizationRequest(cl)
	c.Session = w.signIn(bob, "pwd")
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	his, err := w.redeem(cl, params(t, st).Get("code"))
	testkit.Must(t, err)
	for name, pairs := range map[string][]string{
		"nothing":                  nil,
		"client_id alone":          {"client_id", string(cl.ID), "post_logout_redirect_uri", goodbye},
		"a hint of somebody else":  {"id_token_hint", his.IDToken, "post_logout_redirect_uri", goodbye},
		"state without an address": {"state", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := w.logout(w.sess, pairs...)
			testkit.Must(t, err)
			if st.Confirm == nil || st.Ended || st.Redirect != "" {
				t.Fatalf("step %+v", st)
			}
			if _, err := w.db.Session(t.Context(), w.sess.ID, w.now); err != nil {
				t.Fatal("signed out without being asked")
			}
		})
	}
	st2, err := w.logout(w.sess, "client_id", string(cl.ID), "post_logout_redirect_uri", goodbye, "state", "x")
	testkit.Must(t, err)
	sealed, err := w.srv.SealFlow(st2.Confirm)
	testkit.Must(t, err)
	confirm := w.call()
	confirm.Session = w.sess
	done, err := w.srv.ConfirmLogout(t.Context(), confirm, sealed)
	testkit.Must(t, err)
	testkit.Equal(t, "ended", done.Ended, true)
	testkit.Equal(t, "address", done.Redirect, goodbye+"?state=x")
	// The same after the session has ended.
	confirm.Session = nil
	done, err = w.srv.ConfirmLogout(t.Context(), confirm, sealed)
	testkit.Must(t, err)
	testkit.Equal(t, "address", done.Redirect, goodbye+"?state=x")
}

func TestLogoutWhenNotSignedIn(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	st, err := w.logout(nil, "client_id", string(cl.ID), "post_logout_redirect_uri", goodbye)
	testkit.Must(t, err)
	testkit.Equal(t, "address", st.Redirect, goodbye)
	st, err = w.logout(nil)
	testkit.Must(t, err)
	testkit.Equal(t, "address", st.Redirect, "")
}

// The operator finds both addresses in the audit log, a bounded number of times; the person reads
// neither.
func TestLogoutMismatchIsRecorded(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	for range 30 {
		_, err := w.logout(w.sess, "client_id", string(cl.ID), "post_logout_redirect_uri", "https://app.example/other"+strings.Repeat("x", 1500))
		wantPage(t, nil, err)
		testkit.Equal(t, "reason", fault.Reason(err), oauth.ReasonLogoutRedirect)
		if strings.Contains(fault.Text(err), "https://") {
			t.Fatalf("the person reads %q", err)
		}
	}
	list, err := w.db.ListAudit(t.Context(), store.AuditQuery{Client: string(cl.ID), Limit: 100})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(list), 10)
	e := list[0]
	if e.Type != audit.LogoutFailed || e.Reason != audit.ReasonPostLogoutUnknown || e.RequestID != "REQ" ||
		!strings.HasPrefix(e.Detail["sent"], "https://app.example/otherx") || len(e.Detail["sent"]) > 520 ||
		e.Detail["registered"] != strings.Join(cl.PostLogout, " ") {
		t.Errorf("got %+v", e)
	}
}

// §3: only registered addresses of a named client.
func TestLogoutErrors(t *testing.T) {
	w := newWorld(t)
	cl, other := w.client(), w.client()
	off := w.client(func(c *client.Client) { c.Disabled = true })
	r := w.login(cl)
	for name, pairs := range map[string][]string{
		"address not registered":       {"id_token_hint", r.IDToken, "post_logout_redirect_uri", "https://evil.example"},
		"address longer":               {"id_token_hint", r.IDToken, "post_logout_redirect_uri", goodbye + "/x"},
		"a redirect_uri is not enough": {"id_token_hint", r.IDToken, "post_logout_redirect_uri", callback},
		"unregistered address":         {"post_logout_redirect_uri", goodbye},
		"hint unreadable":              {"id_token_hint", "x"},
		"hint is an access token":      {"id_token_hint", r.AccessToken},
		"hint and client_id disagree":  {"id_token_hint", r.IDToken, "client_id", string(other.ID)},
		"client unknown":               {"client_id", "nobody", "post_logout_redirect_uri", goodbye},
		"client disabled":              {"client_id", string(off.ID), "post_logout_redirect_uri", goodbye},
		"state too long":               {"id_token_hint", r.IDToken, "post_logout_redirect_uri", goodbye, "state", strings.Repeat("s", 4097)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.logout(w.sess, pairs...)
			wantPage(t, nil, err)
			if _, err := w.db.Session(t.Context(), w.sess.ID, w.now); err != nil {
				t.Fatal("signed out all the same")
			}
		})
	}
	confirm := w.call()
	confirm.Session = w.sess
	_, err := w.srv.ConfirmLogout(t.Context(), confirm, "made-up")
	wantPage(t, nil, err)
}
