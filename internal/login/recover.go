package login

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// How long the links of a recovery work: the one that starts the wait, and after the wait the one
// that completes it.
const (
	recoveryStartTTL  = time.Hour
	recoveryFinishTTL = 7 * 24 * time.Hour
)

// RecoveryLink is a kind of link that belongs to a request for recovery.
type RecoveryLink string

// The links. Each is sent by mail.
const (
	RecoveryStart  RecoveryLink = "start"  // proves the mailbox and starts the wait
	RecoveryStop   RecoveryLink = "stop"   // refuses the request
	RecoveryFinish RecoveryLink = "finish" // completes it after the wait
)

// Recovery is a request to remove the second factors of an account whose owner has lost them. The
// person has proved the password before it is made, and proves the mailbox to start its wait, which
// gives the owner time to refuse it. An account without a password has a request to replace its
// passkeys instead (ByMailbox).
type Recovery struct {
	ID        string
	User      identity.UserID
	State     string // names the account's state: a change ends the request
	IP, Agent string // who asked
	CreatedAt time.Time
	StartedAt time.Time // when the mailbox answered; zero: not yet
	ReadyAt   time.Time // from when it can be completed; zero: not started
	ExpiresAt time.Time
}

// RecoveryState is what a person in the middle of signing in can do about a lost second factor.
type RecoveryState struct {
	Possible bool      // a request can be made
	Passkeys bool      // it replaces passkeys, which are all that the account has
	Mailbox  string    // where its link is sent, shortened so that it gives nothing away
	Waiting  *Recovery // a request that waits or can be completed, or nil
}

// RecoveryDelay returns how long a request waits before it can be completed, or 0.
func (s *Server) RecoveryDelay() time.Duration { return s.cfg.RecoveryDelay }

// recoverable reports whether the person of a sign-in may ask for a recovery, and by the mailbox
// alone. Either the password was proved, proves more than the mailbox, and remains as the way in;
// or the account has passkeys and nothing else that could be asked for.
func (s *Server) recoverable(
	ctx context.Context, v Visit, si *signIn,
) (possible, byMailbox bool, err error) {
	if s.cfg.RecoveryDelay <= 0 || !s.notices.on || si.step != StepFactor || si.raise || si.user.Email == "" {
		return false, false, nil
	}
	byMailbox, err = s.onlyPasskeys(ctx, v, si.user)
	if err != nil || byMailbox && si.user.EmailVerified && slices.Contains(si.choices, kindPasskey) {
		return err == nil, byMailbox, err
	}
	if si.user.PasswordHash == "" || !slices.Contains(si.amr, s.password().AMR()[0]) {
		return false, false, nil
	}
	mark, err := s.store.Lock(ctx, mailedPasswordKey(si.user.ID), v.Now)
	return err == nil && !mark.Locked(v.Now), false, err
}

// mailedPasswordTTL is so long that only a second factor ends what markMailedPassword stores.
const mailedPasswordTTL = 50 * 365 * 24 * time.Hour

func mailedPasswordKey(id identity.UserID) string { return "mailed-password:" + string(id) }

// firstMailedKey names the mark of an account whose password is set by a mailed link and that had
// none before.
func firstMailedKey(id identity.UserID) string { return "first-password:" + string(id) }

// markMailedPassword stores that the password of a user with second factors is set by a mailed
// link. Until it is proved together with a second factor, that password proves no more than the
// mailbox does, and a recovery asks for both: whoever holds the mailbox alone must not get past the
// factors. Who had no password before still has none that counts.
func (s *Server) markMailedPassword(ctx context.Context, v Visit, u *identity.User) error {
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil || len(s.kindsOf(creds)) == 0 {
		return err
	}
	if u.PasswordHash == "" {
		if err := s.mark(ctx, v, firstMailedKey(u.ID)); err != nil {
			return err
		}
	}
	return s.mark(ctx, v, mailedPasswordKey(u.ID))
}

// mark stores a fact about an account until ClearLock.
func (s *Server) mark(ctx context.Context, v Visit, key string) error {
	_, err := s.store.RecordFailure(ctx, Failure{
		Key:       key,
		Now:       v.Now,
		Threshold: 1,
		Duration:  mailedPasswordTTL,
		Window:    mailedPasswordTTL,
	})
	return err
}

