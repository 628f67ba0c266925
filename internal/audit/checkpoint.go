package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint is a head of the tree that was signed and published: its text is that of C2SP
// tlog-checkpoint, and the signed note that of C2SP signed-note.
type Checkpoint struct {
	Origin string // names the history; another one after a restore
	Size   int64
	Root   tlog.Hash
}

// Text returns the text that is signed.
func (c *Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// Sign returns the checkpoint as a note with the signatures of all keys.
func (c *Checkpoint) Sign(keys ...string) (string, error) {
	signers := make([]note.Signer, len(keys))
	for i, key := range keys {
		s, err := note.NewSigner(key)
		if err != nil {
			return "", errors.New("audit: a key for checkpoints is malformed")
		}
		signers[i] = s
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	return string(signed), err
}

// NewCheckpointKey returns a new key that signs checkpoints, and its public half. The name must be
// that of all keys of the server.
func NewCheckpointKey(name string) (private, public string, err error) {
	return note.GenerateKey(rand.Reader, name)
}

// PublicCheckpointKey returns the public half of a key.
func PublicCheckpointKey(private string) (string, error) {
	malformed := errors.New("the key for checkpoints is malformed; make one with gatehouse audit key")
	parts := strings.SplitN(private, "+", 5) // PRIVATE+KEY+<name>+<hash>+<keydata>
	if len(parts) != 5 {
		return "", malformed
	}
	s, err := note.NewSigner(private)
	if err != nil {
		return "", malformed
	}
	data, err := base64.StdEncoding.DecodeString(parts[4]) // one byte for the algorithm before it
	if err != nil || len(data) != 1+ed25519.SeedSize {
		return "", malformed
	}
	key, _ := ed25519.NewKeyFromSeed(data[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(s.Name(), key)
}

// ParseCheckpoint reads a checkpoint without looking at its signatures.
func ParseCheckpoint(signed string) (*Checkpoint, error) {
	malformed := errors.New("the text is not a checkpoint of an audit log")
	text, _, ok := strings.Cut(signed, "\n\n")
	if !ok {
		return nil, malformed
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 3 || lines[0] == "" {
		return nil, malformed
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return nil, malformed
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return nil, malformed
	}
	return &Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// OpenCheckpoint reads a checkpoint that one of the public keys has signed. It returns which did;
// none: a note.UnverifiedNoteError.
func OpenCheckpoint(signed string, public ...string) (c *Checkpoint, by []string, err error) {
	var known []note.Verifier
	keys := map[string]string{}
	for _, key := range public {
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, nil, fmt.Errorf("%.80q is not a public key for checkpoints", key)
		}
		id := fmt.Sprint(v.Name(), v.KeyHash())
		if keys[id] == "" {
			known, keys[id] = append(known, v), key
		}
	}
	n, err := note.Open([]byte(signed), note.VerifierList(known...))
	if err != nil {
		return nil, nil, err
	}
	for _, sig := range n.Sigs {
		by = append(by, keys[fmt.Sprint(sig.Name, sig.Hash)])
	}
	c, err = ParseCheckpoint(n.Text + "\n")
	return c, by, err
}

// Origin returns the name of a history: that of the server's keys, and from the second epoch on its
// number.
func Origin(name string, epoch int64) string {
	if epoch <= 1 {
		return name
	}
	return name + "/" + strconv.FormatInt(epoch, 10)
}

// EpochOf returns the epoch that an origin of the name stands for, or 0.
func EpochOf(name, origin string) int64 {
	if origin == name {
		return 1
	}
	number, ok := strings.CutPrefix(origin, name+"/")
	if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil && n > 1 {
		return n
	}
	return 0
}

// KeyName returns the name of the keys of the server with a base URL: its host and path.
func KeyName(baseURL string) string {
	_, rest, ok := strings.Cut(baseURL, "://")
	if !ok {
		rest = baseURL
	}
	rest = strings.Map(func(r rune) rune {
		if r == '+' || r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, strings.TrimSuffix(rest, "/"))
	return rest + "/audit"
}
