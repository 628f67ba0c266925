package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// jump is how far the clock of these tests is set wrong, or right again.
const jump = time.Hour

// testClock is a clock that a test sets.
type testClock struct{ ms atomic.Int64 }

func (d *testClock) now() time.Time              { return time.UnixMilli(d.ms.Load()) }
func (d *testClock) move(by time.Duration)       { d.ms.Add(by.Milliseconds()) }
func (d *testClock) unix(by time.Duration) int64 { return d.now().Add(by).Unix() }

// clockServer is a server on a file, with a clock that jumps.
type clockServer struct {
	*testServer
	t     *testing.T
	clock *testClock
	e     *env
	p     *parts
	agent *jose.JSONWebKey // signs the assertions of a client
}

const clockPassword = "a Lantern for 7 gates"

func newClockServer(t *testing.T) *clockServer {
	t.Helper()
	j := &clockServer{t: t, clock: new(testClock)}
	j.clock.ms.Store(time.Now().UnixMilli())
	j.e = &env{
		stdout: io.Discard,
		stderr: io.Discard,
		now:    j.clock.now,
		environ: []string{
			"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "gatehouse.db"), "JWT_ALGORITHM=ES256",
			"REFRESH_TOKEN_REUSE_INTERVAL=0", "RATE_LIMIT_INTROSPECT_MAX=0", "RATE_LIMIT_REVOKE_MAX=0",
			"RATE_LIMIT_USERINFO_MAX=0", "RATE_LIMIT_TOKENINFO_MAX=0",
			"RATE_LIMIT_TOKEN_MAX=0", "RATE_LIMIT_LOGIN_MAX=0", "RATE_LIMIT_DEVICE_MAX=2", "RATE_LIMIT_DEVICE_WINDOW=60",
		},
	}
	j.p, j.testServer = j.open()
	j.now = j.clock.now()
	j.seed(t, t.Context(), j.p)
	j.register()
	return j
}

