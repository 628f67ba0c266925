package accounts_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The steps of the interface in the order in which a program takes them: email, code, totp, then a
// refresh and the end of the session. Bodies stand bare or in data.
func TestSteps(t *testing.T) {
	h := newHarness(t)
	app := h.enroll()
	a := h.call("POST", "/sessions/login/email", h.basic(),
		`{"data":`+body("t", "email-step", "email", "Ada@Example.com", "state", state)+`}`).ok()
	testkit.Equal(t, "answer", a.raw, `{"data":null}`)

	a = h.call("POST", "/sessions/login/code", h.basic(), body("t", "code-step", "code", h.code(), "state", state)).ok()
	testkit.Equal(t, "t", a.get("t"), "step")
	testkit.Equal(t, "step", a.get("step"), "totp")
	testkit.Equal(t, "state", a.get("state"), state)
	if a.get("code") == "" || a.get("token") != "" {
		t.Fatal(a.raw)
	}

	a = h.call("POST", "/sessions/login/totp", h.basic(),
		`{"data":`+body("t", "totp-step", "totp", app(), "code", a.get("code"), "state", state)+`}`).ok()
	testkit.Equal(t, "t", a.get("t"), "session")
	if !strings.HasPrefix(a.get("token"), "gth_st_") || !strings.HasPrefix(a.get("refresh"), "gth_rt_") {
		t.Fatal(a.raw)
	}
	h.call("GET", "/users/current", h.as(a.get("token")), "").ok()

	a = h.call("POST", "/sessions/refresh", h.basic(), body("t", "refresh-tokens", "token", a.get("refresh"))).ok()
	testkit.Equal(t, "t", a.get("t"), "session")
	h.call("POST", "/sessions/logout", h.as(a.get("token")), "").ok()
	h.call("GET", "/users/current", h.as(a.get("token")), "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")
}

// A password alone signs in who has no second factor, a public client needs no secret, and the
// session is one of those that the person sees.
func TestPasswordStep(t *testing.T) {
	h := newHarness(t)
	public := basic(h.public.ID, "")
	a := h.call("POST", "/sessions/login/password", public,
		body("email", "ada@example.com", "password", password, "state", state)).ok()
	token := a.get("token")
	list := h.call("GET", "/sessions", "Bearer session:"+token, "").ok()
	all, _ := list.doc["data"].([]any)
	testkit.Equal(t, "sessions", len(all), 1)
	one, _ := all[0].(map[string]any)
	testkit.Equal(t, "agent", one["userAgent"], any("app/1"))
	testkit.Equal(t, "current", one["current"], any(true))
	testkit.Equal(t, "collection", list.get("meta", "pg", "size"), "1")

	// The person ends it on the page.
	access, err := h.account.Access(t.Context(), h.ownCaller())
	testkit.Must(t, err)
	testkit.Equal(t, "on the page", len(access.Sessions), 1)
	_, err = h.account.EndSession(t.Context(), h.ownCaller(), access.Sessions[0].ID)
	testkit.Must(t, err)
	h.call("GET", "/sessions", "Bearer session:"+token, "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")
}

// Every way to fail at a step has its status and its code, and none tells whether an account
// exists.
func TestStepErrors(t *testing.T) {
	h := newHarness(t)
	step := func(name string, pairs ...string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/login/"+name, h.basic(), body(pairs...))
	}
	long := strings.Repeat("x", 400)
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		step("password", "email", email, "password", "wrong", "state", state).fails(http.StatusUnauthorized, "INCORRECT-PASSWORD")
	}
	step("password", "email", "", "password", "", "state", state).fails(http.StatusBadRequest, "DATA-INVALID")
	a := step("password", "email", long, "password", password, "state", state).fails(http.StatusBadRequest, "DATA-INVALID")
	if !strings.Contains(a.raw, `"EMAIL-INVALID"`) {
		t.Error(a.raw)
	}
	step("password", "email", "ada@example.com", "password", password).fails(http.StatusBadRequest, "STATE-INVALID")
	step("email", "email", "ada@example.com", "state", "short").fails(http.StatusBadRequest, "STATE-INVALID")
	step("email", "email", "", "state", state).fails(http.StatusBadRequest, "DATA-INVALID")
	step("email", "email", long, "state", state).fails(http.StatusBadRequest, "DATA-INVALID")
	step("code", "code", "12345678", "state", state).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	step("totp", "totp", "123456", "code", "x", "state", state).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	step("sms", "code", "123456", "state", state).fails(http.StatusNotFound, "NOT-FOUND")
	h.call("GET", "/sessions/login/password", h.basic(), "").fails(http.StatusMethodNotAllowed, "METHOD-NOT-ALLOWED")
	h.call("GET", "/organizations", h.basic(), "").fails(http.StatusNotFound, "NOT-FOUND")

	disabled := *h.user("closed@example.com")
	disabled.Disabled = true
	before, err := h.db.User(t.Context(), disabled.ID)
	testkit.Must(t, err)
	testkit.Must(t, h.db.UpdateUser(t.Context(), before, &disabled))
	step("password", "email", "closed@example.com", "password", password, "state", state).fails(http.StatusForbidden, "USER-BANNED")
}

