package ship_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/ship"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func event(id string) audit.Event {
	return audit.Event{
		ID:     id,
		At:     time.Date(2026, 11, 29, 1, 2, 3, 456e6, time.UTC),
		Type:   audit.LoginFailed,
		Actor:  "u1",
		User:   "u1",
		IP:     "192.0.2.1",
		Agent:  "Mozilla/5.0 \"x\"\nü😀",
		Reason: audit.ReasonWrongPassword,
		Detail: map[string]string{"method": "password"},
	}
}

func events(n int) (all []audit.Event) {
	for i := range n {
		all = append(all, event(fmt.Sprintf("e%d", i)))
	}
	return all
}

// TestFile checks lines, rotation, files that were moved away, and what a crash leaves.
func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	f := ship.NewFile(ship.FileOptions{Path: path, Format: ship.JSON, MaxSize: 2000, Keep: 2})
	defer f.Close()
	deliver := func(n int) {
		t.Helper()
		if out := f.Deliver(t.Context(), events(n)); out.Err != nil || out.Done != n {
			t.Fatalf("%+v", out)
		}
	}
	lines := func(name string) int {
		raw, _ := os.ReadFile(name)
		return bytes.Count(raw, []byte("\n"))
	}
	deliver(2)
	raw, err := os.ReadFile(path)
	testkit.Must(t, err)
	first, _, _ := strings.Cut(string(raw), "\n")
	var r audit.Record
	testkit.Must(t, json.Unmarshal([]byte(first), &r))
	if r.ID != "e0" || r.Event != "user.login_failed" || r.Timestamp != "2026-11-29T01:02:03.456Z" ||
		r.UserAgent != event("").Agent || lines(path) != 2 {
		t.Errorf("%q", raw)
	}
	for range 8 {
		deliver(2)
	}
	if lines(path) == 0 || lines(path+".1") == 0 || lines(path+".2") == 0 || lines(path+".3") != 0 {
		t.Error("rotation by size")
	}
	testkit.Must(t, os.Rename(path, path+".moved"))
	f.Reopen()
	deliver(1)
	if lines(path) != 1 {
		t.Errorf("%d lines after the file was moved", lines(path))
	}
	testkit.Must(t, os.Rename(path, path+".moved"))
	deliver(1) // without a signal
	if lines(path) != 1 {
		t.Errorf("%d lines after the file was moved without a signal", lines(path))
	}
	f.Close()
	torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	testkit.Must(t, err)
	_, err = torn.WriteString(`{"id":"e9","half`)
	testkit.Must(t, err)
	testkit.Must(t, torn.Close())
	deliver(1)
	whole, err := os.ReadFile(path)
	testkit.Must(t, err)
	if bytes.Contains(whole, []byte("half")) || lines(path) != 2 {
		t.Errorf("%q", whole)
	}
}

// TestTextLines checks that grep and awk find name and time, and that nobody can forge a line.
func TestTextLines(t *testing.T) {
	t.Parallel()
	ev := event("e1")
	line := string(ship.Text.Line(&ev))
	if !strings.HasPrefix(line, "user.login_failed 2026-11-29T01:02:03.456Z id=e1 actor=u1 ") || strings.Contains(line, "\n") ||
		!strings.Contains(line, `agent="Mozilla/5.0 \"x\"\nü😀"`) {
		t.Errorf("%s", line)
	}
}

