package login_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// town is a server with mail on a real store, and the mailboxes of its people.
type town struct {
	*testing.T
	s      *login.Server
	db     *store.DB
	keys   *secret.Keys
	now    time.Time
	inbox  []outbox.Mail
	serial int
}

const (
	phrase  = "Tr4verse-the-Quiet-Valley"
	phrase2 = "Nine lanterns 4 the ferry"
	phrase3 = "Seven otters 9 in a barn"
)

func newTown(t *testing.T, change func(*login.Config)) *town {
	t.Helper()
	keys, err := secret.NewKeys([]byte(strings.Repeat("s", secret.MinMaster)))
	testkit.Must(t, err)
	cfg := login.Config{
		AppName: "Example", Host: "id.example.com", Policy: identity.Policy{MinLength: 12}, AdminPolicy: identity.Policy{MinLength: 12},
		SessionTTL: 24 * time.Hour, Idle: time.Hour, RevokeTokens: true, LockThreshold: 50, LockDuration: time.Minute, AutoUnlock: true,
		Mail: true, BaseURL: "https://id.example.com", ResetTTL: time.Hour, ResetLimit: 3, ResetWindow: time.Hour,
		SignUp: true, RequireVerified: true, VerifyTTL: 24 * time.Hour,
	}
	if change != nil {
		change(&cfg)
	}
	url := "sqlite::memory:"
	if strings.HasPrefix(t.Name(), "TestJoiningOnPostgreSQL/") {
		url = storetest.Postgres(t)
	}
	w := &town{T: t, db: storetest.Open(t, store.Options{URL: url}), keys: keys, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	w.s = login.New(cfg, w.db, keys, secret.NewPasswords(2, 100))
	return w
}

func (w *town) visit() login.Visit {
	w.serial++
	return login.Visit{IP: "203.0.113.7", Agent: "Firefox", RequestID: fmt.Sprint("r", w.serial), Now: w.now}
}

// deliver processes what is due, as the outbox does, and returns the messages that were sent.
func (w *town) deliver() []outbox.Mail {
	w.Helper()
	w.now = w.now.Add(time.Second)
	clock := func() time.Time { return w.now }
	sealer, sent := outbox.NewSealer(w.keys), []outbox.Mail(nil)
	for range 5 {
		due, err := w.db.ClaimDeliveries(w.Context(), outbox.Claim{Holder: "h", Now: w.now, Until: w.now.Add(time.Hour), Limit: 100})
		testkit.Must(w.T, err)
		for i := range due {
			d := &due[i]
			switch d.Kind {
			case outbox.KindMail:
				m, err := sealer.OpenMail(d)
				testkit.Must(w.T, err)
				sent = append(sent, *m)
			case outbox.KindAddressRequest:
				testkit.Must(w.T, w.s.AddressSender(clock).Send(w.Context(), d))
			case outbox.KindResetRequest:
				testkit.Must(w.T, w.s.ResetSender(clock).Send(w.Context(), d))
			}
			d.State, d.FinishedAt = outbox.Sent, w.now
		}
		testkit.Must(w.T, w.db.FinishDeliveries(w.Context(), due))
		if len(due) == 0 {
			break
		}
	}
	w.inbox = append(w.inbox, sent...)
	return sent
}

// one delivers and returns the only message of a kind to an address.
func (w *town) one(message, to string) outbox.Mail {
	w.Helper()
	var found []outbox.Mail
	for _, m := range w.deliver() {
		if m.Message == message && m.To == to {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		w.Fatalf("%d messages %s to %s, of %+v", len(found), message, to, w.inbox)
	}
	return found[0]
}

func token(m outbox.Mail) string {
	_, t, _ := strings.Cut(m.Values["link"], "?token=")
	return t
}

func (w *town) wants(err error, k fault.Kind, text string) {
	w.Helper()
	if !fault.Is(err, k) || !strings.Contains(fault.Text(err), text) {
		w.Fatalf("got %v (%v), want %v %q", err, fault.KindOf(err), k, text)
	}
}

func (w *town) signUp(email string) (cookie string) {
	w.Helper()
	cookie, err := w.s.SignUp(w.Context(), w.visit(), login.SignUpForm{Email: email, Name: "Ada", Username: "ada", Password: phrase})
	testkit.Must(w.T, err)
	return cookie
}

func (w *town) signIn(name, password string) (login.Step, error) {
	return w.s.Password(w.Context(), w.visit(), login.Attempt{Username: name, Password: password})
}

func (w *town) user(email string, change func(*identity.User)) *identity.User {
	w.Helper()
	hash, err := secret.NewPasswords(1, 1).Hash(w.Context(), phrase)
	testkit.Must(w.T, err)
	u := &identity.User{
		ID: identity.UserID(secret.NewID(w.now)), Email: email, EmailVerified: true, PasswordHash: hash,
		PasswordChangedAt: w.now, CreatedAt: w.now, UpdatedAt: w.now,
	}
	if change != nil {
		change(u)
	}
	testkit.Must(w.T, w.db.CreateUser(w.Context(), u))
	return u
}

func (w *town) read(id identity.UserID) *identity.User {
	w.Helper()
	u, err := w.db.User(w.Context(), id)
	testkit.Must(w.T, err)
	return u
}

// A person signs up: the account exists once the address is proved, by the link in the same
// browser.
func TestSignUp(t *testing.T) {
	w := newTown(t, nil)
	cookie := w.signUp("Ada@Bücher.example")
	_, err := w.signIn("ada", phrase)
	w.wants(err, fault.Denied, "Incorrect")
	m := w.one(outbox.MessageVerification, "Ada@xn--bcher-kva.example")
	testkit.Equal(t, "minutes", m.Values["minutes"], "1440")
	testkit.Equal(t, "waiting", w.s.SignUpEmail(w.visit(), cookie), "Ada@xn--bcher-kva.example")

	link, err := w.s.OpenLink(t.Context(), w.visit(), token(m), cookie)
	testkit.Must(t, err)
	testkit.Equal(t, "own", link.Own, true)
	st, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), Cookie: cookie})
	testkit.Must(t, err)
	if st.Done == nil || !st.Done.User.EmailVerified || st.Done.User.Username != "ada" {
		t.Fatalf("got %+v", st)
	}
	w.one(outbox.MessageWelcome, "Ada@xn--bcher-kva.example")
	st, err = w.signIn("ADA@bücher.example", phrase)
	testkit.Must(t, err)
	if st.Done == nil {
		t.Fatalf("got %+v", st)
	}
	_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), Cookie: cookie})
	w.wants(err, fault.Consumed, "used already")
}

