package login

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"golang.org/x/text/unicode/norm"
)

// memory is a Store in maps.
type memory struct {
	writes int // of failures and of events
	dataMemory
	ConfirmationStore // nil: those tests use the real store

	mu       sync.Mutex
	users    map[identity.UserID]*identity.User
	history  map[identity.UserID][]string // newest first
	creds    []identity.Credential
	backup   map[identity.UserID]map[secret.Hash]bool // true: used
	locks    map[string]Lock
	sessions map[secret.Hash]*identity.Session
	links    map[secret.Hash]*memoryLink
	codes    []memoryCode
	tokens   map[identity.SessionID]SessionTokens
	states   map[secret.Hash]string
	gate     chan struct{} // while set, reading a session with tokens waits for it
	events   []audit.Event
	queue    []outbox.Delivery
	handles  map[identity.UserID]string
	once     map[string]time.Time
	touches  int

	trust      map[string]TrustedBrowser
	recoveries map[identity.UserID]*memoryRecovery

	required  map[identity.UserID]time.Time // since when they need a second factor
	notified  map[identity.UserID]time.Time // of whose password they were told that it ends
	askSecond map[identity.UserID]bool
	broken    error // what every read of a user answers, if set
}

type memoryLink struct {
	Link
	used bool
}

type memoryCode struct {
	EmailCode
	used bool
}

func newMemory() *memory {
	return &memory{
		dataMemory: newDataMemory(),
		askSecond:  map[identity.UserID]bool{},
		notified:   map[identity.UserID]time.Time{},
		required:   map[identity.UserID]time.Time{},
		users:      map[identity.UserID]*identity.User{}, history: map[identity.UserID][]string{},
		backup: map[identity.UserID]map[secret.Hash]bool{}, locks: map[string]Lock{},
		sessions: map[secret.Hash]*identity.Session{}, links: map[secret.Hash]*memoryLink{},
		handles: map[identity.UserID]string{}, once: map[string]time.Time{},
		trust: map[string]TrustedBrowser{}, recoveries: map[identity.UserID]*memoryRecovery{},
	}
}

var _ Store = (*memory)(nil)

func (m *memory) UserEmails(context.Context, identity.UserID) ([]identity.OtherEmail, error) {
	return nil, nil
}

func (m *memory) PasswordAt(context.Context, identity.UserID, time.Time) (string, bool, error) {
	return "", false, nil
}

func (m *memory) AskSecond(_ context.Context, id identity.UserID) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.askSecond[id], nil
}

func (m *memory) SetAskSecond(
	_ context.Context, id identity.UserID, ask bool, _ time.Time, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.askSecond[id] = ask
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) EndUserAccess(
	ctx context.Context, u identity.UserID, now time.Time, except identity.SessionID, ev ...audit.Event,
) error {
	return m.EndOtherSessions(ctx, u, except, now, true, ev...)
}

func (m *memory) ProveEmail(_ context.Context, p Proven, _ time.Time, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[p.User].EmailVerified = true
	m.events = append(m.events, ev...)
	return nil
}

func missing() error  { return fault.New(fault.NotFound, "not there") }
func consumed() error { return fault.New(fault.Consumed, "used before") }

func (m *memory) UserByLogin(_ context.Context, key string) (*identity.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.users {
		if key != "" && (identity.LoginKey(u.Username) == key || identity.LoginKey(u.Email) == key) {
			c := *u
			return &c, m.broken
		}
	}
	if m.broken != nil {
		return nil, m.broken
	}
	return nil, missing()
}

func (m *memory) User(_ context.Context, id identity.UserID) (*identity.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u, ok := m.users[id]; ok {
		c := *u
		return &c, nil
	}
	return nil, missing()
}

func (m *memory) SetPassword(
	_ context.Context, id identity.UserID, hash string, keep int, now time.Time, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if !ok {
		return missing()
	}
	if u.PasswordHash != "" {
		m.history[id] = slices.Insert(m.history[id], 0, u.PasswordHash)
		m.history[id] = m.history[id][:min(keep, len(m.history[id]))]
	}
	u.PasswordHash, u.PasswordChangedAt, u.MustChange = hash, now, false
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) RehashPassword(_ context.Context, id identity.UserID, old, hash string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.users[id]
	if !ok || u.PasswordHash != old {
		return consumed()
	}
	u.PasswordHash = hash
	return nil
}

func (m *memory) PasswordHistory(_ context.Context, id identity.UserID, n int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.history[id]
	return slices.Clone(h[:min(n, len(h))]), nil
}

func (m *memory) MFARequiredSince(_ context.Context, id identity.UserID) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.required[id], nil
}