// clearMailedPassword ends what markMailedPassword stored, after the password and a second factor
// were proved.
func (s *Server) clearMailedPassword(ctx context.Context, v Visit, id identity.UserID) error {
	mark, err := s.store.Lock(ctx, mailedPasswordKey(id), v.Now)
	if err != nil || !mark.Locked(v.Now) {
		return err
	}
	if err := s.store.ClearLock(ctx, firstMailedKey(id)); err != nil {
		return err
	}
	return s.store.ClearLock(ctx, mailedPasswordKey(id))
}

// RecoveryState returns what the person of a pending sign-in can do.
func (s *Server) RecoveryState(ctx context.Context, v Visit, pending string) (RecoveryState, error) {
	si, err := s.open(ctx, v, pending)
	if err != nil {
		return RecoveryState{}, err
	}
	var out RecoveryState
	if out.Possible, out.Passkeys, err = s.recoverable(ctx, v, si); err != nil || !out.Possible {
		return out, err
	}
	out.Mailbox = maskedAddress(si.user.Email)
	out.Waiting, err = s.WaitingRecovery(ctx, v, si.user)
	return out, err
}

// maskedAddress returns an address of which only its owner knows the rest: a…@example.com.
func maskedAddress(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	first, _ := splitRune(local)
	return first + "…@" + domain
}

