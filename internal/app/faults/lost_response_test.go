package faults_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An answer is the response to a request, or the error of a request without a response.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %.300s", a.status, a.body)
}

// tokens is a token response (RFC 6749 §5.1).
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

func (a answer) tokens() tokens {
	var out tokens
	_ = json.Unmarshal([]byte(a.body), &out) // without tokens the result is empty
	return out
}

// code returns the OAuth error code of a response, or "".
func (a answer) code() string {
	var out struct{ Error string }
	_ = json.Unmarshal([]byte(a.body), &out)
	return out.Error
}

// unavailable returns an error unless the response is an OAuth error with the status 503, the code
// temporarily_unavailable and a Retry-After header.
func (a answer) unavailable() error {
	return want(a.err == nil && a.status == 503 && a.header.Get("Retry-After") != "" && a.code() == "temporarily_unavailable" &&
		a.header.Get("Content-Type") == "application/json", "got %v with %v, want 503 with Retry-After and JSON", a, a.header)
}

// A caller sends requests to the protocol endpoints at one address.
type caller struct {
	base string
	http *http.Client
	from string // the client address for X-Forwarded-For, or ""
}

func newCaller(t testing.TB, base string) *caller {
	tr := &http.Transport{MaxIdleConnsPerHost: 32, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &caller{base: base, http: &http.Client{Transport: tr, Timeout: testkit.HangAfter}}
}

func (c *caller) get(path string) answer {
	r, err := c.http.Get(c.base + path)
	return read(r, err)
}

func read(r *http.Response, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return answer{r.StatusCode, r.Header, string(body), err}
}

func (c *caller) post(path string, cl client, pairs ...string) answer {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	if cl.secret == "" { // a public client sends no secret
		form.Set("client_id", cl.id)
	}
	r, err := http.NewRequest(http.MethodPost, c.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.from != "" {
		r.Header.Set("X-Forwarded-For", c.from)
	}
	if cl.secret != "" {
		r.SetBasicAuth(url.QueryEscape(cl.id), url.QueryEscape(cl.secret))
	}
	return read(c.http.Do(r))
}

func (c *caller) own(cl client) answer {
	return c.post("/oauth/token", cl, "grant_type", "client_credentials")
}

func (c *caller) redeem(cl client, code string) answer {
	return c.post("/oauth/token", cl, "grant_type", "authorization_code", "code", code, "redirect_uri", redirect)
}

func (c *caller) refresh(cl client, token string) answer {
	return c.post("/oauth/token", cl, "grant_type", "refresh_token", "refresh_token", token)
}

func (c *caller) revoke(cl client, token string) answer {
	return c.post("/oauth/revoke", cl, "token", token)
}

// poll requests the tokens of a device authorization (RFC 8628 §3.4).
func (c *caller) poll(cl client, code string) answer {
	return c.post("/oauth/token", cl, "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", code)
}

// active reports, by introspection (RFC 7662), whether a token is active.
func (c *caller) active(cl client, token string) (bool, error) {
	a := c.post("/oauth/introspect", cl, "token", token)
	var out struct{ Active *bool }
	if a.err == nil && a.status == 200 && json.Unmarshal([]byte(a.body), &out) == nil && out.Active != nil {
		return *out.Active, nil
	}
	return false, fmt.Errorf("introspection: %v", a)
}

// A person is a user with a browser: an HTTP client with a cookie jar.
type person struct {
	base  string
	email string
	http  *http.Client
}

func newPerson(t testing.TB, base, email string) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 8, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &person{base, email, &http.Client{
		Jar: jar, Transport: tr, Timeout: testkit.HangAfter,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// A view is a page, or the address outside of the server that the browser was redirected to.
type view struct {
	answer
	at *url.URL
}

// open requests a page and follows redirects until one leaves the server.
func (p *person) open(path string) view { return p.follow(p.base+path, nil) }

func (p *person) follow(to string, form url.Values) view {
	for range 12 {
		if !strings.HasPrefix(to, p.base) {
			at, err := url.Parse(to)
			return view{answer{err: err}, at}
		}
		method := http.MethodGet
		if form != nil {
			method = http.MethodPost
		}
		r, err := http.NewRequest(method, to, strings.NewReader(form.Encode()))
		if err != nil {
			return view{answer{err: err}, nil}
		}
		r.Header.Set("Accept", "text/html") // browsers receive errors as pages
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		a := read(p.http.Do(r))
		if a.err != nil {
			return view{a, nil}
		}
		next := a.header.Get("Location")
		at, _ := url.Parse(to) // it was just requested
		if next == "" {
			return view{a, at}
		}
		form = nil
		there, err := at.Parse(next)
		if err != nil {
			return view{answer{err: err}, nil}
		}
		to = there.String()
	}
	return view{answer{err: fmt.Errorf("the redirects do not end at %s", to)}, nil}
}

var (
	forms  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// submit sends the form of a page with that action, with its hidden fields and the given pairs.
func (p *person) submit(s view, action string, pairs ...string) view {
	for _, f := range forms.FindAllStringSubmatch(s.body, -1) {
		if html.UnescapeString(f[1]) != action {
			continue
		}
		form := url.Values{}
		for _, h := range hidden.FindAllStringSubmatch(f[2], -1) {
			form.Set(h[1], html.UnescapeString(h[2]))
		}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return p.follow(p.base+action, form)
	}
	return view{answer{err: fmt.Errorf("there is no form %s on %v", action, s.answer)}, s.at}
}

// signIn signs in with the password alone and must end on the account's page.
func (p *person) signIn(t testing.TB) {
	t.Helper()
	s := p.submit(p.open("/login"), "/login", "username", p.email, "password", password)
	if s.err != nil || s.status != 200 || s.at.Path != "/account" {
		t.Fatalf("signing in: %v at %v", s.answer, s.at)
	}
}

const authorize = "/oauth/authorize?response_type=code&client_id=web&redirect_uri=" + redirect + "&scope=openid+email+offline_access&state=s"

// approve requests an authorization code with the present session.
func (p *person) approve() (code string, err error) {
	s := p.open(authorize)
	return codeIn(s)
}

func codeIn(s view) (string, error) {
	if s.at == nil || s.at.Path != "/cb" || s.at.Query().Get("code") == "" {
		return "", fmt.Errorf("no code: %v at %v", s.answer, s.at)
	}
	return s.at.Query().Get("code"), nil
}

// family signs a client in and returns its first tokens.
func (p *person) family(t testing.TB, c *caller, cl client) tokens {
	t.Helper()
	code, err := p.approve()
	if err != nil {
		t.Fatal(err)
	}
	a := c.redeem(cl, code)
	if a.status != 200 {
		t.Fatalf("redeeming a code: %v", a)
	}
	return a.tokens()
}

// connect requests a device code, approves it and returns it.
func (p *person) connect(t testing.TB, c *caller, cl client) (code string) {
	t.Helper()
	a := c.post("/oauth/device/code", cl, "scope", "openid offline_access")
	p.allow(t, member(a.body, "user_code"))
	return member(a.body, "device_code")
}

// allow approves the device with a user code.
func (p *person) allow(t testing.TB, shown string) {
	t.Helper()
	page := p.submit(p.open("/activate?user_code="+shown), "/activate", "user_code", shown)
	if s := p.submit(page, "/activate/confirm", "consent_action", "approve"); s.status != 200 {
		t.Fatalf("approving the device: %v", s.answer)
	}
}

// member returns a string member of a flat JSON object, or "".
func member(body, name string) string {
	_, rest, _ := strings.Cut(body, `"`+name+`":"`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// authenticator is the secret of an authenticator app (RFC 6238).
type authenticator []byte

func newAuthenticator(t testing.TB, page string) authenticator {
	t.Helper()
	shown := regexp.MustCompile(`(?s)<p class="key"[^>]*>(.*?)</p>`).FindStringSubmatch(page)
	if shown == nil {
		t.Fatalf("no key on the page: %.2000s", page)
	}
	text := regexp.MustCompile(`<[^>]*>|\s`).ReplaceAllString(shown[1], "")
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// code returns the one-time code for the time step that many steps of 30 seconds from now.
func (seed authenticator) code(steps int64) string {
	m := hmac.New(sha1.New, seed)
	_ = binary.Write(m, binary.BigEndian, uint64(time.Now().Unix()/30+steps))
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0x0f:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

// waitForTimeStep waits until the present time step has more than three seconds left.
func waitForTimeStep() {
	if left := 30 - time.Now().Unix()%30; left <= 3 {
		time.Sleep(time.Duration(left) * time.Second)
	}
}

// keyOf returns the id of the key that signed a token.
func keyOf(t testing.TB, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Kid string }
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out.Kid
}