func (m *memory) SetMFARequiredSince(_ context.Context, id identity.UserID, since time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if since.IsZero() || m.required[id].IsZero() {
		m.required[id] = since
	}
	return nil
}

func (m *memory) OldPasswords(
	_ context.Context, after identity.UserID, before time.Time, limit int,
) (out []identity.User, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(m.users)) {
		u := m.users[id]
		set := passwordSet(u)
		if id > after && !set.After(before) && u.PasswordHash != "" && u.Email != "" && !u.Disabled &&
			!m.notified[id].Equal(set) && len(out) < limit {
			out = append(out, *u)
		}
	}
	return out, nil
}

func (m *memory) MarkExpiryNotice(_ context.Context, id identity.UserID, set time.Time, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notified[id].Equal(set) || !passwordSet(m.users[id]).Equal(set) {
		return consumed()
	}
	m.notified[id] = set
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) Credentials(_ context.Context, id identity.UserID) ([]identity.Credential, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []identity.Credential
	for _, c := range m.creds {
		if c.User == id {
			out = append(out, c)
		}
	}
	return out, nil
}

func (m *memory) PutCredential(_ context.Context, c *identity.Credential, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.creds = append(m.creds, *c)
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) ConfirmCredential(
	_ context.Context, id identity.CredentialID, step int64, now time.Time, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.creds {
		if c := &m.creds[i]; c.ID == id {
			if !c.ConfirmedAt.IsZero() {
				return consumed()
			}
			c.ConfirmedAt, c.Counter, c.LastUsedAt = now, step, now
			m.events = append(m.events, ev...)
			return nil
		}
	}
	return missing()
}

func (m *memory) AdvanceCredential(_ context.Context, id identity.CredentialID, step int64, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.creds {
		if c := &m.creds[i]; c.ID == id && c.Counter < step {
			c.Counter, c.LastUsedAt = step, now
			return nil
		}
	}
	return consumed()
}

func (m *memory) DeleteCredentials(_ context.Context, id identity.UserID, kind string, ev ...audit.Event) error {
	m.drop(func(c identity.Credential) bool { return c.User == id && c.Kind == kind })
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.creds, func(c identity.Credential) bool { return c.User == id }) {
		delete(m.backup, id)
	}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) DeleteUnconfirmed(_ context.Context, id identity.UserID, kind string) error {
	m.drop(func(c identity.Credential) bool { return c.User == id && c.Kind == kind && c.ConfirmedAt.IsZero() })
	return nil
}

func (m *memory) CredentialByLookup(_ context.Context, h secret.Hash) (*identity.Credential, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	for _, c := range m.creds {
		if c.Lookup == h && h != "" {
			return &c, nil
		}
	}
	return nil, missing()
}

func (m *memory) UsePasskey(_ context.Context, id identity.CredentialID, use PasskeyUse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.creds {
		c := &m.creds[i]
		if c.ID != id {
			continue
		}
		if use.Grows && c.Counter >= use.Counter {
			return consumed()
		}
		c.Counter, c.Sealed, c.LastUsedAt = use.Counter, use.Sealed, use.Now
		return nil
	}
	return missing()
}

func (m *memory) RenameCredential(
	_ context.Context, u identity.UserID, id identity.CredentialID, label string, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.creds {
		if c := &m.creds[i]; c.ID == id && c.User == u {
			c.Label = label
			m.events = append(m.events, ev...)
			return nil
		}
	}
	return missing()
}

func (m *memory) DeleteCredential(
	_ context.Context, u identity.UserID, id, remains identity.CredentialID, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	has := func(id identity.CredentialID) bool {
		return slices.ContainsFunc(m.creds, func(c identity.Credential) bool { return c.ID == id && c.User == u })
	}
	if remains != "" && !has(remains) {
		return consumed()
	}
	if !has(id) {
		return missing()
	}
	m.creds = slices.DeleteFunc(m.creds, func(c identity.Credential) bool { return c.ID == id })
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) UserHandle(_ context.Context, u identity.UserID, offered string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handles[u] == "" {
		m.handles[u] = offered
	}
	return m.handles[u], nil
}

func (m *memory) Once(_ context.Context, key string, until, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.once[key].After(now) {
		return consumed()
	}
	m.once[key] = until
	return nil
}

func (m *memory) drop(which func(identity.Credential) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.creds = slices.DeleteFunc(m.creds, which)
}

func (m *memory) PutBackupCodes(
	_ context.Context, id identity.UserID, codes []secret.Hash, _ time.Time, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.backup[id] = map[secret.Hash]bool{}
	for _, h := range codes {
		m.backup[id][h] = false
	}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) ConsumeBackupCode(_ context.Context, id identity.UserID, h secret.Hash, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	used, ok := m.backup[id][h]
	if !ok {
		return missing()
	}
	if used {
		return consumed()
	}
	m.backup[id][h] = true
	return nil
}

