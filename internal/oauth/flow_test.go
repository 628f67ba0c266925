package oauth_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// backIn sends a browser back from a page with a sealed flow.
func (w *world) backIn(browser, sealed string, sess *identity.Session) (*oauth.Step, error) {
	c := w.call("flow", sealed)
	c.Method, c.Session, c.Browser = "GET", sess, browser
	return w.srv.Authorize(w.t.Context(), c)
}

func (w *world) seal(f *oauth.Flow) string {
	w.t.Helper()
	sealed, err := w.srv.SealFlow(f)
	testkit.Must(w.t, err)
	return sealed
}

// A flow that another browser started is a new request here: a sign-in before it does not count,
// although it came after the flow began.
func TestFlowOfAnotherBrowser(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	for _, browser := range []string{"", "another", thisBrowser + "x"} {
		for _, pairs := range [][]string{
			{"prompt", "login"}, {"max_age", "0"}, {"prompt", "login", "max_age", "0"},
		} {
			c := w.authorizationRequest(cl, pairs...)
			c.Session, c.Browser = nil, browser
			st, err := w.srv.Authorize(t.Context(), c)
			testkit.Must(t, err)
			sealed := w.seal(st.Login)
			w.advance(time.Minute)
			sess := w.reauthenticated(w.sess)
			w.advance(time.Minute)
			st, err = w.backIn(thisBrowser, sealed, sess)
			testkit.Must(t, err)
			if st.Login == nil || !st.Login.Reauth {
				t.Fatalf("%q %v: the sign-in before the request counted: %+v", browser, pairs, st)
			}
			sealed = w.seal(st.Login)
			w.advance(time.Minute)
			st, err = w.backIn(thisBrowser, sealed, w.reauthenticated(w.sess))
			testkit.Must(t, err)
			if params(t, st).Get("code") == "" {
				t.Fatalf("%q %v: no code after the sign-in: %v", browser, pairs, params(t, st))
			}
		}
	}
}

// A choice of an account, and a second step that was not possible, count in their browser only.
func TestFlowOfAnotherBrowserForgets(t *testing.T) {
	w := newWorld(t)
	w.advance(time.Minute)
	cl := w.client()
	sealed, err := w.srv.Choose(w.authorize(cl, "prompt", "select_account").Login, w.sess)
	testkit.Must(t, err)
	st, err := w.backIn("another", sealed, w.sess)
	testkit.Must(t, err)
	if st.Login == nil || !st.Login.Choose {
		t.Fatalf("the choice counted: %+v", st)
	}
	sealed, err = w.srv.StepUpImpossible(w.authorize(cl, "acr_values", "aal2").Login)
	testkit.Must(t, err)
	st, err = w.backIn("another", sealed, w.sess)
	testkit.Must(t, err)
	if st.Login == nil || st.Login.ACR != "aal2" {
		t.Fatalf("the step counted: %+v", st)
	}
}

// A flow gives one code, in whichever browser and however often it restarts. Before that it may
// come back any number of times.
func TestOneCodePerFlow(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	c := w.authorizationRequest(cl)
	c.Session = nil
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	sealed := w.seal(st.Login)
	for range 3 {
		st, err = w.backIn(thisBrowser, sealed, nil)
		testkit.Must(t, err)
		if st.Login == nil {
			t.Fatalf("no sign-in: %+v", st)
		}
	}
	elsewhere, err := w.backIn("another", sealed, nil)
	testkit.Must(t, err)
	restarted := w.seal(elsewhere.Login)
	st, err = w.backIn(thisBrowser, sealed, w.reauthenticated(w.sess))
	testkit.Must(t, err)
	if params(t, st).Get("code") == "" {
		t.Fatalf("no code: %v", params(t, st))
	}
	for name, try := range map[string]func() (*oauth.Step, error){
		"again":                 func() (*oauth.Step, error) { return w.backIn(thisBrowser, sealed, w.reauthenticated(w.sess)) },
		"in another browser":    func() (*oauth.Step, error) { return w.backIn("another", sealed, w.reauthenticated(w.sess)) },
		"restarted before":      func() (*oauth.Step, error) { return w.backIn("another", restarted, w.reauthenticated(w.sess)) },
		"in a browser unmarked": func() (*oauth.Step, error) { return w.backIn("", sealed, w.reauthenticated(w.sess)) },
	} {
		st, err := try()
		wantPage(t, st, err)
		testkit.Equal(t, name, fault.Reason(err), oauth.ReasonFlowUsed)
	}
	w.advance(61 * time.Minute)
	for _, s := range []string{sealed, restarted} {
		st, err = w.backIn("another", s, w.reauthenticated(w.sess))
		wantPage(t, st, err)
		testkit.Equal(t, "reason", fault.Reason(err), oauth.ReasonFlowExpired)
	}
}

// Of many answers to one consent page, one gives a code.
func TestOneCodePerConsent(t *testing.T) {
	w := newWorld(t)
	cl := w.client(thirdParty)
	sealed := w.seal(w.authorize(cl).Consent)
	got := race(t, 20, func(int) error {
		c := w.call("flow", sealed)
		c.Session, c.Browser = w.sess, thisBrowser
		st, err := w.srv.Consent(t.Context(), c, sealed, true)
		if err == nil && st.Reply.Params.Get("code") == "" {
			t.Errorf("reply %v", st.Reply.Params)
		}
		if err != nil && fault.Reason(err) != oauth.ReasonFlowUsed {
			t.Errorf("got %v", err)
		}
		return err
	})
	testkit.Equal(t, "codes", got[""], 1)
}

// The same for many visits that come back from the sign-in page at once, and two flows of one
// browser, which do not disturb each other.
func TestOneCodePerFlowUnderConcurrency(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	var flows []string
	for range 2 {
		c := w.authorizationRequest(cl)
		c.Session = nil
		st, err := w.srv.Authorize(t.Context(), c)
		testkit.Must(t, err)
		flows = append(flows, w.seal(st.Login))
	}
	sess := w.reauthenticated(w.sess)
	got := race(t, 40, func(i int) error {
		st, err := w.backIn(thisBrowser, flows[i%2], sess)
		if err == nil && st.Reply.Params.Get("code") == "" {
			t.Errorf("reply %v", st.Reply.Params)
		}
		return err
	})
	testkit.Equal(t, "codes", got[""], 2)
}

// A request that needs no page is not carried by a browser, so it may repeat.
func TestRequestWithoutPagesRepeats(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	seen := map[string]bool{}
	for range 3 {
		seen[w.code(cl)] = true
	}
	testkit.Equal(t, "codes", len(seen), 3)
}

// A POST from another site is repeated as a GET, once: it belongs to no browser until then.
func TestRepeatedRequestGivesOneCode(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	c := w.authorizationRequest(cl)
	c.Session, c.Browser = nil, ""
	st, err := w.srv.Repeat(t.Context(), c)
	testkit.Must(t, err)
	w.advance(time.Minute)
	first, err := w.backIn(thisBrowser, st.Repeat, w.sess)
	testkit.Must(t, err)
	if params(t, first).Get("code") == "" {
		t.Fatalf("no code: %v", params(t, first))
	}
	again, err := w.backIn(thisBrowser, st.Repeat, w.sess)
	wantPage(t, again, err)
}
