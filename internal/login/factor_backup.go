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
	kindBackup   = "backup_code"
	backupCount  = 10
	backupLength = 10 // of 32 characters each: 50 bits
	// Without i, l, o and u: what is easily misread on paper, or reads as a word.
	backupAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// backupFactor accepts a single-use code in place of a second factor whose device is lost.
type backupFactor struct {
	store Store
	keys  *secret.Keys
}

func (backupFactor) Kind() string                        { return kindBackup }
func (backupFactor) AMR() []string                       { return []string{"otp"} }
func (backupFactor) Use() Use                            { return UseSubstitute }
func (backupFactor) Enrolled([]identity.Credential) bool { return false }
func (backupFactor) Serial() bool                        { return true }
func (backupFactor) Counter() string                     { return secondCounter }

func (backupFactor) Begin(context.Context, Flow, *identity.User) (Challenge, error) {
	return Challenge{}, nil
}

func (backupFactor) CheckInput(in url.Values) error {
	if _, ok := backupCode(in.Get("code")); !ok {
		return fault.InvalidField("code", "Enter one of your backup codes.")
	}
	return nil
}

func (f backupFactor) Check(
	ctx context.Context, fl Flow, u *identity.User, in url.Values,
) (Proof, error) {
	code, _ := backupCode(in.Get("code"))
	err := f.store.ConsumeBackupCode(ctx, u.ID, f.hash(u.ID, code), fl.Now)
	switch {
	case fault.Is(err, fault.Consumed):
		return Proof{
			Reason: audit.ReasonReplayedCode,
			Text:   "This backup code was used already. Enter another one.",
		}, nil
	case fault.Is(err, fault.NotFound):
		return Proof{Reason: audit.ReasonWrongCode, Text: "Incorrect backup code."}, nil
	case err != nil:
		return Proof{}, err
	}
	return Proof{OK: true}, f.store.Record(ctx, fl.event(audit.BackupCodeUsed, u.ID))
}

func (f backupFactor) hash(id identity.UserID, code string) secret.Hash {
	return f.keys.Hash("backup:" + string(id) + ":" + code)
}

// backupCode parses a backup code as people type it, with the misreadings that the alphabet leaves
// room for.
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

// NewBackupCodes replaces a user's backup codes and returns the new ones, which are shown only this
// once. Conflict if the user has no second factor whose place they could take.
func (s *Server) NewBackupCodes(ctx context.Context, v Visit, id identity.UserID) ([]string, error) {
	kinds, err := s.enrolledKinds(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		return nil, fault.New(fault.Conflict, "Set up two-step verification first. "+
			"Backup codes are for when you do not have your device.")
	}
	return s.putBackupCodes(ctx, v, id)
}

// firstBackupCodes makes backup codes for a user who has none left.
func (s *Server) firstBackupCodes(
	ctx context.Context, v Visit, id identity.UserID,
) ([]string, error) {
	left, err := s.store.BackupCodesLeft(ctx, id)
	if err != nil || left > 0 {
		return nil, err
	}
	return s.putBackupCodes(ctx, v, id)
}

func (s *Server) putBackupCodes(ctx context.Context, v Visit, id identity.UserID) ([]string, error) {
	codes, hashes := make([]string, backupCount), make([]secret.Hash, backupCount)
	for i := range codes {
		code := newBackupCode()
		codes[i] = code[:backupLength/2] + "-" + code[backupLength/2:]
		hashes[i] = backupFactor{keys: s.keys}.hash(id, code)
	}
	ev := v.event(audit.BackupCodesMade, id)
	if err := s.store.PutBackupCodes(ctx, id, hashes, v.Now, ev); err != nil {
		return nil, err
	}
	return codes, nil
}

func newBackupCode() string {
	var raw [backupLength]byte
	rand.Read(raw[:])
	for i, b := range raw {
		raw[i] = backupAlphabet[b&31] // 256 is a multiple of 32: all characters are equally likely
	}
	return string(raw[:])
}
