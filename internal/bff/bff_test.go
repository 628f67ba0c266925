package bff_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	cookieApp   = "__Host-" + bff.CookieApp
	cookieLogin = "__Host-" + bff.CookieLogin
)

// A person signs in to a browser app, is known to it and to the gateway, and signs out.
func TestStory(t *testing.T) {
	w := newWorld(t)
	q := w.begin("?return_to=/inbox%3Fnew%3D1")
	for name, want := range map[string]string{
		"response_type": "code", "redirect_uri": callback, "code_challenge_method": "S256", "scope": "openid profile email notes",
	} {
		equal(t, name, q.Get(name), want)
	}
	equal(t, "calls to the store without a session", w.store.calls.Load(), 0)
	rec := w.callback(w.authorize(q))
	equal(t, "where the browser lands", rec.Header().Get("Location"), "/inbox?new=1")
	for _, c := range rec.Result().Cookies() {
		if c.Name == cookieApp && (!c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 7*24*3600) {
			t.Fatalf("the cookie is %+v", c)
		}
	}
	if w.jar[cookieApp] == "" || w.jar[cookieLogin] != "" {
		t.Fatalf("cookies after signing in: %v", w.jar)
	}

	c := w.who()
	if c == nil || c.By != access.ByApp || c.Client != string(w.app.ID) || !c.Proven || c.User != string(w.user.ID) || c.UserName != "Ada Lovelace" ||
		!slices.Equal(c.UserRoles, []string{"editor"}) || c.Session != string(w.sess.ID) || !slices.Contains(c.Scopes, "notes") ||
		!slices.Equal(c.Audience, []string{issuer}) || c.TokenID == "" || !c.Expires.Equal(w.clock.now().Truncate(time.Second).Add(time.Hour)) {
		t.Fatalf("the gateway sees %+v", c)
	}
	var me map[string]any
	must(t, json.Unmarshal(w.do("GET", "/session/user", "Sec-Fetch-Site", "same-origin").Body.Bytes(), &me))
	if me["sub"] != string(w.user.ID) || me["name"] != "Ada Lovelace" || me["email"] != "ada@example.com" || len(me["roles"].([]any)) != 1 ||
		len(me["scopes"].([]any)) != 4 || me["expires"] != float64(w.clock.now().Add(7*24*time.Hour).Unix()) {
		t.Fatalf("/session/user says %v", me)
	}

	rec = w.do("POST", "/session/logout", "Sec-Fetch-Site", "same-origin")
	var out struct {
		Ended bool   `json:"ended"`
		SSO   string `json:"logout_url"`
	}
	must(t, json.Unmarshal(rec.Body.Bytes(), &out))
	sso, err := url.Parse(out.SSO)
	must(t, err)
	if !out.Ended || sso.Host != "id.example" || sso.Path != "/oauth/logout" || sso.Query().Get("client_id") != string(w.app.ID) ||
		sso.Query().Get("post_logout_redirect_uri") != "https://app.example/bye" {
		t.Fatalf("logout says %s", rec.Body)
	}
	if w.jar[cookieApp] != "" || w.who() != nil {
		t.Fatal("still known after signing out")
	}
	_, err = w.db.UserGrants(t.Context(), w.user.ID, w.clock.now())
	must(t, err)
	equal(t, "starts in the audit log", w.events(audit.AppSessionStarted), 1)
	equal(t, "ends in the audit log", w.events(audit.AppSessionEnded), 1)
}

