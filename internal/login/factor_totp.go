package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // HMAC-SHA-1 is what authenticator apps speak (RFC 6238 §1.2)
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
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	totpPeriod = 30 // seconds (RFC 6238 §4.1)
	totpDigits = 6
	totpSkew   = 1  // steps to either side (RFC 6238 §5.2)
	totpSeed   = 20 // bytes, the length of the hash (RFC 4226 §4 R6)
	maxCode    = 64 // bytes of input that are looked at
	// An authenticator that was shown but not confirmed is forgotten after this, so that somebody who saw it long ago
	// does not share it when it is confirmed.
	enrollLife = time.Hour
)

type totpFactor struct {
	store Store
	box   *secret.Box
}

func (totpFactor) Step() string { return StepTOTP }
func (totpFactor) Serial() bool { return true }

func (totpFactor) Held(creds []identity.Credential) bool {
	for _, c := range creds {
		if confirmedTOTP(c) {
			return true
		}
	}
	return false
}

func (totpFactor) Claims(in url.Values) bool {
	_, ok := totpCode(in.Get("code"))
	return ok
}

func (f totpFactor) Check(ctx context.Context, v Visit, u *identity.User, in url.Values) (Proof, error) {
	code, _ := totpCode(in.Get("code"))
	creds, err := f.store.Credentials(ctx, u.ID)
	if err != nil {
		return Proof{}, err
	}
	for _, c := range creds {
		if !confirmedTOTP(c) {
			continue
		}
		step, ok, err := f.match(c, code, v.Now)
		if err != nil {
			return Proof{}, err
		}
		if !ok {
			continue
		}
		err = f.store.AdvanceCredential(ctx, c.ID, step, v.Now) // the statement that lets a code work once (RFC 6238 §5.2)
		if fault.Is(err, fault.Consumed) {
			return Proof{Reason: "replayed_code", Text: "This code was used already. Wait for the next one."}, nil
		}
		if fault.Is(err, fault.NotFound) { // taken away meanwhile
			return Proof{}, errStale()
		}
		if err != nil {
			return Proof{}, err
		}
		return Proof{OK: true, AMR: []string{"otp", "mfa"}}, nil
	}
	return Proof{Reason: "wrong_code", Text: wrongCode}, nil
}

const wrongCode = "This code is not right. Check the clock of your device and try the next code."

// match finds the step near now whose code this is, and the newest where there are two.
func (f totpFactor) match(c identity.Credential, code string, now time.Time) (step int64, ok bool, err error) {
	seed, err := f.box.Open(c.Sealed, string(c.ID))
	if err != nil {
		return 0, false, fmt.Errorf("authenticator %s: %w", c.ID, err)
	}
	at := now.Unix() / totpPeriod
	for i := at - totpSkew; i <= at+totpSkew; i++ {
		if secret.Equal(totpAt(seed, i, totpDigits), code) {
			step, ok = i, true
		}
	}
	return step, ok, nil
}

// totpAt is the code of one time step (RFC 4226 §5.3).
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

// totpCode reads six digits as people type them: in groups, or in a script's own wide digits.
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

// squeeze drops what people and phones put between the characters of a code.
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
	return c.Kind == identity.KindTOTP && !c.ConfirmedAt.IsZero()
}

func freshTOTP(c identity.Credential, now time.Time) bool {
	return c.Kind == identity.KindTOTP && c.ConfirmedAt.IsZero() && now.Sub(c.CreatedAt) < enrollLife
}

// Enrollment is what a person brings into an authenticator app.
type Enrollment struct {
	URL    string // otpauth://…, for a QR code
	Secret string // the same seed in base32, in groups of four, for typing
}

// BeginEnroll makes an authenticator for a user, unconfirmed, or shows the one just made again. Conflict if the user
// has a confirmed one.
func (s *Server) BeginEnroll(ctx context.Context, v Visit, u *identity.User) (*Enrollment, error) {
	creds, err := s.store.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	if s.totp.Held(creds) {
		return nil, errEnrolled()
	}
	for _, c := range creds {
		if !freshTOTP(c, v.Now) {
			continue
		}
		if seed, err := s.totp.box.Open(c.Sealed, string(c.ID)); err == nil {
			return s.enrollment(u, seed), nil
		}
	}
	if err := s.store.DeleteUnconfirmed(ctx, u.ID, identity.KindTOTP); err != nil {
		return nil, err
	}
	seed := make([]byte, totpSeed)
	rand.Read(seed)
	c := &identity.Credential{ID: identity.CredentialID(secret.NewID(v.Now)), User: u.ID, Kind: identity.KindTOTP, CreatedAt: v.Now}
	c.Sealed = s.totp.box.Seal(seed, string(c.ID))
	if err := s.store.PutCredential(ctx, c); err != nil {
		return nil, err
	}
	return s.enrollment(u, seed), nil
}