// A code works once, ten minutes, with the state and the client that asked for it.
func TestCodeStep(t *testing.T) {
	h := newHarness(t)
	other := "ffeeddccbbaa99887766554433221100"
	ask := func(email string) {
		t.Helper()
		h.call("POST", "/sessions/login/email", h.basic(), body("email", email, "state", state)).ok()
	}
	answer := func(authorization, code, state string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/login/code", authorization, body("code", code, "state", state))
	}
	for _, email := range []string{"nobody@example.com", "ada@example.com"} {
		ask(email)
		answer(h.basic(), "12", state).fails(http.StatusBadRequest, "DATA-INVALID")
		answer(h.basic(), "00000000", state).fails(http.StatusUnauthorized, "CODE-NOT-VALID")
	}
	code := h.code()
	answer(h.basic(), code, other).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	answer(basic(h.public.ID, ""), code, state).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	answer(h.basic(), code, state).ok()
	answer(h.basic(), code, state).fails(http.StatusUnauthorized, "CODE-CONSUMED")

	ask("ada@example.com")
	code = h.code()
	h.now = h.now.Add(10 * time.Minute)
	answer(h.basic(), code, state).fails(http.StatusUnauthorized, "CODE-EXPIRED")
	h.now = h.now.Add(10 * time.Minute)
	answer(h.basic(), code, state).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")

	h = newHarness(t, func(c *login.Config) { c.Methods = []string{"password"} })
	for _, email := range []string{"nobody@example.com", "ada@example.com"} {
		next := h.call("POST", "/sessions/login/email", h.basic(), body("email", email, "state", state)).ok()
		testkit.Equal(t, "answer", next.raw, `{"t":"step","step":"password","code":"","state":"`+state+`"}`)
	}
	answer(h.basic(), "12345678", state).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	h = newHarness(t, func(c *login.Config) { c.Methods = []string{"passkey"} })
	ask2 := h.call("POST", "/sessions/login/email", h.basic(), body("email", "ada@example.com", "state", state))
	ask2.fails(http.StatusForbidden, "STEP-NOT-AVAILABLE")
}

// The second step is bound to the state and the client of the first, and works once.
func TestTOTPStep(t *testing.T) {
	h := newHarness(t)
	app := h.enroll()
	begin := func() string {
		t.Helper()
		a := h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).ok()
		testkit.Equal(t, "step", a.get("step"), "totp")
		return a.get("code")
	}
	answer := func(authorization, code, totp, state string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/login/totp", authorization, body("totp", totp, "code", code, "state", state))
	}
	code := begin()
	answer(h.basic(), code, app(), strings.Repeat("0", 32)).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	answer(basic(h.public.ID, ""), code, app(), state).fails(http.StatusUnauthorized, "CODE-NOT-FOUND")
	answer(h.basic(), code, "12", state).fails(http.StatusBadRequest, "DATA-INVALID")
	answer(h.basic(), code, "000000", state).fails(http.StatusUnauthorized, "CODE-NOT-VALID")
	right := app()
	answer(h.basic(), code, right, state).ok()
	answer(h.basic(), code, right, state).fails(http.StatusUnauthorized, "CODE-CONSUMED")

	h.now = h.now.Add(time.Minute)
	code = begin()
	h.now = h.now.Add(11 * time.Minute)
	answer(h.basic(), code, app(), state).fails(http.StatusUnauthorized, "CODE-INVALIDATED")
}

