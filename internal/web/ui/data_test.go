package ui_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// atlas knows one network.
type atlas struct{}

func (atlas) Find(ip string) visitor.Place {
	if ip != "192.0.2.1" {
		return visitor.Place{}
	}
	return visitor.Place{
		Country:   "DE",
		Countries: map[string]string{"en": "Germany", "de": "Deutschland"},
		Cities:    map[string]string{"en": "Cologne", "de": "Köln"},
	}
}

// withNotices serves a site that sends notices of new sign-ins.
func (s *site) withNotices(more ...func(*login.Config)) {
	s.login = s.newLogin(func(c *login.Config) {
		c.Mail, c.BaseURL, c.ResetTTL, c.ResetLimit, c.ResetWindow = true, origin, time.Hour, 3, time.Hour
		c.NotifyNew, c.Places = true, atlas{}
		for _, change := range more {
			change(c)
		}
	})
	s.serve()
}

// letters returns the messages of a kind that the site's user was sent.
func (s *site) letters(message string) (all []outbox.Mail) {
	s.t.Helper()
	sealer := outbox.NewSealer(s.keys)
	list, err := s.db.ListDeliveries(s.t.Context(), outbox.Query{Kind: outbox.KindMail, To: s.user.Email, Limit: 100})
	testkit.Must(s.t, err)
	for _, x := range list {
		d, err := s.db.Delivery(s.t.Context(), x.ID)
		testkit.Must(s.t, err)
		m, err := sealer.OpenMail(d)
		testkit.Must(s.t, err)
		if m.Message == message {
			all = append(all, *m)
		}
	}
	return all
}

// enters signs the site's user in with the password.
func (s *site) enters(b *browser) {
	s.t.Helper()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
}

// A person gets a notice, looks at the sign-in, and ends it.
func TestThisWasNotMe(t *testing.T) {
	s := newSite(t)
	s.withNotices()
	home := s.browser()
	s.enters(home)
	home.shows(200, "Ada")
	thief := s.browser()
	thief.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
	s.enters(thief)
	thief.shows(200, "Ada")
	all := s.letters(outbox.MessageNewSession)
	testkit.Equal(t, "notices", len(all), 1)
	testkit.Equal(t, "program", all[0].Values["program"], "Firefox")
	link := strings.TrimPrefix(all[0].Values["link"], origin)

	// Programs that look at mail open links; they have no cookies and change nothing.
	for _, method := range []string{"HEAD", "GET", "HEAD", "GET"} {
		w := s.browser().send(httptest.NewRequest(method, origin+link, nil))
		testkit.Equal(t, method, w.Code, 303)
		testkit.Equal(t, "the token leaves the address line", w.Header().Get("Location"), login.PageDisown)
	}
	thief.get("/account")
	thief.shows(200, "Ada")

	mailbox := s.browser() // another browser, not signed in
	mailbox.get(link)
	mailbox.shows(200, "Was this not you?", "Firefox on Linux", s.user.Email)
	mailbox.submit()
	mailbox.shows(200, "Everyone is signed out", "Open the link that we sent")
	for _, b := range []*browser{home, thief} {
		b.get("/account")
		b.shows(200, "Sign in")
	}
	s.enters(thief)
	thief.shows(403)
	testkit.Equal(t, "links for a new password", len(s.letters(outbox.MessagePasswordReset)), 1)
	mailbox.get(link)
	mailbox.shows(409)
	mailbox.get(login.PageDisown)
	mailbox.shows(409)
	mailbox.get(login.PageDisown + "?token=x")
	mailbox.shows(409)
}

// addEmail adds a further address to the account of the site's user, as its confirmation does.
func (s *site) addEmail(email string) {
	s.t.Helper()
	c := s.waiting(login.ConfirmAdd, email)
	testkit.Must(s.t, s.db.AddEmail(s.t.Context(), c.ID, 5, s.now))
}

// waiting stores an address of the site's user that waits for its confirmation.
func (s *site) waiting(kind, email string) *login.Confirmation {
	s.t.Helper()
	c := &login.Confirmation{
		ID:        secret.NewID(s.now),
		Kind:      kind,
		User:      s.user.ID,
		Email:     email,
		Token:     secret.Hash(secret.NewID(s.now)),
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(24 * time.Hour),
	}
	testkit.Must(s.t, s.db.PutConfirmation(s.t.Context(), c, 1e6, nil))
	return c
}

