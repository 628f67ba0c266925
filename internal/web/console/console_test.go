package console_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// hostile is what strangers write where a page shows it.
const hostile = `"><img src=x onerror=alert(1)>'$(id)`

// address fills the parts of a pattern with ids.
func address(pattern string, ids map[string]string) string {
	_, path, _ := strings.Cut(pattern, " ")
	path = strings.ReplaceAll(path, "{$}", "")
	for name, id := range ids {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	return path
}

// Every page is for administrators with its scope, and for nobody else; and no page lets what
// strangers have written become a part of the page.
func TestEveryPage(t *testing.T) {
	s := newSite(t)
	victim := s.newUser(hostile)
	sess := s.newSession(victim, identity.Browser{IP: "192.0.2.2", Agent: hostile})
	factor, app := s.furnish(victim)
	keys, err := s.ops.Keys(t.Context(), s.actor())
	testkit.Must(t, err)
	ids := map[string]string{"id": string(victim.ID), "session": string(sess.ID), "job": "none", "import": "none", "role": "admin", "factor": factor, "app": app}
	root := s.user
	maps.Copy(ids, s.furnishApps())
	for pattern := range s.console.Patterns() {
		if !strings.HasPrefix(pattern, "GET ") || strings.Contains(pattern, "{$}") {
			continue
		}
		own := ids
		if strings.Contains(pattern, "/keys/") {
			own = map[string]string{"id": keys[0].ID}
		}
		path := address(pattern, own)
		t.Run(pattern, func(t *testing.T) {
			s.t = t
			s.signIn(root)
			p := s.get(path)
			switch {
			case strings.HasSuffix(path, "/bulk"):
				p.shows(400, "elect")
			case strings.HasSuffix(path, "/config/export"):
				p.shows(200, "label: main").hides("<html")
			case strings.HasSuffix(path, "/jobs/none"), strings.Contains(path, "/imports/none"):
				p.shows(404)
			case strings.HasSuffix(path, "/users/export"):
				p.shows(200, "email")
			case strings.HasSuffix(path, "/audit/export"):
				p.shows(200, `"end":true`).hides("<html")
			case strings.HasSuffix(path, "/clients/export"):
				p.shows(200, "client_id", "client_name").hides("<html")
			case strings.HasSuffix(path, "/audit/proofs"):
				p.shows(200, `"proofs":1`).hides("<html")
			case strings.HasSuffix(path, "/test-sign-in"):
				p.shows(403, "unknown or over")
			case strings.HasSuffix(path, "/confirm"):
				p.leads("/admin")
			case strings.HasSuffix(path, "/retire"):
				p.shows(409, "only one that signs")
			case strings.HasSuffix(path, "/roles/admin/delete"):
				p.shows(409, "built in")
			default:
				p.shows(200, "<h1>", `aria-label="Administration"`, "Set SMTP_HOST.", `href="/theme.css"`).wellFormed()
			}
			s.session = nil
			s.get(path).leads("/login?next=" + url.QueryEscape(path))
			s.signIn(s.newUser("Nobody"))
			s.get(path).shows(403).hides("Administration")
		})
	}
}

var (
	inlineStyle  = regexp.MustCompile(`<[^>]* style=`)
	inlineScript = regexp.MustCompile(`<script[^>]*>[^<]|<[a-z]+ [^>]* on[a-z]+=|javascript:`)
)

// wellFormed checks that a page has nothing inline, which its policy forbids, and nothing of what
// strangers write as markup.
func (p page) wellFormed() page {
	p.t.Helper()
	body := p.Body.String()
	if inlineStyle.MatchString(body) || strings.Contains(body, "<img") || strings.Contains(body, "<style") {
		p.t.Errorf("%s: the page has inline styles or a picture", p.path)
	}
	if m := inlineScript.FindString(strings.ReplaceAll(body, "onerror=alert(1)&gt;", "")); m != "" {
		p.t.Errorf("%s: the page has %q", p.path, m)
	}
	csp := p.Header().Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "script-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		p.t.Errorf("%s: policy %q", p.path, csp)
	}
	testkit.Equal(p.t, "Cache-Control", p.Header().Get("Cache-Control"), "no-store")
	if n := p.Body.Len(); n > 60_000 {
		p.t.Errorf("%s: %d bytes", p.path, n)
	}
	return p
}

// A role with few scopes sees the pages of these scopes only, without the buttons that would fail.
func TestOwnRole(t *testing.T) {
	s := newSite(t)
	root := s.user
	_, err := s.ops.CreateRole(t.Context(), s.actor(), "helpdesk", admin.RolePatch{
		Values: identity.Role{Scopes: []string{string(admin.ScopeUsersRead)}}, Names: []string{"scopes"},
	})
	testkit.Must(t, err)
	s.signIn(s.newUser("Helper", "helpdesk"))
	s.get("/admin/users").shows(200, "Helper").hides("New user", "/admin/keys", "/admin/mail")
	s.get("/admin").shows(200).hides("Last events", "Sign-ins")
	s.get("/admin/users/"+string(root.ID)).shows(200, "Ada Lovelace").hides("/disable", "/delete", "Recent activity", "h-sessions")
	for _, path := range []string{"/admin/users/new", "/admin/users/" + string(root.ID) + "/edit", "/admin/keys", "/admin/mail", "/admin/sessions"} {
		s.get(path).shows(403, "Not allowed", "Administration")
	}
	s.post("/admin/users/" + string(root.ID) + "/disable").shows(403)
	s.post("/admin/users", "email", "x@example.com").shows(403, "admin:users:write")
	// An administrator cannot touch a super_admin.
	s.signIn(s.newUser("Junior", identity.RoleAdmin))
	s.get("/admin").shows(200, "Sign-ins").hides("/admin/keys")
	for _, action := range []string{"disable", "reset-two-step", "stop-recovery", "sign-out", "password", "lock", "revoke-access"} {
		if p := s.post("/admin/users/"+string(root.ID)+"/"+action, "password", "a new password of a thief", "reason", "r"); p.Code < 400 {
			t.Errorf("%s: %d to %s", action, p.Code, p.Header().Get("Location"))
		}
	}
}

