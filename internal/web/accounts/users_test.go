package accounts_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A new person signs up: the code that is mailed makes the account and opens the session.
func TestSignUp(t *testing.T) {
	h := newHarness(t)
	up := func(pairs ...string) *answer {
		t.Helper()
		return h.call("POST", "/users", h.basic(), body(pairs...))
	}
	up("email", "new@example.com", "password", password).fails(http.StatusBadRequest, "STATE-INVALID")
	up("email", "new@example.com", "password", "short", "state", state).fails(http.StatusBadRequest, "DATA-INVALID")
	up("email", "x", "password", password, "state", state).fails(http.StatusBadRequest, "DATA-INVALID")
	up("email", "new@example.com", "password", password, "passwordConf", another, "state", state).fails(http.StatusBadRequest, "DATA-INVALID")

	// An address that has an account gets the same answer, and no code.
	taken := up("email", "ada@example.com", "password", password, "name", "X", "state", state).ok()
	fresh := up("email", "new@example.com", "password", password, "name", "New Person", "state", state).ok()
	testkit.Equal(t, "answer", fresh.raw, taken.raw)
	testkit.Equal(t, "status", fresh.status, http.StatusCreated)
	testkit.Equal(t, "step", fresh.get("step"), "code")
	code := h.code()
	answer := func(code string) *answer {
		t.Helper()
		return h.call("POST", "/sessions/login/code", h.basic(), body("code", code, "state", state))
	}
	answer("BBBBBBBB").fails(http.StatusUnauthorized, "CODE-NOT-VALID")
	a := answer(code).ok()
	testkit.Equal(t, "t", a.get("t"), "session")
	u := h.call("GET", "/users/current", h.as(a.get("token")), "").ok()
	testkit.Equal(t, "name", u.get("data", "name"), "New Person")
	answer(code).fails(http.StatusUnauthorized, "CODE-NOT-VALID")

	h = newHarness(t, func(c *login.Config) { c.SignUp = false })
	a = h.call("POST", "/users", h.basic(), body("email", "new@example.com", "password", password, "state", state))
	testkit.Equal(t, "status", a.status, http.StatusForbidden)
}

// A further address needs a recent sign-in or the password, and the code that was sent to it.
func TestEmails(t *testing.T) {
	h := newHarness(t)
	h.user("bob@example.com")
	token, _ := h.signIn()
	add := func(pairs ...string) *answer {
		t.Helper()
		return h.call("POST", "/users/current/emails", h.as(token), body(pairs...))
	}
	verify := func(email, code string) *answer {
		t.Helper()
		return h.call("POST", "/users/current/emails/"+email+"/verify", h.as(token), body("type", "verification-codes", "code", code))
	}
	add("email", "x").fails(http.StatusBadRequest, "DATA-INVALID")
	add("email", "ada@example.com").fails(http.StatusBadRequest, "DATA-INVALID")
	taken, free := add("email", "bob@example.com").ok(), add("email", "ada@example.net").ok()
	testkit.Equal(t, "status", free.status, taken.status)
	code := h.code()
	verify("ada@example.net", "BBBBBBBB").fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-NOT-VALID")
	verify("ada@example.net", "").fails(http.StatusBadRequest, "DATA-INVALID")
	verify("ada@example.net", code).ok()
	verify("ada@example.net", code).fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-CONSUMED")
	verify("bob@example.com", code).fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-NOT-VALID")
	list := h.call("GET", "/users/current/emails", h.as(token), "").ok()
	if all := list.doc["data"].([]any); len(all) != 2 || !strings.Contains(list.raw, "ada@example.net") {
		t.Fatal(list.raw)
	}

	h.call("POST", "/users/current/emails/ada@example.com/generate-verification", h.as(token), "").ok()
	verify("ada@example.com", h.code()).ok()
	h.call("POST", "/users/current/emails/ada@example.com/generate-verification", h.as(token), "").fails(http.StatusConflict, "DUPLICATE")

	remove := func(email, body string) *answer {
		t.Helper()
		return h.call("DELETE", "/users/current/emails/"+email, h.as(token), body)
	}
	remove("ada@example.com", "").fails(http.StatusConflict, "LAST-EMAIL")
	remove("none@example.com", "").fails(http.StatusNotFound, "NOT-FOUND")
	h.now = h.now.Add(19 * time.Minute) // the sign-in is no longer recent
	remove("ada@example.net", "").fails(http.StatusForbidden, "LOGIN-REQUIRED")
	add("email", "third@example.com").fails(http.StatusForbidden, "LOGIN-REQUIRED")
	remove("ada@example.net", body("currentPassword", "wrong")).fails(http.StatusUnauthorized, "INCORRECT-PASSWORD")
	remove("ada@example.net", body("currentPassword", password)).ok()
	h.call("GET", "/users/x/emails", h.as(token), "").fails(http.StatusNotFound, "NOT-FOUND")
}