// What is stolen of a cookie after signing out is worth nothing.
func TestLogoutEndsEverything(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	stolen := w.jar[cookieApp]
	w.do("POST", "/session/logout", "Sec-Fetch-Site", "same-origin")
	w.jar[cookieApp] = stolen
	if w.who() != nil {
		t.Fatal("the cookie still works")
	}
	grants, err := w.db.UserGrants(t.Context(), w.user.ID, w.clock.now())
	must(t, err)
	equal(t, "grants left", len(grants), 0)
	rec := w.do("POST", "/session/logout", "Sec-Fetch-Site", "same-origin")
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"ended":false`) {
		t.Fatalf("signing out again: %d %s", rec.Code, rec.Body)
	}
}

func TestNobody(t *testing.T) {
	w := newWorld(t)
	for what, cookie := range map[string]string{"no cookie": "", "rubbish": "x", "made up": secret.NewToken(secret.PrefixAppSession)} {
		if w.jar = map[string]string{}; cookie != "" {
			w.jar[cookieApp] = cookie
		}
		rec := w.do("GET", "/session/user")
		var e struct{ Error, RequestID string }
		must(t, json.Unmarshal(rec.Body.Bytes(), &e))
		if rec.Code != http.StatusUnauthorized || e.Error != "login_required" || rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", what, rec.Code, rec.Body)
		}
	}
}

func TestWrongMethodAndPath(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]int{"POST /session/user": 405, "GET /session/logout": 405, "DELETE /session/login": 405, "POST /session/callback": 405, "GET /session/other": 404} {
		method, path, _ := strings.Cut(target, " ")
		if rec := w.do(method, path); rec.Code != want || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s answers %d %s", target, rec.Code, rec.Body)
		}
	}
}

// No open redirects (RFC 9700 §4.11).
func TestReturnTo(t *testing.T) {
	w := newWorld(t)
	for _, good := range []string{"/", "/a/b?c=d#e", "/%2e%2e/x", "https://app.example/deep", "https://app.example", "/.//evil.example", "/@evil.example"} {
		if got := w.signIn("?return_to=" + url.QueryEscape(good)); got != good {
			t.Errorf("%q leads to %q", good, got)
		}
	}
	for _, bad := range []string{
		"//evil.example", "https://evil.example/", "https://app.example.evil.example/", "https://app.example@evil.example/", "http://app.example/",
		"https://app.example:444/", "/\\evil.example", "\\\\evil.example", "/\tx", "\t//evil.example", "javascript:alert(1)", "data:text/html,x", "evil.example",
		"https:evil.example", "https:/evil.example", "https:///evil.example", "///evil.example", "//evil.example/?" + strings.Repeat("a", 3000), "/é", "https://APP.example\\@evil.example", "?x", "#x", "mailto:x@y",
	} {
		rec := w.do("GET", "/session/login?return_to="+url.QueryEscape(bad))
		if rec.Code != http.StatusBadRequest || rec.Header().Get("Location") != "" {
			t.Errorf("%q: %d to %q", bad, rec.Code, rec.Header().Get("Location"))
		}
	}
}

// The operator finds in the audit log where an app wanted to return to, and what it has registered.
func TestReturnToIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/session/login?return_to="+url.QueryEscape("https://evil.example/x"))
	list, err := w.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.AuthorizationFailed})
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("%d events", len(list))
	}
	e := list[0]
	if e.Reason != audit.ReasonReturnUnknown || e.Client != string(w.app.ID) || e.RequestID == "" ||
		e.Detail["sent"] != "https://evil.example/x" || e.Detail["registered"] != callback+" https://app.example/bye" {
		t.Errorf("%+v", e)
	}
	for range 30 {
		w.do("GET", "/session/login?return_to="+url.QueryEscape("https://evil.example/x"))
	}
	equal(t, "events in a minute", w.events(audit.AuthorizationFailed), 10)
}

// To an app on another origin that the client has registered a page leads, so that no form's
// policy stands in the way.
func TestReturnToAnotherOrigin(t *testing.T) {
	w := newWorld(t, func(s *settings) {
		s.client = func(c *client.Client) { c.PostLogout = []string{"https://www.example/bye"} }
	})
	rec := w.callback(w.authorize(w.begin("?return_to=" + url.QueryEscape("https://www.example/a?b='\"&c"))))
	if rec.Code != http.StatusOK || rec.Header().Get("Refresh") != `0; url=https://www.example/a?b='"&c` || w.jar[cookieApp] == "" {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	if body := rec.Body.String(); !strings.Contains(body, `href="https://www.example/a?b=&#39;&#34;&amp;c"`) {
		t.Fatalf("%s", body)
	}
}

