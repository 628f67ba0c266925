package storetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// accountCases returns the tests of what accounts know and tell.
func accountCases() []testCase {
	return []testCase{
		{"Accounts are deleted after a grace", (*suite).deletions},
		{"Deletion is kept from administrators' decisions", (*suite).heldDeletions},
		{"The last administrator stays", (*suite).lastAdminDeletion},
		{"Pictures", (*suite).pictures},
		{"Sign-ins of an account", (*suite).signIns},
		{"Sign-ins that were not the owner's", (*suite).disown},
		{"What was added since such a sign-in", (*suite).disownAdditions},
		{"Addresses that reject mail", (*suite).mailFailures},
		{"Addresses belong to one account", (*suite).addressClaims},
		{"Passwords that were replaced", (*suite).replacedPasswords},
	}
}

// deletion asks for the deletion of a user in a day.
func (s *suite) deletion(t *testing.T, u *identity.User) *identity.Deletion {
	t.Helper()
	d := &identity.Deletion{User: u.ID, RequestedAt: s.now, DueAt: s.now.Add(24 * time.Hour)}
	testkit.Must(t, s.db.RequestDeletion(t.Context(), d, audit.Event{At: s.now, Type: audit.DeletionRequested, User: string(u.ID), IP: "192.0.2.1", Detail: map[string]string{"a": "b"}}))
	return d
}

func (s *suite) deletions(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	sess := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{})
	hash := secret.Hash(s.name("cookie"))
	testkit.Must(t, db.PutSession(ctx, hash, sess, identity.SessionTerms{}))
	link := secret.Hash(s.name("link"))
	testkit.Must(t, db.PutLink(ctx, link, &login.Link{Kind: login.LinkPassword, User: u.ID, CreatedAt: s.now, ExpiresAt: s.now.Add(time.Hour)}))

	d0 := s.deletion(t, u)
	got, err := db.Deletion(ctx, u.ID)
	testkit.Must(t, err)
	same(t, "deletion", got, d0)
	after, err := db.User(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "disabled", after.Disabled, true)
	_, err = db.SessionByCookie(ctx, hash, s.now, 0)
	want(t, err, fault.NotFound)
	_, err = db.Link(ctx, link, s.now)
	want(t, err, fault.NotFound)
	want(t, db.PutSession(ctx, secret.Hash(s.name("cookie")), sess, identity.SessionTerms{}), fault.Denied)
	want(t, db.RequestDeletion(ctx, d0), fault.Conflict)

	// Its owner keeps it, once.
	testkit.Must(t, db.CancelDeletion(ctx, u.ID, s.now))
	want(t, db.CancelDeletion(ctx, u.ID, s.now), fault.NotFound)
	after, err = db.User(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "disabled", after.Disabled, false)
	want(t, db.EraseUser(ctx, after, d0.DueAt.Add(time.Hour)), fault.NotFound)

	// Reminders come once, and the account is erased when it is due.
	s.deletion(t, u)
	testkit.Equal(t, "reminders", s.has(t, db.RemindersDue, d0.DueAt, u.ID), true)
	testkit.Equal(t, "reminders before", s.has(t, db.RemindersDue, d0.DueAt.Add(-time.Second), u.ID), false)
	testkit.Must(t, db.MarkReminded(ctx, u.ID, s.now))
	want(t, db.MarkReminded(ctx, u.ID, s.now), fault.Consumed)
	testkit.Equal(t, "reminders after", s.has(t, db.RemindersDue, d0.DueAt, u.ID), false)
	testkit.Equal(t, "due too early", s.has(t, db.DueDeletions, d0.DueAt.Add(-time.Second), u.ID), false)
	testkit.Equal(t, "due", s.has(t, db.DueDeletions, d0.DueAt, u.ID), true)
	want(t, db.EraseUser(ctx, after, d0.DueAt.Add(-time.Second)), fault.NotFound)
	d := s.queued(u.Email)
	testkit.Must(t, db.Queue(ctx, d))
	last := s.queued("last")
	testkit.Must(t, db.EraseUser(ctx, after, d0.DueAt, audit.Event{
		At: s.now, Type: audit.AccountErased, User: string(u.ID), Deliveries: []outbox.Delivery{last},
	}))
	_, err = db.User(ctx, u.ID)
	want(t, err, fault.NotFound)
	_, err = db.Delivery(ctx, d.ID)
	want(t, err, fault.NotFound)
	_, err = db.Delivery(ctx, last.ID)
	testkit.Must(t, err)
	s.erased(t, u)
}

