package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// memory is a Store in memory.
type memory struct {
	mu     sync.Mutex
	all    map[outbox.ID]*outbox.Delivery
	holder string
	until  time.Time
}

func (m *memory) AcquireLease(_ context.Context, _, holder string, ttl time.Duration) (bool, error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holder != holder && m.until.After(now) {
		return false, nil
	}
	m.holder, m.until = holder, now.Add(ttl)
	return true, nil
}

func (m *memory) ReleaseLease(_ context.Context, _, holder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holder == holder {
		m.until = time.Time{}
	}
	return nil
}

func (m *memory) DeliveriesDue(_ context.Context, now time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.all {
		if d.State == outbox.Queued && !d.NextAttemptAt.After(now) {
			return true, nil
		}
	}
	return false, nil
}

func (m *memory) ReleaseDeliveries(_ context.Context, holder string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.all {
		if d.State == outbox.Queued && d.Holder != "" && d.Holder != holder {
			d.Holder, d.NextAttemptAt = "", now
		}
	}
	return nil
}

func (m *memory) ClaimDeliveries(_ context.Context, c outbox.Claim) (claimed []outbox.Delivery, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []outbox.ID
	waiting := map[string]outbox.ID{} // target → the earliest that waits
	for id, d := range m.all {
		if d.State != outbox.Queued {
			continue
		}
		if !d.NextAttemptAt.After(c.Now) {
			ids = append(ids, id)
		} else if first, ok := waiting[d.Target]; !ok || id < first {
			waiting[d.Target] = id
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		d := m.all[id]
		if first, ok := waiting[d.Target]; ok && first < id || len(claimed) == c.Limit {
			continue
		}
		d.Attempts++
		d.Holder, d.NextAttemptAt = c.Holder, c.Until
		claimed = append(claimed, *d)
	}
	return claimed, nil
}

func (m *memory) FinishDeliveries(_ context.Context, all []outbox.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range all {
		d := all[i]
		d.Holder = ""
		m.all[d.ID] = &d
	}
	return nil
}

func (m *memory) get(id outbox.ID) outbox.Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.all[id]
}

// target is a Sender that does what a test says, and records what it received.
type target struct {
	send func(ctx context.Context, d *outbox.Delivery) error

	mu       sync.Mutex
	received []string // To of each success
	attempts int
}

func (s *target) Parallel() int { return 3 }

func (s *target) Send(ctx context.Context, d *outbox.Delivery) error {
	s.mu.Lock()
	s.attempts++
	s.mu.Unlock()
	if s.send != nil {
		if err := s.send(ctx, d); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, d.About)
	return nil
}

func (s *target) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// story is an engine with a store and a target, under a fake clock.
type story struct {
	t      *testing.T
	store  *memory
	target *target
	sealer *outbox.Sealer
	dead   []outbox.ID

	rejected []outbox.ID
}

func run(t *testing.T, play func(s *story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		keys, err := secret.NewKeys([]byte(strings.Repeat("k", 32)))
		testkit.Must(t, err)
		play(&story{
			t:      t,
			store:  &memory{all: map[outbox.ID]*outbox.Delivery{}},
			target: &target{},
			sealer: outbox.NewSealer(keys),
		})
	})
}

// start runs an engine until the returned function is called.
func (s *story) start(holder string) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	e := &outbox.Engine{
		Store:      s.store,
		Senders:    map[outbox.Kind]outbox.Sender{outbox.KindMail: s.target},
		Holder:     holder,
		Now:        time.Now,
		OnError:    func(err error) { s.t.Error(err) },
		OnDead:     func(_ context.Context, d *outbox.Delivery) { s.dead = append(s.dead, d.ID) },
		OnRejected: func(_ context.Context, d *outbox.Delivery) { s.rejected = append(s.rejected, d.ID) },
	}
	go func() { defer close(done); e.Run(ctx) }()
	return func() { cancel(); <-done }
}

// queue stores a message. Its name is what the target records.
func (s *story) queue(to, name string, life time.Duration) outbox.ID {
	time.Sleep(time.Millisecond) // identifiers sort by time
	m := outbox.Mail{To: to, Message: name}
	if life > 0 {
		m.Expires = time.Now().Add(life)
	}
	d := s.sealer.Mail(m, time.Now())
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.all[d.ID] = &d
	return d.ID
}