// The app's host in another spelling is the app's host: people sign in there, and are never sent to
// a host whose cookies are others.
func TestHostInOtherSpellings(t *testing.T) {
	for _, spelling := range []string{"APP.example", "app.example:443", "App.Example:443"} {
		w := newWorld(t)
		r := w.request("GET", "/session/login?return_to=/x")
		r.Host = spelling
		rec := w.send(r)
		to, _ := url.Parse(rec.Header().Get("Location"))
		if rec.Code != http.StatusSeeOther || to.Query().Get("redirect_uri") != callback {
			t.Errorf("%s: %d to %s", spelling, rec.Code, to)
			continue
		}
		r = w.request("GET", "/session/callback?"+w.authorize(to.Query()).Encode())
		r.Host = spelling
		if rec = w.send(r); rec.Header().Get("Location") != "/x" {
			t.Errorf("%s: the callback leads to %s (%d)", spelling, rec.Header().Get("Location"), rec.Code)
		}
		r = w.request("POST", "/session/logout", "Origin", "https://app.example")
		r.Host = spelling
		if rec = w.send(r); rec.Code != http.StatusOK {
			t.Errorf("%s: signing out: %d", spelling, rec.Code)
		}
	}
	for spelling, want := range map[string]string{
		"app.example.": "https://app.example/session/login?return_to=/x", "app.example.:443": "https://app.example/session/login?return_to=/x",
	} {
		w := newWorld(t)
		r := w.request("GET", "/session/login?return_to=/x")
		r.Host = spelling
		if rec := w.send(r); rec.Header().Get("Location") != want {
			t.Errorf("%s leads to %s (%d)", spelling, rec.Header().Get("Location"), rec.Code)
		}
	}
}

// The client is the one that registers the callback of this very host.
func TestWhichClient(t *testing.T) {
	w := newWorld(t)
	r := w.request("GET", "/session/login")
	r.Host = "evil.example"
	if rec := w.send(r); rec.Code != http.StatusBadRequest || !strings.Contains(fault.Text(w.failed), "https://evil.example/session/callback") {
		t.Fatalf("a host that nobody registered: %d %v", rec.Code, w.failed)
	}
	other := *w.app
	other.ID = client.ID(secret.NewID(w.clock.now()))
	must(t, w.db.CreateClient(t.Context(), &other))
	if rec := w.do("GET", "/session/login"); rec.Code != http.StatusBadRequest || !strings.Contains(fault.Text(w.failed), "client_id") {
		t.Fatalf("two clients at one address: %d %v", rec.Code, w.failed)
	}
	equal(t, "the one that was named", w.begin("?client_id="+string(other.ID)).Get("client_id"), string(other.ID))
	if rec := w.do("GET", "/session/login?client_id=nobody"); rec.Code != http.StatusBadRequest || !strings.Contains(fault.Text(w.failed), callback) {
		t.Fatalf("a client that does not exist: %d %v", rec.Code, w.failed)
	}
	off := other
	off.Disabled, off.UpdatedAt = true, w.clock.now()
	must(t, w.db.UpdateClient(t.Context(), &other, &off))
	equal(t, "the only one that is not disabled", w.begin("").Get("client_id"), string(w.app.ID))
}

// Parameters that ask for more proof, or another account, reach the authorization endpoint;
// nothing else does.
func TestPassedOn(t *testing.T) {
	w := newWorld(t)
	q := w.begin("?acr_values=aal2&max_age=60&prompt=login&login_hint=ada&ui_locales=de&scope=admin&redirect_uri=https://evil.example&state=x&response_mode=fragment")
	for name, want := range map[string]string{
		"acr_values": "aal2", "max_age": "60", "prompt": "login", "login_hint": "ada", "ui_locales": "de", "redirect_uri": callback,
		"scope": "openid profile email notes", "response_mode": "",
	} {
		equal(t, name, q.Get(name), want)
	}
	if q.Get("state") == "x" {
		t.Fatal("the state was taken from the address")
	}
}

