package ship_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/ship"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// world is a database whose audit log an engine delivers.
type world struct {
	*testing.T
	db   *store.DB
	keys *secret.Keys
	ops  *admin.Operations
	stop func()

	mu   sync.Mutex
	errs []error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, "sqlite:"+t.TempDir()+"/g.db")
}

func newWorldAt(t *testing.T, url string) *world {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{URL: url})
	testkit.Must(t, err)
	_, err = db.Migrate(t.Context())
	testkit.Must(t, err)
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	testkit.Must(t, err)
	w := &world{T: t, db: db, keys: keys, stop: func() {}}
	w.ops = admin.New(admin.Config{Webhooks: webhook.Rules{Plain: true}}, admin.Parts{
		Store:       db,
		Keys:        keys,
		Sealer:      outbox.NewSealer(keys),
		WebhookKeys: webhook.NewKeys(keys),
		Now:         time.Now,
	})
	t.Cleanup(func() { w.stop(); _ = db.Close() })
	return w
}

// run starts an engine with targets.
func (w *world) run(giveUp time.Duration, targets ...ship.Target) {
	w.Helper()
	client := fetch.NewPoster(fetch.Options{AllowPrivate: fetch.Allowed(nil, true)})
	e := &ship.Engine{
		Store:   w.db,
		Targets: targets,
		Poster:  ship.HTTPPoster{Client: client, Now: time.Now},
		Keys:    webhook.NewKeys(w.keys),
		Holder:  secret.NewID(time.Now()),
		Now:     time.Now,
		GiveUp:  giveUp,
		Poll:    20 * time.Millisecond,

		FirstPause: 100 * time.Millisecond,
		OnError: func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.errs = append(w.errs, err)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	w.stop = sync.OnceFunc(func() { cancel(); <-done; client.Close() })
}

// record writes n events, and returns their ids.
func (w *world) record(n int, t audit.Type) (ids []string) {
	w.Helper()
	for range n {
		ev := audit.Event{ID: secret.NewID(time.Now()), At: time.Now(), Type: t, Actor: "cli", Detail: map[string]string{"n": "1"}}
		testkit.Must(w.T, w.db.Record(w.Context(), ev))
		ids = append(ids, ev.ID)
		time.Sleep(time.Millisecond) // ids of one millisecond are in no order
	}
	return ids
}

// hook subscribes an address.
func (w *world) hook(url string, events ...string) *admin.CreatedWebhook {
	w.Helper()
	if len(events) == 0 {
		events = []string{"scope.*"}
	}
	out, err := w.ops.CreateWebhook(w.Context(), admin.CommandLine(), webhook.Patch{
		Values: webhook.Webhook{URL: url, Events: events},
		Names:  []string{"url", "events"},
	})
	testkit.Must(w.T, err)
	return out
}

func (w *world) deliveries(id webhook.ID, state webhook.State) []webhook.Delivery {
	w.Helper()
	all, _, err := w.ops.WebhookDeliveries(w.Context(), admin.CommandLine(), string(id), webhook.Query{State: state, Limit: 1000})
	testkit.Must(w.T, err)
	return all
}

func (w *world) sink(name string) audit.Sink {
	w.Helper()
	all, err := w.db.Sinks(w.Context())
	testkit.Must(w.T, err)
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	return audit.Sink{}
}

// eventually waits until a condition holds.
func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(testkit.HangAfter); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.Fatalf("%s: not in time; errors: %v", what, w.errs)
		}
	}
}

// message is what a receiver got.
type message struct {
	header http.Header
	body   []byte
	event  string
}

// receiver collects messages. Its answers are those of the function.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []message
}

