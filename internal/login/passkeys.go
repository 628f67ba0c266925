package login

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// PasskeyStatus is a passkey as its owner sees it.
type PasskeyStatus struct {
	ID         identity.CredentialID
	External   string // the credential ID in base64url, by which browsers know it
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Synced     bool      // it may be on several devices
	Verifies   bool      // it can verify the person, so that it signs in without a password
}

// Passkeys returns a user's passkeys, oldest first.
func (s *Server) Passkeys(ctx context.Context, id identity.UserID) ([]PasskeyStatus, error) {
	creds, err := s.store.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []PasskeyStatus
	for _, c := range creds {
		if !confirmedPasskey(c) {
			continue
		}
		p, err := openPasskey(s.keys.Box(kindPasskey), &c)
		if err != nil {
			return nil, err
		}
		all = append(all, PasskeyStatus{
			ID:         c.ID,
			External:   p.ID,
			Name:       c.Label,
			CreatedAt:  c.CreatedAt,
			LastUsedAt: c.LastUsedAt,
			Synced:     p.Synced,
			Verifies:   p.Verified,
		})
	}
	return all, nil
}

// passkeyMethods returns the authentication methods that passkeys prove, besides several factors.
func passkeyMethods() []string {
	return []string{amrHardwareKey, amrSoftwareKey, amrPresence}
}

// alone reports whether nothing but passkeys was proved.
func (si *signIn) alone() bool {
	known := append(passkeyMethods(), identity.AMRMultiFactor)
	return !slices.ContainsFunc(si.amr, func(m string) bool { return !slices.Contains(known, m) })
}

// passkeyFirst returns kinds with the one that cannot be phished at the front.
func passkeyFirst(kinds []string) []string {
	i := slices.Index(kinds, kindPasskey)
	if i < 0 {
		return kinds
	}
	return slices.Concat([]string{kindPasskey}, kinds[:i], kinds[i+1:])
}

// asksSecond reports whether a sign-in needs a second factor, of those kinds that the user has set
// up. A passkey that verifies the person replaces the password; it does not by itself make every
// sign-in with the password depend on one device, unless the person wishes it.
func (s *Server) asksSecond(
	ctx context.Context, si *signIn, creds []identity.Credential, kinds []string,
) (bool, error) {
	if len(kinds) == 0 {
		return false, nil
	}
	if si.raise || si.needACR == identity.ACR2 || s.MFARequired(si.user) || s.twoStep(creds, kinds) {
		return true, nil
	}
	return s.store.AskSecond(ctx, si.user.ID)
}

// AskSecond reports whether a user who has passkeys and no other second step has the choice to be
// asked for one after the password, and whether the user has chosen so.
func (s *Server) AskSecond(ctx context.Context, u *identity.User) (choice, asks bool, err error) {
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return false, false, err
	}
	kinds := s.kindsOf(creds)
	if len(kinds) == 0 || s.twoStep(creds, kinds) || s.MFARequired(u) || u.PasswordHash == "" {
		return false, false, nil
	}
	asks, err = s.store.AskSecond(ctx, u.ID)
	return true, asks, err
}

// SetAskSecond stores whether a user who has passkeys is asked for one after the password.
func (s *Server) SetAskSecond(ctx context.Context, v Visit, u *identity.User, ask bool) error {
	choice, asks, err := s.AskSecond(ctx, u)
	if err != nil || asks == ask {
		return err
	}
	if !choice {
		return fault.New(fault.Conflict, "Add a passkey first.")
	}
	kind, message := audit.MFAEnabled, outbox.MessagePasskeyAskOn
	if !ask {
		kind, message = audit.MFADisabled, outbox.MessagePasskeyAskOff
	}
	ev := v.event(kind, u.ID)
	ev.Detail = map[string]string{"kind": kindPasskey, "after": kindPassword}
	s.notices.notify(&ev, u, message, pageSecurity)
	return s.store.SetAskSecond(ctx, u.ID, ask, v.Now, ev)
}