// Somebody else's answer, or one that comes again, opens no session (RFC 9700 §4.7: login CSRF).
func TestCallbackIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, answer url.Values)
		status int
	}{
		"forged state":           {func(_ *world, a url.Values) { a.Set("state", secret.NewToken("")) }, 400},
		"no state":               {func(_ *world, a url.Values) { a.Del("state") }, 400},
		"another browser":        {func(w *world, _ url.Values) { w.jar = map[string]string{} }, 400},
		"altered cookie":         {func(w *world, _ url.Values) { w.jar[cookieLogin] = "A" + w.jar[cookieLogin][1:] + "A" }, 400},
		"no issuer, RFC 9207":    {func(_ *world, a url.Values) { a.Del("iss") }, 400},
		"other issuer, RFC 9207": {func(_ *world, a url.Values) { a.Set("iss", "https://evil.example") }, 400},
		"too late":               {func(w *world, _ url.Values) { w.clock.pass(61 * time.Minute) }, 400},
		"forged code":            {func(_ *world, a url.Values) { a.Set("code", secret.NewToken(secret.PrefixCode)) }, 400},
		"no code":                {func(_ *world, a url.Values) { a.Del("code") }, 400},
		"refused by the person":  {func(_ *world, a url.Values) { a.Del("code"); a.Set("error", "access_denied") }, 403},
		"server in trouble":      {func(_ *world, a url.Values) { a.Del("code"); a.Set("error", "temporarily_unavailable") }, 503},
		"client set up wrongly":  {func(_ *world, a url.Values) { a.Del("code"); a.Set("error", "invalid_scope") }, 400},
		"storage down":           {func(w *world, _ url.Values) { w.store.down.Store(true) }, 503},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			answer := w.authorize(w.begin(""))
			c.change(w, answer)
			rec := w.callback(answer)
			if rec.Code != c.status || w.jar[cookieApp] != "" || fault.Text(w.failed) == "" {
				t.Fatalf("%d %v", rec.Code, w.failed)
			}
		})
	}
}

// full is a limiter that has had enough.
type full struct{}

func (full) Take(context.Context, string, web.Rate) web.LimitResult {
	return web.LimitResult{RetryAfter: time.Minute}
}

