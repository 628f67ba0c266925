package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	kindPasskey = "passkey"
	// How long a page's challenge works. A page that stays open fetches another one before.
	passkeyTTL       = 10 * time.Minute
	maxPasskeys      = 50       // of one account
	maxPasskeyAnswer = 16 << 10 // bytes; an attestation may hold several certificates
	maxPasskeyName   = 64       // characters
	challengeSize    = 32
	handleSize       = 64 // Web Authentication §14.6.1
)

// Methods of authentication by passkeys (RFC 8176 §2).
const (
	amrHardwareKey = "hwk"  // a key that stays in one device
	amrSoftwareKey = "swk"  // a key that a provider copies to several devices
	amrPresence    = "user" // the person was present
)

// passkeyFactor accepts answers of authenticators (Web Authentication Level 3). A passkey that has
// verified the person counts as two factors: what they have, and what they know or are.
type passkeyFactor struct {
	store    Store
	keys     *secret.Keys
	box      *secret.Box
	notices  notices
	rp       RelyingParty
	required bool // the person must always be verified
}

func newPasskeyFactor(cfg Config, st Store, keys *secret.Keys, n notices) passkeyFactor {
	return passkeyFactor{
		store:    st,
		keys:     keys,
		box:      keys.Box("passkey"),
		notices:  n,
		rp:       cfg.Passkeys,
		required: cfg.PasskeysVerified,
	}
}

func (passkeyFactor) Kind() string  { return kindPasskey }
func (passkeyFactor) AMR() []string { return []string{amrPresence} }
func (passkeyFactor) Use() Use      { return UseFirst | UseSecond }
func (passkeyFactor) Serial() bool  { return false }

// possession marks a factor that cannot be guessed: failures do not count, and a lock, which is
// against guessing, does not stop it.
func (passkeyFactor) possession() {}

// guessable reports whether the answers to a factor can be guessed.
func guessable(f Factor) bool {
	_, cannot := f.(interface{ possession() })
	return !cannot
}

func (passkeyFactor) Enrolled(creds []identity.Credential) bool {
	return slices.ContainsFunc(creds, confirmedPasskey)
}

func confirmedPasskey(c identity.Credential) bool {
	return c.Kind == kindPasskey && !c.ConfirmedAt.IsZero()
}

// Begin returns a challenge. As the first step it asks for any passkey that the device offers, with
// the same options for everybody.
func (f passkeyFactor) Begin(
	ctx context.Context, fl Flow, u *identity.User,
) (Challenge, error) {
	c, err := readCeremony(fl)
	if err != nil {
		c = newCeremony(fl.Now, fl.Alone || f.required)
	}
	var allowed []Passkey
	if !fl.First && u != nil {
		if allowed, err = f.passkeys(ctx, u.ID); err != nil {
			return Challenge{}, err
		}
	}
	options, err := f.rp.RequestOptions(c.Ceremony, allowed)
	return Challenge{State: c.state(), Options: options}, err
}