func (m *memory) BackupCodesLeft(_ context.Context, id identity.UserID) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, used := range m.backup[id] {
		if !used {
			n++
		}
	}
	return n, nil
}

func (m *memory) Lock(_ context.Context, key string, _ time.Time) (Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locks[key], nil
}

func (m *memory) RecordFailure(_ context.Context, f Failure) (Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	l := m.locks[f.Key]
	quiet := f.Now.Sub(l.LastAt) > f.Window
	switch {
	case l.Locked(f.Now):
		l.Failures, l.LastAt = l.Failures+1, f.Now
		m.locks[f.Key] = l
		return l, nil
	case quiet && f.Now.Sub(l.LockedUntil) > f.Window:
		l = Lock{}
	case quiet || !l.LockedUntil.IsZero():
		l.Failures = 0
	}
	l.Key, l.LastAt, l.LockedAt, l.LockedUntil = f.Key, f.Now, time.Time{}, time.Time{}
	l.Failures++
	if l.Failures >= f.Threshold {
		d := f.Duration
		if f.Progressive {
			d <<= min(l.Rounds, 3)
		}
		l.Rounds, l.LockedAt, l.LockedUntil = l.Rounds+1, f.Now, f.Now.Add(d)
	}
	m.locks[f.Key] = l
	return l, nil
}

func (m *memory) ClearLock(ctx context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.locks, key)
	return nil
}

func (m *memory) ClearLocks(_ context.Context, key string, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.locks, func(k string, _ Lock) bool {
		return k == key || strings.HasPrefix(k, key+":")
	})
	m.events = append(m.events, ev...)
	return nil
}

// inState reports whether an account is in the state that was proved.
func (m *memory) inState(id identity.UserID, st *identity.AccountState) bool {
	if st == nil {
		return true
	}
	var factors []identity.CredentialID
	for _, c := range m.creds {
		if c.User == id && !c.ConfirmedAt.IsZero() {
			factors = append(factors, c.ID)
		}
	}
	return m.users[id].PasswordChangedAt.Equal(st.PasswordChangedAt) && slices.Equal(factors, st.Factors)
}

func (m *memory) PutSession(
	_ context.Context, h secret.Hash, s *identity.Session, t identity.SessionTerms,
	ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.inState(s.User, t.Proved) {
		return consumed()
	}
	for k, o := range m.sessions {
		if t.Single && o.User == s.User {
			delete(m.sessions, k)
		}
	}
	c := *s
	m.sessions[h] = &c
	m.users[s.User].LastLoginAt = s.CreatedAt
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) SessionByCookie(
	_ context.Context, h secret.Hash, now time.Time, idle time.Duration,
) (*identity.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[h]
	if !ok || !now.Before(s.ExpiresAt) || !s.Stay && now.Sub(s.LastSeenAt) > idle {
		return nil, missing()
	}
	c := *s
	return &c, nil
}

func (m *memory) TouchSession(_ context.Context, id identity.SessionID, now time.Time, ip, agent string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.ID == id {
			s.LastSeenAt, s.IP, s.Agent = now, ip, agent
			m.touches++
		}
	}
	return nil
}

func (m *memory) RaiseSession(
	_ context.Context, old, new secret.Hash, s *identity.Session, proved *identity.AccountState,
	ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.sessions[old]; !ok || !m.inState(s.User, proved) {
		return consumed()
	}
	delete(m.sessions, old)
	c := *s
	m.sessions[new] = &c
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) EndSession(_ context.Context, id identity.SessionID, _ time.Time, _ bool, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, s := range m.sessions {
		if s.ID == id {
			delete(m.sessions, k)
		}
	}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) EndOtherSessions(
	_ context.Context, u identity.UserID, keep identity.SessionID, _ time.Time, _ bool,
	ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, s := range m.sessions {
		if s.User == u && s.ID != keep {
			delete(m.sessions, k)
		}
	}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) Link(_ context.Context, h secret.Hash, now time.Time) (*Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[h]
	if !ok || l.used || !now.Before(l.ExpiresAt) {
		return nil, missing()
	}
	c := l.Link
	return &c, nil
}

func (m *memory) ConsumeLink(_ context.Context, h secret.Hash, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.consume(h, now)
}

func (m *memory) consume(h secret.Hash, now time.Time) error {
	l, ok := m.links[h]
	if !ok || !now.Before(l.ExpiresAt) {
		return missing()
	}
	if l.used {
		return consumed()
	}
	l.used = true
	return nil
}