// Codes are redeemed here at the rate of the token endpoint, for whoever has begun a sign-in.
func TestCallbackIsLimited(t *testing.T) {
	w := newWorld(t, func(s *settings) { s.limiter = full{} })
	if rec := w.callback(w.authorize(w.begin(""))); rec.Code != http.StatusTooManyRequests || rec.Header().Get("X-RateLimit-Limit") != "1" || w.jar[cookieApp] != "" {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
}

// The code of one browser is of no use in another that has a sign-in of its own under way: its
// verifier does not fit.
func TestCodeOfAnotherBrowser(t *testing.T) {
	w := newWorld(t)
	theirs := w.authorize(w.begin(""))
	w.jar = map[string]string{}
	mine := w.authorize(w.begin(""))
	mine.Set("code", theirs.Get("code"))
	if rec := w.callback(mine); rec.Code != http.StatusBadRequest || w.jar[cookieApp] != "" {
		t.Fatalf("%d %v", rec.Code, w.failed)
	}
}

func TestCallbackReplayed(t *testing.T) {
	w := newWorld(t)
	answer := w.authorize(w.begin(""))
	before := w.jar[cookieLogin]
	w.land(answer)
	if rec := w.callback(answer); rec.Code != http.StatusBadRequest || w.who() == nil {
		t.Fatalf("the same address again: %d", rec.Code)
	}
	w.jar[cookieLogin] = before // by somebody who has copied everything
	w.callback(answer)
	if w.who() != nil {
		t.Fatal("a code that came twice still stands for something (RFC 6749 §4.1.2)")
	}
}

// Tabs that are restored together sign in one after another, in any order; a browser keeps ten.
func TestSeveralTabs(t *testing.T) {
	w := newWorld(t)
	var answers []url.Values
	for i := range 11 {
		answers = append(answers, w.authorize(w.begin("?return_to=/"+strconv.Itoa(i))))
	}
	for _, i := range []int{10, 1, 5, 2} {
		equal(t, "where a tab lands", w.land(answers[i]), "/"+strconv.Itoa(i))
	}
	if rec := w.callback(answers[0]); rec.Code != http.StatusBadRequest {
		t.Fatalf("the oldest of eleven: %d", rec.Code)
	}
	grants, err := w.db.UserGrants(t.Context(), w.user.ID, w.clock.now())
	must(t, err)
	equal(t, "grants: of sessions whose cookie was replaced, none is left", len(grants), 1)
}

// deepLink returns a path of exactly n bytes, with escapes.
func deepLink(n int) string {
	const head = "/dash%20board?filter=%7B%22a%22%3A%E2%82%AC%26&q="
	return head + strings.Repeat("%2B", (n-len(head))/3) + strings.Repeat("z", (n-len(head))%3)
}

// A deep link comes back whole, also in several tabs at once, and no cookie grows with it.
func TestDeepLinksComeBackWhole(t *testing.T) {
	w := newWorld(t)
	var answers []url.Values
	for i := range 3 {
		q := w.begin("?return_to=" + url.QueryEscape(deepLink(2048-i)))
		if n := len(q.Encode()); n > 4000 {
			t.Errorf("the authorization request has %d bytes", n)
		}
		answers = append(answers, w.authorize(q))
	}
	if n := len(cookieLogin + w.jar[cookieLogin]); n > 1500 {
		t.Errorf("the cookie has %d bytes", n)
	}
	for i, answer := range answers {
		equal(t, "the deep link", w.land(answer), deepLink(2048-i))
	}
}

// What is too long to come back leads to its path, or else to the app's first page.
func TestTooLongReturnsAreShortened(t *testing.T) {
	w := newWorld(t)
	for to, want := range map[string]string{
		deepLink(2049):                                       "/dash%20board",
		"/a#" + strings.Repeat("b", 2048):                    "/a",
		"/" + strings.Repeat("c", 2048):                      "/",
		"https://app.example/a?" + strings.Repeat("b", 2048): "https://app.example/a",
		"https://app.example/" + strings.Repeat("b", 2048):   "https://app.example/",
	} {
		equal(t, "the shortened address", w.signIn("?return_to="+url.QueryEscape(to)), want)
	}
}

// The address to return to is sealed for one sign-in: it cannot be altered, nor moved to another.
func TestReturnAddressBelongsToItsSignIn(t *testing.T) {
	w := newWorld(t)
	one, two := w.authorize(w.begin("?return_to=/one")), w.authorize(w.begin("?return_to=/two"))
	id, _, _ := strings.Cut(one.Get("state"), ".")
	_, sealed, _ := strings.Cut(two.Get("state"), ".")
	for _, state := range []string{id, id + ".", id + "." + sealed, one.Get("state") + "A"} {
		one.Set("state", state)
		if rec := w.callback(one); rec.Code != http.StatusBadRequest || w.jar[cookieApp] != "" {
			t.Errorf("%s: %d to %s", state, rec.Code, rec.Header().Get("Location"))
		}
	}
}

// Signing in cannot be started, nor completed, behind a person's back.
func TestSignInIsAPage(t *testing.T) {
	w := newWorld(t)
	for _, h := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
		{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
	} {
		for _, path := range []string{"/session/login", "/session/callback?state=x"} {
			if rec := w.do("GET", path, h...); rec.Code != http.StatusForbidden || len(w.jar) > 0 {
				t.Errorf("%s %v: %d", path, h, rec.Code)
			}
		}
	}
}

// foreignPages is how browsers mark requests, and whether a page of this origin can have caused
// them.
var foreignPages = []struct {
	name    string
	headers []string
	ours    bool
}{
	{"same origin", []string{"Sec-Fetch-Site", "same-origin"}, true},
	{"typed", []string{"Sec-Fetch-Site", "none"}, true},
	{"another site", []string{"Sec-Fetch-Site", "cross-site"}, false},
	{"a sibling's page", []string{"Sec-Fetch-Site", "same-site"}, false},
	{"unknown word", []string{"Sec-Fetch-Site", "moon"}, false},
	{"own Origin", []string{"Origin", "https://app.example"}, true},
	{"other Origin", []string{"Origin", "https://evil.example"}, false},
	{"opaque Origin", []string{"Origin", "null"}, false},
	{"Origin over http", []string{"Origin", "http://app.example"}, false},
	{"other Origin and site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
}

func TestCrossSiteLogout(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	for _, c := range foreignPages {
		if c.ours {
			continue
		}
		if rec := w.do("POST", "/session/logout", append(c.headers, "X-Requested-With", "x")...); rec.Code != http.StatusForbidden || w.jar[cookieApp] == "" || w.who() == nil {
			t.Errorf("%s: %d", c.name, rec.Code)
		}
	}
	if rec := w.do("POST", "/session/logout"); rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "X-Requested-With") || w.who() == nil {
		t.Errorf("nothing known of the page: %d %s", rec.Code, rec.Body)
	}
	for _, c := range append(foreignPages, struct {
		name    string
		headers []string
		ours    bool
	}{"the header that forms cannot set", []string{"X-Requested-With", "app"}, true}) {
		if !c.ours {
			continue
		}
		w.signIn("")
		if rec := w.do("POST", "/session/logout", c.headers...); rec.Code != http.StatusOK || w.who() != nil {
			t.Errorf("%s: %d", c.name, rec.Code)
		}
	}
}

func TestCrossSiteUser(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	for _, c := range foreignPages {
		rec := w.do("GET", "/session/user", c.headers...)
		if (rec.Code == http.StatusOK) != c.ours || (!c.ours && rec.Code != http.StatusForbidden) {
			t.Errorf("%s: %d", c.name, rec.Code)
		}
		if rec.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: scripts elsewhere may read it", c.name)
		}
	}
}

