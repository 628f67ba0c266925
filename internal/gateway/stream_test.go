package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A stream is a call that goes on between a caller and an upstream, through a gateway on a real
// server.
type stream struct {
	caller   chan error // told when the caller's side has ended
	upstream chan bool  // and the upstream's
	beat     func() bool
}

// streamServer serves several kinds of streams. Each is silent until the test requests a beat.
type streamServer struct {
	w       *world
	front   *httptest.Server
	beats   chan bool
	ended   chan bool
	over    chan bool // closed with the test
	headers []string
}

func (w *world) serveStreams(headers ...string) *streamServer {
	f := &streamServer{w: w, beats: make(chan bool), ended: make(chan bool, 2), over: make(chan bool), headers: headers}
	w.upstream.Config.Handler = f
	f.front = httptest.NewServer(w.handler)
	w.t.Cleanup(func() {
		close(f.over)
		f.front.CloseClientConnections()
		f.front.Close()
	})
	return f
}

// ServeHTTP is the upstream.
func (f *streamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { f.ended <- true }()
	beat := "data: beat\n\n"
	say := func() bool {
		_, err := io.WriteString(w, beat)
		return err == nil && http.NewResponseController(w).Flush() == nil
	}
	ctx := r.Context()
	switch {
	case r.Header.Get("Upgrade") != "":
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ctx = ws.CloseRead(context.Background())
		say = func() bool { return ws.Write(ctx, websocket.MessageText, []byte("data: beat\n\n")) == nil }
	case strings.HasSuffix(r.URL.Path, "/upload"):
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		<-f.beats
		_, _ = io.Copy(io.Discard, r.Body)
		return
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.Header().Set("Content-Type", "text/event-stream")
	case strings.HasSuffix(r.URL.Path, "/download"):
		w.Header().Set("Content-Length", "1000000000")
		beat = strings.Repeat(beat, 6000) // what has a length passes through buffers
	}
	for say() {
		select {
		case <-f.beats:
		case <-ctx.Done():
			return
		case <-f.over:
			return
		}
	}
}

