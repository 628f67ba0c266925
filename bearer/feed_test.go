package bearer

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func newFeed(t *testing.T, issuer string) *Feed {
	t.Helper()
	f, err := NewFeed(FeedOptions{Issuer: issuer, ClientID: "api", ClientSecret: "s", Bound: 300 * time.Millisecond})
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
		`{"seq":4,"kind":"user","id":"user-1"` + nbf + far, `{"seq":5,"kind":"client","id":"client-1"` + nbf + far, `{"seq":6,"kind":"planet","id":"x"` + far,
	} {
		if err := f.take("revocation", line, cut); err != nil {
			t.Fatal(err)
		}
	}
	before, same, after := cut.Add(-time.Minute).Truncate(time.Second), cut.Truncate(time.Second), cut.Add(time.Second).Truncate(time.Second)
	older, newer := "019de368-f790-7000-8000-000000000000", "019de368-f858-7000-8000-000000000000"
	for _, c := range []struct {
		name string
		t    Identity
		dead bool
	}{
		{"another token", Identity{ID: "jti-2", Grant: "gid-2", Subject: "user-2", Client: "client-2", IssuedAt: before}, false},
		{"by jti", Identity{ID: "jti-1"}, true},
		{"by gid", Identity{Grant: "gid-1"}, true},
		{"by sid", Identity{Session: "sid-1"}, true},
		{"no sid at all", Identity{ID: "a"}, false},
		{"of the user, issued before", Identity{Subject: "user-1", IssuedAt: before}, true},
		{"of the user, issued after", Identity{Subject: "user-1", IssuedAt: after}, false},
		{"of the user, in the same second, of an older grant", Identity{Subject: "user-1", Grant: older, IssuedAt: same}, true},
		{"of the user, in the same second, of a newer grant", Identity{Subject: "user-1", Grant: newer, IssuedAt: same}, false},
		{"of the client, issued before", Identity{Client: "client-1", IssuedAt: before}, true},
		{"of the client, issued after", Identity{Client: "client-1", IssuedAt: after}, false},
	} {
		if got := f.Revoked(c.t); got != c.dead {
			t.Errorf("%s: revoked is %v", c.name, got)
		}
	}
	if f.Seq() != 6 {
		t.Errorf("seq is %d", f.Seq())
	}
}

func TestExpiredEntriesAreForgotten(t *testing.T) {
	f, now := newFeed(t, "https://id.example"), time.Unix(1_800_000_000, 0)
	_ = f.take("revocation", `{"seq":1,"kind":"token","id":"old","exp":1799999999}`, now)
	_ = f.take("revocation", `{"seq":2,"kind":"token","id":"live","exp":1800000001}`, now)
	_ = f.take("beat", `{"seq":2}`, now)
	if f.Revoked(Identity{ID: "old"}) || !f.Revoked(Identity{ID: "live"}) {
		t.Error("the wrong entry was forgotten")
	}
}

// A stream that breaks is taken up where it broke; silence past the bound is told, and ends with the next beat.
func TestResume(t *testing.T) {
	var hits atomic.Int32
	resumed := make(chan string, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed <- r.Header.Get("Last-Event-ID")
		if hits.Add(1) == 1 {
			_, _ = w.Write([]byte("event: revocation\nid: 7\ndata: {\"seq\":7,\"kind\":\"token\",\"id\":\"a\",\"exp\":4102444800}\n\nevent: beat\ndata: {\"seq\":7}\n\n"))
			w.(http.Flusher).Flush()
			time.Sleep(600 * time.Millisecond) // silent for longer than the bound: the follower gives up first
			return
		}
		_, _ = w.Write([]byte("event: beat\ndata: {\"seq\":9}\n\n"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	f := newFeed(t, srv.URL)
	go f.Run(t.Context())
	wait(t, "first beat", func() bool { return f.Current() && f.Revoked(Identity{ID: "a"}) })
	wait(t, "silence is told", func() bool { return !f.Current() })
	wait(t, "healed", func() bool { return f.Current() && f.Seq() == 9 })
	if first, second := <-resumed, <-resumed; first != "0" || second != "7" {
		t.Errorf("asked from %s and %s", first, second)
	}
}

func TestRefused(t *testing.T) {
	for _, o := range []FeedOptions{
		{Issuer: "id.example", ClientID: "a", ClientSecret: "b"},
		{Issuer: "ftp://id.example", ClientID: "a", ClientSecret: "b"},
		{Issuer: "https://id.example", ClientID: "a"},
		{Issuer: "https://id.example", ClientSecret: "b"},
	} {
		if _, err := NewFeed(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	f := newFeed(t, "https://id.example")
	if err := f.read(strings.NewReader("data: {not json}\n\n"), func() {}); err == nil {
		t.Error("unreadable data was taken")
	}
	if err := f.read(strings.NewReader("data: "+strings.Repeat("x", maxLine+1)), func() {}); err == nil {
		t.Error("an endless line was taken")
	}
}

func FuzzFeed(f *testing.F) {
	f.Add("event: revocation\nid: 1\ndata: {\"seq\":1,\"kind\":\"user\",\"id\":\"u\",\"nbf\":1,\"exp\":2}\n\n")
	f.Add("event: reset\ndata: {\"seq\":0}\n\n: comment\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		feed := newFeed(t, "https://id.example")
		_ = feed.read(strings.NewReader(stream), func() {})
		feed.Revoked(Identity{ID: "a", Grant: stream, Subject: "u"})
	})
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within five seconds: %s", what)
}