// passkeys returns a user's passkeys.
func (f passkeyFactor) passkeys(ctx context.Context, id identity.UserID) ([]Passkey, error) {
	creds, err := f.store.Credentials(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []Passkey
	for _, c := range creds {
		if !confirmedPasskey(c) {
			continue
		}
		p, err := openPasskey(f.box, &c)
		if err != nil {
			return nil, err
		}
		all = append(all, *p)
	}
	return all, nil
}

func (passkeyFactor) CheckInput(in url.Values) error {
	switch answer := in.Get("passkey"); {
	case answer == "":
		return fault.InvalidField("passkey", "Use your passkey to continue.")
	case len(answer) > maxPasskeyAnswer:
		return fault.New(fault.Invalid, passkeyUnreadable)
	}
	return nil
}

const passkeyUnreadable = "The answer of your passkey cannot be read. Try again."

// Check verifies an answer, uses up its challenge, and finds out whose it is.
func (f passkeyFactor) Check(
	ctx context.Context, fl Flow, u *identity.User, in url.Values,
) (Proof, error) {
	c, err := readCeremony(fl)
	if err != nil {
		return Proof{}, err
	}
	answer, err := f.rp.ReadAnswer(in.Get("passkey"))
	if err != nil {
		return Proof{}, fault.Wrap(fault.Invalid, err, passkeyUnreadable)
	}
	cred, err := f.store.CredentialByLookup(ctx, f.lookup(answer.CredentialID()))
	switch {
	case fault.Is(err, fault.NotFound):
		return Proof{
			Reason: audit.ReasonUnknownPasskey,
			Text:   "This passkey was removed from its account, or the account was deleted. Sign in another way.",
		}, nil
	case err != nil:
		return Proof{}, err
	case u != nil && cred.User != u.ID:
		return wrongPasskey(), nil
	}
	p, err := openPasskey(f.box, cred)
	if err != nil {
		return Proof{}, err
	}
	// A sign-in without a name relies on the handle (Web Authentication §7.2 step 6).
	if handle := answer.UserHandle(); handle != "" && !secret.Equal(handle, p.Handle) || u == nil && handle == "" {
		return wrongPasskey(), nil
	}
	a, err := answer.Verify(c.Ceremony, *p)
	switch {
	case fault.Is(err, fault.Denied) && c.Required && !answer.UserVerified():
		return Proof{Reason: audit.ReasonUnverifiedPasskey, Text: "This passkey did not check that it is you. " +
			"Turn on a fingerprint, face or PIN on your device, or sign in another way."}, nil
	case fault.Is(err, fault.Denied):
		return wrongPasskey(), nil
	case err != nil:
		return Proof{}, err
	}
	return f.accept(ctx, fl, c, cred, p, a)
}

func wrongPasskey() Proof {
	return Proof{
		Reason: audit.ReasonWrongPasskey,
		Text:   "This passkey was not accepted. Try again, or sign in another way.",
	}
}

// accept records the use of a passkey whose answer was verified.
func (f passkeyFactor) accept(
	ctx context.Context, fl Flow, c ceremony, cred *identity.Credential, p *Passkey, a Assertion,
) (Proof, error) {
	key := "passkey:" + string(f.keys.Hash("passkey-challenge:"+string(c.Challenge)))
	err := f.store.Once(ctx, key, c.issued.Add(2*passkeyTTL), fl.Now)
	if fault.Is(err, fault.Consumed) {
		return replayedPasskey(), nil
	}
	if err != nil {
		return Proof{}, err
	}
	use := PasskeyUse{Counter: cred.Counter, Sealed: cred.Sealed, Now: fl.Now}
	count := int64(a.Count)
	switch {
	case count > cred.Counter:
		use.Counter, use.Grows = count, true
	case count == 0 && cred.Counter == 0: // authenticators without a counter
	case p.Synced:
		ev := fl.event(audit.PasskeyRolledBack, cred.User)
		ev.Detail = passkeyDetail(cred)
		if err := f.store.Record(ctx, ev); err != nil {
			return Proof{}, err
		}
	default:
		return clonedPasskey(), nil
	}
	if p.BackedUp != a.BackedUp || a.Verified && !p.Verified {
		p.BackedUp, p.Verified = a.BackedUp, p.Verified || a.Verified
		use.Sealed = sealPasskey(f.box, cred.ID, p)
	}
	err = f.store.UsePasskey(ctx, cred.ID, use)
	switch {
	case fault.Is(err, fault.Consumed) && p.Synced: // another sign-in was faster
	case fault.Is(err, fault.Consumed):
		return clonedPasskey(), nil
	case fault.Is(err, fault.NotFound): // removed meanwhile
		return Proof{}, errStale()
	case err != nil:
		return Proof{}, err
	}
	return f.proof(ctx, fl, cred, p, a)
}

func (f passkeyFactor) proof(
	ctx context.Context, fl Flow, cred *identity.Credential, p *Passkey, a Assertion,
) (Proof, error) {
	out := Proof{OK: true, AMR: []string{p.method()}}
	if a.Verified {
		out.AMR = append(out.AMR, identity.AMRMultiFactor)
	}
	if !fl.First {
		return out, nil
	}
	u, err := f.store.User(ctx, cred.User)
	if fault.Is(err, fault.NotFound) { // deleted meanwhile
		return Proof{}, errStale()
	}
	out.User = u
	return out, err
}

func replayedPasskey() Proof {
	return Proof{
		Reason: audit.ReasonReplayedPasskey,
		Text:   "This answer of your passkey was used already. Try again.",
	}
}

func clonedPasskey() Proof {
	return Proof{
		Reason: audit.ReasonClonedPasskey,
		Text: "This passkey was not accepted, because there may be a copy of it. " +
			"Sign in another way, and remove the passkey from your account.",
	}
}

// lookup returns the hash by which the passkey of a credential ID is stored.
func (f passkeyFactor) lookup(id string) secret.Hash { return f.keys.Hash("passkey:" + id) }

// Enroll returns the options to make a passkey. An account may have several.
func (f passkeyFactor) Enroll(
	ctx context.Context, fl Flow, u *identity.User,
) (Enrollment, error) {
	c, err := readCeremony(fl)
	if err != nil {
		c = newCeremony(fl.Now, f.required)
	}
	a, existing, err := f.account(ctx, u)
	if err != nil {
		return Enrollment{}, err
	}
	if len(existing) >= maxPasskeys {
		return Enrollment{}, fault.New(fault.Conflict,
			"Your account has %d passkeys, and cannot have more. Remove one first.", len(existing))
	}
	options, err := f.rp.CreationOptions(c.Ceremony, a, existing)
	return Enrollment{Options: options, State: c.state()}, err
}

// account returns what authenticators are told about a user, and the user's passkeys.
func (f passkeyFactor) account(
	ctx context.Context, u *identity.User,
) (PasskeyAccount, []Passkey, error) {
	existing, err := f.passkeys(ctx, u.ID)
	if err != nil {
		return PasskeyAccount{}, nil, err
	}
	a := PasskeyAccount{Name: u.LoginName(), Label: u.Label()}
	a.Handle, err = f.store.UserHandle(ctx, u.ID, newHandle())
	return a, existing, err
}

// newHandle returns a random name by which authenticators know an account.
func newHandle() string {
	handle := make([]byte, handleSize)
	rand.Read(handle)
	return base64.RawURLEncoding.EncodeToString(handle)
}

// Confirm verifies a new passkey and stores it. Inputs: passkey, and optionally passkey_name, or
// passkey_device for when the authenticator's model says nothing to people.
func (f passkeyFactor) Confirm(
	ctx context.Context, fl Flow, u *identity.User, in url.Values,
) (Proof, error) {
	c, err := readCeremony(fl)
	if err != nil {
		return Proof{}, err
	}
	if err := fault.Join(f.CheckInput(in), checkPasskeyName(in.Get("passkey_name")),
		checkPasskeyName(in.Get("passkey_device"))); err != nil {
		return Proof{}, err
	}
	a, _, err := f.account(ctx, u)
	if err != nil {
		return Proof{}, err
	}
	p, wrong, err := f.register(ctx, fl, c, a, in.Get("passkey"))
	if err != nil || wrong.Reason != "" {
		return wrong, err
	}
	return f.put(ctx, fl, f.credential(fl.Now, u.ID, p, in), u, p)
}

// register verifies a new passkey and consumes the question that it answers. What the authenticator
// may not do is a Proof with a Reason.
func (f passkeyFactor) register(
	ctx context.Context, fl Flow, c ceremony, a PasskeyAccount, answer string,
) (*Passkey, Proof, error) {
	p, err := f.rp.Register(c.Ceremony, a, answer)
	if fault.Is(err, fault.Denied) {
		return nil, Proof{Reason: audit.ReasonWrongPasskey, Text: fault.Text(err)}, nil
	}
	if err != nil {
		return nil, Proof{}, err
	}
	p.Handle = a.Handle
	key := "passkey:" + string(f.keys.Hash("passkey-challenge:"+string(c.Challenge)))
	err = f.store.Once(ctx, key, c.issued.Add(2*passkeyTTL), fl.Now)
	if fault.Is(err, fault.Consumed) {
		return nil, replayedPasskey(), nil
	}
	return p, Proof{}, err
}

// credential returns a new passkey as it is stored. Inputs: passkey_name, passkey_device.
func (f passkeyFactor) credential(
	now time.Time, u identity.UserID, p *Passkey, in url.Values,
) *identity.Credential {
	cred := &identity.Credential{
		ID:   identity.CredentialID(secret.NewID(now)),
		User: u,
		Kind: kindPasskey,
		Label: cmp.Or(strings.TrimSpace(in.Get("passkey_name")), passkeyName(p.AAGUID),
			strings.TrimSpace(in.Get("passkey_device")), "Passkey"),
		Counter:     int64(p.Count),
		CreatedAt:   now,
		ConfirmedAt: now,
		Lookup:      f.lookup(p.ID),
	}
	cred.Sealed = sealPasskey(f.box, cred.ID, p)
	return cred
}

func (f passkeyFactor) put(
	ctx context.Context, fl Flow, cred *identity.Credential, u *identity.User, p *Passkey,
) (Proof, error) {
	ev := fl.event(audit.PasskeyAdded, u.ID)
	ev.Detail = passkeyDetail(cred)
	ev.Detail["aaguid"] = p.AAGUID
	f.notices.notifyPasskey(&ev, u, outbox.MessagePasskeyAdded, cred.Label)
	err := f.store.PutCredential(ctx, cred, ev)
	if fault.Is(err, fault.Conflict) {
		return Proof{}, fault.New(fault.Conflict, "This device already has a passkey for your account.")
	}
	if err != nil {
		return Proof{}, err
	}
	return Proof{OK: true, AMR: []string{p.method()}}, nil
}

// method returns the authentication method that a passkey proves.
func (p *Passkey) method() string {
	if p.Synced {
		return amrSoftwareKey
	}
	return amrHardwareKey
}

// passkeyDetail names a passkey in an audit event.
func passkeyDetail(c *identity.Credential) map[string]string {
	return map[string]string{"passkey": string(c.ID), "name": c.Label}
}

func checkPasskeyName(name string) error {
	switch {
	case utf8.RuneCountInString(name) > maxPasskeyName:
		return fault.InvalidField("passkey_name",
			"This name is too long. At most %d characters are accepted.", maxPasskeyName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fault.InvalidField("passkey_name", "This name contains characters that cannot be accepted.")
	}
	return nil
}

// ceremony is a question to an authenticator and when it was asked.
type ceremony struct {
	Ceremony
	issued time.Time
}

// newCeremony returns a new question, in which the person must be verified if required.
func newCeremony(now time.Time, required bool) ceremony {
	c := ceremony{Ceremony: Ceremony{Challenge: make([]byte, challengeSize), Required: required}, issued: now}
	rand.Read(c.Challenge)
	return c
}

// state returns the ceremony as the browser carries it, sealed by others: a byte that says whether
// the person must be verified, the time in Unix milliseconds, the challenge.
func (c ceremony) state() []byte {
	out := make([]byte, 0, 1+8+challengeSize)
	if c.Required {
		out = append(out, 1)
	} else {
		out = append(out, 0)
	}
	out = binary.BigEndian.AppendUint64(out, uint64(c.issued.UnixMilli()))
	return append(out, c.Challenge...)
}

// readCeremony returns the question that was asked, or Consumed if there is none or it is too old.
func readCeremony(fl Flow) (ceremony, error) {
	if len(fl.State) != 1+8+challengeSize {
		return ceremony{}, errPasskeyStale()
	}
	issued := int64(binary.BigEndian.Uint64(fl.State[1:]))
	if !inTime(fl.Now, issued, passkeyTTL) {
		return ceremony{}, errPasskeyStale()
	}
	return ceremony{
		Ceremony: Ceremony{Challenge: fl.State[9:], Required: fl.State[0] == 1},
		issued:   time.UnixMilli(issued),
	}, nil
}

func errPasskeyStale() error {
	return fault.New(fault.Consumed, "This page was open for too long to use a passkey. Try again.")
}

// sealPasskey returns the stored form of a passkey.
func sealPasskey(box *secret.Box, id identity.CredentialID, p *Passkey) string {
	plain, err := json.Marshal(p)
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	return box.Seal(plain, string(id))
}

// openPasskey returns the passkey of a credential.
func openPasskey(box *secret.Box, c *identity.Credential) (*Passkey, error) {
	plain, err := box.Open(c.Sealed, string(c.ID))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "passkey %s cannot be opened", c.ID)
	}
	p := new(Passkey)
	if err := json.Unmarshal(plain, p); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "passkey %s cannot be read", c.ID)
	}
	return p, nil
}
