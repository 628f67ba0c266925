package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // HMAC-SHA-1 is what authenticator apps support (RFC 6238 §1.2)
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	kindTOTP   = "totp"
	totpPeriod = 30 // seconds (RFC 6238 §4.1)
	totpDigits = 6
	totpSkew   = 1  // steps to either side (RFC 6238 §5.2)
	totpSeed   = 20 // bytes, the length of the hash (RFC 4226 §4 R6)
	maxCode    = 64 // bytes of input that are looked at
	// An authenticator that was shown but not confirmed is forgotten after this time, so that
	// somebody who saw it long ago does not share it when it is confirmed.
	enrollTTL = time.Hour

	wrongCode = "Incorrect code. Check the clock of your device and try the next code."
)

// totpFactor checks the codes of authenticator apps (RFC 6238).
type totpFactor struct {
	store   Store
	box     *secret.Box
	notices notices
	issuer  string // the name that apps show
}

func (totpFactor) Kind() string    { return kindTOTP }
func (totpFactor) AMR() []string   { return []string{"otp"} }
func (totpFactor) Use() Use        { return UseSecond }
func (totpFactor) Serial() bool    { return true }
func (totpFactor) Counter() string { return secondCounter }

func (totpFactor) Enrolled(creds []identity.Credential) bool {
	for _, c := range creds {
		if confirmedTOTP(c) {
			return true
		}
	}
	return false
}

func (totpFactor) Begin(context.Context, Flow, *identity.User) (Challenge, error) {
	return Challenge{}, nil
}

func (totpFactor) CheckInput(in url.Values) error {
	if _, ok := totpCode(in.Get("code")); !ok {
		return fault.InvalidField("code",
			"Enter the six digits that your app shows, or one of your backup codes.")
	}
	return nil
}

func (f totpFactor) Check(
	ctx context.Context, fl Flow, u *identity.User, in url.Values,
) (Proof, error) {
	code, _ := totpCode(in.Get("code"))
	creds, err := f.store.Credentials(ctx, u.ID)
	if err != nil {
		return Proof{}, err
	}
	for _, c := range creds {
		if !confirmedTOTP(c) {
			continue
		}
		step, ok, err := f.match(c, code, fl.Now)
		if err != nil {
			return Proof{}, err
		}
		if ok {
			return f.consume(ctx, fl, c, step)
		}
	}
	return Proof{Reason: audit.ReasonWrongCode, Text: wrongCode}, nil
}

// consume makes sure that a code works once (RFC 6238 §5.2).
func (f totpFactor) consume(
	ctx context.Context, fl Flow, c identity.Credential, step int64,
) (Proof, error) {
	err := f.store.AdvanceCredential(ctx, c.ID, step, fl.Now)
	switch {
	case fault.Is(err, fault.Consumed):
		return Proof{
			Reason: audit.ReasonReplayedCode,
			Text:   "This code was used already. Wait for the next one.",
		}, nil
	case fault.Is(err, fault.NotFound): // removed meanwhile
		return Proof{}, errStale()
	case err != nil:
		return Proof{}, err
	}
	return Proof{OK: true}, nil
}

// match returns the step near now whose code this is, and the newest where there are two.
func (f totpFactor) match(
	c identity.Credential, code string, now time.Time,
) (step int64, ok bool, err error) {
	seed, err := f.box.Open(c.Sealed, string(c.ID))
	if err != nil {
		return 0, false, fmt.Errorf("authenticator %s: %w", c.ID, err)
	}
	current := now.Unix() / totpPeriod
	for i := current - totpSkew; i <= current+totpSkew; i++ {
		if secret.Equal(totpAt(seed, i, totpDigits), code) {
			step, ok = i, true
		}
	}
	return step, ok, nil
}

// totpAt returns the code of one time step (RFC 4226 §5.3).
func totpAt(seed []byte, step int64, digits int) string {
	m := hmac.New(sha1.New, seed)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	m.Write(counter[:])
	sum := m.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	mod := uint32(1)
	for range digits {
		mod *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%mod)
}

// totpCode parses six digits as people type them: in groups, or in a script's own wide digits.
func totpCode(in string) (string, bool) {
	code, ok := squeeze(in)
	if !ok || len(code) != totpDigits {
		return "", false
	}
	for _, r := range code {
		if r < '0' || r > '9' {
			return "", false
		}
	}
	return code, true
}

// squeeze removes what people and phones put between the characters of a code.
func squeeze(in string) (string, bool) {
	if len(in) > maxCode {
		return "", false
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return r
	}, norm.NFKC.String(in)), true
}

