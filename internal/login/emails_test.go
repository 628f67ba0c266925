package login_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (w *town) request(u *identity.User, kind, email string) outbox.Mail {
	w.Helper()
	testkit.Must(w.T, w.s.RequestEmail(w.Context(), w.visit(), u, kind, email, false))
	return w.one(outbox.MessageEmailConfirm, email)
}

func (w *town) factor(u *identity.User) func() string {
	w.Helper()
	e, err := w.s.Enroll(w.Context(), w.visit(), u, "totp", "")
	testkit.Must(w.T, err)
	code := app(w.T, e)
	_, err = w.s.ConfirmEnrollment(w.Context(), w.visit(), u, "totp", url.Values{"enrollment": {e.Token}, "code": {code(w.now)}})
	testkit.Must(w.T, err)
	return func() string {
		w.now = w.now.Add(time.Minute)
		return code(w.now)
	}
}

// The old address counts until the new mailbox has answered, and only the last wish can be granted.
func TestChangeOfEmail(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("old@example.com", nil)
	testkit.Must(t, w.s.RequestEmail(t.Context(), w.visit(), u, login.ConfirmChange, "typo@example.com", false))
	sent := w.deliver()
	testkit.Equal(t, "messages", len(sent), 2) // the notice to the old address comes at once
	var first outbox.Mail
	for _, m := range sent {
		if m.Message == outbox.MessageEmailConfirm {
			first = m
		} else if m.Message != outbox.MessageEmailChange || m.To != "old@example.com" || m.Values["email"] != "typo@example.com" {
			t.Errorf("got %+v", m)
		}
	}
	second := w.request(u, login.ConfirmChange, "new@example.com")
	got := w.read(u.ID)
	if got.Email != "old@example.com" || !got.EmailVerified {
		t.Fatalf("the wish has changed the account: %+v", got)
	}
	w.wants(w.s.ConfirmByLink(t.Context(), w.visit(), u, token(first)), fault.Consumed, "used already")
	other := w.user("other@example.com", nil)
	w.wants(w.s.ConfirmByLink(t.Context(), w.visit(), other, token(second)), fault.Denied, "another account")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(second)))
	got = w.read(u.ID)
	if got.Email != "new@example.com" || !got.EmailVerified {
		t.Fatalf("got %+v", got)
	}
	notified := map[string]string{}
	for _, m := range w.deliver() {
		notified[m.To] = m.Message
	}
	testkit.Equal(t, "old mailbox", notified["old@example.com"], outbox.MessageEmailUndo)
	testkit.Equal(t, "new mailbox", notified["new@example.com"], outbox.MessageEmailChanged)
	testkit.Equal(t, "notified", len(notified), 2)
}

// A wish for another account's address looks like any other, and its owner hears of it.
func TestChangeToATakenAddress(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("ada@example.com", nil)
	w.user("bo@example.com", nil)
	testkit.Must(t, w.s.RequestEmail(t.Context(), w.visit(), u, login.ConfirmAdd, "BO@example.com", false))
	w.one(outbox.MessageAddressInUse, "bo@example.com")

	// Taken between the wish and its confirmation.
	m := w.request(u, login.ConfirmChange, "cy@example.com")
	w.user("cy@example.com", nil)
	w.wants(w.s.ConfirmByLink(t.Context(), w.visit(), u, token(m)), fault.Consumed, "another account")
	testkit.Equal(t, "address", w.read(u.ID).Email, "ada@example.com")
	for _, bad := range []string{"", "x", "ada@example.com", "ADA@example.com", "a@b\u202ec.example"} {
		w.wants(w.s.RequestEmail(t.Context(), w.visit(), u, login.ConfirmChange, bad, false), fault.Invalid, "")
	}
}