// open starts a server on the database; there may be several.
func (j *clockServer) open() (*parts, *testServer) {
	j.t.Helper()
	cfg, err := loadConfig(j.e, nil, "")
	must(j.t, err)
	p, err := openParts(j.t.Context(), j.e, cfg, nil)
	must(j.t, err)
	j.t.Cleanup(func() { _ = p.Close() })
	s, err := newServer(j.t.Context(), j.e, p, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(j.t, err)
	return p, &testServer{handler: s.handler}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// register adds a client that proves itself with a key, and people with passwords.
func (j *clockServer) register() {
	j.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(j.t, err)
	j.agent = &jose.JSONWebKey{
		Key:       key,
		KeyID:     "k",
		Algorithm: "ES256",
		Use:       "sig",
	}
	public := j.agent.Public()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	must(j.t, err)
	now := j.clock.now()
	must(j.t, j.p.db.CreateClient(j.t.Context(), &client.Client{
		ID:         "agent",
		Name:       "Agent",
		AuthMethod: client.MethodPrivateKey,
		JWKS:       keys,
		Grants:     []string{client.GrantTypeClient},
		Scopes:     []string{"openid"},
		CreatedAt:  now,
		UpdatedAt:  now,
	}))
	hash, err := j.p.passwords.Hash(j.t.Context(), clockPassword)
	must(j.t, err)
	for _, name := range []string{"bob", "eve"} {
		must(j.t, j.p.db.CreateUser(j.t.Context(), &identity.User{
			ID:                identity.UserID(secret.NewID(now)),
			Username:          name,
			PasswordHash:      hash,
			PasswordChangedAt: now,
			CreatedAt:         now,
			UpdatedAt:         now,
		}))
	}
}

// ask sends a form as the confidential client and gives status and body.
func (j *clockServer) ask(path string, pairs ...string) (int, string) {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := j.request("POST", path, form, "")
	if form.Has("client_assertion") {
		r.Header.Del("Authorization")
	}
	w := httptest.NewRecorder()
	j.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (j *clockServer) own() string {
	j.t.Helper()
	status, body := j.ask("/oauth/token", "grant_type", "client_credentials")
	if status != 200 {
		j.t.Errorf("client credentials at %s: %d %s", j.clock.now(), status, body)
	}
	return member(body, "access_token")
}

// expect asks the token endpoint and compares the error; "" is success.
func (j *clockServer) expect(what, code string, pairs ...string) string {
	j.t.Helper()
	status, body := j.ask("/oauth/token", pairs...)
	if member(body, "error") != code || (code == "") != (status == 200) {
		j.t.Errorf("%s: %d %s, want %q", what, status, body, code)
	}
	return body
}

func (j *clockServer) active(what, token string, want bool) {
	j.t.Helper()
	if status, body := j.ask("/oauth/introspect", "token", token); status != 200 || strings.HasPrefix(body, `{"active":true`) != want {
		j.t.Errorf("%s: %d %.60s, want active %v", what, status, body, want)
	}
}

// code puts an authorization code for the user of the seed.
func (j *clockServer) code() string {
	j.t.Helper()
	u, err := j.p.db.UserByLogin(j.t.Context(), identity.LoginKey("ada@example.com"))
	must(j.t, err)
	now, code := j.clock.now(), secret.NewToken(secret.PrefixCode)
	must(j.t, j.p.db.PutCode(j.t.Context(), j.p.keys.Hash(code), &oauth.Code{
		Grant: oauth.Grant{
			ID:         oauth.GrantID(secret.NewID(now)),
			Client:     "web",
			User:       u.ID,
			Kind:       client.GrantTypeCode,
			Scopes:     []string{"openid"},
			AuthTime:   now,
			AMR:        []string{"pwd"},
			ACR:        identity.ACR1,
			CreatedAt:  now,
			LastUsedAt: now,
		},
		RedirectURI: "https://a.example/cb",
		ExpiresAt:   now.Add(time.Minute),
	}))
	return code
}

func (j *clockServer) redeem(what, want, code string) string {
	j.t.Helper()
	return j.expect(what, want, "grant_type", "authorization_code", "code", code, "redirect_uri", "https://a.example/cb")
}

// page sends a browser with a session cookie to a page.
func (j *clockServer) page(method, path, cookie string, form url.Values) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.RemoteAddr = "127.0.0.1:50000"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	j.handler.ServeHTTP(w, r)
	return w.Result()
}

// signIn gives the status of a sign-in and the session cookie, if there is one.
func (j *clockServer) signIn(name, password string) (status int, cookie string) {
	r := j.page("POST", "/login", "", url.Values{"username": {name}, "password": {password}})
	for _, c := range r.Cookies() {
		if c.Name == "gatehouse_8080" { // the port of BASE_URL
			cookie = c.Name + "=" + c.Value
		}
	}
	return r.StatusCode, cookie
}

func (j *clockServer) device() (status int, wait time.Duration) {
	r := j.request("POST", "/oauth/device/code", url.Values{}, "")
	w := httptest.NewRecorder()
	j.handler.ServeHTTP(w, r)
	seconds, _ := strconv.Atoi(w.Header().Get("Retry-After"))
	return w.Code, time.Duration(seconds) * time.Second
}

// assertion is a proof of the client with a key, good for a minute from now.
func (j *clockServer) assertion() string {
	j.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: j.agent}, nil)
	must(j.t, err)
	payload := fmt.Sprintf(`{"iss":"agent","sub":"agent","aud":"%s","jti":"%s","exp":%d}`, j.p.cfg.Server.BaseURL, secret.NewID(j.now), j.clock.unix(time.Minute))
	jws, err := signer.Sign([]byte(payload))
	must(j.t, err)
	out, err := jws.CompactSerialize()
	must(j.t, err)
	return out
}