// twoStep reports whether a user has turned on two-step verification: by a factor that serves
// no other purpose.
func (s *Server) twoStep(creds []identity.Credential, kinds []string) bool {
	if slices.ContainsFunc(kinds, func(kind string) bool { return kind != kindPasskey }) {
		return true
	}
	return slices.ContainsFunc(creds, func(c identity.Credential) bool {
		return confirmedPasskey(c) && !s.beginsAlone(&c)
	})
}

// beginsAlone reports whether a passkey can be the only factor of a sign-in.
func (s *Server) beginsAlone(c *identity.Credential) bool {
	if !confirmedPasskey(*c) || !s.Begins(kindPasskey) {
		return false
	}
	p, err := openPasskey(s.keys.Box(kindPasskey), c)
	return err == nil && p.Verified
}

// RenamePasskey changes the name of a user's passkey. Input: passkey_name.
func (s *Server) RenamePasskey(
	ctx context.Context, v Visit, u *identity.User, id identity.CredentialID, name string,
) error {
	name = strings.TrimSpace(name)
	if name == "" {
		return fault.InvalidField("passkey_name", "Enter a name for the passkey.")
	}
	if err := checkPasskeyName(name); err != nil {
		return err
	}
	c, _, err := s.passkey(ctx, u.ID, id)
	if err != nil {
		return err
	}
	ev := v.event(audit.PasskeyRenamed, u.ID)
	ev.Detail = map[string]string{"passkey": string(id), "name": name, "former_name": c.Label}
	return s.store.RenameCredential(ctx, u.ID, id, name, ev)
}

// passkey returns one of a user's passkeys and all of the user's credentials, or NotFound.
func (s *Server) passkey(
	ctx context.Context, u identity.UserID, id identity.CredentialID,
) (*identity.Credential, []identity.Credential, error) {
	creds, err := s.store.Credentials(ctx, u)
	if err != nil {
		return nil, nil, err
	}
	for i := range creds {
		if creds[i].ID == id && confirmedPasskey(creds[i]) {
			return &creds[i], creds, nil
		}
	}
	return nil, nil, fault.New(fault.NotFound, "This passkey was removed already.")
}

// RemovePasskey removes a user's passkey. Conflict if the user could not sign in without it, or has
// to have a second factor and this is the only one.
func (s *Server) RemovePasskey(
	ctx context.Context, v Visit, u *identity.User, id identity.CredentialID,
) error {
	c, rest, err := s.withoutPasskey(ctx, u, id)
	if err != nil {
		return err
	}
	ev := v.event(audit.PasskeyRemoved, u.ID)
	ev.Detail = passkeyDetail(c)
	s.notices.notifyPasskey(&ev, u, outbox.MessagePasskeyRemoved, c.Label)
	err = s.store.DeleteCredential(ctx, u.ID, id, s.remaining(u, rest), ev)
	if fault.Is(err, fault.Consumed) { // another page removed the other passkey at the same moment
		return fault.New(fault.Conflict, "Your passkeys were changed meanwhile. Try again.")
	}
	return err
}

// CanRemovePasskey returns the error of RemovePasskey where a passkey has to stay.
func (s *Server) CanRemovePasskey(
	ctx context.Context, u *identity.User, id identity.CredentialID,
) error {
	_, _, err := s.withoutPasskey(ctx, u, id)
	return err
}

// withoutPasskey returns a passkey and what a user has besides it, or Conflict if it has to stay.
func (s *Server) withoutPasskey(
	ctx context.Context, u *identity.User, id identity.CredentialID,
) (*identity.Credential, []identity.Credential, error) {
	c, creds, err := s.passkey(ctx, u.ID, id)
	if err != nil {
		return nil, nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(creds), func(x identity.Credential) bool { return x.ID == id })
	if len(s.WaysIn(u, rest)) == 0 {
		return nil, nil, fault.New(fault.Conflict, "This is the only way to sign in to your account. "+
			"Add another one before you remove it.")
	}
	if s.MFARequired(u) && len(s.kindsOf(rest)) == 0 {
		return nil, nil, fault.New(fault.Conflict, "Your account requires two-step verification. "+
			"Set up another second step before you remove this passkey.")
	}
	return c, rest, nil
}

