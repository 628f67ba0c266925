package ui_test

import (
	"encoding/json"
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// authenticator is a device with one key for our site.
type authenticator struct {
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
}

func newAuthenticator(verifies bool) *authenticator {
	u, _ := url.Parse(origin)
	o := virtualwebauthn.AuthenticatorOptions{UserNotVerified: !verifies}
	a := &authenticator{
		rp:   virtualwebauthn.RelyingParty{Name: "x", ID: u.Hostname(), Origin: origin},
		auth: virtualwebauthn.NewAuthenticatorWithOptions(o),
		cred: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2),
	}
	for len(a.cred.Key.AttestationData()) != 77 { // it leaves out zeros at the beginning of a number
		a.cred = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return a
}

// passkeySite returns a site whose sign-ins begin with these methods.
func passkeySite(t *testing.T, methods ...string) *site {
	s := newSite(t)
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	testkit.Must(t, err)
	s.login = s.newLogin(func(c *login.Config) { c.Methods, c.Passkeys = methods, rp })
	s.serve()
	return s
}

var (
	optionsOf = regexp.MustCompile(`data-options="([^"]*)"`)
	tokenOf   = regexp.MustCompile(`data-token="([^"]*)"`)
	idOf      = regexp.MustCompile(`name="id" value="([^"]*)"`)
)

func (b *browser) part(re *regexp.Regexp) string {
	b.t.Helper()
	m := re.FindStringSubmatch(b.last.Body.String())
	if m == nil {
		b.t.Fatalf("%s has no %s:\n%s", b.path, re, b.last.Body)
	}
	return html.UnescapeString(m[1])
}

// make answers the page that adds a passkey.
func (a *authenticator) make(b *browser) string {
	b.t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(b.part(optionsOf))
	testkit.Must(b.t, err)
	a.auth.Options.UserHandle = []byte(o.UserID)
	return virtualwebauthn.CreateAttestationResponse(a.rp, a.auth, a.cred, *o)
}

func (a *authenticator) answer(t *testing.T, options string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(options)
	testkit.Must(t, err)
	return virtualwebauthn.CreateAssertionResponse(a.rp, a.auth, a.cred, *o)
}

// signIn answers the sign-in page that the browser shows.
func (a *authenticator) signIn(b *browser, pairs ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	form := url.Values{"passkey": {a.answer(b.t, b.part(optionsOf))}, "passkey_token": {b.part(tokenOf)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.post("/login/passkey", form)
}

// prove returns a proof by passkey for a form of an account.
func (a *authenticator) prove(b *browser, form url.Values) url.Values {
	b.t.Helper()
	var q struct{ Options, Token string }
	testkit.Must(b.t, json.Unmarshal(b.get("/account/security/passkeys/proof").Body.Bytes(), &q))
	form.Set("passkey", a.answer(b.t, q.Options))
	form.Set("passkey_token", q.Token)
	return form
}

// A person adds a passkey, signs in with it, renames and removes it.
func TestPasskeys(t *testing.T) {
	s, a := passkeySite(t, "password", "passkey"), newAuthenticator(true)
	b := s.signedIn(s.user)
	b.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	b.get("/account")
	b.shows(200, "Sign in faster next time")
	b.get("/account/security")
	b.shows(200, `id="add-passkey"`)
	b.post("/account/security/passkeys/add", nil) // just signed in: nothing more is asked
	b.shows(200, "Create a passkey", "data-exists")
	b.submit("passkey", a.make(b), "passkey_name", "")
	b.shows(200, "Your passkey was added.", "Firefox on Linux")
	b.get("/account/security")
	b.shows(200, "You have 1 passkey.")

	b.get("/account/profile")
	b.hides("signalCurrentUserDetails")
	b.post("/account/profile", url.Values{"name": {"Countess"}})
	b.shows(200, "signalCurrentUserDetails", "Countess")
	b.get("/account")
	b.hides("Sign in faster")

	other := s.browser()
	other.get("/login")
	other.shows(200, `autocomplete="username webauthn"`, `id="passkey-sign-in"`)
	other.shows(200, `userVerification`)
	other.hides("allowCredentials")
	a.signIn(other)
	other.shows(200, "Hello, ")

	b.get("/account/security/passkeys")
	id := b.part(idOf)
	b.get("/account/security/passkeys/rename?id=" + id)
	b.submit("passkey_name", " ")
	b.shows(400, "Enter a name")
	b.submit("passkey_name", "My laptop")
	b.shows(200, "The passkey was renamed.", "My laptop")
	b.get("/account/security/passkeys/rename?id=other")
	b.shows(200, "My laptop")

	b.get("/account/security/passkeys/remove?id=" + id)
	b.submit("current_password", "wrong")
	b.shows(403, "Incorrect password.")
	b.post("/account/security/passkeys/remove", a.prove(b, url.Values{"id": {id}}))
	b.shows(200, "The passkey was removed.", "signalAllAcceptedCredentials", "You have no passkeys yet.")

	other = s.browser()
	other.get("/login")
	a.signIn(other)
	other.shows(403, "This passkey was removed", "signalUnknownCredential")
}

// A page is told what cannot be read or is too old, and never tells the device to forget anything.
func TestPasskeyAnswersThatFail(t *testing.T) {
	s, a := passkeySite(t, "password", "passkey"), newAuthenticator(true)
	b := s.signedIn(s.user)
	b.post("/account/security/passkeys/add", nil)
	answer := a.make(b)
	b.submit("passkey", "x")
	b.shows(400, "cannot be read", "Create a passkey")
	b.submit("passkey", answer)
	b.shows(200, "Your passkey was added.")
	b.post("/account/security/passkeys/add", nil)
	b.submit("passkey", a.make(b))
	b.shows(400, "This device already has a passkey for your account.")

	other := s.browser()
	other.get("/login")
	other.post("/login/passkey", url.Values{"passkey": {"x"}, "passkey_token": {other.part(tokenOf)}})
	other.shows(403, "cannot be read")
	other.hides("signalUnknown")
	other.get("/login")
	old := url.Values{"passkey": {a.answer(t, other.part(optionsOf))}, "passkey_token": {other.part(tokenOf)}}
	s.now = s.now.Add(2 * time.Hour)
	other.post("/login/passkey", old)
	other.shows(403, "took too long")
	other.hides("signalUnknown")
	var q struct{ Options, Token string } // which the script of an open page fetches
	testkit.Must(t, json.Unmarshal(other.get("/login/passkey").Body.Bytes(), &q))
	other.post("/login/passkey", url.Values{"passkey": {a.answer(t, q.Options)}, "passkey_token": {q.Token}})
	other.shows(200, "Hello, ")
}

// A key that does not verify people is a second step, and makes the password need one.
func TestPasskeyAsSecondStep(t *testing.T) {
	s, a := passkeySite(t, "password", "passkey"), newAuthenticator(false)
	b := s.signedIn(s.user)
	b.post("/account/security/passkeys/add", nil)
	b.submit("passkey", a.make(b))
	b.shows(200, "backup codes")
	b.get("/account/security/passkeys")
	b.shows(200, "Second step only")
	b.get("/account/security/passkeys/remove?id=" + b.part(idOf))
	b.shows(200, `name="code"`)
	b.get("/account/security")
	b.shows(200, "work as the second step")

	other := s.browser()
	other.get("/login")
	a.signIn(other)
	other.shows(403, "did not check that it is you")
	other.get("/login")
	other.submit("username", s.user.Email, "password", "password")
	other.shows(200, "Use your passkey", "allowCredentials", "Use a backup code")
	other.submit("passkey", a.answer(t, other.part(optionsOf)))
	other.shows(200, "Hello, ")
}

// A person without a password adds and removes passkeys, and keeps the last one.
func TestPasskeyInsteadOfThePassword(t *testing.T) {
	s, a, second := passkeySite(t, "passkey"), newAuthenticator(true), newAuthenticator(true)
	second.auth.Options.BackupEligible, second.auth.Options.BackupState = true, true
	id0 := secret.NewID(s.now)
	u := &identity.User{
		ID: identity.UserID(id0), Email: "bare" + id0 + "@example.com", Name: "Bare", CreatedAt: s.now, UpdatedAt: s.now,
	}
	testkit.Must(t, s.db.CreateUser(t.Context(), u))
	b := s.signedIn(u)
	b.post("/account/security/passkeys/add", nil)
	b.submit("passkey", a.make(b))
	b.shows(200, "Your passkey was added.")
	id := b.part(idOf)
	b.get("/account/security/passkeys/remove?id=" + id)
	b.shows(200, "Use a passkey to confirm")
	b.post("/account/security/passkeys/remove", a.prove(b, url.Values{"id": {id}}))
	b.shows(400, "only way to sign in")

	s.now = s.now.Add(30 * time.Minute) // not just signed in any more
	b.post("/account/security/passkeys/add", nil)
	b.shows(403, "Use your passkey to confirm that it is you.")
	b.post("/account/security/passkeys/add", a.prove(b, url.Values{}))
	b.submit("passkey", second.make(b))
	b.shows(200, "Your passkey was added.", "Synced between your devices")
	b.post("/account/security/passkeys/remove", url.Values{"id": {id}})
	b.shows(403, "Use your passkey to confirm")
	b.post("/account/security/passkeys/remove", second.prove(b, url.Values{"id": {id}}))
	b.shows(200, "The passkey was removed.")
	b.get("/account/security")
	b.hides("new_password")
	b.post("/account/security/totp/enable", second.prove(b, url.Values{}))
	b.shows(200, `class="key"`)

	out := s.browser()
	out.get("/login")
	out.shows(200, `class="primary" id="passkey-sign-in"`, "turn on JavaScript")
	out.hides(`type="password"`, "Forgot")
	second.signIn(out, "next", "/account/profile")
	out.shows(200, "Profile")
}

// Another person's session does not prove anything by this person's passkey.
func TestForeignProof(t *testing.T) {
	s, a := passkeySite(t, "password", "passkey"), newAuthenticator(true)
	b := s.signedIn(s.user)
	b.post("/account/security/passkeys/add", nil)
	b.submit("passkey", a.make(b))
	eve := s.signedIn(s.newUser())
	b.get("/account/security/passkeys")
	form := a.prove(b, url.Values{"id": {b.part(idOf)}})
	eve.post("/account/security/password", form)
	if eve.last.Code < 400 || !strings.Contains(eve.last.Body.String(), "open for too long") {
		t.Errorf("status %d\n%s", eve.last.Code, eve.last.Body)
	}
	eve.get("/account/security/passkeys/proof")
	eve.shows(200, `{"options":"","token":""}`)
}

// The offer of a passkey is made after a sign-in with the password, until the person declines it.
func TestPasskeyOffer(t *testing.T) {
	s := passkeySite(t, "password", "passkey")
	b := s.signedIn(s.user)
	b.get("/account")
	b.shows(200, "Sign in faster next time", "Not now")
	b.post("/account/security/passkeys/later", nil)
	b.shows(200, "Hello, ")
	b.hides("Sign in faster")
	b = s.signedIn(s.user)
	b.get("/account")
	b.shows(200, "Sign in faster next time")
	s = passkeySite(t, "password")
	b = s.signedIn(s.user)
	b.get("/account")
	b.hides("Sign in faster")
}

func TestPasskeyAddresses(t *testing.T) {
	s := passkeySite(t, "password", "passkey")
	b := s.browser()
	b.get("/.well-known/passkey-endpoints")
	b.shows(200, origin+"/account/security/passkeys")
	b.get("/.well-known/webauthn")
	b.shows(404)
	s = newSite(t)
	b = s.signedIn(s.user)
	for _, path := range []string{"/.well-known/passkey-endpoints", "/login/passkey", "/account/security/passkeys"} {
		b.get(path)
		b.shows(404)
	}
	b.get("/account/security")
	b.hides("add-passkey")
}

// A request for two factors asks for the passkey that there is.
func TestStepUpByPasskey(t *testing.T) {
	s, a := passkeySite(t, "password", "passkey"), newAuthenticator(true)
	b := s.signedIn(s.user)
	b.post("/account/security/passkeys/add", nil)
	b.submit("passkey", a.make(b))
	s.now = s.now.Add(time.Second)
	b.get(s.ask("claims", `{"id_token":{"acr":{"essential":true,"value":"aal2"}}}`))
	b.shows(200, "Use your passkey")
	b.submit("passkey", a.answer(t, b.part(optionsOf)))
	b.shows(200, "Allow")
}

// A person who has passkeys may wish to be asked for one after the password; a password that was
// set by a mailed link then gets nobody past it.
func TestPasskeyAfterThePassword(t *testing.T) {
	s, a := passkeySite(t, "password", "passkey"), newAuthenticator(true)
	b := s.signedIn(s.user)
	b.get("/account/security")
	b.hides("/account/security/ask-second")
	a.addPasskey(b)
	b.get("/account/security")
	b.shows(200, "Also ask for my passkey after my password")
	b.post("/account/security/ask-second", url.Values{"ask": {"1"}, "current_password": {"wrong"}})
	b.shows(403, "Incorrect password")
	b.post("/account/security/ask-second", url.Values{"ask": {"1"}, "current_password": {"password"}})
	b.shows(200, "your passkey is asked for after your password", "Stop asking")
	events, err := s.db.ListAudit(t.Context(), store.AuditQuery{User: string(s.user.ID), Type: audit.MFAEnabled})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(events), 1)

	s.now = s.now.Add(time.Minute)
	thief := s.browser()
	s.enters(thief)
	thief.shows(200, "Use your passkey")
	thief.get("/account")
	thief.shows(200, "Sign in")
	owner := s.browser()
	owner.get("/login")
	a.signIn(owner)
	owner.shows(200, "Hello, ")
	owner.post("/account/security/ask-second", url.Values{"ask": {""}, "current_password": {"password"}})
	owner.shows(200, "no longer asked for")
	alone := s.browser()
	s.enters(alone)
	alone.shows(200, "Hello, ")
}