// addPasskey adds a passkey to the account that a browser is signed in to.
func (a *authenticator) addPasskey(b *browser) {
	b.t.Helper()
	b.post("/account/security/passkeys/add", nil)
	b.submit("passkey", a.make(b), "passkey_name", "")
	b.shows(200, "Your passkey was added.")
}

// disownSite returns a site with passkeys and notices, and the link in the notice of a sign-in by
// somebody else, whose browser it returns too. The owner has added an address and passkey before.
func disownSite(t *testing.T) (s *site, owner *authenticator, thief *browser, link string) {
	t.Helper()
	s, owner = newSite(t), newAuthenticator(true)
	rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
	testkit.Must(t, err)
	s.withNotices(func(c *login.Config) { c.Methods, c.Passkeys = []string{"password", "passkey"}, rp })
	home := s.browser()
	s.enters(home)
	s.addEmail("own-" + s.fresh())
	owner.addPasskey(home)
	s.now = s.now.Add(time.Minute)
	thief = s.browser()
	s.enters(thief)
	thief.shows(200, "Ada")
	link = strings.TrimPrefix(s.letters(outbox.MessageNewSession)[0].Values["link"], origin)
	s.now = s.now.Add(time.Second)
	return s, owner, thief, link
}

// The ways into the account that somebody else has added end with the sign-in: addresses, requests
// to change them, links mailed to them, and passkeys. What the owner had before stays.
func TestThisWasNotMeEndsWhatWasAdded(t *testing.T) {
	s, owner, thief, link := disownSite(t)
	ctx, added := t.Context(), newAuthenticator(true)
	s.addEmail("thief-" + s.fresh())
	for _, kind := range []string{login.ConfirmAdd, login.ConfirmChange, login.ConfirmUndo} {
		s.waiting(kind, kind+"-"+s.fresh())
	}
	mailed := secret.Hash(secret.NewID(s.now))
	testkit.Must(t, s.db.PutLink(ctx, mailed, &login.Link{
		Kind: login.LinkPassword, User: s.user.ID, CreatedAt: s.now, ExpiresAt: s.now.Add(time.Hour),
	}))
	added.addPasskey(thief)

	mailbox := s.browser()
	mailbox.get(link)
	mailbox.submit()
	mailbox.shows(200, "Everyone is signed out")
	emails, err := s.db.UserEmails(ctx, s.user.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "further addresses", len(emails), 1)
	testkit.Equal(t, "the owner's stays", strings.HasPrefix(emails[0].Email, "own-"), true)
	waiting, err := s.db.UserConfirmations(ctx, s.user.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "addresses that wait", len(waiting), 0)
	_, err = s.db.Link(ctx, mailed, s.now)
	testkit.Equal(t, "the mailed link ended", fault.Is(err, fault.NotFound), true)
	thief = s.browser()
	thief.get("/login")
	added.signIn(thief)
	thief.shows(403, "This passkey was removed")
	home := s.browser()
	home.get("/login")
	owner.signIn(home)
	home.shows(200, "Hello, ")

	events, err := s.db.ListAudit(ctx, store.AuditQuery{
		User: string(s.user.ID), Type: audit.SignInDisowned,
	})
	testkit.Must(t, err)
	testkit.Equal(t, "addresses in the log", events[0].Detail["emails_removed"], "1")
	testkit.Equal(t, "passkeys in the log", events[0].Detail["passkeys_removed"], "1")
}

// An old mailbox removes nothing from an account that has another address now.
func TestThisWasNotMeOfAMovedAccountRemovesNothing(t *testing.T) {
	s, _, thief, link := disownSite(t)
	s.addEmail("later-" + s.fresh())
	added := newAuthenticator(true)
	added.addPasskey(thief)
	moved := *s.user
	moved.Email = "moved-" + s.fresh()
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &moved))
	mailbox := s.browser()
	mailbox.get(link)
	mailbox.submit()
	emails, err := s.db.UserEmails(t.Context(), s.user.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "further addresses", len(emails), 2)
	creds, err := s.db.Credentials(t.Context(), s.user.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "passkeys", len(creds), 2)
}