func (s *story) state(id outbox.ID, want outbox.State) {
	s.t.Helper()
	testkit.Equal(s.t, "state", s.store.get(id).State, want)
}

var errLater = errors.New("451 try later")

// One rejected message stops neither the others nor those behind it.
func TestRejectionStopsNobodyElse(t *testing.T) {
	run(t, func(s *story) {
		s.target.send = func(_ context.Context, d *outbox.Delivery) error {
			if d.To == "bad@example.org" {
				return fault.New(fault.Denied, "550 no such mailbox")
			}
			return nil
		}
		good := s.queue("good@example.org", "1", 0)
		bad := s.queue("bad@example.org", "2", 0)
		other := s.queue("other@example.org", "3", 0)
		defer s.start("a")()
		time.Sleep(2 * time.Second)
		s.state(good, outbox.Sent)
		s.state(bad, outbox.Dead)
		s.state(other, outbox.Sent)
		testkit.Equal(t, "error", s.store.get(bad).LastError, "550 no such mailbox")
		testkit.Equal(t, "given up on", fmt.Sprint(s.dead), fmt.Sprint([]outbox.ID{bad}))
	})
}

// Of what is given up on, rejected recipients are told apart.
func TestRejectedRecipients(t *testing.T) {
	run(t, func(s *story) {
		s.target.send = func(_ context.Context, d *outbox.Delivery) error {
			if d.To == "gone@example.org" {
				return &fault.Error{Kind: fault.Denied, Reason: outbox.ReasonRecipient, Text: "550 5.1.1 gone"}
			}
			return fault.New(fault.Denied, "554 spam")
		}
		gone := s.queue("gone@example.org", "1", 0)
		s.queue("ada@example.org", "2", 0)
		defer s.start("a")()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		testkit.Equal(t, "given up on", len(s.dead), 2)
		testkit.Equal(t, "rejected", fmt.Sprint(s.rejected), fmt.Sprint([]outbox.ID{gone}))
	})
}

// A temporary failure is tried again within a minute, then later and later, until it is given up.
func TestTemporaryFailure(t *testing.T) {
	run(t, func(s *story) {
		begun := time.Now()
		var at []time.Duration
		s.target.send = func(context.Context, *outbox.Delivery) error {
			at = append(at, time.Since(begun))
			return errLater
		}
		id := s.queue("ada@example.org", "1", 0)
		defer s.start("a")()
		time.Sleep(74 * time.Hour)
		s.state(id, outbox.Dead)
		if at[1]-at[0] > time.Minute {
			t.Errorf("the second attempt came after %s", at[1]-at[0])
		}
		for i := 1; i < len(at); i++ {
			if pause := at[i] - at[i-1]; pause > 67*time.Minute {
				t.Errorf("pause %d is %s", i, pause)
			}
		}
		if last := at[len(at)-1]; last < 71*time.Hour {
			t.Errorf("the last attempt was after %s", last)
		}
	})
}

// Messages to one mailbox stay in order while the first has to wait; others do not wait.
func TestOrderPerTarget(t *testing.T) {
	run(t, func(s *story) {
		failures := 2
		s.target.send = func(_ context.Context, d *outbox.Delivery) error {
			if d.About == "first" && failures > 0 {
				failures--
				return errLater
			}
			return nil
		}
		s.queue("ada@example.org", "first", 0)
		s.queue("ada@example.org", "second", 0)
		s.queue("bob@example.org", "bob", 0)
		defer s.start("a")()
		time.Sleep(2 * time.Second)
		s.queue("ada@example.org", "third", 0)
		time.Sleep(2 * time.Second)
		testkit.Equal(t, "at first", fmt.Sprint(s.target.got()), "[bob]")
		time.Sleep(5 * time.Minute)
		testkit.Equal(t, "at last", fmt.Sprint(s.target.got()), "[bob first second third]")
	})
}