// The language of the header is that of the account; one that is none does not matter.
func TestSignUpLanguage(t *testing.T) {
	for header, want := range map[string]string{
		"de-AT,de;q=0.9,en;q=0.5": "de-AT", "": "", "*": "", "!": "", strings.Repeat("de,", 100): "",
	} {
		h := newHarness(t)
		send := func(path, body string) *answer {
			t.Helper()
			r := httptest.NewRequest("POST", origin+"/accounts/v1"+path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", h.basic())
			r.Header.Set("Accept-Language", header)
			return h.do(r).ok()
		}
		send("/users", body("email", "new@example.com", "password", password, "state", state))
		send("/sessions/login/code", body("code", h.code(), "state", state))
		u, err := h.db.UserByLogin(t.Context(), "new@example.com")
		testkit.Must(t, err)
		testkit.Equal(t, header, u.Locale, want)
	}
}

// An account that waits for its deletion is kept at the sign-in page only.
func TestSignInOfADeletedUser(t *testing.T) {
	h := newHarness(t)
	token, _ := h.signIn()
	h.call("DELETE", "/users/current", h.as(token), body("currentPassword", password)).ok()
	h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).
		fails(http.StatusForbidden, "USER-DELETED")
	h.call("POST", "/sessions/login/email", h.basic(), body("email", "ada@example.com", "state", state)).ok()
	h.call("POST", "/sessions/login/code", h.basic(), body("code", h.code(), "state", state)).
		fails(http.StatusForbidden, "USER-DELETED")
}

// Deleting the account needs the password, and ends all access at once.
func TestDeleteUser(t *testing.T) {
	h := newHarness(t)
	token, _ := h.signIn()
	h.call("DELETE", "/users/x", h.as(token), body("currentPassword", password)).fails(http.StatusNotFound, "NOT-FOUND")
	h.call("DELETE", "/users/current", h.as(token), body("currentPassword", "wrong")).fails(http.StatusUnauthorized, "INCORRECT-PASSWORD")
	h.call("DELETE", "/users/current", h.as(token), "").fails(http.StatusBadRequest, "DATA-INVALID")
	h.call("DELETE", "/users/current", h.as(token), `{"data":`+body("currentPassword", password)+`}`).ok()
	a := h.call("GET", "/users/current", h.as(token), "")
	if a.status < 400 {
		t.Error(a.raw)
	}
	if u, err := h.db.User(t.Context(), h.ada.ID); err == nil && !u.Disabled || err != nil && !fault.Is(err, fault.NotFound) {
		t.Errorf("the account still works: %v", err)
	}
}

// A person without a password confirms a change by the second factor, once per code, when the
// sign-in is no longer recent.
func TestConfirmWithoutPassword(t *testing.T) {
	h := newHarness(t)
	h.ada = &identity.User{
		ID:            identity.UserID(secret.NewID(h.now)),
		Email:         "eve@example.com",
		EmailVerified: true,
		CreatedAt:     h.now,
		UpdatedAt:     h.now,
	}
	testkit.Must(t, h.db.CreateUser(t.Context(), h.ada))
	app := h.enroll()
	h.call("POST", "/sessions/login/email", h.basic(), body("email", h.ada.Email, "state", state)).ok()
	a := h.call("POST", "/sessions/login/code", h.basic(), body("code", h.code(), "state", state)).ok()
	a = h.call("POST", "/sessions/login/totp", h.basic(),
		body("totp", app(), "code", a.get("code"), "state", state)).ok()
	token := a.get("token")
	h.now = h.now.Add(19 * time.Minute)
	add := func(pairs ...string) *answer {
		t.Helper()
		pairs = append(pairs, "email", "more@example.com")
		return h.call("POST", "/users/current/emails", h.as(token), body(pairs...))
	}
	add().fails(http.StatusForbidden, "LOGIN-REQUIRED")
	add("totp", "12").fails(http.StatusBadRequest, "DATA-INVALID")
	add("totp", "123456").fails(http.StatusUnauthorized, "CODE-NOT-VALID")
	code := app()
	add("totp", code).ok()
	add("totp", code).fails(http.StatusUnauthorized, "CODE-NOT-VALID")
}

// Answers do not depend on whether an address has an account: the same two requests get the same
// two answers for addresses of every state.
func TestAnswersLookAlike(t *testing.T) {
	h := newHarness(t)
	change := func(email string, f func(u *identity.User)) {
		u := h.user(email)
		next := *u
		f(&next)
		testkit.Must(t, h.db.UpdateUser(t.Context(), u, &next))
	}
	change("disabled@example.com", func(u *identity.User) { u.Disabled = true })
	change("unproved@example.com", func(u *identity.User) { u.MustVerify = true })
	change("verified@example.com", func(u *identity.User) { u.EmailVerified = true })
	doors := map[string]func(email string) *answer{
		"code": func(email string) *answer {
			return h.call("POST", "/sessions/login/email", h.basic(), body("email", email, "state", state))
		},
		"password": func(email string) *answer {
			return h.call("POST", "/sessions/login/password", h.basic(), body("email", email, "password", "wrong", "state", state))
		},
		"sign-up": func(email string) *answer {
			return h.call("POST", "/users", h.basic(), body("email", email, "password", password, "state", state))
		},
		"link": func(email string) *answer {
			return h.call("POST", "/users/current/change-password", h.basic(), body("type", "forgot-password", "token", "x", "newPassword", password))
		},
	}
	for door, open := range doors {
		var want [2]string
		for _, name := range []string{"ada", "nobody", "disabled", "unproved", "verified"} {
			for i := range want {
				a := open(name + "@example.com")
				for _, varies := range []string{"X-Request-Id", "Date"} {
					a.header.Del(varies)
				}
				got := fmt.Sprint(a.status, a.raw, a.header)
				if want[i] == "" {
					want[i] = got
				}
				if got != want[i] {
					t.Errorf("%s, %s, %d:\n%s\n%s", door, name, i, got, want[i])
				}
			}
			h.code()
		}
	}
}