func (f *streamServer) header() http.Header {
	h := http.Header{}
	for _, line := range f.headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// webSocket and stream begin a stream and wait for its first bytes.
func (f *streamServer) webSocket() *stream {
	t := f.w.t
	t.Helper()
	ws, res, err := websocket.Dial(t.Context(), f.front.URL+"/shop/v1/socket", &websocket.DialOptions{HTTPHeader: f.header(), Host: "id.example"})
	if err != nil {
		t.Fatal(err, res)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	return f.begin(func() error { _, _, err := ws.Read(context.Background()); return err })
}

// get begins a request.
func (f *streamServer) get(path string) *http.Response {
	t := f.w.t
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.front.URL+"/shop/v1/"+path, nil)
	must(t, err)
	r.Header, r.Host = f.header(), "id.example"
	res, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (f *streamServer) stream(path string) *stream {
	f.w.t.Helper()
	res := f.get(path)
	buf := make([]byte, len("data: beat\n\n"))
	if path == "download" {
		buf = make([]byte, 48<<10)
	}
	return f.begin(func() error { _, err := io.ReadFull(res.Body, buf); return err })
}

func (f *streamServer) begin(read func() error) *stream {
	f.w.t.Helper()
	must(f.w.t, read())
	got := make(chan bool)
	out := &stream{caller: make(chan error, 1), upstream: f.ended}
	go func() {
		for {
			if err := read(); err != nil {
				out.caller <- err
				return
			}
			got <- true
		}
	}()
	out.beat = func() bool {
		select {
		case f.beats <- true:
		case <-time.After(testkit.HangAfter):
			return false
		}
		select {
		case <-got:
			return true
		case <-time.After(testkit.HangAfter):
			return false
		}
	}
	return out
}

// ends waits for both sides to end.
func (o *stream) ends(t testing.TB) {
	t.Helper()
	hang := time.NewTimer(testkit.HangAfter)
	defer hang.Stop()
	select {
	case <-o.caller:
	case <-hang.C:
		t.Fatal("the caller's side goes on")
	}
	select {
	case <-o.upstream:
	case <-hang.C:
		t.Error("the upstream's side goes on")
	}
}

// awaitChecks waits until a stream has been checked at the present time of the world. A check reads
// the clock once, when it begins, and the next one begins after it has ended: what is read twice
// has been the beginning of one whole check.
func (w *world) awaitChecks() {
	w.t.Helper()
	want := w.reads.Load() + 2
	testkit.Eventually(w.t, "the stream is checked", func() bool { return w.reads.Load() >= want })
}

// A stream ends for the reasons for which a new request would be denied.
func TestStreamsEnd(t *testing.T) {
	type under struct {
		w      *world
		socket *stream
		events *stream
	}
	rows := map[string]struct {
		headers func(*world) []string
		then    func(*world)
		rule    string // of the refusal that is kept
	}{
		"revoked token":            {named("jti"), revoke(oauth.RevokeToken), "credential"},
		"revoked grant":            {named("gid"), revoke(oauth.RevokeGrant), "credential"},
		"ended session of a token": {named("sid"), revoke(oauth.RevokeSession), "credential"},
		"all of a user's":          {named("gid"), revoke(oauth.RevokeUser), "credential"},
		"all of a client's":        {bearerToken, revoke(oauth.RevokeClient), "credential"},
		"expired token":            {bearerToken, func(w *world) { w.wait(time.Hour) }, "credential"},
		"disabled user": {bearerToken, func(w *world) {
			before := *w.user
			w.user.Disabled = true
			must(w.t, w.db.UpdateUser(w.t.Context(), &before, w.user))
			w.wait(31 * time.Second) // unless the revocation that comes with it says so at once
		}, "credential"},
		"deleted client": {bearerToken, func(w *world) { must(w.t, w.db.DeleteClient(w.t.Context(), w.client.ID, w.clock())) }, "credential"},
		"another secret": {secretly, func(w *world) {
			next := client.Secret{ID: secret.NewID(w.clock()), Hash: w.keys.Hash("another"), CreatedAt: w.clock()}
			must(w.t, w.db.RotateSecret(w.t.Context(), w.client.ID, next, 0, w.clock()))
		}, "credential"},
		"client restricted": {bearerToken, func(w *world) {
			before := *w.client
			w.client.Networks = []string{"192.0.2.0/24"}
			must(w.t, w.db.UpdateClient(w.t.Context(), &before, w.client))
		}, "network"},
		"ended browser session": {signedIn, func(w *world) {
			must(w.t, w.db.EndOtherSessions(w.t.Context(), w.user.ID, "", w.clock(), true))
		}, "credential"},
		"ended browser session, tokens kept": {signedIn, func(w *world) {
			must(w.t, w.db.EndOtherSessions(w.t.Context(), w.user.ID, "", w.clock(), false))
			w.wait(1100 * time.Millisecond)
		}, "credential"},
		"expired browser session": {signedIn, func(w *world) { w.wait(time.Hour) }, "credential"},
		"role taken away": {roleNeeded, func(w *world) {
			before := *w.user
			w.user.Roles = []string{"reader"}
			must(w.t, w.db.UpdateUser(w.t.Context(), &before, w.user))
			w.wait(31 * time.Second)
		}, "role"},
		"deleted route":     {bearerToken, func(w *world) { w.routes = nil; w.gw.Reload() }, "route"},
		"deactivated route": {bearerToken, reload(func(r *access.Route) { r.Inactive = true }), "route"},
		"another address":   {bearerToken, reload(func(r *access.Route) { r.Version = "v2" }), "route"},
		"another route": {bearerToken, func(w *world) {
			w.routes[0].ID = "0190f2d0-0000-7000-8000-000000000009"
			w.gw.Reload()
		}, "route"},
		"a scope more":                 {bearerToken, reload(func(r *access.Route) { r.Scopes = []string{"admin"} }), "scope"},
		"other clients":                {bearerToken, reload(func(r *access.Route) { r.Clients = []string{"other"} }), "client"},
		"not heard of revocations":     {bearerToken, func(w *world) { w.age.Store(int64(revocationMaxAge + 1)) }, "revocations"},
		"not heard of a session's end": {signedIn, func(w *world) { w.age.Store(int64(revocationMaxAge + 1)) }, "revocations"},
		"not open anymore":             {nobody, reload(func(r *access.Route) { r.Unidentified = false }), "credential"},
	}
	all := map[string]under{}
	for name, row := range rows {
		w := newWorld(t, shop(), withSessions)
		f := w.serveStreams(row.headers(w)...)
		all[name] = under{w, f.webSocket(), f.stream("events")}
	}
	for name, row := range rows {
		row.then(all[name].w)
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			u := all[name]
			u.socket.ends(t)
			u.events.ends(t)
			if got := u.w.lastDenial(); got.Denial.Rule != row.rule {
				t.Errorf("explained as %+v", got.Denial)
			}
		})
	}
}