func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var doc struct {
			Data struct {
				ID string `json:"id"`
			} `json:"data"`
		}
		_ = json.Unmarshal(body, &doc)
		r.mu.Lock()
		r.got = append(r.got, message{req.Header, body, doc.Data.ID})
		n := len(r.got)
		r.mu.Unlock()
		if answer != nil {
			answer(n, w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) ids() (ids []string) {
	for _, m := range r.messages() {
		ids = append(ids, m.event)
	}
	return ids
}

// TestWebhooksAreSigned checks messages with the library of Standard Webhooks: at a retry, which
// waits as long as the target asks, and in the overlap of a rotation.
func TestWebhooksAreSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, "slow down")
		}
	})
	created := w.hook(r.URL)
	w.run(time.Hour)
	ids := w.record(1, audit.ScopeCreated)
	w.eventually("the first attempt", func() bool { return len(w.deliveries(created.Webhook.ID, webhook.Queued)) == 1 })
	d := w.deliveries(created.Webhook.ID, webhook.Queued)[0]
	if d.Status != 429 || d.Answer != "slow down" || d.Event != ids[0] || d.NextAttemptAt.Sub(d.FinishedAt) < 1900*time.Millisecond {
		t.Errorf("%+v", d)
	}
	rotated, err := w.ops.RotateWebhookSecret(t.Context(), admin.CommandLine(), string(created.Webhook.ID), time.Hour)
	testkit.Must(t, err)
	w.eventually("the second attempt", func() bool { return len(w.deliveries(created.Webhook.ID, webhook.Sent)) == 1 })
	got := r.messages()
	if len(got) != 2 || string(got[0].body) != string(got[1].body) ||
		got[0].header.Get("webhook-id") != ids[0] || got[1].header.Get("webhook-id") != ids[0] ||
		got[0].header.Get("webhook-timestamp") == got[1].header.Get("webhook-timestamp") {
		t.Fatalf("%v", got)
	}
	for _, tt := range []struct {
		secret string
		m      message
		ok     bool
	}{
		{created.Secret, got[0], true},
		{rotated.Secret, got[0], false},
		{created.Secret, got[1], true},
		{rotated.Secret, got[1], true},
	} {
		lib, err := standardwebhooks.NewWebhook(tt.secret)
		testkit.Must(t, err)
		if err := lib.Verify(tt.m.body, tt.m.header); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.m.header.Get("webhook-signature"), err)
		}
		if err := lib.Verify(append(tt.m.body, ' '), tt.m.header); err == nil {
			t.Error("another body passes")
		}
	}
	if n := len(strings.Fields(got[1].header.Get("webhook-signature"))); n != 2 {
		t.Errorf("%d signatures in the overlap", n)
	}
	var doc struct{ Type, Timestamp string }
	testkit.Must(t, json.Unmarshal(got[0].body, &doc))
	if doc.Type != "scope.created" || !strings.HasSuffix(doc.Timestamp, "Z") {
		t.Errorf("%s", got[0].body)
	}
}

// TestTargetsDoNotDelayEachOther checks that receivers which hang, refuse or are away get nothing
// twice and out of order, and that another one gets everything meanwhile.
func TestTargetsDoNotDelayEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	hanging := newReceiver(t, func(int, http.ResponseWriter) { <-release })
	t.Cleanup(func() { close(release) })
	flaky := newReceiver(t, func(n int, w http.ResponseWriter) {
		if n == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	good := newReceiver(t, nil)
	w.hook(hanging.URL)
	w.hook("http://127.0.0.1:9/")
	w.hook(flaky.URL)
	w.hook(good.URL)
	w.run(time.Hour)
	ids := w.record(50, audit.ScopeCreated)
	w.record(5, audit.KeyCreated) // nobody wants these
	w.eventually("the good target", func() bool { return len(good.messages()) == 50 })
	if !slices.Equal(good.ids(), ids) {
		t.Errorf("order: %v, want %v", good.ids(), ids)
	}
	w.eventually("the flaky target", func() bool { return len(flaky.messages()) == 51 })
	want := slices.Insert(slices.Clone(ids), 1, ids[1])
	if !slices.Equal(flaky.ids(), want) {
		t.Errorf("order after a failure: %v, want %v", flaky.ids(), want)
	}
	if n := len(hanging.messages()); n != 1 {
		t.Errorf("the hanging target has %d messages", n)
	}
}

// TestWhatIsNotSuccess checks redirects, 410 and addresses that the server may not connect to.
func TestWhatIsNotSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newReceiver(t, nil)
	redirecting := newReceiver(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", other.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	gone := newReceiver(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
	a, b := w.hook(redirecting.URL+"/?token=abc"), w.hook(gone.URL)
	c := w.hook("http://10.255.255.1/?token=abc")
	d := w.hook("http://[::ffff:169.254.169.254]/latest")
	good := newReceiver(t, nil)
	w.hook(good.URL)
	w.run(time.Hour)
	w.record(2, audit.ScopeCreated)
	w.eventually("the redirect", func() bool { return len(w.deliveries(a.Webhook.ID, webhook.Queued)) == 1 })
	if x := w.deliveries(a.Webhook.ID, webhook.Queued)[0]; x.Status != 307 || !strings.Contains(x.Error, "redirects are not followed") {
		t.Errorf("%+v", x)
	}
	w.eventually("410", func() bool {
		x, err := w.ops.Webhook(t.Context(), admin.CommandLine(), string(b.Webhook.ID))
		return err == nil && !x.Active && x.Ended == webhook.EndedGone
	})
	for _, h := range []*admin.CreatedWebhook{c, d} {
		w.eventually("the blocked address", func() bool { return len(w.deliveries(h.Webhook.ID, webhook.Queued)) == 1 })
		if x := w.deliveries(h.Webhook.ID, webhook.Queued)[0]; !strings.Contains(x.Error, "OUTBOUND_ALLOW") ||
			strings.Contains(x.Error, "abc") {
			t.Errorf("%+v", x)
		}
	}
	if n := len(other.messages()); n != 0 {
		t.Error("the redirect was followed")
	}
	w.eventually("both events", func() bool { return len(good.messages()) == 2 })
	// Switched on again, it receives what happens from then on.
	_, err := w.ops.UpdateWebhook(t.Context(), admin.CommandLine(), string(b.Webhook.ID), webhook.Patch{
		Values: webhook.Webhook{Active: true}, Names: []string{"active"},
	}, 0)
	testkit.Must(t, err)
	ids := w.record(1, audit.ScopeUpdated)
	w.eventually("410 again", func() bool { return len(w.deliveries(b.Webhook.ID, webhook.Dead)) == 2 })
	if got := gone.ids(); got[len(got)-1] != ids[0] || len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestGivingUp checks that an event which a target refuses for too long is parked, that those
// behind it arrive, and that an administrator can have it sent again.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(testing.TB) string{
		"SQLite":     storetest.SQLite,
		"PostgreSQL": storetest.Postgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			givingUp(t, newWorldAt(t, url(t)))
		})
	}
}