// collector is a Splunk HTTP Event Collector, as it answers.
type collector struct {
	mu       sync.Mutex
	got      map[string]int
	bad      string
	busy     int
	acks     bool
	requests int
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	say := func(status int, text string, code int, more string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"text":%q,"code":%d%s}`, text, code, more)
	}
	if r.Header.Get("Authorization") != "Splunk token-1" {
		say(http.StatusForbidden, "Invalid token", 4, "")
		return
	}
	if r.URL.Path == "/services/collector/ack" {
		c.requests++
		fmt.Fprintf(w, `{"acks":{"7":%t}}`, c.requests > 2)
		return
	}
	if c.busy > 0 {
		c.busy--
		say(http.StatusServiceUnavailable, "Server is busy", 9, "")
		return
	}
	s := bufio.NewScanner(r.Body)
	s.Buffer(nil, 1<<20)
	for n := 0; s.Scan(); n++ {
		var e struct {
			Time  float64      `json:"time"`
			Event audit.Record `json:"event"`
		}
		if err := json.Unmarshal(s.Bytes(), &e); err != nil || e.Time < 1e9 {
			say(http.StatusBadRequest, "Invalid data format", 6, fmt.Sprintf(`,"invalid-event-number":%d`, n))
			return
		}
		if e.Event.ID == c.bad {
			say(http.StatusBadRequest, "Event field cannot be blank", 13, fmt.Sprintf(`,"invalid-event-number":%d`, n))
			return
		}
		c.got[e.Event.ID]++
	}
	if c.acks {
		say(http.StatusOK, "Success", 0, `,"ackId":7`)
		return
	}
	say(http.StatusOK, "Success", 0, "")
}

func TestSplunk(t *testing.T) {
	t.Parallel()
	c := &collector{got: map[string]int{}, bad: "e3", busy: 1}
	server := httptest.NewServer(c)
	defer server.Close()
	wrong := ship.NewSplunk(ship.SplunkOptions{URL: server.URL, Token: "other"})
	if out := wrong.Deliver(t.Context(), events(1)); out.Err == nil || !strings.Contains(out.Err.Error(), "Invalid token") || out.Done != 0 {
		t.Errorf("%+v", out)
	}
	s := ship.NewSplunk(ship.SplunkOptions{URL: server.URL + "/services/collector", Token: "token-1"})
	defer s.Close()
	if out := s.Deliver(t.Context(), events(6)); out.Err == nil || out.Done != 0 {
		t.Errorf("busy: %+v", out)
	}
	out := s.Deliver(t.Context(), events(6))
	if out.Err != nil || out.Done != 6 || len(out.Refused) != 1 || out.Refused[0].Index != 3 || !strings.Contains(out.Refused[0].Error, "code 13") {
		t.Errorf("%+v", out)
	}
	for i := range 6 {
		if n := c.got[fmt.Sprint("e", i)]; (n == 0) != (i == 3) {
			t.Errorf("e%d arrived %d times", i, n)
		}
	}
	c.acks = true
	if out := s.Deliver(t.Context(), events(2)); out.Err != nil || out.Done != 2 || c.requests != 3 {
		t.Errorf("acknowledgment: %+v after %d questions", out, c.requests)
	}
}

// index is the bulk interface of Elasticsearch, as it answers.
type index struct {
	mu      sync.Mutex
	docs    map[string]string
	refuses string
	busyAt  int // the n-th item is rejected with 429
	status  int // of the whole answer
}

func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.status != 0 {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(x.status)
		_, _ = io.WriteString(w, `{"error":{"type":"es_rejected_execution_exception"},"status":429}`)
		return
	}
	var items []string
	failed := false
	s := bufio.NewScanner(r.Body)
	s.Buffer(nil, 1<<20)
	for n := 1; s.Scan(); n++ {
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		_ = json.Unmarshal(s.Bytes(), &action)
		s.Scan()
		id, status, reason := action.Create.ID, 201, ""
		switch {
		case n == x.busyAt:
			status, reason = 429, "es_rejected_execution_exception"
		case id == x.refuses:
			status, reason = 400, "document_parsing_exception"
		case x.docs[id] != "":
			status, reason = 409, "version_conflict_engine_exception"
		default:
			x.docs[id] = s.Text()
		}
		failed = failed || status >= 300
		items = append(items, fmt.Sprintf(`{"create":{"_index":%q,"_id":%q,"status":%d,"error":{"type":%q,"reason":"because"}}}`,
			action.Create.Index, id, status, reason))
	}
	fmt.Fprintf(w, `{"took":1,"errors":%t,"items":[%s]}`, failed, strings.Join(items, ","))
}

func TestElasticsearch(t *testing.T) {
	t.Parallel()
	x := &index{docs: map[string]string{}, refuses: "e1", busyAt: 4}
	server := httptest.NewServer(x)
	defer server.Close()
	s := ship.NewElastic(ship.ElasticOptions{URL: server.URL + "/", Index: "gatehouse-audit"})
	defer s.Close()
	out := s.Deliver(t.Context(), events(5))
	if out.Err == nil || out.Done != 3 || len(out.Refused) != 1 || out.Refused[0].Index != 1 {
		t.Errorf("partial failure: %+v", out)
	}
	x.busyAt = 0
	if out = s.Deliver(t.Context(), events(5)[3:]); out.Err != nil || out.Done != 2 || len(x.docs) != 4 {
		t.Errorf("again: %+v, %d documents", out, len(x.docs)) // e4 was there already
	}
	if !strings.Contains(x.docs["e0"], `"@timestamp":"2026-11-29T01:02:03.456Z"`) {
		t.Errorf("%s", x.docs["e0"])
	}
	x.status = http.StatusTooManyRequests
	if out = s.Deliver(t.Context(), events(1)); out.Err == nil || out.RetryAfter != 3*time.Second {
		t.Errorf("429: %+v", out)
	}
}

// TestSinks delivers to a sink that is away first, and refuses one event for ever: it is parked,
// and everything else is there once.
func TestSinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := &index{docs: map[string]string{}, status: http.StatusServiceUnavailable}
	server := httptest.NewServer(x)
	defer server.Close()
	path := filepath.Join(t.TempDir(), "audit.log")
	elastic := ship.NewElastic(ship.ElasticOptions{URL: server.URL, Index: "audit"})
	file := ship.NewFile(ship.FileOptions{Path: path, Format: ship.JSON})
	w.run(time.Hour, elastic, file)
	w.eventually("the sinks", func() bool { return w.sink("elasticsearch").Active && w.sink("file").Active })
	ids := w.record(30, audit.ScopeCreated)
	w.eventually("the file", func() bool { return w.sink("file").Delivered == 30 })
	w.eventually("a failure", func() bool { return w.sink("elasticsearch").State() == "failing" })
	x.mu.Lock()
	x.status, x.refuses = 0, ids[7]
	x.mu.Unlock()
	w.eventually("the index", func() bool { return w.sink("elasticsearch").Delivered == 29 })
	if s := w.sink("elasticsearch"); s.Waiting != 1 || s.LastError != "" {
		t.Errorf("%+v", s)
	}
	gaps, err := w.ops.AuditGaps(t.Context(), admin.CommandLine(), admin.GapQuery{})
	testkit.Must(t, err)
	if len(gaps) != 1 || gaps[0].First != ids[7] || gaps[0].State() != "waiting" || gaps[0].Reason != audit.GapRefused {
		t.Errorf("%+v", gaps)
	}
	raw, err := os.ReadFile(path)
	testkit.Must(t, err)
	for _, id := range ids {
		if bytes.Count(raw, []byte(id)) != 1 {
			t.Errorf("%s is in the file %d times", id, bytes.Count(raw, []byte(id)))
		}
		if (x.docs[id] == "") != (id == ids[7]) {
			t.Errorf("%s in the index: %q", id, x.docs[id])
		}
	}
	// A sink that the settings no longer name holds nothing back.
	w.stop()
	w.run(time.Hour, file)
	w.eventually("the switched off sink", func() bool { return w.sink("elasticsearch").State() == "off" })
}

// TestAlerts checks that administrators are told of what matters, once.
func TestAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now() // all of it happens at one moment: alerts count by time
	at := func() time.Time { return now }
	ada := &identity.User{
		ID: identity.UserID(secret.NewID(now)), Email: "ada@example.com", Name: "Ada", Roles: []string{identity.RoleAdmin},
		CreatedAt: now, UpdatedAt: now,
	}
	testkit.Must(t, w.db.CreateUser(t.Context(), ada))
	r := newReceiver(t, nil)
	client := fetch.NewPoster(fetch.Options{AllowPrivate: fetch.Allowed(nil, true)})
	defer client.Close()
	w.run(time.Hour,
		&ship.Alerts{People: w.db, Sealer: outbox.NewSealer(w.keys), Mail: true, Now: at},
		&ship.Notifier{URL: r.URL, Poster: ship.HTTPPoster{Client: client, Now: at}, People: w.db, App: "<Gatehouse>", Now: at})
	w.eventually("the sinks", func() bool { return w.sink("alerts").Active && w.sink("notification").Active })
	for range 3 { // the same grant again
		testkit.Must(t, w.db.Record(t.Context(), audit.Event{At: now, Type: audit.RefreshTokenReplayed, Client: "app", User: "u1"}))
	}
	for i := range 12 {
		testkit.Must(t, w.db.Record(t.Context(), audit.Event{At: now, Type: audit.AccountLocked, User: fmt.Sprint("u", i)}))
	}
	mails := func() (names []string) {
		all, err := w.db.ListDeliveries(t.Context(), outbox.Query{Kind: outbox.KindMail})
		testkit.Must(t, err)
		for _, d := range all {
			names = append(names, d.About)
		}
		slices.Sort(names)
		return names
	}
	want := []string{outbox.MessageAlertLockouts, outbox.MessageAlertReplay}
	w.eventually("the messages", func() bool { return slices.Equal(mails(), want) })
	w.eventually("the notices", func() bool { return len(r.messages()) == 2 })
	var replays int
	for _, m := range r.messages() { // their order is not fixed: both alerts are of one moment
		if strings.Contains(string(m.body), `"text":"\u0026lt;Gatehouse\u0026gt;: a code or token of app was used`) &&
			strings.Contains(string(m.body), `"alert":"replay"`) {
			replays++
		}
	}
	testkit.Equal(t, "notices of replays", replays, 1)
	// Another server that takes over raises none of them again.
	w.stop()
	w.run(time.Hour, &ship.Alerts{People: w.db, Sealer: outbox.NewSealer(w.keys), Mail: true, Now: at})
	testkit.Must(t, w.db.Record(t.Context(), audit.Event{At: now, Type: audit.RefreshTokenReplayed, Client: "app", User: "u1"}))
	testkit.Must(t, w.db.Record(t.Context(), audit.Event{At: now, Type: audit.AdminRoleChanged, User: string(ada.ID)}))
	want = slices.Insert(want, 0, outbox.MessageAlertAdministrator)
	w.eventually("another alert", func() bool { return slices.Equal(mails(), want) })
}