func withSessions(o *gatewayOptions) { o.Sessions = shared.db }

func bearerToken(w *world) []string { return []string{"Authorization: Bearer " + w.token()} }

// named returns a token with the user's id as one of its claims, so that it can be revoked by it.
func named(claim string) func(*world) []string {
	return func(w *world) []string {
		return []string{"Authorization: Bearer " + w.token(claims{claim: string(w.user.ID)})}
	}
}

func secretly(w *world) []string {
	return []string{"Authorization: " + basic(string(w.client.ID), testSecret)}
}

func signedIn(w *world) []string {
	cookie, _ := w.signIn(w.user)
	return []string{"Cookie: " + cookie}
}

func roleNeeded(w *world) []string {
	w.routes[0].Roles = []string{"editor"}
	w.gw.Reload()
	return bearerToken(w)
}

func nobody(w *world) []string {
	w.routes[0].Unidentified, w.routes[0].Rate = true, -1
	w.gw.Reload()
	return nil
}

func revoke(kind string) func(*world) {
	return func(w *world) {
		id := string(w.user.ID)
		if kind == oauth.RevokeClient {
			id = string(w.client.ID)
		}
		must(w.t, w.db.Revoke(w.t.Context(), oauth.Revocation{Kind: kind, ID: id, NotBefore: w.clock(), Until: w.clock().Add(time.Hour)}))
	}
}

func reload(edit func(*access.Route)) func(*world) {
	return func(w *world) {
		edit(&w.routes[0])
		w.gw.Reload()
	}
}

func TestDownloadEndsWithItsToken(t *testing.T) {
	w := newWorld(t, shop())
	c := w.serveStreams(named("jti")(w)...).stream("download")
	revoke(oauth.RevokeToken)(w)
	c.ends(t)
}

// An upload whose token is revoked gets an answer, because none has begun yet.
func TestUploadIsDeniedHalfway(t *testing.T) {
	w := newWorld(t, shop())
	f := w.serveStreams(named("jti")(w)...)
	body, in := io.Pipe()
	defer in.Close()
	r, err := http.NewRequest(http.MethodPost, f.front.URL+"/shop/v1/upload", body)
	must(t, err)
	r.Header, r.Host = f.header(), "id.example"
	go func() {
		_, _ = io.WriteString(in, "the beginning")
		f.beats <- true
		revoke(oauth.RevokeToken)(w)
	}()
	res, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	said, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized || !strings.Contains(string(said), "invalid_token") {
		t.Errorf("%d %s", res.StatusCode, said)
	}
}

// A stream of an external issuer's token ends when the token expires; there are no revocations.
func TestStreamEndsWithForeignToken(t *testing.T) {
	w, i := newForeignWorld(t, false)
	w.mu.Lock()
	w.now = time.Now()
	w.mu.Unlock()
	c := w.serveStreams("Authorization: Bearer " + i.Token(bearertest.Claims{"exp": time.Now().Add(time.Hour).Unix()})).stream("events")
	w.wait(59 * time.Minute)
	w.awaitChecks()
	if !c.beat() {
		t.Fatal("it ended before its time")
	}
	w.wait(2 * time.Minute)
	c.ends(t)
}

