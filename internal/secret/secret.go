// Package secret makes and verifies everything that must not be guessed: tokens, identifiers, keyed
// hashes, sealed values and password hashes.
//
// All of a server's keys are derived from one master key (SECRET_KEY) by HKDF (RFC 5869), one per
// purpose, so that a value sealed for one use cannot be opened in another.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Prefixes of the secrets that this server makes, so that secret scanners find them.
const (
	PrefixAny          = "gth_" // of all of them
	PrefixClientSecret = "gth_cs_"
	PrefixRefreshToken = "gth_rt_"
	PrefixAccessToken  = "gth_at_"
	PrefixCode         = "gth_ac_"
	PrefixDeviceCode   = "gth_dc_"
	PrefixLink         = "gth_su_"
	PrefixSession      = "gth_ss_"
	PrefixImpersonated = "gth_is_" // a session in which somebody else acts as its person
	PrefixSessionToken = "gth_st_"
	PrefixAppSession   = "gth_as_"

	PrefixInitialAccess      = "gth_ia_" // registers clients (RFC 7591 §3)
	PrefixRegistrationAccess = "gth_ra_" // manages one registration (RFC 7592)
)

const (
	entropyBytes  = 32 // 256 bits
	checksumBytes = 4
)

var b64 = base64.RawURLEncoding.Strict()

// Hash is the keyed SHA-256 of a secret in base64url: the only form of it that is stored.
type Hash string

// Keys holds the keys derived from a server's master key. It is safe for concurrent use.
type Keys struct {
	master []byte
	macs   sync.Pool // of hash.Hash: HMAC-SHA256 keyed for Hash, which is costly to set up
}

// MinMaster is the least length of a master key in bytes.
const MinMaster = 32

// NewKeys derives a server's keys from its master key of at least 32 bytes.
func NewKeys(master []byte) (*Keys, error) {
	if len(master) < MinMaster {
		return nil, fault.InvalidField("SECRET_KEY",
			"SECRET_KEY has %d bytes; it needs at least %d", len(master), MinMaster)
	}
	k := &Keys{master: append([]byte(nil), master...)}
	key := k.Derive("hash")
	k.macs.New = func() any { return hmac.New(sha256.New, key) }
	return k, nil
}

// Master returns a copy of the master key, to be sealed with another one.
func (k *Keys) Master() []byte { return append([]byte(nil), k.master...) }

// Derive returns the 32-byte key for one purpose.
func (k *Keys) Derive(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, k.master, nil, "gatehouse/v1/"+purpose, 32)
	if err != nil { // only for lengths that HKDF cannot give
		panic(err)
	}
	return out
}

// Hash returns the stored form of a secret.
func (k *Keys) Hash(s string) Hash {
	m := k.macs.Get().(hash.Hash)
	m.Reset()
	_, _ = io.WriteString(m, s) // a hash never fails
	var sum [sha256.Size]byte
	out := Hash(b64.EncodeToString(m.Sum(sum[:0])))
	k.macs.Put(m)
	return out
}

// NewToken returns a secret of 256 random bits with a prefix and a checksum.
func NewToken(prefix string) string {
	var raw [entropyBytes]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	return Encode(prefix, raw[:])
}

// Encode returns raw bytes as a token: the prefix, then base64url of raw and its CRC-32.
func Encode(prefix string, raw []byte) string {
	buf := make([]byte, 0, len(raw)+checksumBytes)
	buf = append(buf, raw...)
	buf = binary.BigEndian.AppendUint32(buf, checksum(prefix, raw))
	return prefix + b64.EncodeToString(buf)
}

// Decode returns the raw bytes of a token made by Encode, or false if the prefix, the alphabet, the
// size or the checksum is wrong.
func Decode(prefix, token string, size int) ([]byte, bool) {
	body, ok := strings.CutPrefix(token, prefix)
	if !ok || len(body) != b64.EncodedLen(size+checksumBytes) {
		return nil, false
	}
	buf, err := b64.DecodeString(body)
	if err != nil || len(buf) != size+checksumBytes { // the decoder skips line breaks
		return nil, false
	}
	raw, sum := buf[:size], binary.BigEndian.Uint32(buf[size:])
	return raw, sum == checksum(prefix, raw)
}

// WellFormed reports whether a token has the prefix, length and checksum of one made by NewToken.
// It saves a lookup in storage for garbage; it proves nothing.
func WellFormed(prefix, token string) bool {
	_, ok := Decode(prefix, token, entropyBytes)
	return ok
}

func checksum(prefix string, raw []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(prefix)), crc32.IEEETable, raw)
}

// Equal reports whether two strings are equal, in time that depends on their lengths only.
func Equal(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// NewID returns a UUIDv7 (RFC 9562 §5.7) of the given time.
func NewID(now time.Time) string {
	var u [16]byte
	rand.Read(u[6:])
	ms := uint64(now.UnixMilli())
	u[0], u[1], u[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	u[3], u[4], u[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return FormatID(u)
}

// IDAt returns the least identifier of a time: those that NewID returns at that time or later do
// not sort before it.
func IDAt(t time.Time) string {
	var u [16]byte
	ms := uint64(t.UnixMilli())
	u[0], u[1], u[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	u[3], u[4], u[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	return FormatID(u)
}

// FormatID returns 16 bytes in the 8-4-4-4-12 form of a UUID (RFC 9562 §4).
func FormatID(u [16]byte) string {
	const hex = "0123456789abcdef"
	var out [36]byte
	j := 0
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out[j] = '-'
			j++
		}
		out[j], out[j+1] = hex[b>>4], hex[b&15]
		j += 2
	}
	return string(out[:])
}

// ParseID parses a UUID in its 36-character lower-case form.
func ParseID(s string) (u [16]byte, ok bool) {
	if len(s) != 36 {
		return u, false
	}
	j := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return u, false
			}
			continue
		}
		var v byte
		switch {
		case c >= '0' && c <= '9':
			v = c - '0'
		case c >= 'a' && c <= 'f':
			v = c - 'a' + 10
		default:
			return u, false
		}
		u[j/2] = u[j/2]<<4 | v
		j++
	}
	return u, true
}

// Box seals values for one purpose with AES-256-GCM. It is safe for concurrent use.
type Box struct{ aead cipher.AEAD }

// ErrUnsealed is the error of a sealed value that was cut, altered, or sealed for another purpose
// or by another server.
var ErrUnsealed = errors.New("secret: value cannot be unsealed")

// Box returns the sealing box for one purpose.
func (k *Keys) Box(purpose string) *Box {
	block, err := aes.NewCipher(k.Derive("seal/" + purpose))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &Box{aead}
}

// Seal encrypts and authenticates plain, bound to a context that Open must repeat, and returns
// base64url.
func (b *Box) Seal(plain []byte, context string) string {
	return b64.EncodeToString(b.aead.Seal(nil, nil, plain, []byte(context)))
}

// Open returns what was sealed. Every failure is ErrUnsealed.
func (b *Box) Open(sealed, context string) ([]byte, error) {
	raw, err := b64.DecodeString(sealed)
	if err != nil || b64.EncodedLen(len(raw)) != len(sealed) { // the decoder skips line breaks
		return nil, ErrUnsealed
	}
	plain, err := b.aead.Open(nil, nil, raw, []byte(context))
	if err != nil {
		return nil, ErrUnsealed
	}
	return plain, nil
}
