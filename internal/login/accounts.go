package login

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// MaxBrowserAccounts bounds the accounts that one browser is signed in to, or remembers.
const MaxBrowserAccounts = 5

// RememberTTL is how long a browser remembers an account after its last sign-in there.
const RememberTTL = DeviceTTL

const (
	maxRemembered   = 3000 // bytes, sealed
	rememberContext = "accounts/1"
)

// BrowserSession is one of the sessions of a browser.
type BrowserSession struct {
	Cookie  string
	Session *identity.Session
}

// SeveralAccounts reports whether one browser may be signed in to several accounts.
func (s *Server) SeveralAccounts() bool { return s.cfg.BrowserAccounts > 1 }

// BrowserAccounts returns how many accounts one browser may be signed in to at once.
func (s *Server) BrowserAccounts() int {
	return min(max(s.cfg.BrowserAccounts, 1), MaxBrowserAccounts)
}

// BrowserSessions returns the active sessions of a browser's cookies, in their order, the first of
// each account. It does not count as a use of them.
func (s *Server) BrowserSessions(
	ctx context.Context, v Visit, cookies []string,
) ([]BrowserSession, error) {
	var out []BrowserSession
	for _, cookie := range cookies[:min(len(cookies), MaxBrowserAccounts)] {
		if !secret.WellFormed(secret.PrefixSession, cookie) {
			continue
		}
		sess, err := s.store.SessionByCookie(ctx, s.keys.Hash(cookie), v.Now, s.cfg.Idle)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		same := func(b BrowserSession) bool { return b.Session.User == sess.User }
		if !slices.ContainsFunc(out, same) {
			out = append(out, BrowserSession{cookie, sess})
		}
	}
	return out, nil
}

// ownCookie returns the one of a browser's cookies whose session is the user's, or the first one.
func (s *Server) ownCookie(
	ctx context.Context, v Visit, u identity.UserID, cookies []string,
) (string, error) {
	if len(cookies) == 1 {
		return cookies[0], nil
	}
	all, err := s.BrowserSessions(ctx, v, cookies)
	for _, b := range all {
		if b.Session.User == u {
			return b.Cookie, nil
		}
	}
	return cookies[0], err
}

// AccountMark returns a name of an account for forms that choose among a browser's accounts. It
// reveals nothing about the account.
func (s *Server) AccountMark(id identity.UserID) string {
	return string(s.keys.Hash("account-mark:" + string(id)))[:16]
}

// RememberedAccount is an account that a browser offers after its person has signed out. It says
// what the person knew of it at the last sign-in there, so that a later change is not revealed to
// whoever uses the browser.
type RememberedAccount struct {
	User   identity.UserID `json:"u"`
	Label  string          `json:"l"`
	Login  string          `json:"n"` // what the person types to sign in
	Issued int64           `json:"i"` // Unix milliseconds
}

// RememberedAccounts returns the accounts in a browser's cookie, the latest first.
func (s *Server) RememberedAccounts(v Visit, sealed string) []RememberedAccount {
	if sealed == "" || len(sealed) > maxRemembered || !s.cfg.RememberAccounts {
		return nil
	}
	plain, err := s.pending.Open(sealed, rememberContext)
	if err != nil {
		return nil
	}
	var all []RememberedAccount
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(a RememberedAccount) bool {
		return !inTime(v.Now, a.Issued, RememberTTL)
	})
}

// RememberAccount returns the cookie after a sign-in: with the account if its person stays signed
// in, else without it.
func (s *Server) RememberAccount(
	v Visit, sealed string, u *identity.User, sess *identity.Session,
) string {
	all := s.rememberedBesides(v, sealed, u.ID)
	if sess.Stay && s.cfg.RememberAccounts {
		a := RememberedAccount{User: u.ID, Label: clipped(u.Label()), Login: u.LoginName(), Issued: v.Now.UnixMilli()}
		all = slices.Insert(all, 0, a)
	}
	return s.sealRemembered(all)
}

// ForgetAccount returns the cookie without an account, or "" if none is left.
func (s *Server) ForgetAccount(v Visit, sealed string, id identity.UserID) string {
	return s.sealRemembered(s.rememberedBesides(v, sealed, id))
}

func (s *Server) rememberedBesides(v Visit, sealed string, id identity.UserID) []RememberedAccount {
	return slices.DeleteFunc(s.RememberedAccounts(v, sealed), func(a RememberedAccount) bool {
		return a.User == id
	})
}

// sealRemembered seals as many accounts as the cookie holds.
func (s *Server) sealRemembered(all []RememberedAccount) string {
	for all = all[:min(len(all), MaxBrowserAccounts)]; len(all) > 0; all = all[:len(all)-1] {
		plain, err := json.Marshal(all)
		if err != nil { // strings and numbers always encode
			panic(err)
		}
		if sealed := s.pending.Seal(plain, rememberContext); len(sealed) <= maxRemembered {
			return sealed
		}
	}
	return ""
}

// clipped returns at most the first 60 characters of a label.
func clipped(label string) string {
	runes := []rune(label)
	return string(runes[:min(len(runes), 60)])
}

// ForgetDevice returns the device cookie without an account, or "" if none is left, and ends the
// trust in the browser.
func (s *Server) ForgetDevice(ctx context.Context, v Visit, id identity.UserID) (string, error) {
	for _, a := range s.knownAccounts(v) {
		if a.User != id {
			continue
		}
		if err := s.Distrust(ctx, v, id, a.Device); err != nil {
			return "", err
		}
	}
	known := s.knownBesides(v, id)
	if len(known) == 0 {
		return "", nil
	}
	return s.sealKnown(known), nil
}

// EndForgotten ends a session of a browser that forgets its account, or signs all accounts out.
func (s *Server) EndForgotten(ctx context.Context, v Visit, sess *identity.Session) error {
	return ignoreMissing(s.end(ctx, v, sess, "browser"))
}
