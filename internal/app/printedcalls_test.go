package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestPrintedCalls sends the calls of testdata/calls.http as scripts of administrators have them:
// the same methods, addresses, headers and bodies. Each answer has the members that the file shows,
// with values of the same kind; values that the caller decides are the same.
func TestPrintedCalls(t *testing.T) {
	text, err := os.ReadFile("testdata/calls.http")
	testkit.Must(t, err)
	// The passwords that are printed are made of common words.
	r := newRegistrar(t, "CHECK_COMMON_PASSWORDS=false")
	words := r.people()
	calls := strings.Split("\n"+string(text), "\n### ")[1:]
	if len(calls) < 30 {
		t.Fatalf("%d calls", len(calls))
	}
	for _, call := range calls {
		title, call, _ := strings.Cut(call, "\n")
		request, answer, found := strings.Cut(call, "\n=== ")
		if !found {
			t.Fatalf("%s: no answer", title)
		}
		status, shape, _ := strings.Cut(answer, "\n")
		code, body := r.printed(filled(request, words))
		if fmt.Sprint(code) != strings.TrimSpace(status) {
			t.Errorf("%s: %d %s", title, code, body)
			continue
		}
		if shape = strings.TrimSpace(shape); shape == "" {
			continue
		}
		var want, got map[string]any
		testkit.Must(t, json.Unmarshal([]byte(shape), &want))
		testkit.Must(t, json.Unmarshal([]byte(body), &got))
		if diff := unlike(want, got, "answer"); diff != "" {
			t.Errorf("%s: %s in %s", title, diff, body)
		}
		for name, v := range got {
			if s, ok := v.(string); ok && strings.HasSuffix(name, "id") {
				words[name] = s
			}
		}
	}
}

// people makes whom the calls are about, and returns the words that stand for them.
func (r *registrar) people() map[string]string {
	r.Helper()
	ctx, now := r.Context(), time.Now()
	agent := "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
	from := identity.Browser{IP: "192.168.1.100", Agent: agent}
	role, err := r.ops.Role(ctx, r.cli, identity.RoleAdmin)
	testkit.Must(r.T, err)
	words := map[string]string{
		"super_admin_token": r.machine(string(admin.ScopeAll)),
		"admin_token":       r.machine(role.Scopes...),
	}
	words["token"] = words["admin_token"]
	for _, name := range []string{"user", "locked"} {
		made, err := r.ops.CreateUser(ctx, r.cli, admin.NewUser{
			Fields: admin.UserPatch{
				Values: identity.User{Email: name + "@example.com", EmailVerified: true},
				Names:  []string{"email", "email_verified"},
			},
			Password: "A Lantern for 7 gates",
		})
		testkit.Must(r.T, err)
		words[name] = string(made.User.ID)
	}
	visit := login.Visit{Now: now, IP: from.IP, Agent: agent}
	for range 5 {
		_, _ = r.parts.login.Password(ctx, visit, login.Attempt{Username: "locked@example.com", Password: "wrong"})
	}
	for range 2 {
		step, err := r.parts.login.Password(ctx, visit, login.Attempt{Username: "user@example.com", Password: "A Lantern for 7 gates"})
		testkit.Must(r.T, err)
		words["session"] = string(step.Done.Session.ID)
	}
	events, err := r.parts.db.ListAudit(ctx, store.AuditQuery{Type: audit.LoginSucceeded, Limit: 1})
	testkit.Must(r.T, err)
	words["event"] = events[0].ID
	return words
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// filled puts values in the place of the words in braces.
func filled(text string, words map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(word string) string {
		if v, ok := words[strings.Trim(word, "{}")]; ok {
			return strings.TrimPrefix(v, "Bearer ")
		}
		return word
	})
}

// printed sends a request as it is printed.
func (r *registrar) printed(text string) (int, string) {
	r.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.RemoteAddr = "127.0.0.1:50000"
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// unlike returns how an answer differs from what is printed, or "". Texts and numbers that the
// server chooses, and times, need only be of the same kind; a list must have the printed items.
func unlike(want, got any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		doc, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v", path, got)
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			v, ok := doc[name]
			if !ok {
				return fmt.Sprintf("%s has no %s", path, name)
			}
			if diff := unlike(want[name], v, path+"."+name); diff != "" {
				return diff
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) < len(want) || len(want) == 0 && len(list) > 0 {
			return fmt.Sprintf("%s is %v", path, got)
		}
		for i := range want {
			if diff := unlike(want[i], list[i], fmt.Sprintf("%s[%d]", path, i)); diff != "" {
				return diff
			}
		}
	case string:
		s, ok := got.(string)
		if _, err := time.Parse(time.RFC3339, want); err == nil {
			_, err = time.Parse(time.RFC3339, s)
			ok = ok && err == nil
		} else if want != "" {
			ok = ok && s == want
		}
		if !ok {
			return fmt.Sprintf("%s is %v, not %q", path, got, want)
		}
	case float64:
		if n, ok := got.(float64); !ok || want < 1000 && n != want && path != "answer.active_sessions" {
			return fmt.Sprintf("%s is %v, not %v", path, got, want)
		}
	default:
		if want != got {
			return fmt.Sprintf("%s is %v, not %v", path, got, want)
		}
	}
	return ""
}