// has reports whether a list of deletions has a user.
func (s *suite) has(
	t *testing.T, read func(context.Context, time.Time, int) ([]identity.Deletion, error), at time.Time, id identity.UserID,
) bool {
	t.Helper()
	all, err := read(t.Context(), at, 1000)
	testkit.Must(t, err)
	return slices.ContainsFunc(all, func(d identity.Deletion) bool { return d.User == id })
}

// erased checks what is left of an account.
func (s *suite) erased(t *testing.T, u *identity.User) {
	ctx, db := t.Context(), s.db
	events, err := db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Limit: 100})
	testkit.Must(t, err)
	if len(events) == 0 {
		t.Error("the audit log has forgotten the account")
	}
	for _, e := range events {
		if e.IP != "" || e.Agent != "" || len(e.Detail) > 0 {
			t.Errorf("the audit log still has %+v", e)
		}
	}
	// Nobody else gets the user name; the address is free.
	next := *u
	next.ID = identity.UserID(s.name("user"))
	want(t, db.CreateUser(ctx, &next), fault.Conflict)
	next.Username = ""
	testkit.Must(t, db.CreateUser(ctx, &next))
	named := next
	named.Username = u.Username
	want(t, db.UpdateUser(ctx, &next, &named), fault.Conflict)
}

// An administrator who disables an account takes the choice from its owner; one who enables it ends
// the d0.
func (s *suite) heldDeletions(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	s.deletion(t, u)
	testkit.Must(t, db.SetUserDisabled(ctx, u.ID, true, s.now))
	d, err := db.Deletion(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "held", d.Held, true)
	want(t, db.CancelDeletion(ctx, u.ID, s.now), fault.NotFound)
	testkit.Must(t, db.SetUserDisabled(ctx, u.ID, false, s.now))
	_, err = db.Deletion(ctx, u.ID)
	want(t, err, fault.NotFound)

	s.deletion(t, u)
	stored, err := db.User(ctx, u.ID)
	testkit.Must(t, err)
	enabled := *stored
	enabled.Disabled = false
	testkit.Must(t, db.UpdateUser(ctx, stored, &enabled))
	_, err = db.Deletion(ctx, u.ID)
	want(t, err, fault.NotFound)
}

func (s *suite) lastAdminDeletion(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	boss := s.boss(t, db)
	d := &identity.Deletion{User: boss.ID, RequestedAt: s.now, DueAt: s.now}
	want(t, db.RequestDeletion(ctx, d), fault.Conflict)
	second := s.boss(t, db)
	testkit.Must(t, db.RequestDeletion(ctx, d))
	want(t, db.RequestDeletion(ctx, &identity.Deletion{User: second.ID, RequestedAt: s.now, DueAt: s.now}), fault.Conflict)
}

// boss creates an administrator.
func (s *suite) boss(t *testing.T, db *store.DB) *identity.User {
	t.Helper()
	u := &identity.User{
		ID:           identity.UserID(secret.NewID(s.now)),
		Username:     s.name("boss"),
		Roles:        []string{identity.RoleSuperAdmin},
		PasswordHash: "x",
		CreatedAt:    s.now,
		UpdatedAt:    s.now,
	}
	testkit.Must(t, db.CreateUser(t.Context(), u))
	return u
}