// Changes that do not affect a stream do not end it.
func TestStreamsContinue(t *testing.T) {
	for name, begin := range map[string]func(*streamServer) *stream{
		"websocket": (*streamServer).webSocket,
		"events":    func(f *streamServer) *stream { return f.stream("events") },
		"download":  func(f *streamServer) *stream { return f.stream("download") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shop(func(r *access.Route) { r.Roles = []string{"editor"} }), withSessions)
			c := begin(w.serveStreams(bearerToken(w)...))
			revoke(oauth.RevokeToken)(w) // another's
			_, sess := w.signIn(w.user)
			must(t, w.db.EndSession(t.Context(), sess.ID, w.clock(), true))
			clientBefore, userBefore := *w.client, *w.user
			w.client.Name, w.user.Roles = "Renamed", []string{"editor", "admin"}
			must(t, w.db.UpdateClient(t.Context(), &clientBefore, w.client))
			must(t, w.db.UpdateUser(t.Context(), &userBefore, w.user))
			w.routes[0].Scopes, w.routes[0].Upstreams = []string{"read"}, append(w.routes[0].Upstreams, "http://127.0.0.1:1")
			w.routes = append(w.routes, access.Route{ID: "0190f2d0-0000-7000-8000-000000000002", Domain: "b", Version: "v1", Upstreams: []string{w.upstream.URL}})
			w.gw.Reload()
			for range 2 {
				w.wait(29 * time.Minute)
				w.awaitChecks()
				if !c.beat() {
					t.Fatalf("it was ended: %+v", w.lastDenial().Denial)
				}
			}
		})
	}
}

// A browser app's session outlives its tokens, and so do calls under it; they do not count as its
// use.
func TestStreamEndsWithBrowserAppSession(t *testing.T) {
	app := &lastingApp{}
	w := newWorld(t, pages(), func(o *gatewayOptions) { o.Apps = app })
	app.give(access.Caller{By: access.ByApp, Client: string(w.client.ID), Proven: true, User: string(w.user.ID), TokenID: "t", Expires: w.now.Add(time.Minute)})
	f := w.serveStreams()
	r, err := http.NewRequest(http.MethodGet, f.front.URL+"/events", nil)
	must(t, err)
	r.Host, r.Header = "app.example", http.Header{"Cookie": {"a=b"}}
	res, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	defer res.Body.Close()
	buf := make([]byte, len("data: beat\n\n"))
	c := f.begin(func() error { _, err := io.ReadFull(res.Body, buf); return err })
	app.give(access.Caller{By: access.ByApp, Client: string(w.client.ID), Proven: true, User: string(w.user.ID), TokenID: "u", Expires: w.now.Add(time.Hour)})
	w.wait(30 * time.Minute)
	w.awaitChecks()
	if !c.beat() {
		t.Fatalf("it ended with its first token: %+v", w.lastDenial().Denial)
	}
	if used := app.used.Load(); used != 1 {
		t.Errorf("the session was used %d times", used)
	}
	app.who.Store(nil)
	c.ends(t)
}

// lastingApp is a token handler with one session for all requests.
type lastingApp struct {
	who  atomic.Pointer[access.Caller]
	used atomic.Int32
}

func (a *lastingApp) give(c access.Caller) { a.who.Store(&c) }

func (a *lastingApp) CallerAt(context.Context, *http.Request, string, string, string) (*access.Caller, error) {
	a.used.Add(1)
	return a.who.Load(), nil
}

func (a *lastingApp) CurrentCaller(context.Context, *http.Request) (*access.Caller, error) {
	return a.who.Load(), nil
}

// The token handlers of these tests have no streams.
func (*noApps) CurrentCaller(context.Context, *http.Request) (*access.Caller, error) { return nil, nil }

func (a *oneApp) CurrentCaller(context.Context, *http.Request) (*access.Caller, error) {
	return &a.who, nil
}

// When this server stops, an event stream ends whole, as if the upstream had ended it, so that its
// reader connects again; a download, which would be cut, goes on.
func TestEventStreamsEndWhenTheServerStops(t *testing.T) {
	w := newWorld(t, shop())
	f := w.serveStreams(named("jti")(w)...)
	res := f.get("events")
	events := f.begin(func() error { _, err := io.ReadFull(res.Body, make([]byte, len("data: beat\n\n"))); return err })
	if !events.beat() {
		t.Fatal("the stream is silent")
	}
	w.gw.Drain()
	if err := testkit.Receive(t, "the end of the events", events.caller); !errors.Is(err, io.EOF) {
		t.Errorf("the events ended with %v", err)
	}
	testkit.Receive(t, "the end at the upstream", events.upstream)
	if download := f.stream("download"); !download.beat() {
		t.Error("a download ended")
	}
}
