package console_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// user returns an account as it is stored now.
func (s *site) stored(id identity.UserID) *identity.User {
	s.t.Helper()
	u, err := s.ops.User(s.t.Context(), s.actor(), string(id))
	testkit.Must(s.t, err)
	return u
}

func TestNewUser(t *testing.T) {
	s := newSite(t)
	s.get("/admin/users/new").shows(200, "Send an invitation by mail", `name="by" value="invite" checked`, "super_admin")
	s.post("/admin/users", "by", "link").shows(400, "Error: New user")
	s.post("/admin/users", "email", "no address", "by", "link").shows(400, `id="f-email-error"`, `href="#f-email"`, "autofocus", `value="no address"`)
	s.post("/admin/users", "email", "g@example.com", "by", "password").shows(400, "Enter a password")
	s.post("/admin/users", "email", "g@example.com", "by", "password", "password", "short").shows(400, "The password is rejected").hides("short\"")
	p := s.post("/admin/users", "email", "grace@example.com", "name", "Grace", "by", "link", "email_verified", "on", "role-admin", "on", "roles", "captain")
	p.shows(200, "https://id.example/reset-password?token=", "is not shown again", "Open the account").wellFormed()
	u := s.stored(identity.UserID(regexp.MustCompile(`/admin/users/([0-9a-f-]{36})`).FindStringSubmatch(p.Body.String())[1]))
	testkit.Equal(t, "roles", strings.Join(u.Roles, " "), "admin captain")
	testkit.Equal(t, "verified", u.EmailVerified, true)
	s.post("/admin/users", "email", "grace@example.com", "by", "link").shows(409, "Error")
	p = s.post("/admin/users", "email", "alan@example.com", "by", "password", "password", "Correct-Horse-Battery")
	u = s.stored(identity.UserID(strings.TrimSuffix(strings.TrimPrefix(p.Header().Get("Location"), "/admin/users/"), "?done=created")))
	testkit.Equal(t, "email", u.Email, "alan@example.com")
	p = s.post("/admin/users", "email", "ken@example.com", "name", "Ken", "by", "invite")
	s.get(p.Header().Get("Location")).shows(200, "The account was created", "Invited")
}

func TestEditUser(t *testing.T) {
	s := newSite(t)
	u := s.newUser("Grace Hopper", "captain")
	path := "/admin/users/" + string(u.ID)
	p := s.get(path + "/edit")
	p.shows(200, `value="Grace Hopper"`, `name="roles" type="text" value="captain"`)
	p.submit(path+"/edit", "name", "Rear Admiral Grace", "email", u.Email, "email_verified", "on", "zoneinfo", "nowhere").shows(400, `id="f-zoneinfo-error"`)
	s.get(path+"/edit").submit(path+"/edit", "name", "Rear Admiral Grace", "email", u.Email, "email_verified", "on", "must_change_password", "on", "role-admin", "on").leads(path + "?done=updated")
	got := s.stored(u.ID)
	testkit.Equal(t, "name", got.Name, "Rear Admiral Grace")
	testkit.Equal(t, "roles", strings.Join(got.Roles, " "), "admin")
	s.get(path+"?done=updated").shows(200, "The changes were saved", "To be changed", "Verified")
	s.get(path+"/edit").shows(200, `name="email_verified" type="checkbox" value="on" checked`)
	s.get("/admin/users?done=updated").shows(200)
	s.post(path+"/edit", "name", "x").shows(400, "lost its version")
	// Somebody else changes the account while the form is open.
	p = s.get(path + "/edit")
	_, err := s.ops.UpdateUser(t.Context(), s.actor(), string(u.ID), admin.UserUpdate{Fields: admin.UserPatch{Values: identity.User{Name: "Amazing Grace"}, Names: []string{"name"}}})
	testkit.Must(t, err)
	p.submit(path+"/edit", "name", "Admiral", "email", u.Email).shows(412, "Somebody changed this", "<td><bdi>Admiral</bdi></td><td><bdi>Amazing Grace</bdi></td>", "Edit what is stored now")
	testkit.Equal(t, "name", s.stored(u.ID).Name, "Amazing Grace")
}

