package login

import (
	"context"
	"hash/fnv"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

const (
	// Failures are forgotten after a day without another one. The window is longer than the usual
	// lock, so that a patient guesser meets the progressive locks.
	userWindow = 24 * time.Hour
	// The length of a lock that only an administrator ends.
	forever = 100 * 365 * 24 * time.Hour
)

// subject is whom failures are counted against.
type subject struct {
	user *identity.User // nil if the name is unknown or missing
	key  string         // names the counter; "" counts by address only

	device bool // the account knows the browser, which is counted by itself
	codes  bool // what fails is short codes, which may not be guessed without end
}

// apart returns the subject with the counter of a factor whose failures are counted apart.
func (w subject) apart(f Factor) subject {
	if c, ok := f.(countedApart); ok && w.key != "" {
		w.key, w.codes = w.key+":"+c.Counter(), true
	}
	return w
}

// id returns the user's id, or "".
func (w subject) id() identity.UserID {
	if w.user == nil {
		return ""
	}
	return w.user.ID
}

// LockKey returns the name of the counter of a user's failures.
func LockKey(id identity.UserID) string { return "user:" + string(id) }

// UnknownPrefix begins the keys of counters of names that nobody has. The store bounds their
// number.
const UnknownPrefix = "name:"

// subject returns whom an attempt counts against. Each unknown name has a counter of its own and
// locks as known ones do, so that a lock does not reveal who has an account.
func (s *Server) subject(u *identity.User, name string) subject {
	if u != nil {
		return subject{user: u, key: LockKey(u.ID)}
	}
	if name == "" {
		return subject{}
	}
	return subject{key: UnknownPrefix + string(s.keys.Hash("unknown-name:" + name))[:16]}
}

// addressKey returns the name of an address's counter, or "" if addresses are not counted. Callers
// without a known address share one counter.
func (s *Server) addressKey(ip string) string {
	if !s.cfg.LockByIP {
		return ""
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "ip:unknown"
	}
	return "ip:" + netaddr.Key(a)
}

// exempt reports whether attempts from an address are neither counted nor locked.
func (s *Server) exempt(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && netaddr.Contains(s.cfg.LockWhitelist, a)
}

// prove runs one check under the lockout: it is rejected while locked, and failures count.
//
// Slow checks run side by side, so a few more than the threshold can be under way when a lock
// begins; the second look at the lock rejects them even if they were right. Cheap ones run one
// after another for each person, or hundreds could get past the lock.
func (s *Server) prove(
	ctx context.Context, fl Flow, f Factor, who subject, in url.Values,
) (Proof, error) {
	proof, err := s.proveOnce(ctx, fl, f, who, in)
	if s.cfg.OnCheck != nil {
		s.cfg.OnCheck(f.Kind(), err)
	}
	return proof, err
}

// proveOnce does what prove does, and reports to nobody.
func (s *Server) proveOnce(
	ctx context.Context, fl Flow, f Factor, who subject, in url.Values,
) (Proof, error) {
	if !guessable(f) {
		return s.provePossession(ctx, fl, f, who, in)
	}
	who, err := s.known(ctx, fl.Visit, who)
	if err != nil {
		return Proof{}, err
	}
	who = who.apart(f)
	if f.Serial() {
		leave, err := s.lanes.enter(ctx, who.key)
		if err != nil {
			return Proof{}, err
		}
		defer leave()
	}
	if err := s.checkLocked(ctx, fl.Visit, who); err != nil {
		return Proof{}, err
	}
	proof, err := f.Check(ctx, fl, who.user, in)
	if err != nil {
		return Proof{}, err
	}
	if proof.User != nil {
		if who, err = s.known(ctx, fl.Visit, s.subject(proof.User, "")); err != nil {
			return Proof{}, err
		}
		who = who.apart(f)
	}
	if !proof.OK {
		return Proof{}, s.recordFailure(ctx, fl.Visit, who, proof)
	}
	if err := s.checkLocked(ctx, fl.Visit, who); err != nil {
		return Proof{}, err
	}
	return proof, nil
}

// provePossession runs one check that cannot be guessed. A lock, which is against guessing, does
// not stop it, and a failure is recorded but not counted.
func (s *Server) provePossession(
	ctx context.Context, fl Flow, f Factor, who subject, in url.Values,
) (Proof, error) {
	proof, err := f.Check(ctx, fl, who.user, in)
	if err != nil || proof.OK {
		return proof, err
	}
	if err := s.recordFailureEvent(ctx, fl.Visit, fl.failure(who.id(), proof.Reason)); err != nil {
		return Proof{}, err
	}
	return Proof{}, wrongAnswer(proof)
}

// wrongAnswer returns the error of an answer that is wrong. Its text is its own format, by which
// pages find it in other languages.
func wrongAnswer(p Proof) error {
	return &fault.Error{Kind: fault.Denied, Reason: p.Reason, Text: p.Text, Format: p.Text}
}

// checkLocked returns Limited while the subject or the address is locked.
func (s *Server) checkLocked(ctx context.Context, v Visit, who subject) error {
	if s.exempt(v.IP) {
		return nil
	}
	for _, c := range s.counters(v, who) {
		l, err := s.store.Lock(ctx, c.Key, v.Now)
		if err != nil {
			return err
		}
		if l.Locked(v.Now) {
			ev := v.failure(who.id(), audit.ReasonLocked)
			if err := s.recordFailureEvent(ctx, v, ev); err != nil {
				return err
			}
			return s.errLocked(v, l)
		}
	}
	return nil
}

// recordFailure counts a failure, writes it to the audit log, and returns the error for the person.
func (s *Server) recordFailure(ctx context.Context, v Visit, who subject, proof Proof) error {
	var events []audit.Event
	recorded := s.recordsFailure(v, who.id())
	if recorded {
		events = append(events, v.failure(who.id(), proof.Reason))
	}
	var result error = wrongAnswer(proof)
	if !s.exempt(v.IP) {
		for _, c := range s.counters(v, who) {
			l, err := s.store.RecordFailure(ctx, c)
			if err != nil {
				return err
			}
			if l.Locked(v.Now) {
				result = s.errLocked(v, l)
			}
			// This failure began the lock. Locks of names that nobody has are only failures.
			began := l.Locked(v.Now) && l.Failures == c.Threshold
			if began && (recorded || who.user != nil || c.Key != who.key) {
				events = append(events, s.lockedEvent(v, who, c, l.Rounds))
			}
		}
	}
	if err := s.storeFailure(ctx, v, events...); err != nil {
		return err
	}
	return result
}

// lockedEvent returns the event about a lock that has begun, the round-th one in a row. It notifies
// the person at rounds 1, 2, 4, 8 and so on: a stranger can cause a lock whenever one ends.
func (s *Server) lockedEvent(v Visit, who subject, c Failure, round int) audit.Event {
	ev := v.failure(who.id(), audit.ReasonTooManyFailures)
	ev.Type = audit.AccountLocked
	scope := "account"
	switch {
	case c.Key != who.key:
		scope = "address"
	case who.codes:
		scope = "email_codes"
	case who.device:
		scope = "browser"
	}
	ev.Detail = map[string]string{"scope": scope, "threshold": strconv.Itoa(c.Threshold)}
	second := strings.HasSuffix(c.Key, ":"+secondCounter)
	if second {
		ev.Detail["step"] = secondCounter
	}
	notify := who.user != nil && c.Key == who.key && round&(round-1) == 0
	switch {
	case notify && second:
		s.notices.notify(&ev, who.user, outbox.MessageCodesLocked, pageForgot)
	case notify && !who.codes:
		s.notices.notify(&ev, who.user, outbox.MessageAccountLocked, "")
	}
	return ev
}

// counters returns what one failure adds to.
func (s *Server) counters(v Visit, who subject) []Failure {
	lasts := s.cfg.LockDuration
	if s.cfg.Progressive {
		lasts /= 2 // of the first one; see Config.Progressive
	}
	if !s.cfg.AutoUnlock {
		lasts = forever
	}
	c := Failure{
		Now:         v.Now,
		Duration:    lasts,
		Progressive: s.cfg.Progressive && s.cfg.AutoUnlock,
	}
	var out []Failure
	threshold := s.cfg.LockThreshold
	if threshold == 0 && who.codes {
		threshold = emailGuesses
	}
	if threshold > 0 && who.key != "" {
		user := c
		user.Key, user.Threshold, user.Window = who.key, threshold, userWindow
		if who.device {
			// Others at the same address do not lock it, and its lock ends with its cookie.
			user.Duration = min(user.Duration, DeviceTTL)
			return append(out, user)
		}
		out = append(out, user)
	}
	if key := s.addressKey(v.IP); key != "" && s.cfg.IPThreshold > 0 {
		// Many people may share an address: their failures are forgotten sooner, and the success of
		// one does not reset those of the others.
		c.Key, c.Threshold, c.Window = key, s.cfg.IPThreshold, max(s.cfg.LockDuration, time.Minute)
		out = append(out, c)
	}
	return out
}

// errLocked returns the error for accounts that exist, names that do not, and addresses alike.
func (s *Server) errLocked(v Visit, l Lock) error {
	if !s.cfg.AutoUnlock {
		return &fault.Error{
			Kind:   fault.Limited,
			Reason: audit.ReasonLocked,
			Text: "Too many failed attempts: signing in is locked. " +
				"Ask your administrator to unlock it.",
		}
	}
	left := l.LockedUntil.Sub(v.Now)
	minutes := int(math.Ceil(left.Minutes()))
	err := fault.RetryAfter(fault.Limited, left,
		"Too many failed attempts. Try again in %d minutes, or ask your administrator.", minutes)
	if minutes == 1 {
		err = fault.RetryAfter(fault.Limited, left,
			"Too many failed attempts. Try again in 1 minute, or ask your administrator.")
	}
	err.Reason = audit.ReasonLocked
	return err
}

// resetFailures forgets the failures of a user, or of the browser if the user's account knows it:
// what strangers have failed elsewhere still counts against them. It is called only once everything
// has been proved.
func (s *Server) resetFailures(ctx context.Context, v Visit, u *identity.User) error {
	return s.clearCounters(ctx, v, u, "", secondCounter, emailCounter)
}

// resetByPassword forgets the wrong passwords after a right one. Wrong codes still count: whoever
// guesses them may know the password.
func (s *Server) resetByPassword(ctx context.Context, v Visit, u *identity.User) error {
	return s.clearCounters(ctx, v, u, "")
}

// clearCounters deletes counters of a user, or of the browser if the user's account knows it. They
// are named by what ends their keys.
func (s *Server) clearCounters(ctx context.Context, v Visit, u *identity.User, ends ...string) error {
	who, err := s.known(ctx, v, s.subject(u, ""))
	if err != nil {
		return err
	}
	for _, end := range ends {
		l, err := s.store.Lock(ctx, below(who.key, end), v.Now)
		if err != nil {
			return err
		}
		if l.Failures == 0 && l.Rounds == 0 && l.LockedUntil.IsZero() {
			continue
		}
		if err := s.store.ClearLock(ctx, l.Key); err != nil {
			return err
		}
	}
	return nil
}

// secondCounter ends the names of the counters of wrong answers to a second step.
const secondCounter = "second"

// below returns the key of a counter below another one, or that one if end is "".
func below(key, end string) string {
	if end == "" {
		return key
	}
	return key + ":" + end
}

// LockOf returns what is counted against a user: the failures that still count, and the lock that
// lasts longest.
func (s *Server) LockOf(ctx context.Context, v Visit, id identity.UserID) (Lock, error) {
	out := Lock{Key: LockKey(id)}
	for _, end := range []string{"", secondCounter, emailCounter} {
		l, err := s.store.Lock(ctx, below(out.Key, end), v.Now)
		if err != nil {
			return Lock{}, err
		}
		locked := l.Locked(v.Now)
		if locked || l.LockedUntil.IsZero() && l.LastAt.After(v.Now.Add(-userWindow)) {
			out.Failures += l.Failures
		}
		if locked && l.LockedUntil.After(out.LockedUntil) {
			out.LockedAt, out.LockedUntil, out.Rounds = l.LockedAt, l.LockedUntil, l.Rounds
		}
	}
	return out, nil
}

// endedByLock returns an error for a sign-in that waits for a second factor that was locked:
// Limited while the lock lasts, then Consumed, so that whoever answers starts again.
func (s *Server) endedByLock(ctx context.Context, v Visit, si *signIn, issued time.Time) error {
	f := s.factor(si.kind, UseSecond|UseSubstitute)
	if f == nil || !guessable(f) {
		return nil
	}
	who, err := s.known(ctx, v, s.subject(si.user, ""))
	if err != nil {
		return err
	}
	who = who.apart(f)
	if err := s.checkLocked(ctx, v, who); err != nil {
		return err
	}
	l, err := s.store.Lock(ctx, who.key, v.Now)
	if err == nil && !l.LockedAt.IsZero() && !l.LockedAt.Before(issued) {
		return errStale()
	}
	return err
}

// Unlock ends a user's lock and those of browsers that the account knows, and forgets the failures,
// on behalf of v.Actor.
func (s *Server) Unlock(ctx context.Context, v Visit, id identity.UserID) error {
	return s.store.ClearLocks(ctx, LockKey(id), v.event(audit.AccountUnlocked, id))
}

// lanes serializes the checks of one person. Different people may share a lane, in which they wait
// for milliseconds.
type lanes [64]chan struct{}

func newLanes() (l lanes) {
	for i := range l {
		l[i] = make(chan struct{}, 1)
	}
	return l
}

func (l *lanes) enter(ctx context.Context, key string) (leave func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(key))
	lane := l[h.Sum32()%uint32(len(l))]
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(),
			"The server is busy. Try again in a moment.")
	}
}