// The old mailbox undoes the change: with the password as it was, even if it was changed since.
// Addresses and factors added since are deleted, and all access ends.
func TestUndoChangeOfEmail(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("old@example.com", nil)
	m := w.request(u, login.ConfirmChange, "thief@example.com")
	w.now = w.now.Add(time.Minute)
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(m)))
	undo := token(w.one(outbox.MessageEmailUndo, "old@example.com"))

	// The thief goes on: another password, a second factor, one more address.
	w.now = w.now.Add(time.Minute)
	u = w.read(u.ID)
	testkit.Must(t, w.s.ChangePassword(t.Context(), w.visit(), u, login.Change{Current: phrase, New: phrase2}))
	u = w.read(u.ID)
	w.factor(u)
	more := w.request(u, login.ConfirmAdd, "thief2@example.com")
	testkit.Must(t, w.s.ConfirmByCode(t.Context(), w.visit(), u, "thief2@example.com", more.Values["code"]))

	_, err := w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase2}})
	w.wants(err, fault.Denied, "Incorrect password")
	_, err = w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"code": {"123456"}})
	w.wants(err, fault.Invalid, "Enter your password")
	_, err = w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase}})
	testkit.Must(t, err)
	got := w.read(u.ID)
	if got.Email != "old@example.com" || !got.EmailVerified {
		t.Fatalf("got %+v", got)
	}
	others, err := w.db.UserEmails(t.Context(), u.ID)
	testkit.Must(t, err)
	creds, err := w.db.Credentials(t.Context(), u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "addresses and factors of the thief", len(others)+len(creds), 0)
	_, err = w.signIn("thief@example.com", phrase2)
	w.wants(err, fault.Denied, "Incorrect")
	st, err := w.signIn("old@example.com", phrase)
	testkit.Must(t, err)
	if st.Done == nil {
		t.Fatalf("got %+v", st)
	}
	_, err = w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase}})
	w.wants(err, fault.Consumed, "used already")
}

// A thief who changes the password first, adds a second factor, and then changes the address does
// not keep the owner out: the password of three days before counts, and what was added since ends.
func TestUndoAfterThePasswordWasChanged(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("old@example.com", nil)
	w.now = w.now.Add(30 * 24 * time.Hour)
	testkit.Must(t, w.s.ChangePassword(t.Context(), w.visit(), w.read(u.ID), login.Change{Current: phrase, New: phrase2}))
	w.now = w.now.Add(time.Minute)
	w.factor(w.read(u.ID))
	w.now = w.now.Add(time.Hour)
	m := w.request(w.read(u.ID), login.ConfirmChange, "thief@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), w.read(u.ID), token(m)))
	undo := token(w.one(outbox.MessageEmailUndo, "old@example.com"))
	w.now = w.now.Add(time.Hour)
	testkit.Must(t, w.s.ChangePassword(t.Context(), w.visit(), w.read(u.ID), login.Change{Current: phrase2, New: phrase3}))

	// The mailbox alone is not enough, nor is a password of later.
	for _, wrong := range []string{"", "Seven otters", phrase3} {
		_, err := w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {wrong}})
		if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.Invalid) {
			t.Fatalf("%q: got %v", wrong, err)
		}
	}
	_, err := w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase}})
	testkit.Must(t, err)
	for _, thief := range []string{phrase2, phrase3} {
		_, err := w.signIn("old@example.com", thief)
		w.wants(err, fault.Denied, "Incorrect")
	}
	st, err := w.signIn("old@example.com", phrase)
	testkit.Must(t, err)
	if st.Done == nil {
		t.Fatalf("the second factor of the thief is left: %+v", st)
	}
}

// Whoever has the mailbox alone, and set a password by it which the owner replaced, undoes nothing:
// of the passwords between, none counts.
func TestUndoByTheMailboxAlone(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("old@example.com", nil)
	w.now = w.now.Add(30 * 24 * time.Hour)
	for _, next := range []string{phrase2, phrase3} { // the stranger's, then the owner's
		testkit.Must(t, w.s.RequestPasswordReset(t.Context(), w.visit(), "old@example.com", ""))
		_, err := w.s.UsePasswordLink(t.Context(), w.visit(), token(w.one(outbox.MessagePasswordReset, "old@example.com")), next)
		testkit.Must(t, err)
		w.now = w.now.Add(time.Minute)
	}
	m := w.request(w.read(u.ID), login.ConfirmChange, "new@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), w.read(u.ID), token(m)))
	undo := token(w.one(outbox.MessageEmailUndo, "old@example.com"))
	_, err := w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase2}})
	w.wants(err, fault.Denied, "Incorrect password")
	_, err = w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase3}})
	testkit.Must(t, err)
	_, err = w.signIn("old@example.com", phrase3)
	testkit.Must(t, err)
}