func (s *suite) pictures(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	first := &account.Picture{ID: s.name("picture"), Kind: "image/png", Data: []byte{0, 1, 255}, CreatedAt: s.now}
	testkit.Must(t, db.SetPicture(ctx, u.ID, first, "https://id.example/1", s.now.Add(time.Second)))
	got, err := db.Picture(ctx, first.ID)
	testkit.Must(t, err)
	same(t, "picture", got, first)
	after, err := db.User(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "address", after.Picture, "https://id.example/1")

	second := &account.Picture{ID: s.name("picture"), Kind: "image/jpeg", Data: []byte("x"), CreatedAt: s.now}
	testkit.Must(t, db.SetPicture(ctx, u.ID, second, "https://id.example/2", s.now))
	_, err = db.Picture(ctx, first.ID)
	want(t, err, fault.NotFound)
	testkit.Must(t, db.SetPicture(ctx, u.ID, nil, "", s.now))
	_, err = db.Picture(ctx, second.ID)
	want(t, err, fault.NotFound)

	testkit.Must(t, db.SetPicture(ctx, u.ID, second, "https://id.example/2", s.now))
	testkit.Must(t, db.DeleteUser(ctx, u.ID, s.now))
	_, err = db.Picture(ctx, second.ID)
	want(t, err, fault.NotFound)
	want(t, db.SetPicture(ctx, u.ID, first, "", s.now), fault.NotFound)
}

func (s *suite) signIns(t *testing.T) {
	ctx, db := t.Context(), s.db
	u, other := s.user(t), s.user(t)
	var events []audit.Event
	for i := range 30 {
		at := s.now.Add(time.Duration(i) * time.Second)
		for _, typ := range []audit.Type{audit.LoginSucceeded, audit.LoginFailed, audit.TokensIssued} {
			for _, id := range []identity.UserID{u.ID, other.ID} {
				events = append(events, audit.Event{ID: secret.NewID(at), At: at, Type: typ, User: string(id), Reason: fmt.Sprint(i)})
			}
		}
	}
	testkit.Must(t, db.Record(ctx, events...))
	var seen []string
	before := ""
	for range 10 {
		page, err := db.SignIns(ctx, u.ID, before, 7)
		testkit.Must(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.User != string(u.ID) || e.Type == audit.TokensIssued {
				t.Errorf("%+v is not a sign-in of the user", e)
			}
			seen = append(seen, e.ID)
		}
		before = page[len(page)-1].ID
	}
	testkit.Equal(t, "sign-ins", len(seen), 60)
	if !slices.IsSortedFunc(seen, func(a, b string) int { return cmp.Compare(b, a) }) {
		t.Error("the newest are not first")
	}
}

func (s *suite) disown(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	sess := identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{})
	hash := secret.Hash(s.name("cookie"))
	testkit.Must(t, db.PutSession(ctx, hash, sess, identity.SessionTerms{}))
	since, err := db.BrowsersSince(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "all browsers are known", since.IsZero(), true)

	x := login.Disowning{User: u.ID, Email: u.Email, Once: s.name("once"), Until: s.now.Add(time.Hour), ClearPassword: true}
	used, err := db.UsedOnce(ctx, x.Once, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "used before", used, false)
	got := race(t, func(int) error { return db.Disown(ctx, x, s.now) })
	testkit.Equal(t, "used", got[fault.Consumed], racers-1)
	used, err = db.UsedOnce(ctx, x.Once, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "used after", used, true)
	_, err = db.SessionByCookie(ctx, hash, s.now, 0)
	want(t, err, fault.NotFound)
	after, err := db.User(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "password", after.PasswordHash, "")
	since, err = db.BrowsersSince(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "since", since.UnixMilli(), s.now.UnixMilli())
}

