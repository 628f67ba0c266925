package bearer

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newFeed(t *testing.T, issuer string) *Feed {
	t.Helper()
	f, err := NewFeed(FeedConfig{Issuer: issuer, Client: ClientCredentials{ID: "api", Secret: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRevoked(t *testing.T) {
	f := newFeed(t, "https://id.example")
	cut := time.Date(2026, 5, 1, 12, 0, 0, 500e6, time.UTC)
	far := `,"exp":4102444800}`
	nbf := `,"nbf":1777636800500`
	for _, line := range []string{
		`{"seq":1,"kind":"token","id":"jti-1"` + far, `{"seq":2,"kind":"grant","id":"gid-1"` + far, `{"seq":3,"kind":"session","id":"sid-1"` + far,
		`{"seq":4,"kind":"user","id":"user-1"` + nbf + far, `{"seq":5,"kind":"client","id":"client-1"` + nbf + far, `{"seq":6,"kind":"token","id":"jti-6"` + far,
	} {
		if err := f.apply("revocation", "", line, cut); err != nil {
			t.Fatal(err)
		}
	}
	before, same, after := cut.Add(-time.Minute).Truncate(time.Second), cut.Truncate(time.Second), cut.Add(time.Second).Truncate(time.Second)
	older, newer := "019de368-f790-7000-8000-000000000000", "019de368-f858-7000-8000-000000000000"
	for _, c := range []struct {
		name    string
		t       TokenRef
		revoked bool
	}{
		{"another token", TokenRef{ID: "jti-2", Grant: "gid-2", Subject: "user-2", Client: "client-2", IssuedAt: before}, false},
		{"by jti", TokenRef{ID: "jti-1"}, true},
		{"by gid", TokenRef{Grant: "gid-1"}, true},
		{"by sid", TokenRef{Session: "sid-1"}, true},
		{"no sid at all", TokenRef{ID: "a"}, false},
		{"of the user, issued before", TokenRef{Subject: "user-1", IssuedAt: before}, true},
		{"of the user, issued after", TokenRef{Subject: "user-1", IssuedAt: after}, false},
		{"of the user, in the same second, of an older grant", TokenRef{Subject: "user-1", Grant: older, IssuedAt: same}, true},
		{"of the user, in the same second, of a newer grant", TokenRef{Subject: "user-1", Grant: newer, IssuedAt: same}, false},
		{"of the client, issued before", TokenRef{Client: "client-1", IssuedAt: before}, true},
		{"of the client, issued after", TokenRef{Client: "client-1", IssuedAt: after}, false},
	} {
		if got := f.Revoked(c.t); got != c.revoked {
			t.Errorf("%s: revoked is %v", c.name, got)
		}
	}
	if f.Seq() != 6 {
		t.Errorf("seq is %d", f.Seq())
	}
}

// A newer server revokes what this release cannot name. Every token from before counts as revoked,
// and goes on to do so until the last of them has expired.
func TestUnknownKindsOfRevocation(t *testing.T) {
	cut := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	old, later := TokenRef{ID: "a", IssuedAt: cut.Add(-time.Minute)}, TokenRef{ID: "b", IssuedAt: cut.Add(time.Minute)}
	for name, entry := range map[string]string{
		"with a time": `{"seq":6,"kind":"planet","id":"x","nbf":1777636800000,"exp":1777723200}`,
		"no kind":     `{"seq":6,"id":"x","nbf":1777636800000,"exp":1777723200}`,
	} {
		f := newFeed(t, "https://id.example")
		if err := f.apply("revocation", "", entry, cut); err != nil {
			t.Fatal(err)
		}
		if !f.Revoked(old) || f.Revoked(later) || f.Seq() != 6 {
			t.Errorf("%s: before it %v, after it %v, seq %d", name, f.Revoked(old), f.Revoked(later), f.Seq())
		}
		_ = f.apply("beat", "", `{"seq":6}`, cut.Add(25*time.Hour))
		if f.Revoked(old) {
			t.Errorf("%s: it stays when all tokens have expired", name)
		}
	}
	f := newFeed(t, "https://id.example")
	if err := f.apply("revocation", "", `{"seq":6,"kind":"planet","id":"x","exp":1777723200}`, cut); err != nil {
		t.Fatal(err)
	}
	if !f.Revoked(old) || !f.Revoked(later) {
		t.Error("without a time: a token issued before the end of the entry is active")
	}
}

func TestExpiredRevocationsAreRemoved(t *testing.T) {
	f, now := newFeed(t, "https://id.example"), time.Unix(1_800_000_000, 0)
	_ = f.apply("revocation", "", `{"seq":1,"kind":"token","id":"old","exp":1799999999}`, now)
	_ = f.apply("revocation", "", `{"seq":2,"kind":"token","id":"live","exp":1800000001}`, now)
	_ = f.apply("beat", "", `{"seq":2}`, now)
	if f.Revoked(TokenRef{ID: "old"}) || !f.Revoked(TokenRef{ID: "live"}) {
		t.Error("the wrong entry was removed")
	}
}

// A stream is one connection to a feed that a test serves.
type stream struct {
	lastEventID string
	query       string
	*io.PipeWriter
}

// streams is a transport whose connections a test serves.
type streams chan stream

func (s streams) RoundTrip(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	context.AfterFunc(r.Context(), func() { _ = w.CloseWithError(r.Context().Err()) })
	s <- stream{r.Header.Get("Last-Event-ID"), r.URL.RawQuery, w}
	return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
}

// A stream that breaks is resumed where it broke; a feed that is silent is stale until the next
// beat.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connections := make(streams)
		f := newFeed(t, "https://id.example")
		f.cfg.HTTPClient = &http.Client{Transport: connections}
		f.cfg.Audience = []string{"https://a.example", "b"}
		ctx, cancel := context.WithCancel(t.Context())
		go f.Run(ctx)

		first := <-connections
		_, _ = io.WriteString(first, "event: revocation\nid: 7\ndata: {\"seq\":7,\"kind\":\"token\",\"id\":\"a\",\"exp\":4102444800}\n\n"+
			"event: beat\ndata: {\"seq\":7}\n\n")
		synctest.Wait()
		if !f.Current() || !f.Revoked(TokenRef{ID: "a"}) {
			t.Errorf("after the first beat: current is %v", f.Current())
		}
		time.Sleep(f.cfg.StaleAfter + time.Millisecond) // the follower gives up the connection, too
		if f.Current() {
			t.Error("a silent feed is current")
		}

		second := <-connections
		_, _ = io.WriteString(second, "event: beat\ndata: {\"seq\":9}\n\n")
		synctest.Wait()
		if !f.Current() || f.Seq() != 9 {
			t.Errorf("after the second connection: current is %v at %d", f.Current(), f.Seq())
		}
		if want := "resource=https%3A%2F%2Fa.example&resource=b"; first.query != want || second.query != want {
			t.Errorf("the feed was asked for %q and %q", first.query, second.query)
		}
		if first.lastEventID != "0" || second.lastEventID != "7" {
			t.Errorf("resumed from %s and %s", first.lastEventID, second.lastEventID)
		}
		cancel()
	})
}

func TestInvalidFeed(t *testing.T) {
	for _, c := range []FeedConfig{
		{Issuer: "id.example", Client: ClientCredentials{ID: "a", Secret: "b"}},
		{Issuer: "ftp://id.example", Client: ClientCredentials{ID: "a", Secret: "b"}},
		{Issuer: "https://id.example", Client: ClientCredentials{ID: "a"}},
		{Issuer: "https://id.example", Client: ClientCredentials{Secret: "b"}},
	} {
		if _, err := NewFeed(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	f := newFeed(t, "https://id.example")
	if err := f.read(strings.NewReader("data: {not json}\n\n"), func() {}); err == nil {
		t.Error("data that is not JSON was accepted")
	}
	if err := f.read(strings.NewReader("data: "+strings.Repeat("x", maxLine+1)), func() {}); err == nil {
		t.Error("an endless line was accepted")
	}
}

func FuzzFeed(f *testing.F) {
	f.Add("event: revocation\nid: 1\ndata: {\"seq\":1,\"kind\":\"user\",\"id\":\"u\",\"nbf\":1,\"exp\":2}\n\n")
	f.Add("event: reset\ndata: {\"seq\":0}\n\n: comment\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		feed := newFeed(t, "https://id.example")
		_ = feed.read(strings.NewReader(stream), func() {})
		feed.Revoked(TokenRef{ID: "a", Grant: stream, Subject: "u"})
	})
}

// A log that is another one than before is not trusted until all of it has come, and then resumed
// by the id of its newest event. What the former one revoked stays revoked.
func TestAnotherLog(t *testing.T) {
	f, now := newFeed(t, "https://id.example"), time.Now()
	far := `,"exp":4102444800}`
	_ = f.apply("revocation", "9.first", `{"seq":9,"kind":"token","id":"lost"`+far, now)
	_ = f.apply("beat", "9.first", `{"seq":9}`, now)
	if f.lastID() != "9.first" || !f.Current() {
		t.Fatalf("at %q, current %v", f.lastID(), f.Current())
	}
	_ = f.apply("reset", "0", `{"seq":12}`, now)
	if f.lastID() != "0" || f.Seq() != 0 || f.Current() || !f.Revoked(TokenRef{ID: "lost"}) {
		t.Errorf("after the reset: at %q, %d, current %v", f.lastID(), f.Seq(), f.Current())
	}
	_ = f.apply("revocation", "8.other", `{"seq":8,"kind":"token","id":"new"`+far, now)
	if f.Current() {
		t.Error("current before the log has come to its end")
	}
	_ = f.apply("beat", "12.other", `{"seq":12}`, now)
	if f.lastID() != "12.other" || !f.Current() || !f.Revoked(TokenRef{ID: "new"}) || !f.Revoked(TokenRef{ID: "lost"}) {
		t.Errorf("at the end: at %q, current %v", f.lastID(), f.Current())
	}
	_ = f.apply("beat", "12.bad\x00id", `{"seq":12}`, now)
	if f.lastID() != "12.other" {
		t.Errorf("an id that no header can have: %q", f.lastID())
	}
}

// A server of a former release, beside a newer one, does not know the ids of events: the next
// stream begins at the start of the log.
func TestIDsOfNewerServers(t *testing.T) {
	f, now := newFeed(t, "https://id.example"), time.Now()
	_ = f.apply("beat", "9.mark", `{"seq":9}`, now)
	var sent []string
	f.cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.Header.Get("Last-Event-ID"))
		return &http.Response{StatusCode: http.StatusBadRequest, Body: http.NoBody}, nil
	})}
	for range 2 {
		if err := f.follow(t.Context()); err == nil {
			t.Error("a response 400 is not an error")
		}
	}
	if want := []string{"9.mark", "0"}; !slices.Equal(sent, want) || !f.Current() {
		t.Errorf("sent %q, current %v", sent, f.Current())
	}
}

// roundTrip is a transport that is one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
