// Package outbox delivers what must reach someone although this process may die: mail first, then
// webhooks and notices to applications.
//
// A delivery is a row that is stored in the transaction of the change that causes it, so that it
// exists if and only if the change does. The Engine of one server at a time sends what is due, at
// least once, in order for each target, and tries again with growing pauses. What it gives up on
// stays visible, and can be retried.
package outbox

import (
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Kind names a way to deliver. Each kind has a Sender.
type Kind string

// The kinds.
const (
	KindMail Kind = "mail" // an email message: see Mail
	// KindResetRequest is a request to reset a password, which is processed apart from the HTTP
	// request: storing it takes the same work whether the account exists or not.
	KindResetRequest Kind = "password-reset-request"
	// KindCodeRequest is a request for a message to sign in with, for the same reason.
	KindCodeRequest Kind = "sign-in-code-request"
	// KindRecovery is a task that is due during the wait of a request to remove a lost second
	// factor.
	KindRecovery Kind = "recovery"
	// KindAddressRequest is a request to prove an address: of a sign-up, or of a new address of an
	// account. It is processed apart for the same reason.
	KindAddressRequest Kind = "address-request"
)

// State is how far a delivery has come.
type State string

// The states. A delivery is due while it is queued; the other states are final, except that an
// administrator may queue a dead delivery again.
const (
	Queued  State = "queued"
	Sent    State = "sent"
	Expired State = "expired" // its content lost its use before it could be sent
	Dead    State = "dead"    // the target rejected it for good, or was away for too long
)

// States returns the states, in the order above.
func States() []State { return []State{Queued, Sent, Expired, Dead} }

// ReasonRecipient marks the error of a target that rejects a recipient for good.
const ReasonRecipient = "recipient_rejected"

// ID identifies a delivery: a UUIDv7, so that identifiers sort by creation time.
type ID string

// Delivery is one thing to deliver. Its content is encrypted and is deleted when it is sent or
// has expired.
type Delivery struct {
	ID       ID
	Kind     Kind
	Target   string // deliveries with the same target are sent in the order of their IDs
	To       string // for lists: whom it is for, such as an address
	About    string // for lists: what it is, such as the name of a message
	Content  string // encrypted by a Sealer; "" once it is deleted
	State    State
	Attempts int // how often sending it has begun

	CreatedAt     time.Time
	NextAttemptAt time.Time // while queued
	ExpiresAt     time.Time // when the content loses its use; zero means never
	FinishedAt    time.Time // when it reached a final state; zero before
	LastError     string    // why the last attempt failed, in words for the operator
	Holder        string    // the server that is sending it, or ""
}

// How long deliveries stay in lists after they reached a final state.
const (
	SentRetention = 7 * 24 * time.Hour // sent and expired ones
	DeadRetention = 30 * 24 * time.Hour
)

// Query selects deliveries for a list.
type Query struct {
	Kind   Kind   // "" for all
	State  State  // "" for all
	To     string // "" for all
	Limit  int
	Offset int
}

// Sealer encrypts the contents of deliveries. It is safe for concurrent use.
type Sealer struct{ box *secret.Box }

// NewSealer returns a Sealer with a key derived from the server's master key.
func NewSealer(keys *secret.Keys) *Sealer { return &Sealer{keys.Box("outbox")} }

// New returns a delivery with encrypted content, due at once. Deliveries with the same target are
// processed in order.
func (s *Sealer) New(kind Kind, target string, content []byte, now time.Time) Delivery {
	id := ID(secret.NewID(now))
	return Delivery{
		ID:            id,
		Kind:          kind,
		Target:        string(kind) + ":" + target,
		Content:       s.box.Seal(content, string(id)),
		State:         Queued,
		CreatedAt:     now,
		NextAttemptAt: now,
	}
}

// Open decrypts the content of a delivery.
func (s *Sealer) Open(d *Delivery) ([]byte, error) { return s.box.Open(d.Content, string(d.ID)) }

// maxError bounds LastError, in bytes.
const maxError = 300

// shortened returns an error's text, bounded at a character's border.
func shortened(err error) string {
	text := err.Error()
	for len(text) > maxError {
		_, size := utf8.DecodeLastRuneInString(text[:maxError])
		text = text[:maxError-size]
	}
	return text
}