// What a program cannot do is left to the browser: a new password, and the set-up of a second
// factor that cannot wait.
func TestStepsForTheBrowser(t *testing.T) {
	h := newHarness(t, func(c *login.Config) { c.RequireMFA, c.MFAGrace = true, 2*time.Hour })
	h.signIn() // the grace begins
	h.now = h.now.Add(3 * time.Hour)
	h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).
		fails(http.StatusForbidden, "BROWSER-REQUIRED")
}

// Failures count as on the pages: the same lock holds for both.
func TestLockout(t *testing.T) {
	h := newHarness(t)
	for range 4 {
		h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", "wrong", "state", state)).
			fails(http.StatusUnauthorized, "INCORRECT-PASSWORD")
	}
	_, err := h.login.Password(t.Context(), login.Visit{Now: h.now}, login.Attempt{Username: "ada@example.com", Password: "wrong"})
	if err == nil {
		t.Fatal("a wrong password signs in")
	}
	a := h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).
		fails(http.StatusTooManyRequests, "TOO-MANY-REQUESTS")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// Ten attempts in five minutes at one account are enough for one caller.
func TestThrottle(t *testing.T) {
	h := newHarness(t)
	for range 10 {
		h.call("POST", "/sessions/login/email", h.basic(), body("email", "ada@example.com", "state", state)).ok()
	}
	h.call("POST", "/sessions/login/email", h.basic(), body("email", "ADA@example.com", "state", state)).
		fails(http.StatusTooManyRequests, "TOO-MANY-REQUESTS")
	h.call("POST", "/sessions/login/email", h.basic(), body("email", "bob@example.com", "state", state)).ok()
}

// A refresh token works once. One that was used before ends the session.
func TestRefresh(t *testing.T) {
	h := newHarness(t)
	token, refresh := h.signIn()
	fresh := func(authorization, token string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/refresh", authorization, body("token", token))
	}
	fresh(h.basic(), "").fails(http.StatusUnauthorized, "REFRESH-TOKEN-INVALID")
	fresh(h.basic(), token).fails(http.StatusUnauthorized, "REFRESH-TOKEN-INVALID")
	fresh(basic(h.public.ID, ""), refresh).fails(http.StatusUnauthorized, "REFRESH-TOKEN-INVALID")
	second := fresh(h.basic(), refresh).ok()
	h.call("GET", "/sessions", h.as(token), "").fails(http.StatusUnauthorized, "TOKEN-INVALID")
	h.call("GET", "/sessions", h.as(second.get("token")), "").ok()
	fresh(h.basic(), refresh).fails(http.StatusUnauthorized, "REFRESH-TOKEN-CONSUMED")
	h.call("GET", "/sessions", h.as(second.get("token")), "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")
	fresh(h.basic(), second.get("refresh")).fails(http.StatusUnauthorized, "REFRESH-TOKEN-INVALIDATED")

	token, refresh = h.signIn()
	h.now = h.now.Add(20 * time.Minute)
	h.call("GET", "/sessions", h.as(token), "").fails(http.StatusUnauthorized, "SESSION-EXPIRED")
	h.now = h.now.Add(24 * time.Hour)
	fresh(h.basic(), refresh).fails(http.StatusUnauthorized, "REFRESH-TOKEN-EXPIRED")
}

// Of many refreshes at once with one token, one succeeds.
func TestParallelRefresh(t *testing.T) {
	h := newHarness(t)
	_, refresh := h.signIn()
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			a := h.call("POST", "/sessions/refresh", h.basic(), body("token", refresh))
			if a.status == http.StatusOK {
				wins.Add(1)
			} else if code := a.get("error", "code"); code != "REFRESH-TOKEN-CONSUMED" && code != "REFRESH-TOKEN-INVALIDATED" {
				t.Error(a.raw)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "refreshed", wins.Load(), 1)
}