func (j *clockServer) prove(what, want, assertion string) {
	j.t.Helper()
	j.expect(what, want, "grant_type", "client_credentials", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		"client_assertion", assertion)
}

// The clock was an hour ahead and is put right. What is out lives longer by that hour at most;
// nothing is shut out for longer, and what ends now has ended, though it comes from the future.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	j := newClockServer(t)
	own, code := j.own(), j.code()
	_, session := j.signIn("bob", clockPassword)
	for range 5 {
		j.signIn("eve", "wrong Lantern 8")
	}
	for range 3 {
		j.device()
	}
	ada, err := j.p.db.UserByLogin(t.Context(), identity.LoginKey("ada@example.com"))
	must(t, err)

	j.clock.move(-jump)
	if status, _ := j.device(); status != 429 {
		t.Errorf("a caller over its limit: %d", status)
	}
	if _, wait := j.device(); wait > time.Minute {
		t.Errorf("a caller over its limit waits %s for a window of a minute", wait)
	}
	j.own()
	j.active("a machine's token", own, true)
	j.active("a user's token", j.access, true)
	next := j.expect("refresh", "", "grant_type", "refresh_token", "refresh_token", j.refresh)
	j.redeem("a code", "", code)
	j.redeem("a code for the second time", "invalid_grant", code)
	j.expect("a refresh token for the second time", "invalid_grant", "grant_type", "refresh_token", "refresh_token", j.refresh)
	j.expect("its family", "invalid_grant", "grant_type", "refresh_token", "refresh_token", member(next, "refresh_token"))
	j.active("the family's token", j.access, false)
	if r := j.page("GET", "/account", session, nil); r.StatusCode != 200 {
		t.Errorf("the account's page: %d", r.StatusCode)
	}
	if status, _ := j.signIn("eve", clockPassword); status != 429 {
		t.Errorf("a locked account: %d", status)
	}

	// What came from the future is ended with the rest.
	j.clock.move(jump)
	future := member(j.redeem("another code", "", j.code()), "access_token")
	j.clock.move(-jump)
	must(t, j.p.db.SetUserDisabled(t.Context(), ada.ID, true, j.clock.now()))
	j.active("a disabled user's token from the future", future, false)

	j.clock.move(jump + 31*time.Minute) // half an hour after the lock by the wrong clock
	if status, cookie := j.signIn("eve", clockPassword); cookie == "" {
		t.Errorf("an account whose lock is over: %d", status)
	}
	if r := j.page("GET", "/account", session, nil); r.StatusCode != 303 {
		t.Errorf("a session without use for longer than it may be: %d", r.StatusCode)
	}
	j.clock.move(30 * time.Minute)
	j.active("a token after its time", own, false)
	j.own()
}

// The clock jumps ahead, the cleanup job runs, and the clock is set back. Everything consumed or
// revoked before must stay so.
func TestClockGoesForwardAndBack(t *testing.T) {
	t.Parallel()
	j := newClockServer(t)
	own, revoked, consumed, proof := j.own(), j.own(), j.code(), j.assertion()
	if status, body := j.ask("/oauth/revoke", "token", revoked); status != 200 {
		t.Fatalf("revocation: %d %s", status, body)
	}
	given := j.redeem("a code", "", consumed)
	j.prove("an assertion", "", proof)
	ended := member(j.redeem("another code", "", j.code()), "access_token")
	grant, ok := grantOf(ended)
	if !ok {
		t.Fatalf("no gid in %s", ended)
	}
	must(t, j.p.db.EndGrant(t.Context(), grant, j.clock.now()))
	_, session := j.signIn("bob", clockPassword)

	j.clock.move(jump)
	_, err := j.p.db.Sweep(t.Context(), j.clock.now())
	must(t, err)
	j.active("a token after its time", own, false)
	if r := j.page("GET", "/account", session, nil); r.StatusCode != 303 {
		t.Errorf("a session that was not used for an hour: %d", r.StatusCode)
	}
	j.own()

	j.clock.move(-jump)
	_, again := j.open()
	for what, h := range map[string]*testServer{"the server": j.testServer, "another server": {
		handler: again.handler,
		secret:  j.secret,
	}} {
		j.handler = h.handler
		j.active(what+": a token", own, true)
		j.active(what+": a revoked token", revoked, false)
		j.active(what+": a token of an ended approval", ended, false)
		j.prove(what+": an assertion for the second time", "invalid_client", proof)
		j.own()
	}
	j.redeem("a code for the second time", "invalid_grant", consumed)
	j.active("what the code gave", member(given, "access_token"), false)
}