// The code proves the address in the browser that signed up, and nowhere else. Guesses are counted,
// and a guesser learns nothing.
func TestSignUpByCode(t *testing.T) {
	w := newTown(t, nil)
	cookie := w.signUp("ada@example.com")
	code := w.one(outbox.MessageVerification, "ada@example.com").Values["code"]
	_, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: code})
	w.wants(err, fault.Consumed, "")
	st, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: strings.ToLower(" " + code), Cookie: cookie})
	testkit.Must(t, err)
	if st.Done == nil {
		t.Fatalf("got %+v", st)
	}

	w = newTown(t, nil)
	cookie = w.signUp("ada@example.com")
	code = w.one(outbox.MessageVerification, "ada@example.com").Values["code"]
	for range 5 {
		_, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: "BBBB-BBBB", Cookie: cookie})
		w.wants(err, fault.Denied, "wrong or has expired")
	}
	_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: code, Cookie: cookie})
	w.wants(err, fault.Denied, "wrong or has expired")
}

// The owner of a mailbox in whose name a stranger signed up opens the link in another browser:
// without the stranger's password, all that the stranger entered is gone.
func TestSignUpByAStranger(t *testing.T) {
	w := newTown(t, nil)
	stranger := w.signUp("ada@example.com")
	m := w.one(outbox.MessageVerification, "ada@example.com")
	link, err := w.s.OpenLink(t.Context(), w.visit(), token(m), "")
	testkit.Must(t, err)
	testkit.Equal(t, "own", link.Own, false)
	for _, password := range []string{"", "a wrong password 1"} {
		_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), Password: password})
		if err == nil {
			t.Fatal("no password was asked for")
		}
	}
	_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), NewPassword: "short"})
	w.wants(err, fault.Invalid, "at least 12")
	st, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), NewPassword: phrase2, Name: "The owner"})
	testkit.Must(t, err)
	if u := st.Done.User; u.Name != "The owner" || u.Username != "" {
		t.Errorf("the stranger's names are left: %+v", u)
	}
	_, err = w.signIn("ada@example.com", phrase)
	w.wants(err, fault.Denied, "Incorrect")
	_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: m.Values["code"], Cookie: stranger})
	w.wants(err, fault.Denied, "wrong or has expired")

	// In another browser the person who does know the password need not choose a new one. Wrong
	// ones are counted.
	w.signUp("bo@example.com")
	m = w.one(outbox.MessageVerification, "bo@example.com")
	for range 3 {
		_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), Password: phrase2})
		w.wants(err, fault.Denied, "Incorrect password")
	}
	st, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), Password: phrase})
	testkit.Must(t, err)
	testkit.Equal(t, "name", st.Done.User.Name, "Ada")
}