// Undoing needs no password where a second factor proves the owner, ends after 72 hours, and is not
// offered to a person who lost the old mailbox.
func TestUndoByFactorAndItsEnd(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("old@example.com", nil)
	code := w.factor(u)
	m := w.request(u, login.ConfirmChange, "new@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(m)))
	undo := token(w.one(outbox.MessageEmailUndo, "old@example.com"))
	typed := code()
	_, err := w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"code": {typed}})
	testkit.Must(t, err)

	u = w.read(u.ID)
	m = w.request(u, login.ConfirmChange, "new@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(m)))
	undo = token(w.one(outbox.MessageEmailUndo, "old@example.com"))
	w.now = w.now.Add(72*time.Hour + time.Second)
	_, err = w.s.UndoEmail(t.Context(), w.visit(), undo, url.Values{"password": {phrase}})
	w.wants(err, fault.Consumed, "expired")

	u = w.read(u.ID)
	testkit.Must(t, w.s.RequestEmail(t.Context(), w.visit(), u, login.ConfirmChange, "third@example.com", true))
	m = w.one(outbox.MessageEmailConfirm, "third@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(m)))
	for _, m := range w.deliver() {
		if strings.Contains(m.Values["link"], "undo") {
			t.Errorf("got %+v", m)
		}
	}
}

// A person has several addresses: signs in with each, is notified at each, and gets a reset at
// each.
func TestSeveralAddresses(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("one@example.com", nil)
	m := w.request(u, login.ConfirmAdd, "two@example.com")
	_, err := w.signIn("two@example.com", phrase)
	w.wants(err, fault.Denied, "Incorrect") // not before it is confirmed
	testkit.Must(t, w.s.ConfirmByCode(t.Context(), w.visit(), u, "two@example.com", m.Values["code"]))
	_, err = w.signIn("TWO@example.com", phrase)
	testkit.Must(t, err)
	w.deliver()
	err = w.db.CreateUser(t.Context(), &identity.User{ID: "x", Email: "two@example.com", CreatedAt: w.now})
	w.wants(err, fault.Conflict, "another account")
	w.signUp("two@example.com")
	w.one(outbox.MessageAddressInUse, "two@example.com")

	testkit.Must(t, w.s.RequestPasswordReset(t.Context(), w.visit(), "Two@example.com", ""))
	w.one(outbox.MessagePasswordReset, "two@example.com")

	testkit.Must(t, w.s.MakePrimary(t.Context(), w.visit(), u, "two@example.com"))
	notified := w.deliver()
	testkit.Equal(t, "notified", len(notified), 2)
	u = w.read(u.ID)
	testkit.Equal(t, "primary", u.Email, "two@example.com")
	all, err := w.s.VerifiedEmails(t.Context(), u)
	testkit.Must(t, err)
	testkit.Equal(t, "addresses", strings.Join(all, " "), "two@example.com one@example.com")
	testkit.Must(t, w.s.RemoveEmail(t.Context(), w.visit(), u, "ONE@example.com"))
	testkit.Equal(t, "notified", len(w.deliver()), 2)
	w.wants(w.s.RemoveEmail(t.Context(), w.visit(), u, "two@example.com"), fault.NotFound, "no such address")
	_, err = w.signIn("one@example.com", phrase)
	w.wants(err, fault.Denied, "Incorrect")
}

// Usernames change by their rules, and a former one stays its owner's for a while.
func TestChangeOfUsername(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("ada@example.com", func(u *identity.User) { u.Username = "ada" })
	bo := w.user("bo@example.com", func(u *identity.User) { u.Username = "bo" })
	for _, bad := range []string{"a@b", "a b", "ada", "ad\u200ba"} {
		w.wants(w.s.ChangeUsername(t.Context(), w.visit(), u, bad), fault.Invalid, "")
	}
	w.wants(w.s.ChangeUsername(t.Context(), w.visit(), u, "BO"), fault.Invalid, "taken")
	testkit.Must(t, w.s.ChangeUsername(t.Context(), w.visit(), u, "countess"))
	w.one(outbox.MessageUsernameChanged, "ada@example.com")
	w.wants(w.s.ChangeUsername(t.Context(), w.visit(), bo, "Ada"), fault.Invalid, "taken")
	_, err := w.signIn("countess", phrase)
	testkit.Must(t, err)
	u = w.read(u.ID)
	testkit.Must(t, w.s.ChangeUsername(t.Context(), w.visit(), u, "ada")) // back
	for i, name := range []string{"ada2", "ada3", "ada4"} {
		u = w.read(u.ID)
		err := w.s.ChangeUsername(t.Context(), w.visit(), u, name)
		if i < 2 {
			testkit.Must(t, err)
		} else {
			w.wants(err, fault.Limited, "too often")
		}
	}
	w.now = w.now.Add(91 * 24 * time.Hour)
	testkit.Must(t, w.s.ChangeUsername(t.Context(), w.visit(), w.read(bo.ID), "Ada"))
}

// A reset by mail proves the mailbox. If nobody vouched for the address, earlier sessions and
// factors are deleted; if it was proved, the second factor is still required.
func TestResetProvesTheMailbox(t *testing.T) {
	for name, stranger := range map[string]bool{"vouched": false, "stranger": true} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, nil)
			u := w.user("ada@example.com", func(u *identity.User) { u.EmailVerified, u.MustVerify = false, stranger })
			w.factor(u)
			testkit.Must(t, w.s.RequestPasswordReset(t.Context(), w.visit(), "ada@example.com", ""))
			m := w.one(outbox.MessagePasswordReset, "ada@example.com")
			_, err := w.s.UsePasswordLink(t.Context(), w.visit(), token(m), phrase2)
			testkit.Must(t, err)
			got := w.read(u.ID)
			if !got.EmailVerified || got.MustVerify {
				t.Errorf("got %+v", got)
			}
			st, err := w.signIn("ada@example.com", phrase2)
			testkit.Must(t, err)
			if (st.Next == login.StepFactor) == stranger {
				t.Errorf("got %+v", st)
			}
			sessions, err := w.db.UserSessions(t.Context(), u.ID, w.now)
			testkit.Must(t, err)
			testkit.Equal(t, "sessions", len(sessions) > 0, stranger) // the reset itself opened none
		})
	}
}