// What is done to an account takes effect, says so, and says before what will end.
func TestUserActions(t *testing.T) {
	s := newSite(t)
	u := s.newUser("Grace Hopper")
	factor, app := s.furnish(u)
	s.newSession(u, identity.Browser{IP: "192.0.2.2", Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"})
	path := "/admin/users/" + string(u.ID)
	s.get(path).shows(200, "Firefox on Linux", "France", "Authenticator app", path+"/factors/"+factor+"/remove", path+"/apps/"+app+"/revoke", "Sign out")
	s.get(path).shows(200).hides("Stop recovery")
	s.askRecovery(u)
	s.get(path).shows(200, "Recovery possible from", path+"/stop-recovery")
	s.get(path+"/stop-recovery").shows(200, "The person can ask again", "gatehouse user stop-recovery "+string(u.ID))
	s.post(path + "/stop-recovery").leads(path + "?done=recovery")
	s.get(path+"?done=recovery").shows(200, "The request for recovery has ended").hides("Recovery possible from")
	s.post(path+"/stop-recovery").shows(409, "has no request for recovery")
	s.get(path+"/disable").shows(200, "1 browser session will end", "1 app or device will lose access", "gatehouse user disable "+string(u.ID))
	s.post(path + "/disable").leads(path + "?done=disabled")
	testkit.Equal(t, "disabled", s.stored(u.ID).Disabled, true)
	s.get(path+"?done=disabled").shows(200, "The account is disabled", "Undo", path+"/enable")
	s.post(path + "/enable").leads(path + "?done=enabled")
	s.get(path + "?done=disabled").shows(200).hides("Undo")
	s.get(path+"/factors/"+factor+"/remove").shows(200, "It is the last one")
	s.post(path + "/factors/" + factor + "/remove").leads(path + "?done=factor")
	s.post(path + "/factors/" + factor + "/remove").shows(404)
	s.furnish(u)
	s.post(path + "/reset-two-step").leads(path + "?done=two-step")
	sess := s.newSession(u, identity.Browser{})
	s.post(path + "/sessions/" + string(sess.ID) + "/revoke").leads(path + "?done=session-revoked")
	s.post(path + "/sessions/" + string(sess.ID) + "/revoke").leads(path + "?done=session-revoked")
	s.furnish(u)
	s.get(path+"/revoke-tokens").shows(200, "2 apps or devices must get new tokens", "gatehouse user revoke-tokens "+string(u.ID))
	s.post(path + "/revoke-tokens").leads(path + "?done=tokens")
	s.newSession(u, identity.Browser{})
	s.post(path + "/sign-out").leads(path + "?done=signed-out")
	s.post(path + "/revoke-access").leads(path + "?done=access")
	s.post(path + "/send-password-reset").leads(path + "?done=reset-sent")
	s.post(path + "/send-verification").leads(path + "?done=verify-sent")
	s.post(path+"/delete", "confirm", "someone else").shows(400, "to delete this account", `value="someone else"`)
	s.post(path+"/delete", "confirm", u.Email).leads("/admin/users?done=deleted")
	s.get("/admin/users?done=deleted").shows(200, "The account was deleted")
	s.get(path).shows(404)
}

func TestPassword(t *testing.T) {
	s := newSite(t)
	u := s.newUser("Grace Hopper")
	s.newSession(u, identity.Browser{})
	path := "/admin/users/" + string(u.ID) + "/password"
	s.get(path).shows(200, "1 browser session will end", "set-password "+string(u.ID)+" --password-stdin &lt; password.txt")
	s.post(path).shows(400, "Enter a password")
	s.post(path, "password", "short").shows(400)
	s.post(path, "by", "link").shows(200, "https://id.example/reset-password?token=")
	s.post(path, "password", "Correct-Horse-Battery").leads("/admin/users/" + string(u.ID) + "?done=password")
}

func TestLockedUser(t *testing.T) {
	s := newSite(t)
	u := s.newUser("Grace Hopper")
	for range 5 {
		if _, err := s.login.SignIn(t.Context(), login.Visit{Now: s.now, IP: "192.0.2.1", RequestID: "REQ1"}, login.Attempt{Kind: "password", Username: u.Email, Input: url.Values{"password": {"wrong"}}}); err == nil {
			t.Fatal("signed in")
		}
	}
	path := "/admin/users/" + string(u.ID)
	s.get("/admin/users").shows(200, "Locked")
	s.get(path).shows(200, "It can sign in again", "Failed attempts", "Unlock", "Account locked", "/admin/audit/explain?request=REQ1", "All events of this account")
	s.get("/admin").shows(200, "1 account locked", "/admin/users?status=locked")
	s.post(path + "/unlock").leads(path + "?done=unlocked")
	s.get(path).shows(200).hides("It can sign in again")
}

func TestSearchAndPages(t *testing.T) {
	s := newSite(t)
	for range 51 {
		s.newUser("Somebody")
	}
	grace := s.newUser("Grace Hopper")
	p := s.get("/admin/users").shows(200, "53 users", "Next page")
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(p.Body.String())[1]
	s.get(strings.ReplaceAll(next, "&amp;", "&")).shows(200, "First page").hides("Next page")
	s.get("/admin/users?sort=name").shows(200, `aria-sort="ascending"><a href="/admin/users?sort=-name"`)
	s.get("/admin/users?sort=-created&status=active&verified=no&role=super_admin").shows(200, `aria-sort="descending"`, "Ada Lovelace", `value="no" selected`, `name="sort" value="-created"`).hides("Somebody")
	s.get("/admin/users?role=captain").shows(200, "No user matches", `<option value="captain" selected`)
	s.get("/admin/users?sort=height").shows(400, "There is no order")
	s.get("/admin/users?search=hopper").shows(200, string(grace.ID), "1 user", "Clear").hides("Somebody")
	s.get("/admin/users?search=nothing").shows(200, "No user matches", "Show all users")
	s.get("/admin/users?search="+"%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E").shows(200, "No user matches").wellFormed()
}

func TestRoles(t *testing.T) {
	s := newSite(t)
	s.get("/admin/roles").shows(200, "super_admin", "Built in", "New role")
	s.get("/admin/roles/admin").shows(200, "Who has it", "View all accounts").hides(`id="submit"`)
	s.post("/admin/roles", "name", "two words", "scope-admin:users:read", "on").shows(400, `id="f-name-error"`, "checked")
	s.post("/admin/roles", "name", "helpdesk", "more", "nonsense").shows(400, `id="f-scopes"`)
	s.post("/admin/roles", "name", "helpdesk", "description", "<b>Helps", "scope-admin:users:read", "on").leads("/admin/roles/helpdesk?done=created")
	s.get("/admin/roles/helpdesk?done=created").shows(200, "Give it to people", "&lt;b&gt;Helps", "Delete role", "&#39;--description=&lt;b&gt;Helps&#39;").wellFormed()
	s.get("/admin/roles/helpdesk").submit("/admin/roles/helpdesk", "scope-admin:users:read", "on", "scope-admin:users:write", "on").leads("/admin/roles/helpdesk?done=updated")
	s.get("/admin/roles/helpdesk").submit("/admin/roles/helpdesk", "more", "nonsense").shows(400)
	r, err := s.ops.Role(t.Context(), s.actor(), "helpdesk")
	testkit.Must(t, err)
	testkit.Equal(t, "scopes", strings.Join(r.Scopes, " "), "admin:users:read admin:users:write")
	s.get("/admin/roles/helpdesk/delete").shows(200, "Deletes the role helpdesk")
	s.post("/admin/roles/helpdesk/delete").leads("/admin/roles?done=deleted")
	s.get("/admin/roles/admin").submit("/admin/roles/admin", "more", "x", "version", "1").shows(409)
}

func TestSessions(t *testing.T) {
	s := newSite(t)
	u := s.newUser("Grace Hopper")
	sess := s.newSession(u, identity.Browser{IP: "192.0.2.2", Agent: "Wget/1.25"})
	p := s.get("/admin/sessions").shows(200, "Grace Hopper", "Wget", "This browser", "Two-step verification", "End all of these", "2 sessions of 2 users; 2 began today.")
	s.get("/admin/sessions?ip=192.0.2.2").shows(200, "Grace Hopper").hides("This browser")
	s.get("/admin/sessions?ip=nonsense").shows(400, "is not an IP address")
	s.get("/admin/sessions?older_than=often").shows(400, "is not an age")
	s.get("/admin/sessions?user=nobody").shows(200, "No session")
	s.get("/admin/sessions?user="+string(u.ID)).shows(200, "Wget").hides("End all of these")
	p.post("/admin/sessions/"+string(sess.ID)+"/revoke", "page", "/admin/sessions?ip=192.0.2.2").leads("/admin/sessions?done=revoked&ip=192.0.2.2")
	s.get("/admin/sessions?done=revoked").shows(200, "The session has ended").hides("Wget")
	s.newSession(u, identity.Browser{IP: "192.0.2.2", Agent: "Wget/1.25"})
	s.get("/admin/sessions/end").shows(200, "Yours is one of them", "--all")
	s.get("/admin/sessions/end?older_than=1d").shows(200, "0 sessions will end")
	p = s.get("/admin/sessions/end?ip=192.0.2.0/24").shows(200, "2 sessions will end, last used at 192.0.2.0/24")
	s.newSession(u, identity.Browser{IP: "192.0.2.3"})
	p.submit("/admin/sessions/end").shows(409, "It is 3 sessions by now")
	s.get("/admin/sessions/end?ip=192.0.2.3").submit("/admin/sessions/end").leads("/admin/sessions?done=ended")
	s.get("/admin/sessions?ip=192.0.2.3").shows(200, "No session")
}

func TestKeys(t *testing.T) {
	s := newSite(t)
	s.now = time.Now() // keys leave the ring by the clock of the machine
	s.signIn(s.user)
	keys, err := s.ops.Keys(t.Context(), s.actor())
	testkit.Must(t, err)
	old := keys[0].ID
	s.get("/admin/keys").shows(200, "Signs", "Until it is rotated", "Withdraw")
	s.get("/admin/keys/rotate?alg=ES256&now=on").shows(200, "key rotate --alg=ES256 --now", "checked")
	s.post("/admin/keys/rotate", "alg", "none").shows(400, `id="f-alg-error"`)
	s.post("/admin/keys/rotate").leads("/admin/keys?done=rotated")
	testkit.Must(t, s.ring.Reload(t.Context()))
	s.get("/admin/keys?done=rotated").shows(200, "The new key is published", "Next")
	s.post("/admin/keys/rotate").shows(409, "is published already")
	s.now = s.now.Add(11 * time.Minute)
	s.get("/admin/keys").shows(200, "Retired")
	s.get("/admin/keys/"+old+"/retire").shows(200, "Every token that it signed stops working. The last of them would be valid until", "How many these are is not recorded")
	s.post("/admin/keys/" + old + "/retire").leads("/admin/keys?done=retired")
}

func TestOverview(t *testing.T) {
	s := newSite(t)
	testkit.Must(t, s.db.Record(t.Context(), audit.Event{At: s.now.Add(-time.Minute), Type: audit.LoginSucceeded, Actor: string(s.user.ID), User: string(s.user.ID), IP: "192.0.2.1"}))
	testkit.Must(t, s.db.Record(t.Context(), audit.Event{At: s.now.Add(-time.Minute), Type: audit.LoginFailed, Actor: "gone", User: "gone", Reason: "wrong_password"}))
	testkit.Must(t, s.db.CountEvents(t.Context(), s.now))
	sink, err := s.db.OpenSink(t.Context(), "syslog", s.now)
	testkit.Must(t, err)
	failing := *sink
	failing.FailingSince = s.now
	testkit.Must(t, s.db.AdvanceSink(t.Context(), sink.Position, &failing, nil))
	s.get("/admin").shows(200, "Needs attention", "1 target of the audit log cannot be reached.", "/admin/audit/sinks")
	s.get("/admin").shows(200, "Sign-ins</span><strong>1<", "4 May, 09:00: 1", "Wrong password.", "gone", "Cologne, Germany").wellFormed()
	zone := *s.user
	zone.Zoneinfo = "Europe/Berlin"
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &zone))
	s.user = &zone
	s.get("/admin?period=7d").shows(200, `aria-current="page">7 days`, "CEST")
	s.get("/admin?period=30d").shows(200, "As a table")
	s.get("/admin?period=forever").shows(400, "There is no period")
	_, err = s.ops.Overview(t.Context(), admin.Actor{}, "")
	if err == nil {
		t.Error("anybody may see the overview")
	}
}

