package login

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// UndoEmail brings back the address of an account that was changed, by the link that was mailed to
// it. The person proves to be the owner by the password as it was before the change or UndoTTL
// earlier, by a code of the second factor, or by a passkey. An account that had none of these
// UndoTTL before the change had no more than the mailbox, which the link proves. The account gets
// its password of then back. All sessions end; addresses and second factors that were added since,
// or shortly before, are deleted. Inputs: password, code, passkey, passkey_token.
func (s *Server) UndoEmail(
	ctx context.Context, v Visit, token string, in url.Values,
) (*identity.User, error) {
	c, before, u, err := s.openUndo(ctx, v, token)
	if err != nil {
		return nil, err
	}
	x, err := s.proveFormerOwner(ctx, v, u, c, before, in)
	if err != nil {
		return nil, err
	}
	ev := v.event(audit.EmailChangeUndone, u.ID)
	ev.Detail = map[string]string{detailEmail: c.Email, detailFormerMail: u.Email}
	restored := *u
	restored.Email, restored.PasswordHash = c.Email, x.Password
	s.notices.attachTo(&ev, &restored, c.Email, s.notice(ev, outbox.MessageEmailUndone, pageForgot, ""))
	err = s.store.UndoEmail(ctx, c.ID, x, v.Now, ev)
	return &restored, emailError(err)
}

// openUndo returns the change that a link undoes, what is known of the account before it, and the
// account, or Consumed.
func (s *Server) openUndo(
	ctx context.Context, v Visit, token string,
) (c *Confirmation, before undo, u *identity.User, err error) {
	c, err = s.confirmationOf(ctx, v, token)
	if err != nil {
		return nil, before, nil, err
	}
	if c.Kind != ConfirmUndo {
		return nil, before, nil, errLink()
	}
	plain, err := s.pending.Open(c.Sealed, undoContext+"/"+c.ID)
	if err != nil || json.Unmarshal(plain, &before) != nil {
		return nil, before, nil, errLink()
	}
	u, err = s.store.User(ctx, c.User)
	if err != nil {
		return nil, before, nil, linkError(err)
	}
	if u.Blocked() {
		return nil, before, nil, s.disabled(ctx, v, u)
	}
	return c, before, u, nil
}

// OpenUndo returns a challenge by which the owner of a changed address proves with a passkey to be
// the one from before, or nil for an account that had no passkey then.
func (s *Server) OpenUndo(ctx context.Context, v Visit, token string) (*Opening, error) {
	c, _, u, err := s.openUndo(ctx, v, token)
	if err != nil {
		return nil, err
	}
	f, err := s.passkeyFactor()
	if err != nil { // the server uses none
		return nil, nil
	}
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	former, _ := s.formerFactors(creds, c)
	var all []Passkey
	for i := range former {
		if !confirmedPasskey(former[i]) {
			continue
		}
		p, err := openPasskey(f.box, &former[i])
		if err != nil {
			return nil, err
		}
		all = append(all, *p)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return s.openFresh(v, u, f, all)
}

// formerFactors returns the second factors that an account had UndoTTL before a change, and that
// time. Where it had none then, those that it had when the address changed count.
func (s *Server) formerFactors(
	creds []identity.Credential, c *Confirmation,
) (former []identity.Credential, since time.Time) {
	since = c.CreatedAt.Add(-UndoTTL)
	former = createdBefore(creds, since)
	if len(s.kindsOf(former)) == 0 {
		since = c.CreatedAt
		former = createdBefore(creds, since)
	}
	return former, since
}

// proveFormerOwner asks for a password as it was before a change, or for a second factor that was
// set up before it, and returns what becomes of the account.
func (s *Server) proveFormerOwner(
	ctx context.Context, v Visit, u *identity.User, c *Confirmation, before undo, in url.Values,
) (Undoing, error) {
	start := c.CreatedAt.Add(-UndoTTL)
	x := Undoing{Password: before.restored(), Since: start}
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return x, err
	}
	former, since := s.formerFactors(creds, c)
	passwords := before.passwords()
	switch {
	case x.Password == "" && since != start && u.CreatedAt.Before(start):
		return x, nil // whatever there is now, the mailbox was all that the account had
	case in.Get("passkey") != "":
		x.Since = since
		return x, s.proveFormerPasskey(ctx, v, u, former, in)
	case in.Get("code") == "" && len(passwords) > 0:
		x.Password, err = s.proveFormerPassword(ctx, v, u, passwords, in)
		return x, err
	}
	x.Since = since
	kinds := s.kindsOf(former)
	if len(kinds) == 0 {
		if len(passwords) == 0 {
			return x, nil
		}
		return x, fault.InvalidField("password", "Enter your password.")
	}
	f, err := s.claimant(kinds[0], in)
	if err != nil {
		return x, err
	}
	_, err = s.prove(ctx, Flow{Visit: v}, f, s.subject(u, ""), in)
	if fault.Is(err, fault.Denied) {
		return x, &fault.Error{Kind: fault.Denied, Field: "code", Text: fault.Text(err), Cause: err}
	}
	return x, err
}

// proveFormerPasskey checks the answer of one of the passkeys that an account had before a change.
func (s *Server) proveFormerPasskey(
	ctx context.Context, v Visit, u *identity.User, former []identity.Credential, in url.Values,
) error {
	f, err := s.passkeyFactor()
	if err != nil {
		return err
	}
	if err := f.CheckInput(in); err != nil {
		return err
	}
	answer, err := f.rp.ReadAnswer(in.Get("passkey"))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, passkeyUnreadable)
	}
	lookup := f.lookup(answer.CredentialID())
	had := slices.ContainsFunc(former, func(x identity.Credential) bool {
		return confirmedPasskey(x) && x.Lookup == lookup
	})
	if !had {
		return fault.New(fault.Denied, "%s", wrongPasskey().Text)
	}
	return s.ProveFresh(ctx, v, u, in)
}

// createdBefore returns the credentials that were created before a time.
func createdBefore(creds []identity.Credential, at time.Time) []identity.Credential {
	var older []identity.Credential
	for _, x := range creds {
		if x.CreatedAt.Before(at) {
			older = append(older, x)
		}
	}
	return older
}

// proveFormerPassword asks for one of several former passwords and returns the hash of the one that
// was typed. A wrong password counts as one failed attempt.
func (s *Server) proveFormerPassword(
	ctx context.Context, v Visit, u *identity.User, hashes []string, in url.Values,
) (string, error) {
	f := s.password()
	if err := f.CheckInput(in); err != nil {
		return "", err
	}
	was := *u
	was.PasswordHash = hashes[len(hashes)-1]
	for _, hash := range hashes[:len(hashes)-1] {
		ok, err := s.pw.Verify(ctx, in.Get("password"), hash)
		if err != nil && !fault.Is(err, fault.Invalid) { // Invalid: a kind of hash that cannot be compared
			return "", err
		}
		if ok {
			was.PasswordHash = hash
			break
		}
	}
	_, err := s.prove(ctx, Flow{Visit: v}, f, s.subject(&was, ""), in)
	if fault.Is(err, fault.Denied) {
		return "", &fault.Error{Kind: fault.Denied, Field: "password", Text: "Incorrect password."}
	}
	return was.PasswordHash, err
}