// Where nobody signs in with a password, the last way into an account stays; passkeys beside the
// owner's end.
func TestThisWasNotMeKeepsTheLastWayIn(t *testing.T) {
	for _, alone := range []bool{true, false} {
		s, _, thief, link := disownSite(t)
		ctx := t.Context()
		if alone {
			creds, err := s.db.Credentials(ctx, s.user.ID)
			testkit.Must(t, err)
			testkit.Must(t, s.db.DeleteCredential(ctx, s.user.ID, creds[0].ID, ""))
		}
		newAuthenticator(true).addPasskey(thief)
		rp, err := passkey.New(passkey.Config{Name: "Example", Origin: origin})
		testkit.Must(t, err)
		s.withNotices(func(c *login.Config) { c.Methods, c.Passkeys = []string{"passkey"}, rp })
		mailbox := s.browser()
		mailbox.get(link)
		mailbox.submit()
		creds, err := s.db.Credentials(ctx, s.user.ID)
		testkit.Must(t, err)
		testkit.Equal(t, "passkeys", len(creds), 1)
		testkit.Equal(t, "the added one stays", creds[0].CreatedAt.Equal(s.now), alone)
	}
}

// Where messages are shown in the browser, the page leads there.
func TestThisWasNotMeInDevelopment(t *testing.T) {
	s := newSite(t)
	s.mailbox = shelf{}
	s.withNotices()
	s.enters(s.browser())
	s.enters(s.browser())
	b := s.browser()
	b.get(strings.TrimPrefix(s.letters(outbox.MessageNewSession)[0].Values["link"], origin))
	b.submit()
	b.shows(200, `href="/dev/mail"`)
}

// shelf is a mailbox with nothing in it.
type shelf struct{}

func (shelf) Letters() []ui.Letter { return nil }

func (shelf) Letter(string) (*ui.Letter, error) { return nil, fault.New(fault.NotFound, "none") }