func confirmedTOTP(c identity.Credential) bool {
	return c.Kind == kindTOTP && !c.ConfirmedAt.IsZero()
}

func unconfirmedTOTP(c identity.Credential, now time.Time) bool {
	return c.Kind == kindTOTP && c.ConfirmedAt.IsZero() && now.Sub(c.CreatedAt) < enrollTTL
}

// Enroll makes an authenticator, unconfirmed, or shows the one just made again.
func (f totpFactor) Enroll(ctx context.Context, fl Flow, u *identity.User) (Enrollment, error) {
	creds, err := f.store.Credentials(ctx, u.ID)
	if err != nil {
		return Enrollment{}, err
	}
	if f.Enrolled(creds) {
		return Enrollment{}, errTOTPEnrolled()
	}
	for _, c := range creds {
		if !unconfirmedTOTP(c, fl.Now) {
			continue
		}
		if seed, err := f.box.Open(c.Sealed, string(c.ID)); err == nil {
			return f.enrollment(u, seed), nil
		}
	}
	if err := f.store.DeleteUnconfirmed(ctx, u.ID, kindTOTP); err != nil {
		return Enrollment{}, err
	}
	seed := make([]byte, totpSeed)
	rand.Read(seed)
	c := &identity.Credential{
		ID:        identity.CredentialID(secret.NewID(fl.Now)),
		User:      u.ID,
		Kind:      kindTOTP,
		CreatedAt: fl.Now,
	}
	c.Sealed = f.box.Seal(seed, string(c.ID))
	if err := f.store.PutCredential(ctx, c); err != nil {
		return Enrollment{}, err
	}
	return f.enrollment(u, seed), nil
}

func errTOTPEnrolled() error {
	return fault.New(fault.Conflict,
		"An authenticator app is set up already. Turn it off first to set up another.")
}

// enrollment returns the seed in the forms that apps read: the otpauth URL, and base32 to type.
func (f totpFactor) enrollment(u *identity.User, seed []byte) Enrollment {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:min(i+4, len(text))])
	}
	escape := func(s string) string { // apps show a + as it stands
		return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	issuer := escape(strings.ReplaceAll(f.issuer, ":", " ")) // the colon separates issuer and account
	return Enrollment{
		URL: fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d",
			issuer, escape(u.LoginName()), text, issuer, totpDigits, totpPeriod),
		Secret: strings.Join(groups, " "),
	}
}

// Confirm proves that the app shows the right codes; from then on sign-ins ask for one.
func (f totpFactor) Confirm(
	ctx context.Context, fl Flow, u *identity.User, in url.Values,
) (Proof, error) {
	code, ok := totpCode(in.Get("code"))
	if !ok {
		return Proof{}, fault.InvalidField("code", "Enter the six digits that your app shows.")
	}
	c, step, err := f.unconfirmed(ctx, fl, u.ID, code)
	if err != nil {
		return Proof{}, err
	}
	if c == nil {
		return Proof{Reason: audit.ReasonEnrollWrongCode, Text: wrongCode}, nil
	}
	ev := fl.event(audit.MFAEnabled, u.ID)
	ev.Detail = map[string]string{"kind": c.Kind}
	f.notices.notify(&ev, u, outbox.MessageTwoStepOn, pageSecurity)
	err = f.store.ConfirmCredential(ctx, c.ID, step, fl.Now, ev)
	if fault.Is(err, fault.Consumed) || fault.Is(err, fault.NotFound) {
		return Proof{}, errTOTPEnrolled()
	}
	if err != nil {
		return Proof{}, err
	}
	return Proof{OK: true}, f.store.DeleteUnconfirmed(ctx, u.ID, kindTOTP)
}

// unconfirmed returns the authenticator that was shown and now gives this code, or nil. Two pages
// opened at the same moment may have made two; either will do.
func (f totpFactor) unconfirmed(
	ctx context.Context, fl Flow, id identity.UserID, code string,
) (*identity.Credential, int64, error) {
	creds, err := f.store.Credentials(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	if f.Enrolled(creds) {
		return nil, 0, errTOTPEnrolled()
	}
	waiting := false
	for _, c := range creds {
		if !unconfirmedTOTP(c, fl.Now) {
			continue
		}
		waiting = true
		step, ok, err := f.match(c, code, fl.Now)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			return &c, step, nil
		}
	}
	if !waiting {
		return nil, 0, fault.New(fault.Conflict,
			"No authenticator app is waiting to be confirmed. Start the setup again.")
	}
	return nil, 0, nil
}
