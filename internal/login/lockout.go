package login

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

const (
	// Failures are forgotten after a day without another one. It is longer than the usual lock, so that a patient
	// guesser meets the progressive locks.
	userWindow = 24 * time.Hour
	// Where only an administrator unlocks.
	forever = 100 * 365 * 24 * time.Hour
)

// subject is whom failures are counted against: a user, or a name that nobody has.
type subject struct {
	user *identity.User // nil for a name that nobody has
	key  string
}

// id is the user's id, or "".
func (w subject) id() identity.UserID {
	if w.user == nil {
		return ""
	}
	return w.user.ID
}

// LockKey names the counter of a user's failures.
func LockKey(id identity.UserID) string { return "user:" + string(id) }

// subject names the counter. Unknown names share 65,536 counters, so that strangers cannot grow the table; they lock
// as known ones do, so that a lock does not tell who has an account.
func (s *Server) subject(u *identity.User, name string) subject {
	if u != nil {
		return subject{u, LockKey(u.ID)}
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(s.keys.Hash("unknown-name:" + name)))
	if err != nil { // Hash is base64url
		panic(err)
	}
	return subject{nil, "name:" + strconv.Itoa(int(binary.BigEndian.Uint16(raw)))}
}

// addressKey names an address's counter: an IPv6 network of 64 bits is one household. "" if addresses are not counted.
func (s *Server) addressKey(ip string) string {
	if !s.cfg.LockByIP {
		return ""
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return "ip:" + a.String()
	}
	p, err := a.Prefix(64)
	if err != nil { // 64 fits every IPv6 address
		panic(err)
	}
	return "ip:" + p.String()
}

// exempt reports whether nothing from an address is counted or locked.
func (s *Server) exempt(ip string) bool {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range s.cfg.LockWhitelist {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// prove runs one check under the lockout: not while locked, and failures count.
//
// Slow checks run side by side, so a few more than the threshold can be under way when a lock falls; the second look
// at the lock refuses them even if they were right. Fast ones wait for their turn, or hundreds could slip through.
func (s *Server) prove(ctx context.Context, v Visit, f Factor, who subject, in url.Values) (Proof, error) {
	if f.Serial() {
		leave, err := s.turns.enter(ctx, who.key)
		if err != nil {
			return Proof{}, err
		}
		defer leave()
	}
	if err := s.barred(ctx, v, who); err != nil {
		return Proof{}, err
	}
	proof, err := f.Check(ctx, v, who.user, in)
	if err != nil {
		return Proof{}, err
	}
	if !proof.OK {
		return Proof{}, s.refuse(ctx, v, who, proof)
	}
	if err := s.barred(ctx, v, who); err != nil {
		return Proof{}, err
	}
	return proof, nil
}

// barred is Limited while a lock holds for the subject or the address.
func (s *Server) barred(ctx context.Context, v Visit, who subject) error {
	if s.exempt(v.IP) {
		return nil
	}
	for _, c := range s.counters(v, who) {
		l, err := s.store.Lock(ctx, c.Key, v.Now)
		if err != nil {
			return err
		}
		if l.Locked(v.Now) {
			if err := s.store.Record(ctx, v.failure(who.id(), "locked")); err != nil {
				return err
			}
			return s.locked(v, l)
		}
	}
	return nil
}

// refuse counts a failure, keeps it for the audit log, and says what the person is told.
func (s *Server) refuse(ctx context.Context, v Visit, who subject, proof Proof) error {
	events := []audit.Event{v.failure(who.id(), proof.Reason)}
	var answer error = fault.New(fault.Denied, "%s", proof.Text)
	if !s.exempt(v.IP) {
		for _, c := range s.counters(v, who) {
			l, err := s.store.RecordFailure(ctx, c)
			if err != nil {
				return err
			}
			if l.Locked(v.Now) {
				answer = s.locked(v, l)
			}
			if l.Locked(v.Now) && l.Failures == c.Threshold { // this one was the last straw
				events = append(events, lockedEvent(v, who, c))
			}
		}
	}
	if err := s.store.Record(ctx, events...); err != nil {
		return err
	}
	return answer
}

func lockedEvent(v Visit, who subject, c Failure) audit.Event {
	ev := v.failure(who.id(), "too_many_failures")
	ev.Type = audit.AccountLocked
	scope := "account"
	if c.Key != who.key {
		scope = "address"
	}
	ev.Detail = map[string]string{"scope": scope, "threshold": strconv.Itoa(c.Threshold)}
	return ev
}

// counters are what one failure adds to.
func (s *Server) counters(v Visit, who subject) []Failure {
	lasts := s.cfg.LockDuration
	if !s.cfg.AutoUnlock {
		lasts = forever
	}
	c := Failure{Now: v.Now, Duration: lasts, Progressive: s.cfg.Progressive && s.cfg.AutoUnlock}
	var out []Failure
	if s.cfg.LockThreshold > 0 {
		user := c
		user.Key, user.Threshold, user.Window = who.key, s.cfg.LockThreshold, userWindow
		out = append(out, user)
	}
	if key := s.addressKey(v.IP); key != "" && s.cfg.IPThreshold > 0 {
		// Many people may share an address: their mistakes are forgotten sooner, and no success forgives the others'.
		c.Key, c.Threshold, c.Window = key, s.cfg.IPThreshold, max(s.cfg.LockDuration, time.Minute)
		out = append(out, c)
	}
	return out
}

// locked says the same of accounts that exist, of names that do not, and of addresses.
func (s *Server) locked(v Visit, l Lock) error {
	if !s.cfg.AutoUnlock {
		return fault.New(fault.Limited, "Too many failed attempts: signing in is locked. Ask your administrator to unlock it.")
	}
	left := l.LockedUntil.Sub(v.Now)
	minutes := int(math.Ceil(left.Minutes()))
	unit := "minutes"
	if minutes == 1 {
		unit = "minute"
	}
	return fault.RetryAfter(fault.Limited, left, "Too many failed attempts. Try again in %d %s, or ask your administrator.", minutes, unit)
}

// forgive forgets a user's failures once everything has been proved: the password alone must not, or it would buy its
// holder any number of guesses at the second factor.
func (s *Server) forgive(ctx context.Context, v Visit, id identity.UserID) error {
	l, err := s.store.Lock(ctx, LockKey(id), v.Now)
	if err != nil || l.Failures == 0 && l.Rounds == 0 && l.LockedUntil.IsZero() {
		return err
	}
	return s.store.ClearLock(ctx, LockKey(id))
}

// LockOf tells how a user's lockout stands.
func (s *Server) LockOf(ctx context.Context, v Visit, id identity.UserID) (Lock, error) {
	return s.store.Lock(ctx, LockKey(id), v.Now)
}

// Unlock ends a user's lock and forgets the failures, on behalf of v.Actor.
func (s *Server) Unlock(ctx context.Context, v Visit, id identity.UserID) error {
	return s.store.ClearLock(ctx, LockKey(id), v.event(audit.AccountUnlocked, id))
}

// turns lets checks for one person go one after another. Different people may share a turn; they wait for
// milliseconds.
type turns [64]chan struct{}

func newTurns() (t turns) {
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return t
}

func (t *turns) enter(ctx context.Context, key string) (leave func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(key))
	turn := t[h.Sum32()%uint32(len(t))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "the server is busy; try again in a moment")
	}
}