// Sessions end by either token, or by their ids.
func TestLogout(t *testing.T) {
	h := newHarness(t)
	first, refresh := h.signIn()
	second, _ := h.signIn()
	third, _ := h.signIn()
	logout := func(authorization, body string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/logout", authorization, body)
	}
	logout(h.basic(), "").fails(http.StatusBadRequest, "NO-SESSION-TO-INVALIDATE")
	logout(h.basic(), `{"data":null}`).fails(http.StatusBadRequest, "NO-SESSION-TO-INVALIDATE")
	for _, bad := range []string{`[{"t":"x","value":"y"}]`, `[{"t":"sessions"}]`, `[{"t":"sessions","value":7}]`} {
		logout(h.basic(), bad).fails(http.StatusBadRequest, "DATA-INVALID")
	}
	for _, bad := range []string{`{"x":1}`, `"x"`, `[1]`, `{"data":7}`, "[" + strings.Repeat(`{},`, 100) + "{}]"} {
		logout(h.basic(), bad).fails(http.StatusBadRequest, "BODY-INVALID")
	}
	logout(h.basic(), `[{"t":"refresh-tokens","value":"`+third+`x"}]`).fails(http.StatusUnauthorized, "TOKEN-INVALID")

	ended := logout(h.basic(), `{"data":[{"t":"refresh-tokens","value":"`+refresh+`"},{"t":"session-tokens","value":"`+second+`"}]}`).ok()
	testkit.Equal(t, "answer", ended.raw, `{"data":null}`)
	for _, token := range []string{first, second} {
		h.call("GET", "/sessions", h.as(token), "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")
	}
	logout(h.basic(), `[{"t":"refresh-tokens","value":"`+refresh+`"}]`).ok() // it has ended before

	id := h.call("GET", "/sessions", h.as(third), "").ok().doc["data"].([]any)[0].(map[string]any)["id"].(string)
	logout(h.basic(), `[{"t":"sessions","value":"`+id+`"}]`).fails(http.StatusUnauthorized, "SESSION-REQUIRED")
	logout(h.as(third), `[{"t":"sessions","value":"`+id+`"}]`).ok()
	h.call("GET", "/sessions", h.as(third), "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")
}

// Callers that are not clear, or not who they say, are rejected.
func TestCallers(t *testing.T) {
	h := newHarness(t)
	token, refresh := h.signIn()
	for authorization, row := range map[string]struct {
		status int
		code   string
	}{
		"":                            {http.StatusUnauthorized, "CLIENT-REQUIRED"},
		"Basic !":                     {http.StatusUnauthorized, "AUTHORIZATION-INVALID"},
		"Digest x":                    {http.StatusUnauthorized, "AUTHORIZATION-INVALID"},
		"Bearer":                      {http.StatusBadRequest, "AUTHORIZATION-INVALID"},
		h.basic():                     {http.StatusUnauthorized, "SESSION-REQUIRED"},
		basic(h.app.ID, ""):           {http.StatusUnauthorized, "CLIENT-INVALID"},
		basic(h.app.ID, "wrong"):      {http.StatusUnauthorized, "CLIENT-INVALID"},
		basic("unknown", ""):          {http.StatusUnauthorized, "CLIENT-INVALID"},
		h.as("x"):                     {http.StatusUnauthorized, "TOKEN-INVALID"},
		h.as(refresh):                 {http.StatusBadRequest, "REFRESH-TOKEN-PASSED"},
		h.as(token) + "," + h.basic(): {http.StatusBadRequest, "AUTHORIZATION-INVALID"},
		h.as(token) + ",Bearer x":     {http.StatusBadRequest, "AUTHORIZATION-INVALID"},
		"Bearer " + token:             {http.StatusUnauthorized, "TOKEN-INVALID"},
		"Bearer session:":             {http.StatusUnauthorized, "AUTHORIZATION-INVALID"},
		"Bearer x":                    {http.StatusUnauthorized, "TOKEN-INVALID"},
		basic(h.public.ID, "") + ",Bearer session:" + token: {http.StatusUnauthorized, "TOKEN-INVALID"},
	} {
		a := h.call("GET", "/sessions", authorization, "")
		if a.status != row.status || a.get("error", "code") != row.code {
			t.Errorf("%q: %d %s, want %d %s", authorization, a.status, a.raw, row.status, row.code)
		}
	}
	h.call("GET", "/sessions", "Bearer session:"+token, "").ok()
	h.call("GET", "/sessions", "bearer session:"+token+", "+h.basic(), "").ok()

	gone, err := h.db.Client(t.Context(), h.app.ID)
	testkit.Must(t, err)
	disabled := *gone
	disabled.Disabled = true
	testkit.Must(t, h.db.UpdateClient(t.Context(), gone, &disabled))
	h.call("GET", "/sessions", h.as(token), "").fails(http.StatusUnauthorized, "CLIENT-INVALID")
	h.call("GET", "/sessions", "Bearer session:"+token, "").fails(http.StatusUnauthorized, "CLIENT-INVALID")
}