// A bulk action does what its page said to exactly the rows that were selected, and names those
// that were refused. Nothing selected does nothing.
func TestBulk(t *testing.T) {
	s := newSite(t)
	root := s.user
	grace, ada := s.newUser("Grace Hopper"), s.newUser(hostile)
	other := s.newUser("Not selected")
	pick := func(u *identity.User) string { return "pick-" + string(u.ID) }
	s.get("/admin/users").shows(200, "With selected", pick(grace), "Export CSV")
	s.get("/admin/users/bulk?action=delete").shows(400, "No user is selected")
	s.get("/admin/users/bulk?action=explode&"+pick(grace)+"=on").shows(400, "Choose what to do")
	s.post("/admin/users/bulk", "action", "delete").shows(400, "nothing was done")
	p := s.get("/admin/users/bulk?action=lock&" + pick(grace) + "=on&" + pick(ada) + "=on&" + pick(root) + "=on&pick-gone=on")
	p.shows(200, "Lock 3 users", "Grace Hopper", "Reason").hides("Not selected").wellFormed()
	p.submit("/admin/users/bulk").shows(400, `id="f-reason-error"`)
	testkit.Equal(t, "locked", s.stored(grace.ID).LockedAt.IsZero(), true)
	p.submit("/admin/users/bulk", "reason", "Left "+hostile).shows(200, "Locked: 2 users", "1 user could not be changed", "Ada Lovelace").wellFormed()
	testkit.Equal(t, "locked", s.stored(grace.ID).LockReason, "Left "+hostile)
	testkit.Equal(t, "not locked", s.stored(other.ID).LockedAt.IsZero(), true)
	testkit.Equal(t, "not locked", s.stored(root.ID).LockedAt.IsZero(), true)
	s.get("/admin/users/"+string(grace.ID)).shows(200, "Locked.", "It stays locked").wellFormed()
	s.post("/admin/users/bulk", "action", "unlock", pick(grace), "on").shows(200, "Unlocked: 1 user")
	for _, action := range []string{"disable", "enable", "end_sessions", "delete"} {
		s.post("/admin/users/bulk", "action", action, pick(grace), "on").shows(200, ": 1 user")
	}
	s.get("/admin/users/" + string(grace.ID)).shows(404)
	s.now = s.now.Add(time.Hour) // the sign-in is too old: nothing is done before the proof
	s.post("/admin/users/bulk", "action", "delete", pick(other), "on", "page", "/admin/users/bulk?action=delete&"+pick(other)+"=on")
	testkit.Equal(t, "after the proof", s.went, "/admin/users/bulk?action=delete&"+pick(other)+"=on&draft=1")
	s.stored(other.ID)
}

