package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Ceilings of hashes that other programs made: one check takes about a second at the most.
const (
	bcryptMaxCost  = 15
	pbkdf2MaxIter  = 2_000_000
	pbkdf2MinIter  = 1
	pbkdf2MinKey   = 16
	scryptMinLog   = 1
	scryptMaxLog   = 17
	scryptMaxMem   = 64 << 20 // bytes
	scryptMaxLanes = 4
	maxForeignSalt = 256 // bytes
	maxForeignKey  = 256 // bytes, also of signer keys
)

// Kinds of hashes that other programs made, as they begin in the database.
const (
	pbkdf2Prefix   = "$pbkdf2-" // and the digest
	scryptPrefix   = "$scrypt$"
	firebasePrefix = "$firebase-scrypt$"
)

// PBKDF2Hash is a password hash of PBKDF2 (RFC 8018 §5.2), as Keycloak and others export it.
type PBKDF2Hash struct {
	Digest     string // sha1, sha256 or sha512
	Iterations int
	Salt, Key  []byte
}

// Stored returns the form of the hash that Verify accepts, or fault.Invalid.
func (h PBKDF2Hash) Stored() (string, error) {
	stored := fmt.Sprintf(pbkdf2Prefix+"%s$i=%d$%s$%s", h.Digest, h.Iterations, raw64(h.Salt), raw64(h.Key))
	return stored, CheckHash(stored)
}

// FirebaseHash is a password hash of Firebase's own variant of scrypt.
type FirebaseHash struct {
	Rounds, MemCost            int
	Salt, Separator, SignerKey []byte
	Key                        []byte
}

// Stored returns the form of the hash that Verify accepts, or fault.Invalid.
func (h FirebaseHash) Stored() (string, error) {
	stored := fmt.Sprintf(firebasePrefix+"ln=%d,r=%d,p=1$%s$%s$%s$%s", h.MemCost, h.Rounds,
		raw64(h.Salt), raw64(h.Separator), raw64(h.SignerKey), raw64(h.Key))
	return stored, CheckHash(stored)
}

func raw64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// CheckHash returns fault.Invalid unless Verify can check a password against a stored hash: its
// kind is known, its form is whole, and its costs are bounded.
func CheckHash(stored string) error {
	_, err := parseHash(stored)
	return err
}

// verifier checks a password in one form against a hash.
type verifier func(password string) (bool, error)

// parseHash returns the check of a stored hash.
func parseHash(stored string) (verifier, error) {
	switch {
	case strings.HasPrefix(stored, "$argon2id$"):
		h, err := parseArgon(stored)
		return h.verify, err
	case strings.HasPrefix(stored, "$2a$"), strings.HasPrefix(stored, "$2b$"), strings.HasPrefix(stored, "$2y$"):
		return parseBcrypt(stored)
	case strings.HasPrefix(stored, pbkdf2Prefix):
		return parsePBKDF2(stored)
	case strings.HasPrefix(stored, scryptPrefix), strings.HasPrefix(stored, firebasePrefix):
		return parseScrypt(stored)
	}
	return nil, fault.New(fault.Invalid, "the stored password hash is of an unknown kind")
}

func errUnreadable() error {
	return fault.New(fault.Invalid, "the stored password hash cannot be read")
}

func errCostly() error {
	return fault.New(fault.Invalid, "the stored password hash asks for more work than is allowed")
}

// parseBcrypt reads the form of crypt(3): $2b$, two digits of cost, $, 22 characters of salt and 31
// of the hash.
func parseBcrypt(stored string) (verifier, error) {
	cost, err := bcrypt.Cost([]byte(stored))
	if err != nil || len(stored) != 60 {
		return nil, errUnreadable()
	}
	if cost > bcryptMaxCost {
		return nil, errCostly()
	}
	return func(password string) (bool, error) {
		err := bcrypt.CompareHashAndPassword([]byte(stored), []byte(password))
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return false, nil
		}
		if err != nil {
			return false, errUnreadable()
		}
		return true, nil
	}, nil
}

func parsePBKDF2(stored string) (verifier, error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 5 {
		return nil, errUnreadable()
	}
	digests := map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}
	digest := digests[strings.TrimPrefix(parts[1], "pbkdf2-")]
	var iterations int
	n, err := fmt.Sscanf(parts[2], "i=%d", &iterations)
	salt, key := decode64(parts[3]), decode64(parts[4])
	switch {
	case digest == nil, n != 1, err != nil, salt == nil, len(key) < pbkdf2MinKey, len(key) > maxForeignKey,
		fmt.Sprintf("i=%d", iterations) != parts[2]:
		return nil, errUnreadable()
	case iterations < pbkdf2MinIter, iterations > pbkdf2MaxIter:
		return nil, errCostly()
	}
	return func(password string) (bool, error) {
		got, err := pbkdf2.Key(digest, password, salt, iterations, len(key))
		if err != nil {
			return false, errUnreadable()
		}
		return subtle.ConstantTimeCompare(got, key) == 1, nil
	}, nil
}

// parseScrypt reads a hash of scrypt (RFC 7914) or of Firebase's variant, in which the derived key
// encrypts a key of the project.
func parseScrypt(stored string) (verifier, error) {
	parts := strings.Split(stored, "$")
	firebase := parts[1] == "firebase-scrypt"
	if len(parts) != 5 && !firebase || len(parts) != 7 && firebase {
		return nil, errUnreadable()
	}
	var ln, r, p int
	n, err := fmt.Sscanf(parts[2], "ln=%d,r=%d,p=%d", &ln, &r, &p)
	salt, want := decode64(parts[3]), decode64(parts[len(parts)-1])
	if n != 3 || err != nil || salt == nil || len(want) < 16 || len(want) > maxForeignKey {
		return nil, errUnreadable()
	}
	if ln < scryptMinLog || ln > scryptMaxLog || r < 1 || p < 1 || p > scryptMaxLanes || r > scryptMaxMem>>(7+ln) {
		return nil, errCostly()
	}
	derive := func(password string, length int) ([]byte, error) {
		return scrypt.Key([]byte(password), salt, 1<<ln, r, p, length)
	}
	if !firebase {
		return func(password string) (bool, error) {
			got, err := derive(password, len(want))
			return err == nil && subtle.ConstantTimeCompare(got, want) == 1, err
		}, nil
	}
	separator, signer := decode64(parts[4]), decode64(parts[5])
	if separator == nil || len(signer) != len(want) {
		return nil, errUnreadable()
	}
	salt = append(salt, separator...)
	return func(password string) (bool, error) {
		key, err := derive(password, 32)
		if err != nil {
			return false, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return false, err
		}
		got := make([]byte, len(signer))
		cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(got, signer)
		return subtle.ConstantTimeCompare(got, want) == 1, nil
	}, nil
}

// decode64 returns what a text of base64 means, or nil. An empty text is an empty slice.
func decode64(s string) []byte {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) > max(maxForeignSalt, maxForeignKey) {
		return nil
	}
	if b == nil {
		b = []byte{}
	}
	return b
}