// A form from another site is ignored.
func TestCrossSite(t *testing.T) {
	s := newSite(t)
	u := s.newUser("Grace")
	r := httptest.NewRequest("POST", origin+"/admin/users/"+string(u.ID)+"/disable", strings.NewReader(""))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := s.send(r); p.Code != http.StatusForbidden {
		t.Fatal(p.Code)
	}
	got, err := s.ops.User(t.Context(), s.actor(), string(u.ID))
	testkit.Must(t, err)
	testkit.Equal(t, "disabled", got.Disabled, false)
}

// A change that needs a newer sign-in is not made. The form comes back as it was filled in, without
// its password, to the same person and page only, and once.
func TestStepUp(t *testing.T) {
	s := newSite(t)
	s.get("/admin/users/new").shows(200).hides("Changes need a recent sign-in")
	s.now = s.now.Add(time.Hour)
	s.get("/admin/users/new").shows(200, "Changes need a recent sign-in", "/admin/confirm?page=%2Fadmin%2Fusers%2Fnew")
	s.get("/admin/confirm?page=%2Fadmin%2Fusers%2Fnew")
	testkit.Equal(t, "after the proof", s.went, "/admin/users/new")
	s.get("/admin/confirm?page=%2F%2Fevil.example")
	testkit.Equal(t, "after a proof for another site", s.went, "/admin")
	fields := []string{"email", "new@example.com", "name", hostile, "by", "password", "password", "Correct-Horse-9", "page", "/admin/users/new"}
	answer := s.post("/admin/users", fields...)
	testkit.Equal(t, "after the proof", s.went, "/admin/users/new?draft=1")
	cookies := answer.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || strings.Contains(cookies[0].Value, "new@example") {
		t.Fatalf("cookies %v", cookies)
	}
	_, err := s.ops.User(t.Context(), s.actor(), "new@example.com")
	if err == nil {
		t.Fatal("the account was created")
	}
	ada := s.user
	s.signIn(s.newUser("Somebody else", identity.RoleSuperAdmin))
	s.get("/admin/users/new?draft=1", cookies...).shows(200).hides("new@example.com")
	s.signIn(ada)
	s.get("/admin/users/"+string(ada.ID)+"/edit?draft=1", cookies...).shows(200).hides("new@example.com")
	p := s.get("/admin/users/new?draft=1", cookies...)
	p.shows(200, "Nothing has been changed yet", `value="new@example.com"`).hides("Correct-Horse-9").wellFormed()
	if c := p.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("the form stays in the browser: %v", c)
	}
	s.now = s.now.Add(16 * time.Minute)
	s.get("/admin/users/new?draft=1", cookies...).shows(200).hides("new@example.com")
	cookies[0].Value = "damaged"
	s.get("/admin/users/new?draft=1", cookies...).shows(200).hides("Nothing has been changed yet")
}

func TestNoPage(t *testing.T) {
	s := newSite(t)
	s.get("/admin/nothing").shows(404, "There is no page", "Request ID")
	s.get("/admin/users/nobody").shows(404, "There is no user")
	s.get("/admin/").leads("/admin")
	if p := s.post("/admin/nothing"); p.Code != 404 && p.Code != 405 {
		t.Error(p.Code)
	}
}

// Each section's operations exist, and no route is without a handler of its own.
func TestOperations(t *testing.T) {
	s := newSite(t)
	ops := s.console.Operations()
	for _, name := range []string{"Users", "UpdateUser", "RevokeSession", "RotateKey", "Overview"} {
		if !slices.Contains(ops, name) {
			t.Errorf("%s is missing in %v", name, ops)
		}
	}
}

func TestMailPages(t *testing.T) {
	s := newSite(t)
	s.get("/admin/mail").shows(200, "No message")
	sealer := outbox.NewSealer(s.keys)
	d := sealer.Mail(outbox.Mail{To: "a@example.com", Message: outbox.MessageTest}, s.now)
	d.State, d.LastError, d.FinishedAt, d.Attempts = outbox.Dead, "550 "+hostile, s.now, 3
	testkit.Must(t, s.db.Queue(t.Context(), d))
	s.get("/admin").shows(200, "1 message could not be delivered")
	p := s.get("/admin/mail?state=dead").shows(200, "Given up", "550 ", "Retry").wellFormed()
	p.submit("/admin/mail/" + string(d.ID) + "/retry").leads("/admin/mail?done=retried&state=dead")
	s.get("/admin/mail?done=retried&state=queued").shows(200, "queued again", "Queued")
	s.get("/admin/mail?to=b@example.com").shows(200, "No message")
	s.get("/admin/mail/test").shows(200, "value="+`"`+s.user.Email)
	s.post("/admin/mail/test", "to", "nonsense").shows(400, "is not an email address")
	s.post("/admin/mail/test", "to", "a@example.com").leads("/admin/mail?done=tested")
	s.mail.err = errServer
	s.post("/admin/mail/test", "to", "a@example.com").shows(502, "535 wrong password")
}