// disownAdditions ends addresses, requests, links and the selected passkeys since a time, and keeps
// what is older, other factors, and all of other users.
func (s *suite) disownAdditions(t *testing.T) {
	ctx, db := t.Context(), s.db
	u, other, since := s.user(t), s.user(t), s.now.Add(time.Minute)
	old, added := s.additions(t, u, s.now), s.additions(t, u, since)
	s.additions(t, other, since)
	link := secret.Hash(s.name("link"))
	testkit.Must(t, db.PutLink(ctx, link, &login.Link{
		Kind: login.LinkPassword, User: u.ID, CreatedAt: since, ExpiresAt: since.Add(time.Hour),
	}))
	var seen int
	x := login.Disowning{
		User:  u.ID,
		Email: u.Email,
		Once:  s.name("once"),
		Until: since.Add(time.Hour),
		Since: since,
		Passkeys: func(all []identity.Credential) []identity.CredentialID {
			seen = len(all)
			return []identity.CredentialID{added}
		},
	}
	ev := event(audit.SignInDisowned, u, since)
	moved := x
	moved.Email = "elsewhere@example.com"
	want(t, db.Disown(ctx, moved, since.Add(time.Second), ev), fault.Conflict)
	testkit.Must(t, db.Disown(ctx, x, since.Add(time.Second), ev))
	testkit.Equal(t, "credentials seen", seen, 2)
	s.hasAdditions(t, u, 1, 1) // an older undo
	s.hasAdditions(t, other, 1, 3)
	creds, err := db.Credentials(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "credentials", len(creds), 1)
	testkit.Equal(t, "the older one stays", creds[0].ID, old)
	_, err = db.Link(ctx, link, since)
	want(t, err, fault.NotFound)
	events, err := db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.SignInDisowned})
	testkit.Must(t, err)
	testkit.Equal(t, "addresses", events[0].Detail[login.DetailEmailsRemoved], "1")
	testkit.Equal(t, "passkeys", events[0].Detail[login.DetailPasskeysRemoved], "1")

	// Without a time nothing that was added ends.
	x = login.Disowning{User: other.ID, Email: other.Email, Once: s.name("once"), Until: since.Add(time.Hour)}
	testkit.Must(t, db.Disown(ctx, x, since.Add(time.Second)))
	s.hasAdditions(t, other, 1, 3)
}

// additions adds an address, confirmations of all kinds and a passkey to an account.
func (s *suite) additions(t *testing.T, u *identity.User, at time.Time) identity.CredentialID {
	t.Helper()
	ctx := t.Context()
	put := func(kind string) string {
		c := &login.Confirmation{
			ID:        s.name("confirmation"),
			Kind:      kind,
			User:      u.ID,
			Email:     s.name(kind) + "@example.com",
			Token:     secret.Hash(s.name("token")),
			CreatedAt: at,
			ExpiresAt: at.Add(time.Hour),
		}
		testkit.Must(t, s.db.PutConfirmation(ctx, c, 1e6, nil))
		return c.ID
	}
	testkit.Must(t, s.db.AddEmail(ctx, put(login.ConfirmAdd), 9, at))
	for _, kind := range []string{
		login.ConfirmAdd, login.ConfirmChange, login.ConfirmUndo, login.ConfirmAddress,
	} {
		put(kind)
	}
	c := &identity.Credential{
		ID:          identity.CredentialID(s.name("passkey")),
		User:        u.ID,
		Kind:        "passkey",
		CreatedAt:   at,
		ConfirmedAt: at,
		Lookup:      secret.Hash(s.name("lookup")),
	}
	testkit.Must(t, s.db.PutCredential(ctx, c))
	return c.ID
}

// hasAdditions checks how many further addresses and confirmations a user has.
func (s *suite) hasAdditions(t *testing.T, u *identity.User, addresses, waiting int) {
	t.Helper()
	emails, err := s.db.UserEmails(t.Context(), u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "further addresses", len(emails), addresses)
	all, err := s.db.UserConfirmations(t.Context(), u.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "confirmations", len(all), waiting)
}

