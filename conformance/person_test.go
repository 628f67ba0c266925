package conformance_test

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// person is a user with a browser: an HTTP client with cookies that submits forms. The field names
// of the forms are a documented interface for scripts.
type person struct {
	t      *testing.T
	email  string
	issuer string
	http   *http.Client
	away   *url.URL // the last redirect, which leaves the server
}

// errAway ends a chain of redirects that leaves the server.
var errAway = errors.New("the browser leaves the server")

func newPerson(t *testing.T, issuer, email string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, email: email, issuer: issuer}
	p.http = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), issuer+"/") {
			p.away = r.URL
			return errAway
		}
		return nil
	}}
	return p
}

// page is a page with its address.
type page struct {
	at   *url.URL
	body string
}

// read returns the page of a response, or nil after a redirect that leaves the server.
func (p *person) read(r *http.Response, err error) *page {
	p.t.Helper()
	if errors.Is(err, errAway) {
		return nil
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return &page{r.Request.URL, string(body)}
}

func (p *person) open(address string) *page {
	p.t.Helper()
	return p.read(p.http.Get(address))
}

var (
	formTag  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// submit sends the form with a field or button of the first pair's name, with its hidden fields.
func (p *person) submit(s *page, pairs ...string) *page {
	p.t.Helper()
	for _, form := range formTag.FindAllStringSubmatch(s.body, -1) {
		if !strings.Contains(form[2], fmt.Sprintf(`name="%s"`, pairs[0])) {
			continue
		}
		fields := url.Values{}
		for _, hidden := range inputTag.FindAllStringSubmatch(form[2], -1) {
			fields.Set(html.UnescapeString(hidden[1]), html.UnescapeString(hidden[2]))
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			fields.Set(pairs[i], pairs[i+1])
		}
		action, err := s.at.Parse(html.UnescapeString(form[1]))
		if err != nil {
			p.t.Fatal(err)
		}
		return p.read(p.http.PostForm(action.String(), fields))
	}
	p.t.Fatalf("no form with %s at %s: %s", pairs[0], s.at, s.body)
	return nil
}

// answer signs in and approves consent pages until a redirect leaves the server. It returns the
// query of that redirect.
func (p *person) answer(s *page) url.Values {
	p.t.Helper()
	for pages := 0; s != nil && pages < 4; pages++ {
		switch s.at.Path {
		case "/login":
			s = p.submit(s, "username", p.email, "password", password)
		case "/consent":
			s = p.submit(s, "consent_action", "approve")
		default:
			p.t.Fatalf("the way ends at %s: %s", s.at, s.body)
		}
	}
	if s != nil {
		p.t.Fatalf("the pages lead in a circle, at last to %s", s.at)
	}
	return p.away.Query()
}

// allowDevice enters a user code and approves the request of the device.
func (p *person) allowDevice(address, userCode string) {
	p.t.Helper()
	s := p.open(address)
	if s.at.Path == "/login" {
		s = p.submit(s, "username", p.email, "password", password)
	}
	s = p.submit(s, "user_code", userCode)
	s = p.submit(s, "consent_action", "approve")
	if !strings.Contains(s.body, "connected") {
		p.t.Fatalf("the device is not connected: %s", s.body)
	}
}
