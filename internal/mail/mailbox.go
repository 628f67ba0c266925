package mail

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// maxLetters is how many messages a Mailbox keeps, the newest ones.
const maxLetters = 200

// Letter is a message in a Mailbox.
type Letter struct {
	Message
	ID string
	To string
	At time.Time
}

// Mailbox takes messages in place of a mail server, in development. It keeps them in memory. It is
// safe for concurrent use.
type Mailbox struct {
	sealer   *outbox.Sealer
	composer *Composer

	mu      sync.Mutex
	letters []Letter // oldest first
}

// NewMailbox returns an empty Mailbox.
func NewMailbox(s *outbox.Sealer, c *Composer) *Mailbox { return &Mailbox{sealer: s, composer: c} }

// Parallel returns 1.
func (*Mailbox) Parallel() int { return 1 }

// Send stores the message of a delivery.
func (b *Mailbox) Send(_ context.Context, d *outbox.Delivery) error {
	m, err := b.sealer.OpenMail(d)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the message cannot be read")
	}
	composed, err := b.composer.Compose(m)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the message cannot be composed")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters = append(b.letters, Letter{Message: *composed, ID: string(d.ID), To: m.To, At: d.CreatedAt})
	if n := len(b.letters); n > maxLetters {
		b.letters = slices.Delete(b.letters, 0, n-maxLetters)
	}
	return nil
}

// Letters returns the messages, newest first.
func (b *Mailbox) Letters() []Letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.Clone(b.letters)
	slices.Reverse(out)
	return out
}

// Letter returns a message, or NotFound.
func (b *Mailbox) Letter(id string) (*Letter, error) {
	for _, l := range b.Letters() {
		if l.ID == id {
			return &l, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no such message. The mailbox keeps the newest %d.", maxLetters)
}