func (m *memory) PutLink(_ context.Context, h secret.Hash, l *Link, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, old := range m.links {
		if l.User != "" && old.User == l.User && old.Kind == l.Kind {
			delete(m.links, k)
		}
	}
	m.links[h] = &memoryLink{Link: *l}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) CompleteSetup(
	_ context.Context, h secret.Hash, u *identity.User, _ *FirstPasskey, now time.Time,
	ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.consume(h, now); err != nil {
		return err
	}
	c := *u
	m.users[u.ID] = &c
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) ReplacePasskeys(
	context.Context, secret.Hash, *FirstPasskey, time.Time, ...audit.Event,
) error {
	panic("not here")
}

func (m *memory) FinishReplacement(
	context.Context, *Recovery, Replacement, time.Time, ...audit.Event,
) error {
	panic("not here")
}

func (m *memory) PutTokenSession(
	ctx context.Context, s *identity.Session, tokens SessionTokens, t identity.SessionTerms,
	ev ...audit.Event,
) error {
	if err := m.PutSession(ctx, secret.Hash(s.ID), s, t, ev...); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil {
		m.tokens = map[identity.SessionID]SessionTokens{}
	}
	m.tokens[s.ID] = tokens
	return nil
}

func (m *memory) TokenSession(_ context.Context, id identity.SessionID, now time.Time) (*TokenSession, error) {
	if m.gate != nil {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[secret.Hash(id)]
	if !ok || !s.ExpiresAt.After(now) {
		return nil, missing()
	}
	return &TokenSession{Session: *s, Tokens: m.tokens[id]}, nil
}

func (m *memory) RotateTokens(_ context.Context, r TokenRotation, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[r.Session]
	if t.Refresh != r.Old {
		return consumed()
	}
	t.Token, t.Expires, t.Refresh = r.Token, r.Expires, r.Refresh
	m.tokens[r.Session] = t
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) PutLoginState(_ context.Context, h secret.Hash, opening string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states == nil {
		m.states = map[secret.Hash]string{}
	}
	m.states[h] = opening
	return nil
}

func (m *memory) LoginState(_ context.Context, h secret.Hash, _ time.Time) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.states[h]; ok {
		return o, nil
	}
	return "", missing()
}

func (m *memory) PutEmailCode(_ context.Context, c *EmailCode, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.codes = append(m.codes, memoryCode{EmailCode: *c})
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) EmailCode(_ context.Context, attempt secret.Hash, now time.Time) (*EmailCode, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.codes {
		if c.Attempt == attempt && !c.used && c.ExpiresAt.After(now) {
			return &c.EmailCode, nil
		}
	}
	return nil, missing()
}

func (m *memory) ConsumeEmailCode(_ context.Context, use EmailCodeUse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var answer *memoryCode
	for i := range m.codes {
		c := &m.codes[i]
		if c.User != use.User {
			continue
		}
		if c.Attempt == use.Attempt {
			answer = c
			break
		}
		if c.ExpiresAt.After(use.Now) {
			answer = c
		}
	}
	if answer == nil || answer.Code != use.Code || !answer.ExpiresAt.After(use.Now) {
		return missing()
	}
	if answer.used {
		return consumed()
	}
	for i := range m.codes {
		m.codes[i].used = m.codes[i].used || m.codes[i].User == use.User
	}
	return nil
}

func (m *memory) Queue(_ context.Context, all ...outbox.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, all...)
	return nil
}

func (m *memory) Record(_ context.Context, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, ev...)
	if len(ev) > 0 {
		m.writes++
	}
	return nil
}

// logged lists the events from the first one wanted on, as "TYPE reason".
func (m *memory) logged(from int) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, e := range m.events[from:] {
		out = append(out, strings.TrimSpace(string(e.Type)+" "+e.Reason))
	}
	return out
}

// fakeHasher stands in for argon2id and counts the work that would have been done.
type fakeHasher struct{ hashes, verifies atomic.Int64 }

func (q *fakeHasher) Hash(_ context.Context, p string) (string, error) {
	q.hashes.Add(1)
	return "quick$" + secret.NormalPassword(p), nil
}

func (q *fakeHasher) Verify(_ context.Context, p, stored string) (bool, error) {
	if strings.HasPrefix(stored, "foreign$") {
		return false, fault.New(fault.Invalid, "unknown kind of hash")
	}
	q.verifies.Add(1)
	if former, ok := strings.CutPrefix(stored, "old$"); ok && norm.NFKC.String(p) == former {
		return true, nil
	}
	return stored != "" && strings.TrimPrefix(strings.TrimPrefix(stored, "quick$"), "old$") == secret.NormalPassword(p), nil
}

func (q *fakeHasher) Outdated(stored string) bool { return strings.HasPrefix(stored, "old$") }