// WaysIn returns the kinds of factors by which a user with these credentials can begin and complete
// a sign-in. The last one must never be removed.
func (s *Server) WaysIn(u *identity.User, creds []identity.Credential) []string {
	var ways []string
	if u.PasswordHash != "" && s.PasswordAllowed() {
		ways = append(ways, kindPassword)
	}
	for i := range creds {
		if s.beginsAlone(&creds[i]) {
			ways = append(ways, kindPasskey)
			break
		}
	}
	for _, kind := range []string{"email_code", "magic_link"} {
		if s.Begins(kind) && u.Email != "" && s.CanMail() {
			ways = append(ways, kind)
		}
	}
	return ways
}

// remaining returns the passkey that must still be there when another one is removed, or "" where
// there is another way in.
func (s *Server) remaining(u *identity.User, rest []identity.Credential) identity.CredentialID {
	if !slices.Equal(s.WaysIn(u, rest), []string{kindPasskey}) {
		return ""
	}
	for i := range rest {
		if s.beginsAlone(&rest[i]) {
			return rest[i].ID
		}
	}
	return ""
}

// PasskeyServer returns the host name that passkeys are bound to, or "" if there are none.
func (s *Server) PasskeyServer() string {
	if s.cfg.Passkeys == nil {
		return ""
	}
	return s.cfg.Passkeys.ID()
}

// PasskeyHandle returns the handle by which the authenticators of a user know the account.
func (s *Server) PasskeyHandle(ctx context.Context, u *identity.User) (string, error) {
	f, err := s.passkeyFactor()
	if err != nil {
		return "", err
	}
	a, _, err := f.account(ctx, u)
	return a.Handle, err
}

func (s *Server) passkeyFactor() (passkeyFactor, error) {
	for _, f := range s.factors {
		if p, ok := f.(passkeyFactor); ok {
			return p, nil
		}
	}
	return passkeyFactor{}, fault.New(fault.NotFound, "This server does not use passkeys.")
}

const freshContext = "fresh/1"

// OpenProof returns a challenge by which a signed-in person proves with a passkey that it is still
// them, in place of the password. NotFound if the user has no passkey that can.
func (s *Server) OpenProof(ctx context.Context, v Visit, u *identity.User) (*Opening, error) {
	f, err := s.passkeyFactor()
	if err != nil {
		return nil, err
	}
	all, err := f.passkeys(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, func(p Passkey) bool { return p.Verified }) {
		return nil, fault.New(fault.NotFound, "Your account has no passkey that can be used here.")
	}
	return s.openFresh(v, u, f, all)
}

// openFresh returns a challenge for some of a user's passkeys.
func (s *Server) openFresh(
	v Visit, u *identity.User, f passkeyFactor, allowed []Passkey,
) (*Opening, error) {
	c := newCeremony(v.Now, true)
	options, err := f.rp.RequestOptions(c.Ceremony, allowed)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(openingState{Name: string(u.ID), State: c.state(), Issued: v.Now.UnixMilli()})
	if err != nil {
		return nil, err
	}
	return &Opening{
		Challenge: Challenge{Options: options},
		Token:     s.pending.Seal(plain, freshContext),
	}, nil
}

// ProveFresh checks a passkey that a signed-in person used in place of the password. Inputs:
// passkey, passkey_token. An answer that does not verify is not counted: it cannot be guessed.
func (s *Server) ProveFresh(
	ctx context.Context, v Visit, u *identity.User, in url.Values,
) error {
	f, err := s.passkeyFactor()
	if err != nil {
		return err
	}
	if err := f.CheckInput(in); err != nil {
		return err
	}
	plain, err := s.pending.Open(in.Get("passkey_token"), freshContext)
	if err != nil {
		return errPasskeyStale()
	}
	var o openingState
	if json.Unmarshal(plain, &o) != nil || o.Name != string(u.ID) {
		return errPasskeyStale()
	}
	fl := Flow{Visit: v, Alone: true, State: o.State}
	_, err = s.prove(ctx, fl, f, s.subject(u, ""), in)
	return err
}