func givingUp(t *testing.T, w *world) {
	var mu sync.Mutex
	poison := ""
	r := newReceiver(t, nil)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		mu.Lock()
		bad := req.Header.Get("webhook-id") == poison
		mu.Unlock()
		if bad {
			rw.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(rw, "I do not understand\x00 this")
			return
		}
		r.Config.Handler.ServeHTTP(rw, req)
	}))
	t.Cleanup(front.Close)
	h := w.hook(front.URL)
	ids := w.record(1, audit.ScopeCreated)
	mu.Lock()
	poison = ids[0]
	mu.Unlock()
	w.run(2 * time.Second)
	ids = append(ids, w.record(2, audit.ScopeUpdated)...)
	w.eventually("giving up", func() bool { return len(w.deliveries(h.Webhook.ID, webhook.Dead)) == 1 })
	d := w.deliveries(h.Webhook.ID, webhook.Dead)[0]
	if d.Event != poison || d.Status != 422 || d.Answer != "I do not understand this" {
		t.Errorf("%+v", d)
	}
	w.eventually("those behind", func() bool { return slices.Equal(r.ids(), ids[1:]) })
	events, err := w.db.ListAudit(t.Context(), admin.AuditQuery{Type: audit.DeliveryDead})
	testkit.Must(t, err)
	if len(events) != 1 || events[0].Detail["events"] != "1" || events[0].Detail["first"] != poison {
		t.Errorf("%+v", events)
	}
	mu.Lock()
	poison = ""
	mu.Unlock()
	_, err = w.ops.ResendDelivery(t.Context(), admin.CommandLine(), string(h.Webhook.ID), d.ID)
	testkit.Must(t, err)
	w.eventually("the resend", func() bool { return len(w.deliveries(h.Webhook.ID, webhook.Sent)) == 3 })
	if got := r.ids(); got[len(got)-1] != ids[0] {
		t.Errorf("%v", got)
	}
}

// TestTargetThatIsGoneForTooLong checks that everything is parked which has waited for too long.
func TestTargetThatIsGoneForTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("http://127.0.0.1:9/")
	w.record(300, audit.ScopeCreated)
	w.run(2 * time.Second)
	w.eventually("parking", func() bool { return w.sink("webhook:"+string(h.Webhook.ID)).Parked == 300 })
	events, err := w.db.ListAudit(t.Context(), admin.AuditQuery{Type: audit.DeliveryDead})
	testkit.Must(t, err)
	if len(events) > 3 {
		t.Errorf("%d events about it", len(events))
	}
}

// TestAllowedNetworks checks what OUTBOUND_ALLOW allows: plain http there only.
func TestAllowedNetworks(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	for name, tt := range map[string]struct {
		allow []netip.Prefix
		ok    bool
	}{
		"none":     {nil, false},
		"loopback": {fetch.Allowed(nil, true), true},
		"another":  {fetch.Allowed([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, false), false},
	} {
		client := fetch.NewPoster(fetch.Options{AllowPrivate: tt.allow})
		answer := ship.HTTPPoster{Client: client, Now: time.Now}.Post(t.Context(), ship.Message{URL: r.URL, ID: "x", At: time.Now()})
		if (answer.Err == nil) != tt.ok {
			t.Errorf("%s: %v", name, answer.Err)
		}
		client.Close()
	}
}