// A link that an administrator hands over proves no mailbox.
func TestHandedLinkProvesNothing(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("ada@example.com", func(u *identity.User) { u.EmailVerified = false })
	link, err := w.s.PasswordLink(t.Context(), w.visit(), u)
	testkit.Must(t, err)
	w.now = w.now.Add(time.Second)
	_, err = w.s.UsePasswordLink(t.Context(), w.visit(), link, phrase2)
	testkit.Must(t, err)
	testkit.Equal(t, "verified", w.read(u.ID).EmailVerified, false)
}

// A person who does not know the password of an account opens the link that verifies its address.
func TestClaimByLink(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("ada@example.com", func(u *identity.User) { u.EmailVerified, u.MustVerify = false, true })
	w.factor(u)
	testkit.Must(t, w.s.RequestVerification(t.Context(), w.visit(), "ADA@example.com"))
	testkit.Must(t, w.s.RequestVerification(t.Context(), w.visit(), "nobody@example.com"))
	m := w.one(outbox.MessageVerification, "ada@example.com")
	w.wants(func() error { _, err := w.s.UsePasswordLink(t.Context(), w.visit(), token(m), phrase2); return err }(), fault.Consumed, "")
	_, err := w.s.ClaimByLink(t.Context(), w.visit(), token(m), "short")
	w.wants(err, fault.Invalid, "at least")
	_, err = w.s.ClaimByLink(t.Context(), w.visit(), token(m), phrase2)
	testkit.Must(t, err)
	st, err := w.signIn("ada@example.com", phrase2)
	testkit.Must(t, err)
	if st.Done == nil {
		t.Errorf("the stranger's second factor is left: %+v", st)
	}
	_, err = w.s.ClaimByLink(t.Context(), w.visit(), token(m), phrase3)
	w.wants(err, fault.Consumed, "")
}

// A link that proves the primary address, and could set a password, ends at the first proof and
// with every change of the credentials.
func TestLeftoverVerificationEnds(t *testing.T) {
	for name, change := range map[string]func(*town, *identity.User, outbox.Mail){
		"proof by the code": func(w *town, u *identity.User, m outbox.Mail) {
			testkit.Must(w.T, w.s.ConfirmByCode(w.Context(), w.visit(), u, u.Email, m.Values["code"]))
		},
		"another password": func(w *town, u *identity.User, _ outbox.Mail) {
			testkit.Must(w.T, w.s.ChangePassword(w.Context(), w.visit(), u, login.Change{Current: phrase, New: phrase2}))
		},
		"a second factor": func(w *town, u *identity.User, _ outbox.Mail) { w.factor(u) },
		"an administrator": func(w *town, u *identity.User, _ outbox.Mail) {
			next := *u
			next.EmailVerified = true
			testkit.Must(w.T, w.db.UpdateUser(w.Context(), u, &next))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, nil)
			u := w.user("ada@example.com", func(u *identity.User) { u.EmailVerified = false })
			testkit.Must(t, w.s.SendVerification(t.Context(), w.visit(), u))
			m := w.one(outbox.MessageVerification, "ada@example.com")
			change(w, u, m)
			_, err := w.s.ClaimByLink(t.Context(), w.visit(), token(m), phrase3)
			w.wants(err, fault.Consumed, "")
		})
	}
}

