package ui_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Sessions stand under their device, the one in use first, and those from a browser that the
// account did not know when it signed in are marked.
func TestSessionsByDevice(t *testing.T) {
	s := newSite(t)
	const linux = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	home := s.browser()
	home.agent = linux
	s.enters(home)
	for _, agent := range []string{phone, linux} {
		s.now = s.now.Add(time.Minute)
		b := s.browser()
		b.agent = agent
		s.enters(b)
	}
	home.get("/account/sessions")
	home.shows(200, "This device", "New device", "Signed in 2 times", "change your password")
	page := home.last.Body.String()
	testkit.Equal(t, "marks", strings.Count(page, "New device"), 2)
	all, err := s.db.SignIns(t.Context(), s.user.ID, "", 10)
	testkit.Must(t, err)
	ev := all[0]
	ev.ID, ev.At = "", ev.At.Add(-time.Second) // the older event of a session decides
	ev.Detail = map[string]string{"country": "new"}
	testkit.Must(t, s.db.Record(t.Context(), ev))
	home.get("/account/sessions")
	home.shows(200, "New country")
	if strings.Index(page, "Signed in 2 times") > strings.Index(page, "iPhone") {
		t.Error("the device in use is not the first")
	}
}

// The device in use is shown when others have signed in later.
func TestOlderDeviceInUse(t *testing.T) {
	s := newSite(t)
	home := s.browser()
	home.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	s.enters(home)
	s.now = s.now.Add(time.Minute)
	s.enters(s.browser())
	home.get("/account/sessions")
	home.shows(200, "This device", "Firefox on Linux")
}

// A further address that rejects mail is marked on its page.
func TestFurtherAddressThatRejectsMail(t *testing.T) {
	s := newSite(t)
	s.withSignUp()
	b := s.browser()
	s.enters(b)
	email := s.fresh()
	s.addEmail(email)
	b.get("/account/email")
	b.hides("Mail is rejected")
	testkit.Must(t, s.db.MarkAddress(t.Context(), &outbox.Delivery{To: email, FinishedAt: s.now, LastError: "550 no"}))
	b.get("/account/email")
	b.shows(200, "Mail is rejected")
}

// The chooser shows the pictures that people have uploaded, and none of other servers.
func TestChooserShowsPictures(t *testing.T) {
	s := newSite(t)
	other := s.newUser()
	b := s.browser()
	s.enters(b)
	b.signIn(other)
	for picture, shown := range map[string]bool{origin + "/account/pictures/abc": true, "https://elsewhere.example/p.png": false} {
		u, err := s.db.User(t.Context(), s.user.ID)
		testkit.Must(t, err)
		next := *u
		next.Picture = picture
		testkit.Must(t, s.db.UpdateUser(t.Context(), u, &next))
		b.get("/chooser")
		b.shows(200)
		page := b.last.Body.String()
		testkit.Equal(t, picture, strings.Contains(page, `<img src="/account/pictures/abc"`), shown)
		if strings.Contains(page, "elsewhere") {
			t.Error("another server learns who signs in")
		}
	}
}