// While the mail server is away, nothing is tried in vain; when it is back, all is sent soon.
func TestTargetAway(t *testing.T) {
	run(t, func(s *story) {
		back := time.Now().Add(2 * time.Hour)
		s.target.send = func(context.Context, *outbox.Delivery) error {
			if time.Now().Before(back) {
				return fault.New(fault.Unavailable, "connection refused")
			}
			return nil
		}
		for i := range 50 {
			s.queue(fmt.Sprintf("p%d@example.org", i), "x", 0)
		}
		defer s.start("a")()
		time.Sleep(2*time.Hour + 2*time.Minute)
		testkit.Equal(t, "sent", len(s.target.got()), 50)
		if s.target.attempts > 2*120*3+100 { // two a minute, three at a time
			t.Errorf("%d attempts in two hours", s.target.attempts)
		}
	})
}

// A message whose link would be useless on arrival is not sent.
func TestExpiredIsNotSent(t *testing.T) {
	run(t, func(s *story) {
		s.target.send = func(context.Context, *outbox.Delivery) error { return errLater }
		id := s.queue("ada@example.org", "reset", time.Hour)
		stop := s.start("a")
		time.Sleep(30 * time.Minute)
		stop()
		s.target.send = nil
		time.Sleep(2 * time.Hour)
		defer s.start("a")()
		time.Sleep(time.Minute)
		s.state(id, outbox.Expired)
		testkit.Equal(t, "sent", len(s.target.got()), 0)
	})
}

// Of two servers one delivers. When it dies, the other sends what was under way, and all the rest.
func TestTwoServers(t *testing.T) {
	run(t, func(s *story) {
		for i := range 20 {
			s.queue(fmt.Sprintf("p%d@example.org", i), fmt.Sprint(i), 0)
		}
		// The first server claims all and dies before it sends anything.
		now := time.Now()
		_, err := s.store.AcquireLease(t.Context(), "outbox", "dead", 30*time.Second)
		testkit.Must(t, err)
		_, err = s.store.ClaimDeliveries(t.Context(), outbox.Claim{
			Holder: "dead", Now: now, Until: now.Add(5 * time.Minute), Limit: 10,
		})
		testkit.Must(t, err)
		defer s.start("a")()
		defer s.start("b")()
		time.Sleep(29 * time.Second)
		testkit.Equal(t, "sent while the lease lasts", len(s.target.got()), 0)
		time.Sleep(4 * time.Second)
		testkit.Equal(t, "sent by the others", len(s.target.got()), 20)
	})
}

// A stop does not interrupt the message under way, and gives the others back untried.
func TestStop(t *testing.T) {
	run(t, func(s *story) {
		s.target.send = func(context.Context, *outbox.Delivery) error {
			time.Sleep(5 * time.Second)
			return nil
		}
		var ids []outbox.ID
		for i := range 10 {
			ids = append(ids, s.queue(fmt.Sprintf("p%d@example.org", i), "x", 0))
		}
		stop := s.start("a")
		time.Sleep(time.Second)
		stop()
		testkit.Equal(t, "sent", len(s.target.got()), 3)
		last := s.store.get(ids[9])
		testkit.Equal(t, "attempts at the last", last.Attempts, 0)
		testkit.Equal(t, "its state", last.State, outbox.Queued)

		// Another server goes on at once.
		s.target.send = nil
		defer s.start("b")()
		time.Sleep(2 * time.Second)
		testkit.Equal(t, "sent by the next", len(s.target.got()), 10)
	})
}

// Nobody without the key reads a message, and its fields come back whole.
func TestSealer(t *testing.T) {
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", 32)))
	testkit.Must(t, err)
	s := outbox.NewSealer(keys)
	m := outbox.Mail{
		To: "Ada@example.org", Name: "Ada", Message: "test", Locale: "de", Zone: "Europe/Berlin",
		Values: map[string]string{"link": "https://id.example.com/x?token=gth_su_secret"},
	}
	d := s.Mail(m, time.Now())
	if strings.Contains(d.Content, "gth_su_secret") {
		t.Error("the content is not encrypted")
	}
	got, err := s.OpenMail(&d)
	testkit.Must(t, err)
	testkit.Equal(t, "mail", fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", m))
	moved := d
	moved.ID = "another"
	if _, err := s.OpenMail(&moved); err == nil {
		t.Error("the content of one delivery opens in another")
	}
}