// Whoever signs up with whichever address: the same is stored at once and the same is answered.
// Only the owner of the mailbox learns whether there is an account.
func TestSignUpsLookAlike(t *testing.T) {
	w := newTown(t, nil)
	w.user("known@example.com", nil)
	w.user("off@example.com", func(u *identity.User) { u.Disabled = true })
	w.user("primary@example.com", nil)
	addresses := []string{"known@example.com", "new@example.com", "off@example.com", "KNOWN@Example.com"}
	for _, email := range addresses {
		before, err := w.db.CountDeliveries(t.Context(), outbox.Query{})
		testkit.Must(t, err)
		cookie := w.signUp(email)
		after, err := w.db.CountDeliveries(t.Context(), outbox.Query{})
		testkit.Must(t, err)
		testkit.Equal(t, email+" deliveries", after-before, 1)
		w.deliver()
		_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: "BBBB-BBBB", Cookie: cookie})
		w.wants(err, fault.Denied, "wrong or has expired")
		_, err = w.s.ResendSignUp(t.Context(), w.visit(), cookie)
		testkit.Must(t, err)
		w.deliver()
	}
	count := map[string]int{}
	for _, m := range w.inbox {
		count[m.Message+" "+m.To]++
	}
	testkit.Equal(t, "to the owner", count[outbox.MessageAddressInUse+" known@example.com"], 3)
	testkit.Equal(t, "to the new person", count[outbox.MessageVerification+" new@example.com"], 2)
	testkit.Equal(t, "kinds", len(count), 2) // none to another spelling of the address
	for _, m := range w.inbox {
		if m.Message == outbox.MessageAddressInUse && (m.Values["code"] != "" || strings.Contains(m.Values["link"], "token")) {
			t.Errorf("the owner was sent a proof: %+v", m)
		}
	}
	if _, err := w.signIn("known@example.com", phrase); err != nil { // and nothing has changed
		t.Error(err)
	}
}

// A mailbox is sent so many messages and no more, whatever the spelling, and the owner who signs up
// meanwhile holds one that works.
func TestSignUpsDoNotBombAMailbox(t *testing.T) {
	w := newTown(t, nil)
	for i := range 30 {
		w.signUp(fmt.Sprintf("v.ictim+%d@example.com", i))
	}
	first := w.deliver()
	testkit.Equal(t, "messages", len(first), 3)
	mine := w.signUp("victim@example.com")
	testkit.Equal(t, "more messages", len(w.deliver()), 0)
	_, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(first[2]), Cookie: mine, NewPassword: phrase2})
	testkit.Must(t, err)
	w.deliver()
	w.now = w.now.Add(2 * time.Hour)
	w.signUp("victim@example.com")
	testkit.Equal(t, "later", len(w.deliver()), 1)
}

// A username is not reserved before the address is proved, and a taken one is told only to a person
// who has proved an address.
func TestUsernamesOfSignUps(t *testing.T) {
	w := newTown(t, nil)
	a, b := w.signUp("a@example.com"), w.signUp("b@example.com")
	var codes [2]string
	for _, m := range w.deliver() {
		codes[m.To[0]-'a'] = m.Values["code"]
	}
	_, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: codes[0], Cookie: a})
	testkit.Must(t, err)
	_, err = w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: codes[1], Cookie: b})
	w.wants(err, fault.Invalid, "username is taken")
	st, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Code: codes[1], Cookie: b, Username: "beth"})
	testkit.Must(t, err)
	testkit.Equal(t, "username", st.Done.User.Username, "beth")
}