// TestSecretsThatExpire checks that each notice about a secret is given once.
func TestSecretsThatExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	day := 24 * time.Hour
	secretOf := func(id string, in time.Duration) client.Secret {
		return client.Secret{ID: id, Hash: secret.Hash("h" + id), CreatedAt: now, ExpiresAt: now.Add(in)}
	}
	for id, secrets := range map[client.ID][]client.Secret{
		"soon":    {secretOf("a", 10*day)},
		"rotated": {secretOf("b", 5*day), secretOf("c", 100*day)},
		"late":    {secretOf("d", 100*day)},
	} {
		testkit.Must(t, w.db.CreateClient(t.Context(), &client.Client{
			ID: id, AuthMethod: client.MethodBasic, Grants: []string{client.GrantTypeClient}, Secrets: secrets, CreatedAt: now, UpdatedAt: now,
		}))
	}
	s := &ship.Secrets{Store: w.db, Sealer: outbox.NewSealer(w.keys), Mail: true, Warning: 14 * day}
	count := func(typ audit.Type) string {
		all, err := w.db.ListAudit(t.Context(), admin.AuditQuery{Type: typ})
		testkit.Must(t, err)
		var ids []string
		for _, ev := range all {
			ids = append(ids, ev.Detail["secret_id"])
		}
		slices.Sort(ids)
		return strings.Join(ids, " ")
	}
	for _, tt := range []struct {
		at                time.Duration
		expiring, expired string
	}{
		{0, "a", ""},
		{day, "a", ""},
		{6 * day, "a", "b"},
		{11 * day, "a", "a b"},
		{90 * day, "a c d", "a b"},
		{101 * day, "a c d", "a b c d"},
	} {
		testkit.Must(t, s.Notice(t.Context(), now.Add(tt.at)))
		if got := count(audit.ClientSecretExpiring); got != tt.expiring {
			t.Errorf("after %s expiring %q, want %q", tt.at, got, tt.expiring)
		}
		if got := count(audit.ClientSecretExpired); got != tt.expired {
			t.Errorf("after %s expired %q, want %q", tt.at, got, tt.expired)
		}
	}
}
