package accounts_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web/accounts"
)

// authenticator is a device that keeps a passkey.
type authenticator struct {
	t    *testing.T
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	cred virtualwebauthn.Credential
}

func withPasskeys(c *login.Config) {
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	if err != nil {
		panic(err)
	}
	c.Methods, c.Passkeys = []string{"password", "passkey"}, rp
}

// device returns a device with a new passkey of a user.
func (h *harness) device(u *identity.User, verifies bool) *authenticator {
	h.Helper()
	a := &authenticator{
		t:    h.T,
		rp:   virtualwebauthn.RelyingParty{Name: "Example", ID: "id.example", Origin: origin},
		auth: virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserNotVerified: !verifies}),
		cred: virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2),
	}
	for len(a.cred.Key.AttestationData()) != 77 { // it leaves out zeros at the beginning of a number
		a.cred = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	v := login.Visit{Now: h.now}
	e, err := h.login.Enroll(h.Context(), v, u, "passkey", "")
	testkit.Must(h.T, err)
	o, err := virtualwebauthn.ParseAttestationOptions(e.Options)
	testkit.Must(h.T, err)
	a.auth.Options.UserHandle = []byte(o.UserID)
	_, err = h.login.ConfirmEnrollment(h.Context(), v, u, "passkey", url.Values{
		"enrollment": {e.Token}, "passkey": {virtualwebauthn.CreateAttestationResponse(a.rp, a.auth, a.cred, *o)},
	})
	testkit.Must(h.T, err)
	h.now = h.now.Add(time.Minute)
	return a
}

// answer answers the options of a step.
func (a *authenticator) answer(step *answer) json.RawMessage {
	a.t.Helper()
	options, err := json.Marshal(step.doc["options"])
	testkit.Must(a.t, err)
	o, err := virtualwebauthn.ParseAssertionOptions(string(options))
	testkit.Must(a.t, err)
	return json.RawMessage(virtualwebauthn.CreateAssertionResponse(a.rp, a.auth, a.cred, *o))
}

// passkeyBody returns the body of the step that a passkey answers.
func passkeyBody(code, state string, passkey any) string {
	out, _ := json.Marshal(map[string]any{"code": code, "state": state, "passkey": passkey})
	return string(out)
}

func (h *harness) options(pairs ...string) *answer {
	h.Helper()
	return h.call("POST", "/sessions/login/passkey/options", h.basic(), body(append([]string{"state", state}, pairs...)...))
}

func (h *harness) usePasskey(code string, passkey any) *answer {
	h.Helper()
	return h.call("POST", "/sessions/login/passkey", h.basic(), passkeyBody(code, state, passkey))
}

// A program signs a person in with nothing but a passkey; the answer stands as an object or a text.
func TestPasskeySignsIn(t *testing.T) {
	h := newHarness(t, withPasskeys)
	a := h.device(h.ada, true)
	for range 2 {
		step := h.options().ok()
		testkit.Equal(t, "step", step.get("step"), "passkey")
		testkit.Equal(t, "state", step.get("state"), state)
		if strings.Contains(step.raw, "allowCredentials") || step.get("token") != "" {
			t.Fatal(step.raw)
		}
		session := h.usePasskey(step.get("code"), a.answer(step)).ok()
		testkit.Equal(t, "t", session.get("t"), "session")
		h.call("GET", "/users/current", h.as(session.get("token")), "").ok()
	}
	step := h.options().ok()
	testkit.Equal(t, "t", h.usePasskey(step.get("code"), string(a.answer(step))).ok().get("t"), "session")
}