func splitRune(s string) (first, rest string) {
	for i := range s {
		if i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// WaitingRecovery returns the request of a user that waits or can be completed, or nil.
func (s *Server) WaitingRecovery(
	ctx context.Context, v Visit, u *identity.User,
) (*Recovery, error) {
	if s.cfg.RecoveryDelay <= 0 {
		return nil, nil
	}
	r, err := s.store.Recovery(ctx, u.ID, v.Now)
	if fault.Is(err, fault.NotFound) || err == nil && r.StartedAt.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if valid, err := s.stillValid(ctx, v, r, u); err != nil || !valid {
		return nil, err
	}
	return r, nil
}

// stillValid reports whether the account of a request is as it was when it was made.
func (s *Server) stillValid(
	ctx context.Context, v Visit, r *Recovery, u *identity.User,
) (bool, error) {
	state, err := s.currentState(ctx, u)
	if err != nil || strings.TrimPrefix(r.State, mailboxState) != state {
		return false, err
	}
	if r.ByMailbox() {
		return s.noPassword(ctx, v, u)
	}
	return true, nil
}

// RequestRecovery sends a link by mail to the person of a pending sign-in: the one that starts a
// request, or the one that completes a request whose wait is over. While a request waits, it sends
// nothing. Denied if the person may not ask.
func (s *Server) RequestRecovery(ctx context.Context, v Visit, pending string) error {
	si, err := s.open(ctx, v, pending)
	if err != nil {
		return err
	}
	possible, byMailbox, err := s.recoverable(ctx, v, si)
	if err != nil {
		return err
	}
	if !possible {
		return fault.New(fault.Denied, "Your second step cannot be removed here. Ask your administrator.")
	}
	waiting, err := s.WaitingRecovery(ctx, v, si.user)
	if err != nil || waiting != nil && v.Now.Before(waiting.ReadyAt) {
		return err
	}
	c := Failure{
		Key:       "recovery:" + string(si.user.ID),
		Now:       v.Now,
		Threshold: max(s.cfg.ResetLimit, 1),
		Duration:  s.cfg.ResetWindow,
		Window:    s.cfg.ResetWindow,
	}
	count, err := s.store.Lock(ctx, c.Key, v.Now)
	if err != nil || count.Locked(v.Now) {
		return err
	}
	if _, err := s.store.RecordFailure(ctx, c); err != nil {
		return err
	}
	if waiting != nil {
		return ignoreMissing(s.offerRecovery(ctx, v, waiting, si.user, si.user.Email))
	}
	state := s.stateMark(si)
	if byMailbox {
		state = mailboxState + state
	}
	ev := v.event(audit.RecoveryRequested, si.user.ID)
	return s.putRecovery(ctx, v, si.user, state, si.user.Email, ev)
}

// putRecovery stores a request and queues the link that starts its wait. A request that nobody has
// started yet is asked for again: its link is mailed once more and works from now on for as long
// as a new one. If the address is no longer one of the account, it sends nothing.
func (s *Server) putRecovery(
	ctx context.Context, v Visit, u *identity.User, state, to string, ev audit.Event,
) error {
	r := &Recovery{
		ID:        secret.NewID(v.Now),
		User:      u.ID,
		State:     state,
		IP:        v.IP,
		Agent:     v.agent(),
		CreatedAt: v.Now,
		ExpiresAt: v.Now.Add(recoveryStartTTL),
	}
	former, err := s.store.Recovery(ctx, u.ID, v.Now)
	if ignoreMissing(err) != nil {
		return err
	}
	if err == nil && former.StartedAt.IsZero() && former.State == state {
		r.ID = former.ID
	}
	token := s.links.token(RecoveryStart, r.ID)
	ev.Detail = r.detail()
	s.notices.attachTo(&ev, u, to, s.recoveryMail(outbox.MessageRecoveryStart, v.Locale, RecoveryStart, token, r))
	err = s.store.PutRecovery(ctx, r, to, s.keys.Hash(token), ev)
	if fault.Is(err, fault.Conflict) { // one that was made at the same moment has its own message
		return nil
	}
	return ignoreMissing(err)
}

// recoveryMail returns a message with a link of a request.
func (s *Server) recoveryMail(
	message, locale string, kind RecoveryLink, token string, r *Recovery,
) outbox.Mail {
	if r.ByMailbox() {
		message = passkeyMessage(message)
	}
	m := outbox.Mail{
		Message: message,
		Locale:  locale,
		Expires: r.ExpiresAt,
		Values: map[string]string{
			"link": s.cfg.BaseURL + "/recover/" + string(kind) + "?token=" + token,
			"time": r.CreatedAt.UTC().Format(time.RFC3339),
			"ip":   r.IP,
		},
	}
	if kind == RecoveryStop {
		m.Values["ready"] = r.ReadyAt.UTC().Format(time.RFC3339)
	}
	return m
}

// RecoveryByLink returns the request that a link belongs to and its user. It changes nothing.
// NotFound if the link was used, has expired, or its request has ended.
func (s *Server) RecoveryByLink(
	ctx context.Context, v Visit, kind RecoveryLink, token string,
) (*Recovery, *identity.User, error) {
	if s.cfg.RecoveryDelay <= 0 || !secret.WellFormed(secret.PrefixLink, token) {
		return nil, nil, errRecoveryLink(nil)
	}
	r, err := s.store.RecoveryByLink(ctx, kind, s.keys.Hash(token), v.Now)
	if err != nil {
		return nil, nil, errRecoveryLink(err)
	}
	u, err := s.store.User(ctx, r.User)
	if err != nil {
		return nil, nil, errRecoveryLink(err)
	}
	valid, err := s.stillValid(ctx, v, r, u)
	if err != nil {
		return nil, nil, err
	}
	if u.Blocked() || !valid {
		return nil, nil, errRecoveryLink(nil)
	}
	return r, u, nil
}

// errRecoveryLink returns the error of a link that does not work, or err if it is another one.
func errRecoveryLink(err error) error {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Consumed:
		err = nil
	}
	if err != nil {
		return err
	}
	return fault.New(fault.NotFound, "This link was used already, has expired, or its request has ended.")
}

// StartRecovery starts the wait of a request by the link that proves the mailbox. The owner is
// notified at once, and again halfway.
func (s *Server) StartRecovery(ctx context.Context, v Visit, token string) (*Recovery, error) {
	r, u, err := s.RecoveryByLink(ctx, v, RecoveryStart, token)
	if err != nil {
		return nil, err
	}
	started := *r
	started.StartedAt, started.ReadyAt = v.Now, v.Now.Add(s.cfg.RecoveryDelay)
	started.ExpiresAt = started.ReadyAt.Add(recoveryFinishTTL)
	stop := newLinkToken()
	ev := v.event(audit.RecoveryStarted, r.User)
	ev.Detail = r.detail("ready_at", started.ReadyAt.UTC().Format(time.RFC3339))
	if err := s.notifyOfRecovery(ctx, &ev, &started, u, stop, v.Locale); err != nil {
		return nil, err
	}
	halfway := v.Now.Add(s.cfg.RecoveryDelay / 2)
	ev.Deliveries = append(ev.Deliveries,
		s.recoveryTask(recoveryTask{ID: r.ID, User: r.User, Stop: stop, Locale: v.Locale}, v.Now, halfway),
		s.recoveryTask(recoveryTask{ID: r.ID, User: r.User, Locale: v.Locale}, v.Now, started.ReadyAt))
	err = s.store.StartRecovery(ctx, &started, s.keys.Hash(token), s.keys.Hash(stop), ev)
	if err != nil {
		return nil, errRecoveryLink(err)
	}
	return &started, nil
}

// notifyOfRecovery adds the notice that a request waits, with the link that refuses it.
func (s *Server) notifyOfRecovery(
	ctx context.Context, ev *audit.Event, r *Recovery, u *identity.User, stop, locale string,
) error {
	m := s.recoveryMail(outbox.MessageRecoveryWaiting, locale, RecoveryStop, stop, r)
	m.Expires = r.ReadyAt
	return s.attachToAll(ctx, ev, u, m)
}

// attachToAll adds a message to every address of a user.
func (s *Server) attachToAll(
	ctx context.Context, ev *audit.Event, u *identity.User, m outbox.Mail,
) error {
	all, err := s.VerifiedEmails(ctx, u)
	for _, to := range all {
		s.notices.attachTo(ev, u, to, m)
	}
	return err
}

// StopRecovery refuses a request by the link of its notices.
func (s *Server) StopRecovery(ctx context.Context, v Visit, token string) error {
	r, _, err := s.RecoveryByLink(ctx, v, RecoveryStop, token)
	if err != nil {
		return err
	}
	return errRecoveryOf(s.endRecovery(ctx, v, r, "link"))
}

func errRecoveryOf(err error) error {
	if err == nil {
		return nil
	}
	return errRecoveryLink(err)
}

// RefuseRecovery refuses the request of a signed-in person, if there is one.
func (s *Server) RefuseRecovery(ctx context.Context, v Visit, u *identity.User) error {
	r, err := s.WaitingRecovery(ctx, v, u)
	if err != nil || r == nil {
		return err
	}
	return ignoreMissing(s.endRecovery(ctx, v, r, "session"))
}

// endRecovery ends a request, in the way that the audit log names.
func (s *Server) endRecovery(ctx context.Context, v Visit, r *Recovery, by string) error {
	ev := v.event(audit.RecoveryRefused, r.User)
	ev.Detail = r.detail("by", by)
	return s.store.EndRecovery(ctx, r.ID, ev)
}

// endByFactor ends a request after a sign-in with the second factor that it calls lost. If the
// person has typed the password, too, it counts for another request from then on, however it was
// set. A passkey alone says nothing about the password, which may be of whoever has the mailbox.
func (s *Server) endByFactor(ctx context.Context, v Visit, si *signIn) error {
	if identity.ACRFor(si.amr) != identity.ACR2 {
		return nil
	}
	r, err := s.WaitingRecovery(ctx, v, si.user) // before the password counts, which a request may exclude
	if err != nil {
		return err
	}
	if slices.Contains(si.amr, s.password().AMR()[0]) {
		if err := s.clearMailedPassword(ctx, v, si.user.ID); err != nil {
			return err
		}
	}
	if r == nil {
		return nil
	}
	return ignoreMissing(s.endRecovery(ctx, v, r, "factor"))
}

// FinishRecovery completes a request by the link that is sent after its wait: the second factors,
// backup codes and trusted browsers are deleted, and all sessions end. The counters of failed
// attempts stay. It returns the user, who signs in with the password from now on.
func (s *Server) FinishRecovery(ctx context.Context, v Visit, token string) (*identity.User, error) {
	r, u, err := s.RecoveryByLink(ctx, v, RecoveryFinish, token)
	if err != nil {
		return nil, err
	}
	if r.ByMailbox() || !s.PasswordAllowed() || u.PasswordHash == "" { // the last way in stays
		return nil, fault.New(fault.Denied, "Your second step cannot be removed here. Ask your administrator.")
	}
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	proved := &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt, Factors: confirmedFactors(creds)}
	ev := v.event(audit.RecoveryCompleted, u.ID)
	ev.Detail = r.detail()
	err = s.attachToAll(ctx, &ev, u, s.notices.notice(&ev, u, outbox.MessageTwoStepOff, pageSecurity))
	if err != nil {
		return nil, err
	}
	err = s.store.FinishRecovery(ctx, r, s.keys.Hash(token), proved, v.Now, s.cfg.RevokeTokens, ev)
	if err != nil {
		return nil, errRecoveryLink(err)
	}
	return u, nil
}

