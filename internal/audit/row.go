package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// A Row is an event as it is stored. Its hash covers every field, so that a change of any of them
// is found.
//
// Two parts of a row can be erased with the person whom they belong to, and the hash stays the
// same: the origin (IP and Agent), which belongs to whoever acted, and the facts (Detail and
// Changes), which belong to the user concerned. The hash covers a commitment to each part instead
// of the part itself: SHA-256 of a salt and the part. Erasing replaces the part by its commitment
// and deletes the salt, after which nobody can guess the part back.
type Row struct {
	ID         string
	At         int64 // Unix milliseconds
	Type       string
	Actor      string
	ActorType  string
	User       string
	Client     string
	Session    string
	Grant      string
	RequestID  string
	Reason     string
	TargetType string
	TargetID   string

	IP, Agent       string // the origin
	Detail, Changes string // the facts, as JSON

	Salt   string // see NewSalt; "" in a row that belongs to nobody
	Erased string // commitments to the parts that are erased, as in "origin=… facts=…"
}

// A Part is a part of a row that can be erased.
type Part string

// The parts.
const (
	PartOrigin Part = "origin"
	PartFacts  Part = "facts"
)

// partSaltMark begins the Salt of a row of which one part is erased: what follows is the salt of
// the other part.
const partSaltMark = "~"

// saltSize is the size of salts in bytes.
const saltSize = 16

// NewSalt returns a random salt.
func NewSalt() string {
	var b [saltSize]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Owner returns the user whom a part belongs to, or "".
func (r *Row) Owner(p Part) string {
	if p == PartOrigin && r.Actor != "" {
		e := Event{Actor: r.Actor, ActorType: r.ActorType, User: r.User, Client: r.Client}
		if e.ActorKind() == ActorUser {
			return r.Actor
		}
	}
	return r.User
}

// Personal reports whether the row needs a salt.
func (r *Row) Personal() bool { return r.Owner(PartOrigin) != "" || r.User != "" }

// ErasedPart reports whether a part is erased.
func (r *Row) ErasedPart(p Part) bool {
	_, ok := r.commitment(p)
	return ok
}

// commitment returns the commitment to a part that is erased.
func (r *Row) commitment(p Part) (string, bool) {
	for _, field := range strings.Fields(r.Erased) {
		if name, c, ok := strings.Cut(field, "="); ok && name == string(p) {
			return c, true
		}
	}
	return "", false
}

// ErrMalformed marks a row whose salt or commitments have another form than they are written in.
var ErrMalformed = errors.New("audit: the salt or a commitment of the row is malformed")

// Commit returns the commitment to a part.
func (r *Row) Commit(p Part) (c [sha256.Size]byte, err error) {
	if r.Erased != "" {
		if text, ok := r.commitment(p); ok {
			if n, err := base64.RawURLEncoding.Decode(c[:], []byte(text)); err != nil || n != len(c) {
				return c, ErrMalformed
			}
			return c, nil
		}
	}
	salt, err := r.partSalt(p)
	if err != nil {
		return c, err
	}
	var space [512]byte
	b := append(space[:0], p...)
	b = append(append(b, 0), salt...)
	switch p {
	case PartOrigin:
		b = appendText(appendText(b, r.IP), r.Agent)
	case PartFacts:
		b = appendText(appendText(b, r.Detail), r.Changes)
	}
	return sha256.Sum256(b), nil
}

// partSalt returns the salt of one part: it follows from the salt of the row, but the salt of the
// other part does not follow from it.
func (r *Row) partSalt(p Part) ([]byte, error) {
	if r.Salt == "" {
		return nil, nil
	}
	text, one := strings.CutPrefix(r.Salt, partSaltMark)
	salt, err := base64.RawURLEncoding.DecodeString(text)
	switch {
	case err != nil || len(salt) != saltSize:
		return nil, ErrMalformed
	case one:
		return salt, nil
	}
	sum := sha256.Sum256(append(append([]byte(p), 0), salt...))
	return sum[:saltSize], nil
}

// Erase removes a part from the row and leaves the commitment to it. It does nothing to a part that
// is erased.
func (r *Row) Erase(p Part) error {
	if r.ErasedPart(p) {
		return nil
	}
	c, err := r.Commit(p)
	if err != nil {
		return err
	}
	other := PartFacts
	if p == PartFacts {
		other = PartOrigin
	}
	salt := ""
	if !r.ErasedPart(other) {
		rest, err := r.partSalt(other)
		if err != nil {
			return err
		}
		if rest != nil {
			salt = partSaltMark + base64.RawURLEncoding.EncodeToString(rest)
		}
	}
	r.Salt = salt
	r.Erased = strings.TrimSpace(r.Erased + " " + string(p) + "=" + base64.RawURLEncoding.EncodeToString(c[:]))
	switch p {
	case PartOrigin:
		r.IP, r.Agent = "", ""
	case PartFacts:
		r.Detail, r.Changes = "", ""
	}
	return nil
}

// rowVersion begins the encoding of a row. Another encoding gets another one.
const rowVersion = "gatehouse audit row 1"

// Hash returns the hash of the row: RFC 6962 §2.1's hash of a leaf, over all fields in one fixed
// encoding, each text with its length before it.
func (r *Row) Hash() (tlog.Hash, error) {
	origin, err := r.Commit(PartOrigin)
	if err != nil {
		return tlog.Hash{}, err
	}
	facts, err := r.Commit(PartFacts)
	if err != nil {
		return tlog.Hash{}, err
	}
	var space [1024]byte
	b := append(space[:0], 0) // the prefix of leaves
	b = appendText(b, rowVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(r.At))
	for _, text := range [...]string{
		r.ID, r.Type, r.Actor, r.ActorType, r.User, r.Client, r.Session, r.Grant, r.RequestID, r.Reason,
		r.TargetType, r.TargetID,
	} {
		b = appendText(b, text)
	}
	b = append(append(b, origin[:]...), facts[:]...)
	return tlog.Hash(sha256.Sum256(b)), nil
}

// appendText appends a text with its length before it.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
