package login

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	joiningContext = "joining/1"
	maxJoining     = 4000 // bytes, sealed; it is carried in a cookie
)

// FirstPasskey is the passkey with which a person joins a server that knows nothing else to sign in
// with. It is stored in the transaction that makes the account theirs, so that no account is left
// without a way in.
type FirstPasskey struct {
	Credential *identity.Credential
	Handle     string // by which authenticators know the account, in base64url
}

// joining is a person who may have an account as soon as they have made a passkey. It is sealed
// into the browser; nothing is stored until then.
type joining struct {
	SignUp string `json:"c,omitempty"` // the id of the confirmation that proves the address, or ""
	Invite string `json:"l,omitempty"` // the token of the link of an invitation, or ""
	Setup  string `json:"s,omitempty"` // the token of the link for the first administrator, or ""
	Reset  string `json:"r,omitempty"` // the token of a link in place of what was lost, or ""

	Recovery string `json:"w,omitempty"` // the token of the link that ends a wait, or ""

	User     identity.UserID `json:"u"`
	Email    string          `json:"e,omitempty"`
	Name     string          `json:"n,omitempty"`
	Username string          `json:"k,omitempty"`
	Locale   string          `json:"o,omitempty"`
	Handle   string          `json:"h"`
	State    []byte          `json:"t"` // of the passkey's question
}

// FirstIsPasskey reports whether people begin with a passkey because nothing else would let them
// in: no password, and no message.
func (s *Server) FirstIsPasskey() bool {
	return !s.PasswordAllowed() && s.EmailKind() == "" && s.Begins(kindPasskey)
}

// askFirstPasskey returns the step at which a person makes the first passkey of an account. Names
// that are taken are reported before: the device would keep a passkey of no account.
func (s *Server) askFirstPasskey(
	ctx context.Context, v Visit, j joining, u *identity.User,
) (Step, error) {
	if err := s.checkNamesFree(ctx, u); err != nil {
		return Step{}, err
	}
	j.User, j.Email, j.Name, j.Username, j.Locale = u.ID, u.Email, u.Name, u.Username, u.Locale
	j.Handle, j.State = newHandle(), newCeremony(v.Now, true).state()
	plain, err := json.Marshal(j)
	if err != nil {
		return Step{}, err
	}
	return Step{Next: StepFirstPasskey, Pending: s.pending.Seal(plain, joiningContext)}, nil
}

// checkNamesFree returns the error of a username or an address that another account has.
func (s *Server) checkNamesFree(ctx context.Context, u *identity.User) error {
	for _, field := range []string{"username", "email"} {
		name := map[string]string{"username": u.Username, "email": u.Email}[field]
		other, err := s.userByLogin(ctx, identity.LoginKey(name))
		if err != nil {
			return err
		}
		if other != nil && other.ID != u.ID {
			return signUpError(&fault.Error{Kind: fault.Conflict, Field: field, Text: "taken"})
		}
	}
	return nil
}

// openJoining returns the person that askFirstPasskey sealed and the question of the passkey, or
// Consumed if it is too old.
func (s *Server) openJoining(v Visit, sealed string) (*joining, Flow, error) {
	if sealed == "" || len(sealed) > maxJoining {
		return nil, Flow{}, errStale()
	}
	plain, err := s.pending.Open(sealed, joiningContext)
	j := new(joining)
	if err != nil || json.Unmarshal(plain, j) != nil || j.Recovery == "" && !s.FirstIsPasskey() {
		return nil, Flow{}, errStale()
	}
	fl := Flow{Visit: v, First: true, Alone: true, State: j.State}
	if _, err := readCeremony(fl); err != nil {
		return nil, Flow{}, errStale()
	}
	return j, fl, nil
}

// user returns the account as the person has entered it.
func (j *joining) user() *identity.User {
	return &identity.User{
		ID: j.User, Email: j.Email, Name: j.Name, Username: j.Username, Locale: j.Locale,
	}
}

func (j *joining) account() PasskeyAccount {
	u := j.user()
	return PasskeyAccount{Handle: j.Handle, Name: u.LoginName(), Label: u.Label()}
}

// FirstPasskey returns what the page of StepFirstPasskey shows, and whose passkey it is. It changes
// nothing. Consumed if the person has to open the mailed link again.
func (s *Server) FirstPasskey(v Visit, pending string) (*Enrollment, *identity.User, error) {
	j, fl, err := s.openJoining(v, pending)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.passkeyFactor()
	if err != nil {
		return nil, nil, err
	}
	c, err := readCeremony(fl)
	if err != nil {
		return nil, nil, err
	}
	options, err := f.rp.CreationOptions(c.Ceremony, j.account(), nil)
	return &Enrollment{Kind: kindPasskey, Options: options}, j.user(), err
}