func TestLockAndExport(t *testing.T) {
	s := newSite(t)
	u := s.newUser("=1+1")
	path := "/admin/users/" + string(u.ID)
	s.get(path+"/lock").shows(200, "user lock "+string(u.ID)+" --reason=REASON")
	s.post(path+"/lock").shows(400, `id="f-reason-error"`)
	s.post(path+"/lock", "reason", "stolen laptop").leads(path + "?done=locked")
	s.get(path+"?done=locked").shows(200, "Stolen laptop.", "Undo", "/unlock")
	s.post(path + "/unlock").leads(path + "?done=unlocked")
	p := s.get("/admin/users/export?search=" + u.Email)
	p.shows(200, "'=1+1").hides("Ada Lovelace")
	testkit.Equal(t, "Content-Disposition", p.Header().Get("Content-Disposition"), `attachment; filename="users.csv"`)
	s.get("/admin/users/export?status=odd").shows(400, "There is no status")
}

// All users that a filter selects are changed if they are as many as the page said; else it asks
// again. Many of them are a job that can be stopped.
func TestBulkAll(t *testing.T) {
	s := newSite(t)
	for range 52 {
		s.newUser("Somebody")
	}
	s.get("/admin/users?search=somebody").shows(200, "all 52 users, not only those on this page", `name="search" value="somebody"`)
	p := s.get("/admin/users/bulk?action=disable&all=on&search=somebody&count=1&at=1").shows(200, "Disable 52 users", "All 52 users that the filters", `name="count" value="52"`)
	s.now = s.now.Add(-time.Minute)
	s.newUser("Somebody") // which was there when the page was made, unseen
	s.now = s.now.Add(time.Minute)
	p = p.submit("/admin/users/bulk").shows(409, "selects 53 users now", "Disable 53 users")
	p.submit("/admin/users/bulk").shows(200, "Disabled: 53 users", "Done")
	s.get("/admin/users?search=somebody&status=active").shows(200, "No user matches")
	for range 450 {
		s.newUser("Somebody")
	}
	p = s.get("/admin/users/bulk?action=lock&all=on&search=somebody").submit("/admin/users/bulk", "reason", "Cleaning")
	at := p.Header().Get("Location")
	s.get(at).shows(200, "Running", "0 of 503 users", "Cleaning", "Show how far it is now", "Stop").wellFormed()
	s.post(at + "/stop").leads(at)
	s.get(at).shows(200, "Stopped").hides("Show how far it is now")
	s.get("/admin/jobs/none").shows(404)
}