// A question belongs to one client and one state, for a short time, and takes one answer of a
// passkey that verifies the person.
func TestPasskeyStepIsBound(t *testing.T) {
	h := newHarness(t, withPasskeys)
	a := h.device(h.ada, true)
	step := h.options().ok()
	answer, code := a.answer(step), step.get("code")
	other := strings.Repeat("0", 32)
	h.call("POST", "/sessions/login/passkey", basic(h.public.ID, ""), passkeyBody(code, state, answer)).
		fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	h.call("POST", "/sessions/login/passkey", h.basic(), passkeyBody(code, other, answer)).
		fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	h.call("POST", "/sessions/login/passkey", h.basic(), passkeyBody(code, "short", answer)).
		fails(http.StatusBadRequest, "STATE-INVALID")
	h.call("POST", "/sessions/login/totp", h.basic(), body("totp", "123456", "code", code, "state", state)).
		fails(http.StatusUnauthorized, "CODE-INVALIDATED")
	for _, bad := range []any{nil, "", "{}", 7, map[string]string{"id": "x"}, strings.Repeat("x", 3000)} {
		if r := h.usePasskey(code, bad); r.status != http.StatusBadRequest {
			t.Errorf("%v: %d %s", bad, r.status, r.raw)
		}
	}
	h.usePasskey(code, answer).ok()
	h.usePasskey(code, answer).fails(http.StatusUnauthorized, "PASSKEY-NOT-ACCEPTED") // replayed

	clear(h.rates) // a state has ten tries
	step = h.options().ok()
	evil := *a
	evil.rp.Origin = "https://evil.example"
	h.usePasskey(step.get("code"), evil.answer(step)).fails(http.StatusUnauthorized, "PASSKEY-NOT-ACCEPTED")
	answer = a.answer(step)
	h.now = h.now.Add(11 * time.Minute)
	h.usePasskey(step.get("code"), answer).fails(http.StatusUnauthorized, "CODE-INVALIDATED")

	clear(h.rates)
	// Presence alone is no sign-in, and a stranger's passkey says nothing about accounts.
	weak := h.device(h.user("weak@example.com"), false)
	step = h.options().ok()
	h.usePasskey(step.get("code"), weak.answer(step)).fails(http.StatusUnauthorized, "PASSKEY-NOT-ACCEPTED")
	unknown := *a
	unknown.cred = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	h.usePasskey(step.get("code"), unknown.answer(step)).fails(http.StatusUnauthorized, "PASSKEY-NOT-ACCEPTED")

	clear(h.rates)
	for range accounts.Rate().Max {
		h.options().ok()
	}
	testkit.Equal(t, "a question beyond the rate", h.options().status, http.StatusTooManyRequests)

	h = newHarness(t)
	h.options().fails(http.StatusForbidden, "STEP-NOT-AVAILABLE")
}

// A passkey is the second step where a person has no app, and in place of an app.
func TestPasskeyAsSecondStep(t *testing.T) {
	h := newHarness(t, withPasskeys)
	grace := h.user("grace@example.com")
	key := h.device(grace, false) // presence only: always the second step
	begin := func(email string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/login/password", h.basic(),
			body("email", email, "password", password, "state", state)).ok()
	}
	step := begin("grace@example.com")
	testkit.Equal(t, "step", step.get("step"), "passkey")
	if !strings.Contains(step.raw, "allowCredentials") {
		t.Error(step.raw)
	}
	ada := h.device(h.ada, true)
	h.usePasskey(step.get("code"), ada.answer(step)).fails(http.StatusUnauthorized, "PASSKEY-NOT-ACCEPTED")
	testkit.Equal(t, "t", h.usePasskey(step.get("code"), key.answer(step)).ok().get("t"), "session")

	// With an app as well, the code is asked for, and the program may ask for the passkey instead.
	app := h.enroll()
	step = begin("ada@example.com")
	testkit.Equal(t, "step", step.get("step"), "totp")
	instead := h.options("code", step.get("code")).ok()
	testkit.Equal(t, "step", instead.get("step"), "passkey")
	testkit.Equal(t, "t", h.usePasskey(instead.get("code"), ada.answer(instead)).ok().get("t"), "session")
	h.call("POST", "/sessions/login/totp", h.basic(), body("totp", app(), "code", step.get("code"), "state", state)).ok()

	only := h.user("app@example.com")
	h.ada = only
	h.enroll()
	step = begin("app@example.com")
	h.options("code", step.get("code")).fails(http.StatusForbidden, "STEP-NOT-AVAILABLE")
	h.options("code", "x").fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
}