// offerRecovery queues the link that completes a request whose wait is over, which is the same
// whenever it is asked for. NotFound if the request has ended. Without an address the link goes to
// the primary one, unless it was sent before: NotFound.
func (s *Server) offerRecovery(
	ctx context.Context, v Visit, r *Recovery, u *identity.User, again string,
) error {
	token := s.links.token(RecoveryFinish, r.ID)
	ev := v.event(audit.RecoveryRequested, r.User)
	ev.Actor = "" // nobody has proved anything now
	ev.Detail = r.detail("link", "finish")
	m := s.recoveryMail(outbox.MessageRecoveryReady, v.Locale, RecoveryFinish, token, r)
	s.notices.attachTo(&ev, u, cmp.Or(again, u.Email), m)
	return s.store.OfferRecovery(ctx, r.ID, s.keys.Hash(token), v.Now, again != "", ev)
}

// recoveryTask is the content of an outbox.KindRecovery: what is due during the wait of a request.
type recoveryTask struct {
	ID     string          `json:"id"`
	User   identity.UserID `json:"user"`
	Stop   string          `json:"stop,omitempty"` // repeats the notice with this link; "": the wait is over
	Locale string          `json:"locale,omitempty"`
}

func (s *Server) recoveryTask(task recoveryTask, now, due time.Time) outbox.Delivery {
	content, err := json.Marshal(task)
	if err != nil { // strings always encode
		panic(err)
	}
	d := s.notices.sealer.New(outbox.KindRecovery, task.ID, content, now)
	d.NextAttemptAt = due
	return d
}