// Join verifies the first passkey of a person who answers StepFirstPasskey, makes the account
// theirs and signs them in. Inputs: passkey, passkey_name, passkey_device. An answer that is not
// accepted changes nothing; the mailed link works until the account is theirs.
func (s *Server) Join(ctx context.Context, v Visit, pending string, in url.Values) (Step, error) {
	j, fl, err := s.openJoining(v, pending)
	if err != nil {
		return Step{}, err
	}
	f, err := s.passkeyFactor()
	if err != nil {
		return Step{}, err
	}
	c, err := readCeremony(fl)
	if err == nil {
		err = fault.Join(f.CheckInput(in), checkPasskeyName(in.Get("passkey_name")),
			checkPasskeyName(in.Get("passkey_device")))
	}
	if err != nil {
		return Step{}, err
	}
	p, wrong, err := f.register(ctx, fl, c, j.account(), in.Get("passkey"))
	if err == nil && (wrong.Reason != "" || !p.Verified) {
		err = notVerified(wrong)
	}
	if err != nil {
		return Step{}, err
	}
	first := &FirstPasskey{Credential: f.credential(v.Now, j.User, p, in), Handle: j.Handle}
	u, err := s.join(ctx, v, j, first)
	if err != nil {
		return Step{}, err
	}
	si := &signIn{user: u}
	si.add(f.AMR()...)
	si.add(p.method(), identity.AMRMultiFactor)
	if s.MFARequired(u) {
		if si.backup, err = s.firstBackupCodes(ctx, v, u.ID); err != nil {
			return Step{}, err
		}
	}
	return s.advance(ctx, v, si)
}

// notVerified returns the error of a passkey that cannot be the only way in.
func notVerified(wrong Proof) error {
	if wrong.Reason != "" {
		return fault.New(fault.Denied, "%s", wrong.Text)
	}
	return fault.New(fault.Denied, "This passkey did not check that it is you. "+
		"Turn on a fingerprint, face or PIN on your device, or sign in another way.")
}

// join stores the account of a person with the first passkey.
func (s *Server) join(
	ctx context.Context, v Visit, j *joining, first *FirstPasskey,
) (*identity.User, error) {
	added := v.event(audit.PasskeyAdded, j.User)
	added.Detail = passkeyDetail(first.Credential)
	switch {
	case j.SignUp != "":
		u := s.newUser(v, SignUpForm{Email: j.Email, Name: j.Name, Username: j.Username})
		u.ID, u.EmailVerified, u.Locale = j.User, true, j.Locale
		return u, s.storeSignUp(ctx, v, j.SignUp, u, first, added)
	case j.Invite != "":
		old, err := s.InvitedUser(ctx, v, j.Invite)
		if err != nil {
			return nil, err
		}
		u := *old
		u.Name, u.Username, u.EmailVerified, u.PasswordChangedAt = j.Name, j.Username, true, v.Now
		return s.storeInvited(ctx, v, j.Invite, &u, first, added)
	case j.Setup != "":
		u, err := s.firstAdmin(ctx, v, SetupForm{Email: j.Email, Username: j.Username, Name: j.Name})
		if err != nil {
			return nil, err
		}
		u.ID = j.User
		return u, s.storeSetup(ctx, v, s.keys.Hash(j.Setup), u, first, added)
	case j.Recovery != "":
		return s.recoverPasskeys(ctx, v, j, first, added)
	}
	return s.replacePasskeys(ctx, v, j, first, added)
}

// replacePasskeys stores a first passkey in place of the others of an account, by a link that an
// administrator has handed out. Access and trusted browsers end; other second factors stay.
func (s *Server) replacePasskeys(
	ctx context.Context, v Visit, j *joining, first *FirstPasskey, added audit.Event,
) (*identity.User, error) {
	u, err := s.LinkUser(ctx, v, j.Reset)
	if err != nil {
		return nil, err
	}
	if u.ID != j.User {
		return nil, errLink()
	}
	s.notices.notifyPasskey(&added, u, outbox.MessagePasskeyAdded, first.Credential.Label)
	ended := v.event(audit.SessionRevoked, u.ID)
	ended.Detail = map[string]string{"because": "passkeys_replaced"}
	err = s.store.ReplacePasskeys(ctx, s.keys.Hash(j.Reset), first, v.Now, added, ended)
	return u, linkError(err)
}

// storeSetup stores the first administrator.
func (s *Server) storeSetup(
	ctx context.Context, v Visit, link secret.Hash, u *identity.User, first *FirstPasskey,
	ev ...audit.Event,
) error {
	created := v.event(audit.UserCreated, u.ID)
	created.Detail = map[string]string{"email": u.Email, "roles": strings.Join(u.Roles, " ")}
	ev = append([]audit.Event{
		created, v.event(audit.AdminCreated, u.ID), v.event(audit.SetupCompleted, u.ID),
	}, ev...)
	return linkError(s.store.CompleteSetup(ctx, link, u, first, v.Now, ev...))
}
