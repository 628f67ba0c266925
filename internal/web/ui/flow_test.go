package ui_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const markCookie = "__Host-gatehouse_browser"

// The first visit marks the browser with a cookie that further flows share. A request that needs no
// page sets none.
func TestBrowserIsMarked(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask("prompt", "none"))
	if len(b.cookies) != 0 {
		t.Fatalf("prompt=none set %v", b.cookies)
	}
	b.get(s.ask())
	first := b.cookies[markCookie]
	if first == "" {
		t.Fatalf("no cookie: %v", b.cookies)
	}
	r := httptest.NewRequest("GET", origin+s.ask(), nil)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	c := w.Result().Cookies()[0]
	if c.Name != markCookie || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 0 {
		t.Errorf("the cookie is %+v", c)
	}
	b.get(s.ask("state", "second"))
	if b.cookies[markCookie] != first {
		t.Error("the second request replaced the cookie of the first")
	}
}

// A flow that was begun elsewhere asks again, although its person has signed in since.
func TestFlowBegunElsewhere(t *testing.T) {
	s := newSite(t)
	stranger := s.browser()
	stranger.get(s.ask("prompt", "login", "max_age", "0"))
	flow := flowOf(t, stranger.path)
	s.now = s.now.Add(time.Minute)
	b := s.signedIn(s.user)
	s.now = s.now.Add(time.Minute)
	b.get("/oauth/authorize?flow=" + flow)
	b.shows(200, `name="password"`)
	s.now = s.now.Add(time.Minute)
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, `value="approve"`)
	b.submit("consent_action", "approve")
	b.leaves(callback + "?code=")
}

func flowOf(t *testing.T, path string) string {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil || u.Query().Get("flow") == "" {
		t.Fatalf("no flow in %s", path)
	}
	return u.Query().Get("flow")
}

// Two tabs have two flows and one cookie, and each gets its own code, in any order.
func TestTwoTabs(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask("state", "one", "prompt", "login"))
	one := b.path
	b.get(s.ask("state", "two", "prompt", "login"))
	b.submit("username", s.user.Email, "password", "password")
	b.submit("consent_action", "approve")
	if q := b.leaves(callback + "?"); q.Get("state") != "two" || q.Get("code") == "" {
		t.Fatalf("%v", q)
	}
	b.get(one) // the other tab is reloaded: the person has signed in since its request
	if q := b.leaves(callback + "?"); q.Get("state") != "one" || q.Get("code") == "" {
		t.Fatalf("%v", q)
	}
}

// The back button after the app has its answer leads to a page that says so, and never to a
// second code.
func TestBackButton(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask())
	login := b.path
	b.submit("username", s.user.Email, "password", "password")
	consent, page := b.path, b.last
	b.submit("consent_action", "approve")
	b.leaves(callback + "?code=")
	b.last, b.path = page, consent
	b.submit("consent_action", "approve")
	b.shows(400, "has been answered", "Go back to the app")
	b.get(consent)
	b.submit("consent_action", "approve")
	b.shows(400, "has been answered")
	b.get(login)
	b.shows(400, "has been answered")
	b.get(s.ask())
	b.leaves(callback + "?code=")
}

// Of many approvals of one consent page at once, one leads to the app with a code.
func TestApprovalsAtOnce(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	form := url.Values{"flow": {flowOf(t, b.path)}, "consent_action": {"approve"}}.Encode()
	var wg sync.WaitGroup
	answers := make(chan *httptest.ResponseRecorder, 20)
	for range cap(answers) {
		wg.Go(func() {
			r := httptest.NewRequest("POST", origin+"/consent", strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Accept", "text/html")
			for n, v := range b.cookies {
				r.AddCookie(&http.Cookie{Name: n, Value: v})
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			answers <- w
		})
	}
	wg.Wait()
	close(answers)
	codes := 0
	for w := range answers {
		switch {
		case w.Code == 303 && strings.Contains(w.Header().Get("Location"), "code="):
			codes++
		case w.Code != 400 || !strings.Contains(w.Body.String(), "has been answered"):
			t.Errorf("got %d %s", w.Code, w.Header().Get("Location"))
		}
	}
	if codes != 1 {
		t.Errorf("%d codes of one consent", codes)
	}
}