// Bodies are read strictly.
func TestBodies(t *testing.T) {
	h := newHarness(t)
	for _, bad := range []string{
		"{", "[]", "null", "7", `"x"`, `{"email":"a","email":"b"}`, `{"unknown":"x"}`, `{"data":7}`, `{"data":{"x":"y"}}`,
		`{} {}`, "{\"email\":\"\xff\"}", `{"data":{"email":"a"},"email":"b"}`,
	} {
		h.call("POST", "/sessions/login/email", h.basic(), bad).fails(http.StatusBadRequest, "BODY-INVALID")
	}
	for _, bad := range []string{`{"email":7}`, `{"email":["a"]}`, `{"email":"a\u0000b"}`} {
		h.call("POST", "/sessions/login/email", h.basic(), bad).fails(http.StatusBadRequest, "DATA-INVALID")
	}
	h.call("POST", "/sessions/login/email", h.basic(), `{"email":"`+strings.Repeat("x", 5000)+`"}`).
		fails(http.StatusRequestEntityTooLarge, "BODY-INVALID")
	h.call("POST", "/sessions/login/email", h.basic(), "").fails(http.StatusUnsupportedMediaType, "BODY-INVALID")
}

// People read and change their own account only.
func TestUsers(t *testing.T) {
	h := newHarness(t)
	bob := h.user("bob@example.com")
	token, _ := h.signIn()
	id := string(h.ada.ID)
	for _, ref := range []string{"current", id} {
		a := h.call("GET", "/users/"+ref, h.as(token), "").ok()
		testkit.Equal(t, "t", a.get("t"), "single")
		testkit.Equal(t, "id", a.get("data", "id"), id)
		testkit.Equal(t, "type", a.get("data", "type"), "users")
		testkit.Equal(t, "2fa", a.get("data", "2fa"), "false")
	}
	h.call("GET", "/users", h.as(token), "").ok()
	h.call("GET", "/users/current/roles", h.as(token), "").ok()
	for _, path := range []string{"/users/" + string(bob.ID), "/users/x", "/users/" + string(bob.ID) + "/sessions", "/users/x/roles"} {
		h.call("GET", path, h.as(token), "").fails(http.StatusNotFound, "NOT-FOUND")
	}
	a := h.call("PATCH", "/users/current", h.as(token), body("name", "Ada Lovelace")).ok()
	testkit.Equal(t, "name", a.get("data", "name"), "Ada Lovelace")
	h.call("PATCH", "/users/"+string(bob.ID), h.as(token), body("name", "B")).fails(http.StatusNotFound, "NOT-FOUND")
	h.call("PATCH", "/users/current", h.as(token), body("name", "a\u202eb")).fails(http.StatusBadRequest, "DATA-INVALID")
	h.call("PATCH", "/users/current", h.as(token), `{"2fa":true}`).fails(http.StatusBadRequest, "DATA-INVALID")
	h.call("PATCH", "/users/current", h.as(token), body("roles", "admin")).fails(http.StatusBadRequest, "BODY-INVALID")
	got, err := h.db.User(t.Context(), h.ada.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "stored", got.Name, "Ada Lovelace")
	testkit.Equal(t, "roles", len(got.Roles), 0)
}