// What cannot be an account is refused before the slow work, alike for every address.
func TestSignUpRefused(t *testing.T) {
	w := newTown(t, func(c *login.Config) { c.SignUpDomains = []string{"example.com", "xn--bcher-kva.example"} })
	for _, bad := range []string{
		"", "x", "a@b@c", "a@example.com\r\nBcc: x@example.com", "\"q q\"@example.com", "ada\u200b@example.com",
		strings.Repeat("a", 320) + "@example.com", "a@evil.example", "a@sub.example.com",
	} {
		_, err := w.s.SignUp(t.Context(), w.visit(), login.SignUpForm{Email: bad, Password: phrase})
		w.wants(err, fault.Invalid, "")
	}
	_, err := w.s.SignUp(t.Context(), w.visit(), login.SignUpForm{Email: "a@BÜCHER.example", Password: phrase})
	testkit.Must(t, err)
	for field, form := range map[string]login.SignUpForm{
		"name": {Email: "b@example.com", Password: phrase, Name: "a\r\nBcc: b"}, "password": {Email: "b@example.com", Password: "short"},
		"username": {Email: "b@example.com", Password: phrase, Username: "a@b"},
	} {
		_, err := w.s.SignUp(t.Context(), w.visit(), form)
		w.wants(err, fault.Invalid, "")
		if f := err.(interface{ Inputs() []*fault.Error }).Inputs()[0].Field; f != field {
			t.Errorf("the error is about %q, want %q", f, field)
		}
	}
	w = newTown(t, func(c *login.Config) { c.SignUp = false })
	_, err = w.s.SignUp(t.Context(), w.visit(), login.SignUpForm{Email: "a@example.com", Password: phrase})
	w.wants(err, fault.Denied, "Ask your administrator")
	w = newTown(t, func(c *login.Config) { c.ShowExistence = true })
	w.user("ada@example.com", nil)
	_, err = w.s.SignUp(t.Context(), w.visit(), login.SignUpForm{Email: "ada@example.com", Password: phrase})
	w.wants(err, fault.Invalid, "already an account")
}

// A link in twenty requests at once makes one account.
func TestSignUpLinkAtOnce(t *testing.T) {
	w := newTown(t, nil)
	cookie := w.signUp("ada@example.com")
	p := login.SignUpProof{Token: token(w.one(outbox.MessageVerification, "ada@example.com")), Cookie: cookie}
	v, errs := w.visit(), make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = w.s.ConfirmSignUp(context.Background(), v, p) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !fault.Is(err, fault.Consumed) {
			t.Errorf("got %v", err)
		}
	}
	testkit.Equal(t, "accounts made", made, 1)
	evs, err := w.db.ListAudit(t.Context(), store.AuditQuery{})
	testkit.Must(t, err)
	created := 0
	for _, ev := range evs {
		if ev.Type == audit.UserCreated {
			created++
		}
	}
	testkit.Equal(t, "events", created, 1)
}

// Sign-ups that nobody confirms end.
func TestSignUpsExpire(t *testing.T) {
	w := newTown(t, nil)
	cookie := w.signUp("ada@example.com")
	m := w.one(outbox.MessageVerification, "ada@example.com")
	w.now = w.now.Add(25 * time.Hour)
	_, err := w.s.ConfirmSignUp(t.Context(), w.visit(), login.SignUpProof{Token: token(m), Cookie: cookie})
	w.wants(err, fault.Consumed, "expired")
	_, err = w.db.Sweep(t.Context(), w.now)
	testkit.Must(t, err)
	_, err = w.db.LatestSignUp(t.Context(), "ada@example.com", w.now.Add(-25*time.Hour))
	w.wants(err, fault.NotFound, "")
}

