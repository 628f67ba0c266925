package secret

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Argon2id parameters (OWASP Password Storage Cheat Sheet: m=19 MiB, t=2, p=1).
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
	// Bounds for hashes that we verify but did not make.
	argonMaxMemory = 256 * 1024
	argonMaxTime   = 16
	argonMaxLanes  = 8
)

const (
	// phcForm is how a hash is written (PHC string format).
	phcForm = "$argon2id$v=%d$m=%d,t=%d,p=%d" + formMark + "$%s$%s"
	// formMark says that a hash was made of NormalPassword. Without it, a hash was made by an
	// earlier release of compatiblePassword, or elsewhere.
	formMark = ",form=nfc"
)

// NormalPassword returns the form in which a password is hashed and compared: OpaqueString of RFC
// 8265 §4.2. Every space is U+0020, the text is in NFC, case and width stay.
func NormalPassword(typed string) string {
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}, typed))
}

// compatiblePassword returns the form that hashes without formMark were made of, NFKC. In it,
// full-width and ordinary letters are equal.
func compatiblePassword(typed string) string { return norm.NFKC.String(typed) }

// Passwords hashes and verifies passwords with argon2id (RFC 9106) in a bounded pool: a limited
// number of hashes run at once, a limited number of callers wait, and the next one gets
// fault.Unavailable. Memory is bounded by 19 MiB for each hash that runs.
type Passwords struct {
	slots chan struct{}
	line  chan struct{}
	dummy string // a hash that no password is known for, which costs as much to verify as any other
	watch Queue  // or nil

	parent *Passwords // whose slots these share; nil: they have their own
}

// Queue counts the callers that wait. It is called by several goroutines.
type Queue interface {
	// Enter is called when a caller begins to wait. What it returns is called when the waiting has
	// ended: with true the caller hashes, and leave is called at the end of that.
	Enter() func(entered bool) (leave func())
	// Reject is called when there is no room for a caller.
	Reject()
}

// Watch sets what counts the callers that wait. Call it before any other method.
func (p *Passwords) Watch(q Queue) { p.watch = q }

// NewPasswords returns a pool in which up to wide hashes run and up to queue callers wait, each at
// least 1.
func NewPasswords(wide, queue int) *Passwords {
	p := &Passwords{
		slots: make(chan struct{}, max(wide, 1)),
		line:  make(chan struct{}, max(wide, 1)+max(queue, 1)),
	}
	e := base64.RawStdEncoding
	p.dummy = fmt.Sprintf(phcForm, argon2.Version, argonMemory, argonTime, argonThreads,
		e.EncodeToString(make([]byte, argonSalt)), e.EncodeToString(make([]byte, argonKey)))
	return p
}

// Hash returns the PHC string of a password as a person typed it.
func (p *Passwords) Hash(ctx context.Context, typed string) (string, error) {
	leave, err := p.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	return hashArgon(NormalPassword(typed), salt), nil
}

// Verify reports whether a password, as a person typed it, matches a PHC string. A hash of an
// earlier release may match in the compatible form; then Outdated reports true. With an empty
// stored hash it does the same work and returns false, so that an unknown user costs as much time
// as a known one. Hashes that other programs made (see CheckHash) are checked at their own cost. A
// hash of an unknown kind is fault.Invalid.
func (p *Passwords) Verify(ctx context.Context, typed, stored string) (bool, error) {
	leave, err := p.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	known := stored != ""
	if !known {
		stored = p.dummy
	}
	verify, err := parseHash(stored)
	if err != nil {
		return false, err
	}
	normal, other := NormalPassword(typed), compatiblePassword(typed)
	if !strings.HasPrefix(stored, "$argon2id$") {
		other = typed // what other programs have hashed, mostly
	}
	ok, err := verify(normal)
	if err != nil || ok || normal == other {
		return ok && known, err
	}
	// The second try depends on what was typed alone. Where the form is known, it is made for the
	// time that it takes.
	ok, err = verify(other)
	return ok && known && !strings.Contains(stored, formMark+"$"), err
}

// Outdated reports whether a stored hash should be replaced by one with today's parameters and
// form of the password.
func (p *Passwords) Outdated(stored string) bool {
	current := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d%s$",
		argon2.Version, argonMemory, argonTime, argonThreads, formMark)
	return !strings.HasPrefix(stored, current)
}

// Share returns a pool for one of several tenants of p. It has a queue of its own, and at most wide
// of its hashes wait for the slots of p at a time: whoever floods one tenant delays the others by
// that many hashes at most.
func (p *Passwords) Share(wide, queue int) *Passwords {
	s := NewPasswords(wide, queue)
	s.parent, s.watch = p, p.watch
	return s
}

// slot waits for a slot, and returns what frees it.
func (p *Passwords) slot(ctx context.Context) (free func(), err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	own := func() { <-p.slots }
	if p.parent == nil {
		return own, nil
	}
	above, err := p.parent.slot(ctx)
	if err != nil {
		own()
		return nil, err
	}
	return func() { above(); own() }, nil
}

func (p *Passwords) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.line <- struct{}{}:
	default:
		if p.watch != nil {
			p.watch.Reject()
		}
		return nil, fault.RetryAfter(fault.Unavailable, 2*time.Second,
			"Too many people are signing in. Try again in a moment.")
	}
	waited := func(bool) func() { return func() {} }
	if p.watch != nil {
		waited = p.watch.Enter()
	}
	free, err := p.slot(ctx)
	if err != nil {
		waited(false)
		<-p.line
		return nil, fault.Wrap(fault.Unavailable, err,
			"The server is busy. Try again in a moment.")
	}
	hashed := waited(true)
	return func() { hashed(); free(); <-p.line }, nil
}

func hashArgon(password string, salt []byte) string {
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	e := base64.RawStdEncoding
	return fmt.Sprintf(phcForm, argon2.Version, argonMemory, argonTime, argonThreads,
		e.EncodeToString(salt), e.EncodeToString(key))
}

// argonHash is a parsed hash of argon2id.
type argonHash struct {
	time, memory, lanes int
	salt, key           []byte
}

// parseArgon reads a PHC string of argon2id.
func parseArgon(stored string) (h argonHash, err error) {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return h, errUnreadable()
	}
	var version int
	_, err = fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &h.memory, &h.time, &h.lanes)
	if err != nil || version != argon2.Version {
		return h, errUnreadable()
	}
	if h.memory < 8 || h.memory > argonMaxMemory || h.time < 1 || h.time > argonMaxTime ||
		h.lanes < 1 || h.lanes > argonMaxLanes {
		return h, errCostly()
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.key) < 16 || len(h.key) > 64 || len(h.salt) > 64 {
		return h, errUnreadable()
	}
	return h, nil
}

func (h argonHash) verify(password string) (bool, error) {
	got := argon2.IDKey([]byte(password), h.salt,
		uint32(h.time), uint32(h.memory), uint8(h.lanes), uint32(len(h.key)))
	return subtle.ConstantTimeCompare(got, h.key) == 1, nil
}