// Filters select sessions by person and time.
func TestSessionFilter(t *testing.T) {
	h := newHarness(t)
	token, _ := h.signIn()
	at := h.now.UnixMilli()
	count := func(filter string) int {
		t.Helper()
		a := h.call("GET", "/users/current/sessions?filter="+escape(filter), h.as(token), "").ok()
		return len(a.doc["data"].([]any))
	}
	for filter, want := range map[string]int{
		`{"userId":"current"}`: 1, `{"userId":"` + string(h.ada.ID) + `"}`: 1, `{"userId":"other"}`: 0,
		created("eq", at): 1, created("ne", at): 0, created("lt", at): 0, created("lte", at): 1, created("gt", at): 0, created("gte", at): 1, created("gt", at-1): 1,
	} {
		testkit.Equal(t, filter, count(filter), want)
	}
	for _, bad := range []string{"x", `{"x":1}`, `{"createdMs":{"op":"like","val":1}}`, `{"createdMs":1}`} {
		h.call("GET", "/sessions?filter="+escape(bad), h.as(token), "").fails(http.StatusBadRequest, "DATA-INVALID")
	}
}

// A new password needs the present one, or a link, and ends the other sessions.
func TestChangePassword(t *testing.T) {
	h := newHarness(t)
	token, _ := h.signIn()
	other, _ := h.signIn()
	change := func(authorization string, pairs ...string) *answer {
		t.Helper()
		return h.call("POST", "/users/current/change-password", authorization, body(pairs...))
	}
	change(h.basic(), "type", "change-password", "currentPassword", password, "newPassword", another).fails(http.StatusUnauthorized, "SESSION-REQUIRED")
	change(h.as(token), "type", "x").fails(http.StatusBadRequest, "DATA-INVALID")
	change(h.as(token), "type", "change-password", "currentPassword", "wrong", "newPassword", another).fails(http.StatusUnauthorized, "INCORRECT-PASSWORD")
	change(h.as(token), "type", "change-password", "currentPassword", "", "newPassword", another).fails(http.StatusBadRequest, "DATA-INVALID")
	a := change(h.as(token), "type", "change-password", "currentPassword", password, "newPassword", "short").fails(http.StatusBadRequest, "DATA-INVALID")
	if !strings.Contains(a.raw, `"field":"newPassword"`) {
		t.Error(a.raw)
	}
	change(h.as(token), "type", "change-password", "currentPassword", password, "newPassword", another).ok()
	h.call("GET", "/sessions", h.as(token), "").ok()
	h.call("GET", "/sessions", h.as(other), "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")

	u, err := h.db.User(t.Context(), h.ada.ID)
	testkit.Must(t, err)
	link, err := h.login.PasswordLink(t.Context(), login.Visit{Now: h.now, Actor: "cli"}, u)
	testkit.Must(t, err)
	change(h.basic(), "type", "forgot-password", "token", "x", "newPassword", password).fails(http.StatusUnauthorized, "TOKEN-INVALID")
	const third = "Seven herons 8 the canal"
	change(h.basic(), "type", "forgot-password", "token", link, "newPassword", third).ok()
	change(h.basic(), "type", "forgot-password", "token", link, "newPassword", password).fails(http.StatusUnauthorized, "TOKEN-INVALID")
}

// A code verifies the address that it was sent to. At the first proof of an address that nobody has
// vouched for, what an early stranger left is gone: sessions, second factors and the password.
func TestCodeProvesTheMailbox(t *testing.T) {
	h := newHarness(t)
	h.enroll()
	token, _ := h.signInByTOTP()
	early, err := h.db.User(t.Context(), h.ada.ID)
	testkit.Must(t, err)
	unproved := *early
	unproved.MustVerify = true
	testkit.Must(t, h.db.UpdateUser(t.Context(), early, &unproved))

	h.call("POST", "/sessions/login/email", h.basic(), body("email", "ada@example.com", "state", state)).ok()
	a := h.call("POST", "/sessions/login/code", h.basic(), body("code", h.code(), "state", state)).ok()
	testkit.Equal(t, "t", a.get("t"), "session")
	u := h.call("GET", "/users/current", h.as(a.get("token")), "").ok()
	if !strings.Contains(u.raw, `"2fa":false`) || strings.Contains(u.raw, `"verifiedMs":null`) {
		t.Error(u.raw)
	}
	h.call("GET", "/sessions", h.as(token), "").fails(http.StatusUnauthorized, "SESSION-INVALIDATED")
	h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).
		fails(http.StatusUnauthorized, "INCORRECT-PASSWORD")
}