// Requests to the gateway by the cookie: another origin's page may link to an app, and nothing
// more.
func TestCrossSiteCaller(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	for _, c := range foreignPages {
		for _, method := range []string{"GET", "POST"} {
			rec := w.do(method, "/who", append(c.headers, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")...)
			if (rec.Code == http.StatusOK) != c.ours || (!c.ours && rec.Code != http.StatusForbidden) {
				t.Errorf("%s %s: %d", method, c.name, rec.Code)
			}
		}
	}
	page := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	if rec := w.do("GET", "/who", page...); rec.Code != http.StatusOK {
		t.Errorf("a link from elsewhere: %d", rec.Code)
	}
	if rec := w.do("POST", "/who", page...); rec.Code != http.StatusForbidden {
		t.Errorf("a form from elsewhere: %d", rec.Code)
	}
	if rec := w.do("GET", "/who", "Origin", "https://evil.example", "Upgrade", "websocket", "Sec-Fetch-Mode", "websocket"); rec.Code != http.StatusForbidden {
		t.Errorf("a WebSocket from elsewhere: %d", rec.Code)
	}
	w.jar = map[string]string{}
	if rec := w.do("POST", "/who", page...); rec.Code != http.StatusUnauthorized {
		t.Errorf("without a cookie there is nothing to abuse: %d", rec.Code)
	}
}

// In forward-auth the request to the gateway differs from the request that it decides on.
func TestCallerAt(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	r := w.request("GET", "/gateway/check", "Origin", "https://app.example")
	r.Host = "id.example"
	c, err := w.apps.CallerAt(t.Context(), r, "POST", host, "https://app.example")
	if err != nil || c == nil {
		t.Fatalf("%v %v", c, err)
	}
	sibling := w.request("GET", "/gateway/check", "Origin", "https://www.example", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty")
	if c, err := w.apps.CallerAt(t.Context(), sibling, "POST", host, "https://www.example"); err != nil || c == nil {
		t.Fatalf("of a page that the route trusts: %v %v", c, err)
	}
	if _, err := w.apps.CallerAt(t.Context(), r, "POST", host, "https://other.example"); !fault.Is(err, fault.Denied) {
		t.Fatalf("of another origin: %v", err)
	}
}

// A service behind a proxy may see the cookie that comes with a request to its host. It must be
// worth nothing at another app's.
func TestCookieIsOfOneHost(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	r := w.request("GET", "/")
	for at, ours := range map[string]bool{host: true, "other.example": false, "sub." + host: false, "": false} {
		if c, err := w.apps.CallerAt(t.Context(), r, "GET", at, "https://"+at); err != nil || (c != nil) != ours {
			t.Errorf("at %q: %v %v", at, c, err)
		}
	}
}

// Without TLS, on a developer's own machine, the cookie has no prefix.
func TestPlainHTTP(t *testing.T) {
	const local = "http://localhost:8080"
	w := newWorld(t, func(s *settings) {
		s.Issuer = local
		s.client = func(c *client.Client) { c.Redirects = []string{local + "/session/callback"} }
	})
	r := w.request("GET", "/session/login")
	r.Host = "localhost:8080"
	rec := w.send(r)
	to, err := url.Parse(rec.Header().Get("Location"))
	must(t, err)
	equal(t, "redirect_uri", to.Query().Get("redirect_uri"), local+"/session/callback")
	if w.jar[bff.CookieLogin] == "" {
		t.Fatalf("cookies: %v", w.jar)
	}
}

func TestCookieSentTwiceIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	r := w.request("GET", "/who")
	r.AddCookie(&http.Cookie{Name: cookieApp, Value: secret.NewToken(secret.PrefixAppSession)})
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	equal(t, "answer", rec.Code, http.StatusUnauthorized)
}
