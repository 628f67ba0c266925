package login

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// mailboxState begins the state of a request that the mailbox alone has made. A program that does
// not know it takes the account for changed, and refuses the request.
const mailboxState = "mailbox:"

// passkeyMessage returns the message of a request that replaces passkeys, by that of the others.
func passkeyMessage(message string) string {
	switch message {
	case outbox.MessageRecoveryStart:
		return outbox.MessagePasskeyLost
	case outbox.MessageRecoveryWaiting:
		return outbox.MessagePasskeyWaiting
	}
	return outbox.MessagePasskeyReady
}

// ByMailbox reports whether a request was made without a password, by a person who has none. It
// replaces the passkeys of the account, and removes no other factor.
func (r *Recovery) ByMailbox() bool { return strings.HasPrefix(r.State, mailboxState) }

// detail names a request in an audit event.
func (r *Recovery) detail(more ...string) map[string]string {
	out := map[string]string{"recovery": r.ID}
	if r.ByMailbox() {
		out["of"] = "passkeys"
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// ReplacesPasskeys reports whether people who have lost their passkeys begin at the page for a
// forgotten password: the server knows nothing else to sign in with.
func (s *Server) ReplacesPasskeys() bool {
	return s.FirstIsPasskey() && s.cfg.RecoveryDelay > 0 && s.CanMail()
}

// noPassword reports whether a user has no password that proves more than the mailbox.
func (s *Server) noPassword(ctx context.Context, v Visit, u *identity.User) (bool, error) {
	if u.PasswordHash == "" || !s.PasswordAllowed() {
		return true, nil
	}
	mark, err := s.store.Lock(ctx, firstMailedKey(u.ID), v.Now)
	return err == nil && mark.Locked(v.Now), err
}

// onlyPasskeys reports whether a user has no password that counts, and no second factor but
// passkeys.
func (s *Server) onlyPasskeys(ctx context.Context, v Visit, u *identity.User) (bool, error) {
	none, err := s.noPassword(ctx, v, u)
	if err != nil || !none {
		return false, err
	}
	others, err := s.otherFactors(ctx, u)
	return err == nil && len(others) == 0, err
}

// otherFactors returns the kinds of second factors of a user besides passkeys.
func (s *Server) otherFactors(ctx context.Context, u *identity.User) ([]string, error) {
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(s.kindsOf(creds), func(kind string) bool { return kind == kindPasskey }), nil
}

// mailPasskeyLink sends the link that starts the wait of a request to replace the passkeys of a
// user, or the one that completes it after the wait, to an address of the account. While a request
// waits, it sends nothing. An address that nobody has proved gets nothing.
func (s *Server) mailPasskeyLink(ctx context.Context, v Visit, u *identity.User, to string) error {
	if u.Blocked() || to == u.Email && !u.EmailVerified {
		return nil
	}
	waiting, err := s.WaitingRecovery(ctx, v, u)
	if err != nil || waiting != nil && v.Now.Before(waiting.ReadyAt) {
		return err
	}
	send, err := s.brake(ctx, v, brakeReset, to)
	if err != nil || !send {
		return err
	}
	if waiting != nil {
		return ignoreMissing(s.offerRecovery(ctx, v, waiting, u, to))
	}
	state, err := s.currentState(ctx, u)
	if err != nil {
		return err
	}
	ev := v.event(audit.RecoveryRequested, u.ID)
	ev.Actor = "" // nobody has proved who asks
	return s.putRecovery(ctx, v, u, mailboxState+state, to, ev)
}

// ReplacementAsks reports whether a request that replaces passkeys is completed with a code of
// another factor of the account, too.
func (s *Server) ReplacementAsks(ctx context.Context, r *Recovery, u *identity.User) (bool, error) {
	if !r.ByMailbox() {
		return false, nil
	}
	others, err := s.otherFactors(ctx, u)
	return len(others) > 0, err
}

// BeginReplacement returns the step at which a person makes a passkey in place of those that are
// lost, by the link that is sent after the wait. An account that has another second factor proves
// it first: the mailbox and the wait stand for the passkeys alone. Input: code. The link works
// until the passkey is made.
func (s *Server) BeginReplacement(
	ctx context.Context, v Visit, token string, in url.Values,
) (Step, error) {
	r, u, err := s.RecoveryByLink(ctx, v, RecoveryFinish, token)
	if err != nil {
		return Step{}, err
	}
	if !r.ByMailbox() || v.Now.Before(r.ReadyAt) {
		return Step{}, errRecoveryLink(nil)
	}
	others, err := s.otherFactors(ctx, u)
	if err != nil {
		return Step{}, err
	}
	if len(others) > 0 {
		f, err := s.claimant(others[0], in)
		if err == nil {
			_, err = s.prove(ctx, Flow{Visit: v}, f, s.subject(u, ""), in)
		}
		if err != nil {
			return Step{}, err
		}
	}
	return s.askFirstPasskey(ctx, v, joining{Recovery: token}, u)
}

// recoverPasskeys stores a first passkey in place of the others of an account, by the link that
// completes a request. Access and trusted browsers end; other second factors stay.
func (s *Server) recoverPasskeys(
	ctx context.Context, v Visit, j *joining, first *FirstPasskey, added audit.Event,
) (*identity.User, error) {
	r, u, err := s.RecoveryByLink(ctx, v, RecoveryFinish, j.Recovery)
	if err != nil {
		return nil, err
	}
	if u.ID != j.User || !r.ByMailbox() {
		return nil, errRecoveryLink(nil)
	}
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	done := v.event(audit.RecoveryCompleted, u.ID)
	done.Detail = r.detail()
	m := s.notices.notice(&added, u, outbox.MessagePasskeyReplaced, pagePasskeys)
	m.Values["passkey"] = first.Credential.Label
	if err := s.attachToAll(ctx, &done, u, m); err != nil {
		return nil, err
	}
	err = s.store.FinishReplacement(ctx, r, Replacement{
		Link:   s.keys.Hash(j.Recovery),
		Proved: &identity.AccountState{PasswordChangedAt: u.PasswordChangedAt, Factors: confirmedFactors(creds)},
		First:  first,
	}, v.Now, added, done)
	return u, errRecoveryOf(err)
}