// Who must confirm the address does so before the sign-in ends, by code or by link.
func TestVerifyAtSignIn(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("ada@example.com", func(u *identity.User) { u.EmailVerified, u.MustVerify = false, true })
	st, err := w.signIn("ada@example.com", phrase)
	testkit.Must(t, err)
	testkit.Equal(t, "step", st.Next, login.StepVerifyEmail)
	m := w.one(outbox.MessageVerification, "ada@example.com")
	_, err = w.s.Continue(t.Context(), w.visit(), st.Pending, login.StepVerifyEmail, url.Values{"code": {"BBBBBBBB"}})
	w.wants(err, fault.Denied, "wrong or has expired")
	testkit.Must(t, w.s.ResendVerification(t.Context(), w.visit(), st.Pending))
	_, err = w.s.Continue(t.Context(), w.visit(), st.Pending, login.StepVerifyEmail, url.Values{"code": {m.Values["code"]}})
	w.wants(err, fault.Denied, "") // a newer message has ended it
	m = w.one(outbox.MessageVerification, "ada@example.com")
	st, err = w.s.Continue(t.Context(), w.visit(), st.Pending, login.StepVerifyEmail, url.Values{"code": {m.Values["code"]}})
	testkit.Must(t, err)
	if st.Done == nil {
		t.Fatalf("got %+v", st)
	}
	got := w.read(u.ID)
	if !got.EmailVerified || got.MustVerify {
		t.Errorf("got %+v", got)
	}
	// Accounts that an administrator vouches for, and servers that do not ask, go on.
	w.user("vouched@example.com", func(u *identity.User) { u.EmailVerified = false })
	st, err = w.signIn("vouched@example.com", phrase)
	testkit.Must(t, err)
	if st.Done == nil {
		t.Fatalf("got %+v", st)
	}
}

// The stories of sign-ups, addresses and invitations pass on the other engine, too.
// waitingSignUp stores a sign-up of a network that waits.
func (w *town) waitingSignUp(i int, network string, most int) {
	w.Helper()
	at := w.now.Add(time.Duration(i) * time.Millisecond)
	testkit.Must(w.T, w.db.PutConfirmation(w.Context(), &login.Confirmation{
		ID: secret.NewID(at), Kind: login.ConfirmSignUp, Email: fmt.Sprintf("p%d@example.com", i), Token: secret.Hash(secret.NewID(at)),
		Network: network, CreatedAt: at, ExpiresAt: at.Add(time.Hour),
	}, most, nil))
}

// A stranger who signs up again and again loses their own sign-ups, and whoever fills the table
// keeps nobody from signing up.
func TestSignUpsThatWaitAreBounded(t *testing.T) {
	w := newTown(t, nil)
	cookie := w.signUp("ada@example.com")
	m := w.one(outbox.MessageVerification, "ada@example.com")
	for i := range 2 * login.MaxOfNetwork {
		w.waitingSignUp(i, "stranger", 1e6)
	}
	for i, there := range map[int]bool{0: false, login.MaxOfNetwork - 1: false, login.MaxOfNetwork: true, 2*login.MaxOfNetwork - 1: true} {
		_, err := w.db.LatestSignUp(t.Context(), fmt.Sprintf("p%d@example.com", i), w.now)
		testkit.Equal(t, fmt.Sprint("sign-up ", i), err == nil, there)
	}
	_, err := w.s.OpenLink(t.Context(), w.visit(), token(m), cookie)
	testkit.Must(t, err)
	const most = login.MaxOfNetwork + 1
	for i := range 20 { // full, from many networks: the oldest end
		w.waitingSignUp(10_000+i, fmt.Sprint("network ", i), most)
	}
	_, err = w.db.LatestSignUp(t.Context(), "p10019@example.com", w.now)
	testkit.Must(t, err)
}

func TestJoiningOnPostgreSQL(t *testing.T) {
	for name, story := range map[string]func(*testing.T){
		"sign-up": TestSignUp, "by code": TestSignUpByCode, "a stranger": TestSignUpByAStranger,
		"at once": TestSignUpLinkAtOnce, "expired": TestSignUpsExpire, "at sign-in": TestVerifyAtSignIn,
		"change": TestChangeOfEmail, "taken": TestChangeToATakenAddress, "undo": TestUndoChangeOfEmail,
		"undo after a thief": TestUndoAfterThePasswordWasChanged, "undo by the mailbox": TestUndoByTheMailboxAlone,
		"several": TestSeveralAddresses, "username": TestChangeOfUsername, "reset": TestResetProvesTheMailbox,
		"bounded": TestSignUpsThatWaitAreBounded,
		"claim":   TestClaimByLink, "invitation": TestInvitation, "corrected": TestInvitationCorrected,
	} {
		t.Run(name, story)
	}
}
