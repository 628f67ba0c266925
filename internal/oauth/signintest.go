package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// TestPath is where the console receives the response to a test of a client's sign-in, below the
// issuer.
const TestPath = "/admin/test-sign-in"

// testTTL is how long a test may take, with its pages.
const testTTL = time.Hour

// SignInTest is a test of a client's sign-in: an authorization request as the client makes it, by
// an administrator for themselves, whose response goes to the console. The state of the request is
// the test, sealed: without it no response goes there.
type SignInTest struct {
	Client client.ID       `json:"c"`
	User   identity.UserID `json:"u"` // the administrator
	Until  time.Time       `json:"t"`
	Scope  string          `json:"s"` // as requested
}

// SignInTests begins tests and recognizes their requests.
type SignInTests struct {
	issuer string
	keys   *secret.Keys
	box    *secret.Box
}

// NewSignInTests returns the tests of an issuer.
func NewSignInTests(issuer string, keys *secret.Keys) SignInTests {
	return SignInTests{issuer, keys, keys.Box("sign-in-test")}
}

// Begin returns the address at which the browser makes the request of a test.
func (t SignInTests) Begin(x SignInTest, now time.Time) (string, error) {
	x.Until = now.Add(testTTL).UTC()
	plain, err := json.Marshal(x)
	if err != nil {
		return "", err
	}
	state := t.box.Seal(plain, "")
	q := url.Values{
		"client_id":             {string(x.Client)},
		"response_type":         {"code"},
		"redirect_uri":          {t.RedirectURI()},
		"state":                 {state},
		"nonce":                 {t.Nonce(state)},
		"code_challenge":        {t.challenge(state)},
		"code_challenge_method": {PKCES256},
	}
	if x.Scope != "" {
		q.Set("scope", x.Scope)
	}
	return t.issuer + "/oauth/authorize?" + q.Encode(), nil
}

// Open returns the test that a state is, or Denied if it is none, or over.
func (t SignInTests) Open(state string, now time.Time) (*SignInTest, error) {
	x, ok := t.open(state)
	if !ok || !now.Before(x.Until) {
		return nil, fault.New(fault.Denied, "this test sign-in is unknown or over; start it again")
	}
	return x, nil
}

func (t SignInTests) open(state string) (*SignInTest, bool) {
	plain, err := t.box.Open(state, "")
	x := new(SignInTest)
	return x, err == nil && json.Unmarshal(plain, x) == nil
}

// RedirectURI returns the address that the response to a test goes to.
func (t SignInTests) RedirectURI() string { return t.issuer + TestPath }

// Verifier returns the PKCE verifier of a test. Only the server can compute it, so that nobody else
// redeems the code, the client included.
func (t SignInTests) Verifier(state string) string {
	return string(t.keys.Hash("sign-in-test\x00" + state))
}

// Nonce returns the nonce of a test.
func (t SignInTests) Nonce(state string) string {
	return string(t.keys.Hash("sign-in-test-nonce\x00" + state))[:22]
}

func (t SignInTests) challenge(state string) string {
	sum := sha256.Sum256([]byte(t.Verifier(state)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// requested reports whether a request is that of a test of the client, as Begin has made it.
func (t SignInTests) requested(cl client.ID, form url.Values) bool {
	state := form.Get("state")
	if form.Get("redirect_uri") != t.RedirectURI() || form.Get("code_challenge_method") != PKCES256 ||
		form.Get("code_challenge") != t.challenge(state) {
		return false
	}
	x, ok := t.open(state)
	return ok && x.Client == cl
}
