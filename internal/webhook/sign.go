package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
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
	secretBytes  = 32 // the specification allows 24 to 64
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
	body, ok := strings.CutPrefix(shown, secretPrefix)
	raw, err := base64.StdEncoding.DecodeString(body)
	if !ok || err != nil || len(raw) < 24 || len(raw) > 64 {
		return Signer{}, fault.New(fault.Invalid, "the secret of a webhook is whsec_ and 24 to 64 bytes in base64")
	}
	return Signer{keys: [][]byte{raw}}, nil
}
