package login

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

const (
	disownTTL     = 7 * 24 * time.Hour // of the link in a notice of a new sign-in
	disownContext = "disown/1"
	maxDisown     = 1200 // bytes of a token

	maxNewSessions   = 10 // notices of new sign-ins that a person gets in a window
	newSessionWindow = 24 * time.Hour
)

// PageDisown is the page that the notice of a new sign-in links to.
const PageDisown = "/login/not-me"

// newDevice reports whether a sign-in comes from a browser that its account does not know. The
// first sign-in of an account is none: nobody could be warned of it. A browser stays known when the
// password changes elsewhere, unless the owner has said since that somebody else had signed in.
func (s *Server) newDevice(ctx context.Context, v Visit, u *identity.User) (bool, error) {
	if u.LastLoginAt.IsZero() {
		return false, nil
	}
	for _, a := range s.knownAccounts(v) {
		if a.User != u.ID {
			continue
		}
		since, err := s.store.BrowsersSince(ctx, u.ID)
		return a.Issued < since.UnixMilli() && !since.IsZero(), err
	}
	return true, nil
}

// disownToken is the content of the link in a notice of a new sign-in. It is sealed, so that
// neither mail nor sign-ins leave a row behind.
type disownToken struct {
	User    identity.UserID    `json:"u"`
	Session identity.SessionID `json:"s"`
	Mailbox string             `json:"m"` // names the address that the notice went to
	Program string             `json:"g"`
	System  string             `json:"y"`
	IP      string             `json:"p"`
	Issued  int64              `json:"i"` // Unix milliseconds
}

// newProgram reports whether a sign-in comes from a program that none of the last ones came from.
// Programs carry no device cookie.
func (s *Server) newProgram(ctx context.Context, u *identity.User, ev *audit.Event) (bool, error) {
	if u.LastLoginAt.IsZero() {
		return false, nil
	}
	last, err := s.store.SignIns(ctx, u.ID, "", recentSignIns)
	for _, e := range last {
		if e.Type == audit.LoginSucceeded && e.Client == ev.Client && e.Agent == ev.Agent {
			return false, err
		}
	}
	return true, err
}

// noticeNewDevice marks the event of a sign-in from a new browser, and attaches a notice to it
// where the operator wishes one.
func (s *Server) noticeNewDevice(ctx context.Context, v Visit, u *identity.User, ev *audit.Event) error {
	fresh, err := s.newDevice(ctx, v, u)
	if err != nil || !fresh {
		return err
	}
	return s.noticeNewSession(ctx, v, u, ev)
}

// noticeNewProgram does the same for a sign-in from a new program.
func (s *Server) noticeNewProgram(ctx context.Context, v Visit, u *identity.User, ev *audit.Event) error {
	fresh, err := s.newProgram(ctx, u, ev)
	if err != nil || !fresh {
		return err
	}
	return s.noticeNewSession(ctx, v, u, ev)
}

func (s *Server) noticeNewSession(ctx context.Context, v Visit, u *identity.User, ev *audit.Event) error {
	ev.Detail["device"] = "new"
	if err := s.markCountry(ctx, u, ev); err != nil {
		return err
	}
	if !s.cfg.NotifyNew || !s.notices.on || u.Email == "" {
		return nil
	}
	// Whoever has the password and signs in again and again fills no mailbox.
	c := Failure{
		Key:       "new-session:" + string(u.ID),
		Now:       v.Now,
		Threshold: maxNewSessions,
		Duration:  newSessionWindow,
		Window:    newSessionWindow,
	}
	count, err := s.store.Lock(ctx, c.Key, v.Now)
	if err != nil || count.Locked(v.Now) {
		return err
	}
	if _, err := s.store.RecordFailure(ctx, c); err != nil {
		return err
	}
	s.attachDisownLink(v, u, ev)
	return nil
}

// recentSignIns is how many sign-ins say which countries an account is used in.
const recentSignIns = 50

// markCountry marks the event of a sign-in from a country that the last ones did not come from.
func (s *Server) markCountry(ctx context.Context, u *identity.User, ev *audit.Event) error {
	if s.cfg.Places == nil {
		return nil
	}
	country := s.cfg.Places.Find(ev.IP).Country
	if country == "" {
		return nil
	}
	last, err := s.store.SignIns(ctx, u.ID, "", recentSignIns)
	if err != nil {
		return err
	}
	known := false
	for _, e := range last {
		if e.Type != audit.LoginSucceeded {
			continue
		}
		switch s.cfg.Places.Find(e.IP).Country {
		case country:
			return nil
		case "":
		default:
			known = true
		}
	}
	if known {
		ev.Detail["country"] = "new"
	}
	return nil
}

// attachDisownLink attaches the notice of a sign-in to its event.
func (s *Server) attachDisownLink(v Visit, u *identity.User, ev *audit.Event) {
	device := visitor.Describe(ev.Agent) // short, for a link
	plain, err := json.Marshal(disownToken{
		User:    u.ID,
		Session: identity.SessionID(ev.Session),
		Mailbox: s.mailboxMark(u.Email),
		Program: device.Program,
		System:  device.System,
		IP:      ev.IP,
		Issued:  v.Now.UnixMilli(),
	})
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	token := s.pending.Seal(plain, disownContext)
	for !staysWhole(token) {
		token = s.pending.Seal(plain, disownContext)
	}
	values := s.notices.where(ev, u)
	values["link"] = s.cfg.BaseURL + PageDisown + "?token=" + token
	s.notices.attach(ev, u, outbox.Mail{
		Message: outbox.MessageNewSession,
		Values:  values,
		Expires: v.Now.Add(disownTTL),
	})
}

