package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// The headers of Standard Webhooks.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	minSecret    = 24 // by the specification, as the next one
	maxSecret    = 64
)

// Keys seals and opens the secrets of webhooks.
type Keys struct{ box *secret.Box }

// NewKeys returns Keys that derive from the server's master key.
func NewKeys(keys *secret.Keys) *Keys { return &Keys{keys.Box("webhook")} }

// New returns a new secret: as its owner needs it, and sealed for the webhook.
func (k *Keys) New(id ID) (shown, sealed string) {
	raw := make([]byte, secretBytes)
	rand.Read(raw) // never fails (crypto/rand)
	return secretPrefix + base64.StdEncoding.EncodeToString(raw), k.box.Seal(raw, string(id))
}

// Seal seals a secret that its owner has chosen for the webhook.
func (k *Keys) Seal(id ID, shown string) (sealed string, err error) {
	raw, err := parseSecret(shown)
	if err != nil {
		return "", err
	}
	return k.box.Seal(raw, string(id)), nil
}

// Has reports whether a secret is the one that the webhook signs with.
func (k *Keys) Has(w *Webhook, shown string) (bool, error) {
	raw, err := parseSecret(shown)
	if err != nil {
		return false, err
	}
	current, err := k.box.Open(w.Secret, string(w.ID))
	return err == nil && subtle.ConstantTimeCompare(raw, current) == 1, err
}

// A Signer signs the messages of one webhook. The zero value signs nothing.
type Signer struct{ keys [][]byte }

// Signer returns the signer of a webhook: by its secret, and in the overlap of a rotation by the
// one before it, too.
func (k *Keys) Signer(w *Webhook, now time.Time) (Signer, error) {
	var s Signer
	sealed := []string{w.Secret}
	if w.Previous != "" && w.PreviousUntil.After(now) {
		sealed = append(sealed, w.Previous)
	}
	for _, text := range sealed {
		raw, err := k.box.Open(text, string(w.ID))
		if err != nil {
			return Signer{}, err
		}
		s.keys = append(s.keys, raw)
	}
	return s, nil
}

// Sign returns the value of HeaderSignature for a message: one signature for each secret, with
// spaces between them. The time is that of the attempt.
func (s Signer) Sign(id string, at time.Time, body []byte) string {
	signatures := make([]string, len(s.keys))
	for i, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + Timestamp(at) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}

// Timestamp returns the value of HeaderTimestamp: Unix seconds.
func Timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// ParseSecret returns the signer of a secret as its owner has it: whsec_ and 24 to 64 bytes in
// base64.
func ParseSecret(shown string) (Signer, error) {
	raw, err := parseSecret(shown)
	if err != nil {
		return Signer{}, err
	}
	return Signer{keys: [][]byte{raw}}, nil
}

func parseSecret(shown string) ([]byte, error) {
	body, ok := strings.CutPrefix(shown, secretPrefix)
	raw, err := base64.StdEncoding.DecodeString(body)
	if !ok || err != nil || len(raw) < minSecret || len(raw) > maxSecret {
		return nil, fault.InvalidField("secret", "the secret of a webhook is %s and %d to %d bytes in base64",
			secretPrefix, minSecret, maxSecret)
	}
	return raw, nil
}