// recoverySender processes what is due during the waits of recoveries.
type recoverySender struct {
	s   *Server
	now func() time.Time
}

// RecoverySender returns the sender of outbox.KindRecovery.
func (s *Server) RecoverySender(now func() time.Time) outbox.Sender { return recoverySender{s, now} }

// Parallel returns how many tasks are processed at a time.
func (recoverySender) Parallel() int { return 2 }

// Send repeats the notice of a request, or sends the link that completes it. A request that has
// ended meanwhile is done.
func (r recoverySender) Send(ctx context.Context, d *outbox.Delivery) error {
	task, err := readTask[recoveryTask](r.s.notices.sealer, d)
	if err != nil {
		return err
	}
	u, err := r.s.store.User(ctx, task.User)
	if err != nil {
		return ignoreMissing(err)
	}
	v := Visit{Now: r.now(), Locale: task.Locale}
	waiting, err := r.s.WaitingRecovery(ctx, v, u)
	if err != nil || waiting == nil || waiting.ID != task.ID || u.Blocked() {
		return err
	}
	if task.Stop == "" {
		return ignoreMissing(r.s.offerRecovery(ctx, v, waiting, u, ""))
	}
	ev := v.event(audit.RecoveryStarted, u.ID)
	ev.Actor, ev.Detail = "", waiting.detail("notice", "repeated")
	if err := r.s.notifyOfRecovery(ctx, &ev, waiting, u, task.Stop, task.Locale); err != nil {
		return err
	}
	return r.s.store.Record(ctx, ev)
}

func ignoreMissing(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