func (s *suite) mailFailures(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	d := s.queued(u.Email)
	d.State, d.FinishedAt, d.LastError = outbox.Dead, s.now, "550 5.1.1 no such mailbox"
	testkit.Must(t, db.MarkAddress(ctx, &d))
	at, answer, err := db.MailFailure(ctx, u)
	testkit.Must(t, err)
	testkit.Equal(t, "at", at.UnixMilli(), s.now.UnixMilli())
	testkit.Equal(t, "answer", answer, d.LastError)

	stranger := s.queued(s.name("stranger") + "@example.com")
	testkit.Must(t, db.MarkAddress(ctx, &stranger)) // nothing to mark

	// A later success clears the mark.
	ok := s.queued(u.Email)
	testkit.Must(t, db.Queue(ctx, ok))
	ok.State, ok.FinishedAt = outbox.Sent, s.now
	testkit.Must(t, db.FinishDeliveries(ctx, []outbox.Delivery{ok}))
	at, _, err = db.MailFailure(ctx, u)
	testkit.Must(t, err)
	testkit.Equal(t, "cleared by a success", at.IsZero(), true)

	// So does another address.
	testkit.Must(t, db.MarkAddress(ctx, &d))
	moved := *u
	moved.Email = s.name("new") + "@example.com"
	testkit.Must(t, db.UpdateUser(ctx, u, &moved))
	at, _, err = db.MailFailure(ctx, &moved)
	testkit.Must(t, err)
	testkit.Equal(t, "cleared by a change", at.IsZero(), true)
	testkit.Must(t, db.UpdateUser(ctx, &moved, u))
	at, _, err = db.MailFailure(ctx, u)
	testkit.Must(t, err)
	testkit.Equal(t, "cleared for good", at.IsZero(), true)
}

// addressClaims lets accounts take one address in every way at the same moment: one gets it.
func (s *suite) addressClaims(t *testing.T) {
	ctx, db := t.Context(), s.db
	wanted := s.name("wanted") + "@example.com"
	users := make([]*identity.User, racers)
	ids := make([]string, racers)
	for i := range users {
		users[i], ids[i] = s.user(t), s.name("confirmation")
		c := &login.Confirmation{
			ID:        ids[i],
			Kind:      []string{login.ConfirmAdd, login.ConfirmChange}[i%2],
			User:      users[i].ID,
			Email:     wanted,
			Token:     secret.Hash(s.name("token")),
			CreatedAt: s.now,
			ExpiresAt: s.now.Add(time.Hour),
		}
		testkit.Must(t, db.PutConfirmation(ctx, c, 1e6, nil))
	}
	oneWins(t, "one address", fault.Conflict, func(i int) error {
		u := users[i]
		switch i % 4 {
		case 0:
			return db.AddEmail(ctx, ids[i], 9, s.now)
		case 1:
			return db.ChangeEmail(ctx, ids[i], login.EmailChange{User: u.ID, Email: wanted}, s.now)
		case 2:
			next := *u
			next.Email = wanted
			return db.UpdateUser(ctx, u, &next)
		}
		return db.CreateUser(ctx, &identity.User{ID: identity.UserID(s.name("new")), Email: wanted, CreatedAt: s.now, UpdatedAt: s.now})
	})

	// What an account gives back is free, what it has stays its own.
	u, other := s.user(t), s.user(t)
	former := u.Email
	next := *u
	next.Email = s.name("next") + "@example.com"
	testkit.Must(t, db.UpdateUser(ctx, u, &next))
	taken := *other
	taken.Email = former
	testkit.Must(t, db.UpdateUser(ctx, other, &taken))
	back := next
	back.Email = former
	want(t, db.UpdateUser(ctx, &next, &back), fault.Conflict)
	testkit.Must(t, db.DeleteUser(ctx, other.ID, s.now))
	testkit.Must(t, db.UpdateUser(ctx, &next, &back))
}

// replacedPasswords finds the password of a time in the last days, however often it was changed
// since.
func (s *suite) replacedPasswords(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	_, replaced, err := db.PasswordAt(ctx, u.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "replaced", replaced, false)
	first, at := u.PasswordHash, s.now
	for i := range 30 {
		at = at.Add(time.Minute)
		testkit.Must(t, db.SetPassword(ctx, u.ID, fmt.Sprint("hash", i), 2, at))
	}
	for minutes, hash := range map[time.Duration]string{0: first, 1: "hash0", 2: "hash1"} {
		got, replaced, err := db.PasswordAt(ctx, u.ID, s.now.Add(minutes*time.Minute))
		testkit.Must(t, err)
		testkit.Equal(t, "replaced", replaced, true)
		testkit.Equal(t, "hash", got, hash)
	}
	_, replaced, err = db.PasswordAt(ctx, u.ID, at)
	testkit.Must(t, err)
	testkit.Equal(t, "replaced after the last change", replaced, false)
}
