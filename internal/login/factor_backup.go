package login

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	backupCount  = 10
	backupLength = 10 // of 32 characters each: 50 bits
	// Without i, l, o and u: what is easily misread on paper, or reads as a word.
	backupAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// backupFactor stands in for the one-time code of a device that is lost.
type backupFactor struct {
	store Store
	keys  *secret.Keys
}

func (backupFactor) Step() string                    { return StepTOTP }
func (backupFactor) Held([]identity.Credential) bool { return false }
func (backupFactor) Serial() bool                    { return true }

func (backupFactor) Claims(in url.Values) bool {
	_, ok := backupCode(in.Get("code"))
	return ok
}

func (f backupFactor) Check(ctx context.Context, v Visit, u *identity.User, in url.Values) (Proof, error) {
	code, _ := backupCode(in.Get("code"))
	err := f.store.ConsumeBackupCode(ctx, u.ID, f.hash(u.ID, code), v.Now)
	switch {
	case fault.Is(err, fault.Consumed):
		return Proof{Reason: "replayed_code", Text: "This backup code was used already. Take another one."}, nil
	case fault.Is(err, fault.NotFound):
		return Proof{Reason: "wrong_code", Text: "This backup code is not right."}, nil
	case err != nil:
		return Proof{}, err
	}
	return Proof{OK: true, AMR: []string{"otp", "mfa"}}, f.store.Record(ctx, v.event(audit.BackupCodeUsed, u.ID))
}

func (f backupFactor) hash(id identity.UserID, code string) secret.Hash {
	return f.keys.Hash("backup:" + string(id) + ":" + code)
}

// backupCode reads a backup code as people type it, with the misreadings that the alphabet leaves room for.
func backupCode(in string) (string, bool) {
	code, ok := squeeze(in)
	if !ok {
		return "", false
	}
	code = strings.NewReplacer("o", "0", "i", "1", "l", "1").Replace(strings.ToLower(code))
	if len(code) != backupLength {
		return "", false
	}
	for _, r := range code {
		if !strings.ContainsRune(backupAlphabet, r) {
			return "", false
		}
	}
	return code, true
}

// NewBackupCodes replaces a user's backup codes and returns the new ones, shown this once. Conflict if there is no
// second factor for them to stand in for.
func (s *Server) NewBackupCodes(ctx context.Context, v Visit, id identity.UserID) ([]string, error) {
	second, err := s.second(ctx, id)
	if err != nil {
		return nil, err
	}
	if second == "" {
		return nil, fault.New(fault.Conflict, "Set up a second factor first; backup codes stand in for it.")
	}
	return s.putBackupCodes(ctx, v, id)
}

func (s *Server) putBackupCodes(ctx context.Context, v Visit, id identity.UserID) ([]string, error) {
	shown, hashes := make([]string, backupCount), make([]secret.Hash, backupCount)
	for i := range shown {
		code := newBackupCode()
		shown[i] = code[:backupLength/2] + "-" + code[backupLength/2:]
		hashes[i] = s.backup.hash(id, code)
	}
	if err := s.store.PutBackupCodes(ctx, id, hashes, v.Now, v.event(audit.BackupCodesMade, id)); err != nil {
		return nil, err
	}
	return shown, nil
}

func newBackupCode() string {
	var raw [backupLength]byte
	rand.Read(raw[:])
	for i, b := range raw {
		raw[i] = backupAlphabet[b&31] // 256 is a multiple of 32: no character is likelier than another
	}
	return string(raw[:])
}