// The button is not pressed by other sites, and not too often.
func TestThisWasNotMeIsLimited(t *testing.T) {
	s := newSite(t)
	s.withNotices()
	b := s.browser()
	b.post(login.PageDisown, url.Values{"token": {"x"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	b.shows(403)
	s.limiter.full = true
	b.post(login.PageDisown, url.Values{"token": {"x"}})
	b.shows(429)
}

// The history shows who has tried to sign in, page by page.
func TestSignInHistory(t *testing.T) {
	s := newSite(t)
	s.withNotices()
	b := s.browser()
	b.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
	b.get(s.ask())
	b.submit("username", s.user.Email, "password", "password")
	other := s.browser()
	for range 3 {
		other.get("/login")
		other.submit("username", s.user.Email, "password", "wrong password")
	}
	s.enters(s.browser())
	b.get("/account/security/sign-ins")
	b.shows(200, "Recent sign-ins", "Firefox on Linux", "Cologne, Germany", "192.0.2.1", "Failed attempt", "New device", "Password", "Demo")
	if strings.Contains(b.last.Body.String(), "Older") {
		t.Error("a link to a page that is empty")
	}
	b.get("/account/sessions")
	b.shows(200, "Cologne, Germany")

	for range 30 {
		s.now = s.now.Add(time.Minute)
		s.enters(s.browser())
	}
	at := s.now.Add(time.Second)
	testkit.Must(t, s.db.Record(t.Context(),
		audit.Event{At: at, Type: audit.LoginFailed, User: string(s.user.ID), Detail: map[string]string{"count": "1234"}},
		audit.Event{At: at, Type: audit.LoginSucceeded, User: string(s.user.ID), Detail: map[string]string{"step_up": "true", "country": "new"}},
	))
	b = s.signedIn(s.user)
	b.get("/account/security/sign-ins")
	b.shows(200, "1234 failed attempts", "Confirmed again", "New country", "Unknown device")
	b.get(b.link("/account/security/sign-ins?before="))
	b.shows(200, "Newest", "Failed attempt")
	stranger := s.newUser()
	mine := s.signedIn(stranger)
	mine.get(b.path)
	mine.shows(200, "There are no sign-ins to show.")
}

// A copy of the data needs the password and the second factor, and has no secrets in it.
func TestDownload(t *testing.T) {
	s := newSite(t)
	s.withNotices()
	s.enters(s.browser())
	key, backup := s.enroll(s.user)
	other := s.newUser()
	s.enters(s.browser()) // a sign-in that waits for the second factor
	b := s.signedIn(s.user)
	b.get("/account/data")
	b.shows(200, "Your data", "Download", "Code from your authenticator app")
	for _, form := range []url.Values{{}, {"current_password": {"password"}}, {"current_password": {"wrong"}, "code": {totp(t, key, s.now)}}} {
		b.post("/account/data/download", form)
		if b.last.Code < 400 || strings.Contains(b.last.Header().Get("Content-Type"), "json") {
			t.Errorf("%v: %d", form, b.last.Code)
		}
	}
	b.shows(403, `id="f-download_password-error"`)
	s.now = s.now.Add(time.Minute)
	b.post("/account/data/download", url.Values{"current_password": {"password"}, "code": {totp(t, key, s.now)}})
	b.shows(200)
	h := b.last.Header()
	testkit.Equal(t, "disposition", h.Get("Content-Disposition"), `attachment; filename="account-data.json"`)
	testkit.Equal(t, "caching", h.Get("Cache-Control"), "no-store")
	text := b.last.Body.String()
	var doc map[string]any
	testkit.Must(t, json.Unmarshal([]byte(text), &doc))
	for _, name := range []string{"account", "profile", "second_factors", "sessions", "sign_ins"} {
		if doc[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, bad := range append(backup, "$argon2", "gth_", strings.ReplaceAll(key, " ", ""), "sealed", "hash", other.Email) {
		if strings.Contains(text, bad) {
			t.Errorf("the copy has %q in it", bad)
		}
	}
	if !strings.Contains(text, s.user.Email) {
		t.Error("the copy lacks the address of the person")
	}
	testkit.Equal(t, "notices", len(s.letters(outbox.MessageDataExported)), 1)

	// By no link, no token, no other site.
	b.get("/account/data/download")
	b.shows(405)
	r := httptest.NewRequest("POST", origin+"/account/data/download", nil)
	r.Header.Set("Authorization", "Bearer x")
	if w := s.browser().send(r); w.Code == 200 {
		t.Error("a bearer token got a copy")
	}
	s.limiter.full = true
	b.post("/account/data/download", url.Values{"current_password": {"password"}})
	b.shows(429)
}

// A person deletes the account, thinks better of it, and deletes it for good.
func TestDeletion(t *testing.T) {
	s := newSite(t)
	s.withNotices()
	b, phone := s.signedIn(s.user), s.signedIn(s.user)
	b.get("/account/data")
	b.shows(200, "Delete your account", "after 14 days")
	b.post("/account/data/delete", url.Values{"current_password": {"wrong"}})
	b.shows(403, `id="f-delete_password-error"`, "<details open>")
	b.post("/account/data/delete", url.Values{"current_password": {"password"}})
	b.shows(200, "Your account will be deleted", "18 May 2026")
	testkit.Equal(t, "messages", len(s.letters(outbox.MessageDeletionRequested)), 1)
	for _, x := range []*browser{b, phone} {
		x.get("/account")
		x.shows(200, "Sign in")
	}

	s.enters(b)
	b.shows(200, "This account will be deleted", s.user.Email, "Keep my account")
	b.get("/account")
	b.shows(200, "Sign in") // nothing else
	b.get(s.ask())
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, "Keep my account")
	b.submit()
	b.shows(200, "Demo") // the sign-in goes on
	b.get("/account")
	b.shows(200, "Ada")
	testkit.Equal(t, "messages", len(s.letters(outbox.MessageDeletionCancelled)), 1)
	b.get("/login/deletion")
	b.shows(200, "Ada")

	b.get("/account/data")
	b.post("/account/data/delete", url.Values{"current_password": {"password"}})
	b.shows(200, "Your account will be deleted")
	s.now = s.now.Add(13 * 24 * time.Hour)
	testkit.Must(t, s.account.EraseDue(t.Context(), s.now))
	testkit.Must(t, s.account.EraseDue(t.Context(), s.now))
	testkit.Equal(t, "reminders", len(s.letters(outbox.MessageDeletionSoon)), 1)
	s.now = s.now.Add(24 * time.Hour)
	testkit.Must(t, s.account.EraseDue(t.Context(), s.now))
	s.enters(b)
	b.shows(403)
	testkit.Equal(t, "messages", len(s.letters(outbox.MessageAccountDeleted)), 1)
	testkit.Equal(t, "older messages", len(s.letters(outbox.MessageDeletionSoon)), 0)
}

// Without a grace, the page says that the end comes at once.
func TestDeletionAtOnce(t *testing.T) {
	s := newSite(t)
	s.grace = 0
	s.serve()
	b := s.signedIn(s.user)
	b.get("/account/data")
	b.shows(200, "deleted at once")
}

// upload sends a file as the form of the profile page does.
func (b *browser) upload(name string, data []byte) {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile(name, "me.png")
	testkit.Must(b.t, err)
	_, err = part.Write(data)
	testkit.Must(b.t, err)
	testkit.Must(b.t, form.Close())
	r := httptest.NewRequest("POST", origin+"/account/profile/picture", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if w := b.send(r); w.Code == http.StatusSeeOther {
		b.get(w.Header().Get("Location"))
	}
}

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = 255
	}
	m.Set(0, 0, color.Black)
	var buf bytes.Buffer
	testkit.Must(t, png.Encode(&buf, m))
	return buf.Bytes()
}

// A person uploads a picture, which apps can show, replaces it, and removes it.
func TestPicture(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get("/account/profile")
	b.shows(200, "Choose a picture", `type="file"`)
	b.upload("picture", pngOf(t, 300, 200))
	b.shows(200, "Your picture was changed.", `<img src="`+origin+"/account/pictures/")
	first := s.pictureOf(t)
	w := s.browser().send(httptest.NewRequest("GET", first, nil))
	testkit.Equal(t, "status", w.Code, 200)
	for name, want := range map[string]string{
		"Content-Type": "image/jpeg", "Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "public, max-age=31536000, immutable", "Cross-Origin-Resource-Policy": "cross-origin",
	} {
		testkit.Equal(t, name, w.Header().Get(name), want)
	}
	c, _, err := image.DecodeConfig(w.Body)
	testkit.Must(t, err)
	testkit.Equal(t, "size", c.Width*1000+c.Height, 256256)

	b.upload("picture", pngOf(t, 20, 20))
	b.shows(200, "Your picture was changed.")
	if s.pictureOf(t) == first {
		t.Error("another picture has the same address")
	}
	b.get(strings.TrimPrefix(first, origin))
	b.shows(404)
	b.get("/account/pictures/x")
	b.shows(404)
	b.post("/account/profile/picture/remove", nil)
	b.shows(200, "Your picture was removed.")
	testkit.Equal(t, "picture", s.pictureOf(t), "")
	b.post("/account/profile/picture/remove", nil)
	b.shows(200)
}

func (s *site) pictureOf(t *testing.T) string {
	t.Helper()
	u, err := s.db.User(t.Context(), s.user.ID)
	testkit.Must(t, err)
	return u.Picture
}

// What is not a picture, or too large, is said at the field.
func TestPictureRejected(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for name, data := range map[string][]byte{
		"nothing": nil, "SVG": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "damaged": pngOf(t, 9, 9)[:40],
		"too large": append(pngOf(t, 9, 9), make([]byte, 5<<20)...), "huge": make([]byte, 33<<20),
	} {
		t.Run(name, func(t *testing.T) {
			b.upload("picture", data)
			b.shows(400, `id="f-picture-error"`)
		})
	}
	b.upload("other", pngOf(t, 9, 9))
	b.shows(400, "Choose a picture to upload.")
	b.post("/account/profile/picture", url.Values{"picture": {"x"}})
	b.shows(400)
	s.browser().upload("picture", pngOf(t, 9, 9))
	stranger := s.browser()
	stranger.upload("picture", pngOf(t, 9, 9))
	stranger.shows(200, "Sign in")
	testkit.Equal(t, "picture", s.pictureOf(t), "")
}

// Mail that does not arrive is said on every page of the account.
func TestMailRejectedBanner(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get("/account")
	if strings.Contains(b.last.Body.String(), "does not arrive") {
		t.Error("there is nothing to say")
	}
	testkit.Must(t, s.db.MarkAddress(t.Context(), &outbox.Delivery{
		Kind: outbox.KindMail, To: s.user.Email, FinishedAt: s.now, LastError: "550 5.1.1 <no> such mailbox",
	}))
	for _, path := range []string{"/account", "/account/profile", "/account/data"} {
		b.get(path)
		b.shows(200, "does not arrive", s.user.Email, "550 5.1.1 &lt;no&gt; such mailbox", `href="/account/email"`)
	}
}

// The language of a person is one of ours, or one that an administrator has set.
func TestLanguageOfTheProfile(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get("/account/profile")
	b.shows(200, `<option value="" selected>`, `<option value="de" lang="de">Deutsch</option>`)
	changed := *s.user
	changed.Locale = "de-CH"
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &changed))
	b.get("/account/profile")
	b.shows(200, `<option value="de-CH" lang="de-CH" selected>de-CH</option>`)
}