func errEnrolled() error {
	return fault.New(fault.Conflict, "An authenticator app is set up already. Turn it off first to set up another.")
}

func (s *Server) enrollment(u *identity.User, seed []byte) *Enrollment {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:min(i+4, len(text))])
	}
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") } // apps read + as it stands
	issuer := escape(strings.ReplaceAll(s.cfg.Issuer, ":", " "))                                  // the colon parts issuer and account
	return &Enrollment{
		URL: fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d",
			issuer, escape(u.LoginName()), text, issuer, totpDigits, totpPeriod),
		Secret: strings.Join(groups, " "),
	}
}

// ConfirmEnroll proves that the authenticator works; from then on it is asked for at every sign-in. It returns the
// backup codes, which are shown this once. Conflict if there is nothing to confirm.
func (s *Server) ConfirmEnroll(ctx context.Context, v Visit, id identity.UserID, code string) ([]string, error) {
	given, ok := totpCode(code)
	if !ok {
		return nil, fault.InvalidField("code", "Enter the six digits that your app shows.")
	}
	c, step, err := s.unconfirmed(ctx, v, id, given)
	if err != nil {
		return nil, err
	}
	ev := v.event(audit.MFAEnabled, id)
	ev.Detail = map[string]string{"kind": c.Kind}
	err = s.store.ConfirmCredential(ctx, c.ID, step, v.Now, ev)
	if k := fault.KindOf(err); err != nil && (k == fault.Consumed || k == fault.NotFound) {
		return nil, errEnrolled()
	}
	if err != nil {
		return nil, err
	}
	if err := s.store.DeleteUnconfirmed(ctx, id, identity.KindTOTP); err != nil {
		return nil, err
	}
	return s.putBackupCodes(ctx, v, id)
}

// unconfirmed finds the authenticator that was shown and now gives this code. Two pages opened at the same moment
// may have made two; either will do.
func (s *Server) unconfirmed(ctx context.Context, v Visit, id identity.UserID, code string) (*identity.Credential, int64, error) {
	creds, err := s.store.Credentials(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	if s.totp.Held(creds) {
		return nil, 0, errEnrolled()
	}
	waiting := false
	for _, c := range creds {
		if !freshTOTP(c, v.Now) {
			continue
		}
		waiting = true
		step, ok, err := s.totp.match(c, code, v.Now)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			return &c, step, nil
		}
	}
	if !waiting {
		return nil, 0, fault.New(fault.Conflict, "There is no authenticator waiting to be confirmed. Start the set-up again.")
	}
	if err := s.store.Record(ctx, v.failure(id, "enroll_wrong_code")); err != nil {
		return nil, 0, err
	}
	return nil, 0, fault.New(fault.Denied, wrongCode)
}

// DisableTOTP takes away a user's authenticator app, and with it the backup codes.
func (s *Server) DisableTOTP(ctx context.Context, v Visit, id identity.UserID) error {
	ev := v.event(audit.MFADisabled, id)
	ev.Detail = map[string]string{"kind": identity.KindTOTP}
	return s.store.DeleteCredentials(ctx, id, identity.KindTOTP, ev)
}

// Factors is what a user has besides the password.
type Factors struct {
	TOTP       bool
	Since      time.Time // when the authenticator was confirmed
	BackupLeft int       // backup codes not yet used
}

// Factors lists what a user has besides the password.
func (s *Server) Factors(ctx context.Context, id identity.UserID) (Factors, error) {
	creds, err := s.store.Credentials(ctx, id)
	if err != nil {
		return Factors{}, err
	}
	var out Factors
	for _, c := range creds {
		if confirmedTOTP(c) && !out.TOTP {
			out.TOTP, out.Since = true, c.ConfirmedAt
		}
	}
	if !out.TOTP {
		return out, nil
	}
	out.BackupLeft, err = s.store.BackupCodesLeft(ctx, id)
	return out, err
}