// An invitation is for its address, once, and the last one only.
func TestInvitation(t *testing.T) {
	w := newTown(t, nil)
	u := &identity.User{ID: "u1", Email: "v@example.com", Roles: []string{"staff"}, CreatedAt: w.now, UpdatedAt: w.now}
	testkit.Must(t, w.db.CreateUser(t.Context(), u))
	_, err := w.s.Invite(t.Context(), w.visit(), u)
	testkit.Must(t, err)
	first := token(w.one(outbox.MessageInvitation, "v@example.com"))

	// A sign-up with the address claims nothing: it only sends the invitation again.
	cookie := w.signUp("V@example.com")
	second := token(w.one(outbox.MessageInvitation, "v@example.com"))
	_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: second, Cookie: cookie})
	w.wants(err, fault.Consumed, "")
	_, err = w.s.InvitedUser(t.Context(), w.visit(), first)
	w.wants(err, fault.Consumed, "used already")

	// Nor does a forgotten password stay when the person is invited again.
	testkit.Must(t, w.s.RequestPasswordReset(t.Context(), w.visit(), "v@example.com", ""))
	reset := token(w.one(outbox.MessagePasswordReset, "v@example.com"))
	_, err = w.s.Invite(t.Context(), w.visit(), w.read("u1"))
	testkit.Must(t, err)
	third := token(w.one(outbox.MessageInvitation, "v@example.com"))
	_, err = w.s.UsePasswordLink(t.Context(), w.visit(), reset, phrase2)
	w.wants(err, fault.Consumed, "used already")

	w.user("x@example.com", func(u *identity.User) { u.Username = "taken" })
	_, err = w.s.AcceptInvitation(t.Context(), w.visit(), third, login.AcceptForm{Username: "taken", Password: phrase})
	w.wants(err, fault.Invalid, "taken")
	_, err = w.s.AcceptInvitation(t.Context(), w.visit(), third, login.AcceptForm{Password: "short"})
	w.wants(err, fault.Invalid, "at least")
	st, err := w.s.AcceptInvitation(t.Context(), w.visit(), third, login.AcceptForm{Name: "Vera", Password: phrase})
	testkit.Must(t, err)
	if st.Done == nil || st.Done.User.Roles[0] != "staff" || !st.Done.User.EmailVerified || st.Done.User.Name != "Vera" {
		t.Fatalf("got %+v", st.Done)
	}
	_, err = w.s.AcceptInvitation(t.Context(), w.visit(), third, login.AcceptForm{Password: phrase2})
	w.wants(err, fault.Consumed, "used already")
	_, err = w.s.Invite(t.Context(), w.visit(), w.read("u1"))
	w.wants(err, fault.Conflict, "in use")
}

// An invitation to an address that was corrected is worthless.
func TestInvitationCorrected(t *testing.T) {
	w := newTown(t, nil)
	u := &identity.User{ID: "u1", Email: "wrong@example.com", CreatedAt: w.now, UpdatedAt: w.now}
	testkit.Must(t, w.db.CreateUser(t.Context(), u))
	_, err := w.s.Invite(t.Context(), w.visit(), u)
	testkit.Must(t, err)
	first := token(w.one(outbox.MessageInvitation, "wrong@example.com"))
	old := w.read("u1")
	right := *old
	right.Email, right.UpdatedAt = "right@example.com", w.now
	testkit.Must(t, w.db.UpdateUser(t.Context(), old, &right))
	_, err = w.s.Invite(t.Context(), w.visit(), w.read("u1"))
	testkit.Must(t, err)
	_, err = w.s.AcceptInvitation(t.Context(), w.visit(), first, login.AcceptForm{Password: phrase})
	w.wants(err, fault.Consumed, "")
	second := token(w.one(outbox.MessageInvitation, "right@example.com"))
	_, err = w.s.AcceptInvitation(t.Context(), w.visit(), second, login.AcceptForm{Password: phrase})
	testkit.Must(t, err)
}