// grantOf reads the grant's id out of an access token.
func grantOf(token string) (oauth.GrantID, bool) {
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", false
	}
	id := member(string(parsed.UnsafePayloadWithoutVerification()), "gid")
	return oauth.GrantID(id), id != ""
}

// An authenticator's codes follow the clock. One that was used does not come back with it.
func TestClockAndOneTimeCodes(t *testing.T) {
	t.Parallel()
	j := newClockServer(t)
	ctx := t.Context()
	at := func() login.Visit { return login.Visit{IP: "127.0.0.1", Now: j.clock.now()} }
	bob, err := j.p.db.UserByLogin(ctx, identity.LoginKey("bob"))
	must(t, err)
	shown, err := j.p.login.Enroll(ctx, at(), bob, "totp", "")
	must(t, err)
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(shown.Secret, " ", ""))
	must(t, err)
	backup, err := j.p.login.ConfirmEnrollment(ctx, at(), bob, "totp", url.Values{"code": {oneTime(seed, j.clock.now())}})
	must(t, err)
	enter := func(code string) error {
		st, err := j.p.login.Password(ctx, at(), login.Attempt{Username: "bob", Password: clockPassword})
		must(t, err)
		_, err = j.p.login.Continue(ctx, at(), st.Pending, login.StepFactor, url.Values{"code": {code}})
		return err
	}
	j.clock.move(time.Minute)
	first := oneTime(seed, j.clock.now())
	must(t, enter(first))
	j.clock.move(jump)
	must(t, enter(oneTime(seed, j.clock.now())))
	j.clock.move(-jump)
	if err := enter(first); !fault.Is(err, fault.Denied) {
		t.Errorf("a code for the second time: %v", err)
	}
	must(t, enter(backup[0]))
	if err := enter(backup[0]); !fault.Is(err, fault.Denied) {
		t.Errorf("a backup code for the second time: %v", err)
	}
	j.clock.move(jump + time.Minute)
	must(t, enter(oneTime(seed, j.clock.now())))
}

// oneTime is what an authenticator shows (RFC 6238).
func oneTime(seed []byte, now time.Time) string {
	m := hmac.New(sha1.New, seed)
	_ = binary.Write(m, binary.BigEndian, uint64(now.Unix()/30))
	sum := m.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0x0f:])&0x7fffffff%1_000_000)
}

// Leases are by the clock of the database: a server whose clock is an hour off, or jumps, takes
// none from another and loses none.
func TestClockAndLeases(t *testing.T) {
	t.Parallel()
	j := newClockServer(t)
	take := func(holder string) bool {
		t.Helper()
		ok, err := j.p.db.AcquireLease(context.WithoutCancel(t.Context()), "sweep", holder, time.Minute)
		must(t, err)
		return ok
	}
	if !take("a") {
		t.Fatal("a free lease was not given")
	}
	for _, by := range []time.Duration{time.Hour, -2 * jump} {
		j.clock.move(by)
		if take("b") {
			t.Errorf("this server's clock went %s, and a second holder got the lease", by)
		}
		if !take("a") {
			t.Errorf("this server's clock went %s, and the holder lost its lease", by)
		}
	}
}