// DisownToken reports whether a text can be the token of the link in a notice of a new sign-in.
func DisownToken(token string) bool {
	return token != "" && len(token) <= maxDisown && strings.Trim(token,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// mailboxMark names an address without revealing it.
func (s *Server) mailboxMark(address string) string {
	return string(s.keys.Hash("disown:" + identity.LoginKey(address)))[:16]
}

// Disowned is the sign-in that the link in a notice is about.
type Disowned struct {
	User    *identity.User
	At      time.Time
	Program string // of the device, such as a browser; or ""
	System  string // of the device, or ""
	IP      string
	// Moved says that the account has another address since the notice was sent: no link for a new
	// password goes to an address that its owner may never have seen.
	Moved bool

	session identity.SessionID
}

// Disowned returns the sign-in that a link is about, or Consumed if the link cannot be used.
func (s *Server) Disowned(ctx context.Context, v Visit, token string) (*Disowned, error) {
	if token == "" || len(token) > maxDisown {
		return nil, errLink()
	}
	plain, err := s.pending.Open(token, disownContext)
	if err != nil {
		return nil, errLink()
	}
	var t disownToken
	if json.Unmarshal(plain, &t) != nil || !inTime(v.Now, t.Issued, disownTTL) {
		return nil, errLink()
	}
	used, err := s.store.UsedOnce(ctx, disownKey(t.Session), v.Now)
	if err != nil {
		return nil, err
	}
	if used {
		return nil, errLink()
	}
	u, err := s.store.User(ctx, t.User)
	if fault.Is(err, fault.NotFound) {
		return nil, errLink()
	}
	if err != nil {
		return nil, err
	}
	return &Disowned{
		User:    u,
		At:      time.UnixMilli(t.Issued),
		Program: t.Program,
		System:  t.System,
		IP:      t.IP,
		Moved:   !secret.Equal(t.Mailbox, s.mailboxMark(u.Email)),
		session: t.Session,
	}, nil
}

func disownKey(id identity.SessionID) string { return "disown:" + string(id) }

// Disown ends everything that a sign-in which was not the owner's may have left: all sessions, the
// access of all apps, the password, and the addresses and passkeys that were added since. It sends
// a link to choose a new password, to the address that the notice went to and to no other. The link
// of the notice works once: Consumed.
func (s *Server) Disown(ctx context.Context, v Visit, token, locale string) (*Disowned, error) {
	d, err := s.disown(ctx, v, token)
	for range 3 { // the address changes while it is looked at
		if !fault.Is(err, fault.Conflict) {
			break
		}
		d, err = s.disown(ctx, v, token)
	}
	if err != nil || d.Moved || d.User.Blocked() {
		return d, err
	}
	u, err := s.store.User(ctx, d.User.ID)
	if err != nil {
		return nil, err
	}
	if identity.LoginKey(u.Email) != identity.LoginKey(d.User.Email) {
		d.Moved = true
		return d, nil
	}
	v.Locale = locale
	return d, s.mailPasswordLink(ctx, v, u, d.User.Email)
}

// disown ends everything in one transaction. Conflict if the address of the account has changed
// since it was read.
func (s *Server) disown(ctx context.Context, v Visit, token string) (*Disowned, error) {
	d, err := s.Disowned(ctx, v, token)
	if err != nil {
		return nil, err
	}
	ev := v.event(audit.SignInDisowned, d.User.ID)
	ev.Session = string(d.session)
	ev.Actor = "" // whoever has the mailbox
	end := Disowning{
		User:          d.User.ID,
		Email:         d.User.Email,
		Once:          disownKey(d.session),
		Until:         v.Now.Add(disownTTL),
		ClearPassword: !d.Moved && s.CanMail(),
	}
	if !d.Moved {
		end.Since, end.Passkeys = d.At, s.passkeysSince(d.User, d.At)
	}
	return d, linkError(s.store.Disown(ctx, end, v.Now, ev))
}

// passkeysSince returns a function that selects, of a user's credentials, the passkeys created
// since a time that begin a sign-in alone. The function selects none if the user would have no way
// in without them, not even a link for a new password.
func (s *Server) passkeysSince(
	u *identity.User, since time.Time,
) func([]identity.Credential) []identity.CredentialID {
	return func(all []identity.Credential) []identity.CredentialID {
		var added []identity.CredentialID
		var rest []identity.Credential
		for i := range all {
			if s.beginsAlone(&all[i]) && !all[i].CreatedAt.Before(since) {
				added = append(added, all[i].ID)
			} else {
				rest = append(rest, all[i])
			}
		}
		byLink := s.PasswordAllowed() && s.CanMail()
		if !byLink && len(s.WaysIn(u, rest)) == 0 {
			return nil
		}
		return added
	}
}

// Details of audit.SignInDisowned: how many ways into the account ended.
const (
	DetailEmailsRemoved   = "emails_removed"
	DetailPasskeysRemoved = "passkeys_removed"
)

// Disowning is what ends when the owner of an account says that somebody else has signed in.
type Disowning struct {
	User          identity.UserID
	Email         string // the primary address; the change is made only while the account has it
	Once          string // names the link, which works once
	Until         time.Time
	ClearPassword bool // the password no longer opens the account

	// Since is the time of the sign-in, or zero if nothing that was added to the account ends. The
	// further addresses added since then end, and so do all links, codes and requests to change an
	// address that wait.
	Since time.Time
	// Passkeys selects the credentials that end with Since. The store calls it inside the
	// transaction, with all credentials of the user.
	Passkeys func([]identity.Credential) []identity.CredentialID
}
