package faults_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// A lossyProxy is a proxy that drops every response: the server handles the request, and the client
// sees a broken connection.
type lossyProxy struct {
	base string
	mu   sync.Mutex
	lost []tokens
}

func newLossyProxy(t testing.TB, to string) *lossyProxy {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	w := &lossyProxy{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(at) },
		ModifyResponse: func(r *http.Response) error {
			a := read(r, nil)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.lost = append(w.lost, a.tokens())
			return http.ErrAbortHandler
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	w.base = s.URL
	return w
}

// The response to a refresh is lost. A client that repeats the request gets the same new token.
// Once that token has been used, or the reuse interval is over, the old token counts as stolen and
// its family ends.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	const interval = 10 * time.Second
	onEngines(t, func(t *testing.T, h *host) {
		h.env["REFRESH_TOKEN_REUSE_INTERVAL"] = "10"
		s := h.serve()
		h.user("ada@example.com")
		web, call := h.web(), newCaller(t, s.url)
		eventually(t, "the client is known", func() error {
			a := call.refresh(web, "x")
			return want(a.code() == "invalid_grant", "%v", a)
		})
		ada := newPerson(t, s.url, "ada@example.com")
		ada.signIn(t)
		lossy := newLossyProxy(t, s.url)
		broken := newCaller(t, lossy.base)

		late := ada.family(t, call, web).Refresh // repeated after the interval
		if a := broken.refresh(web, late); a.err == nil {
			t.Fatalf("the answer was not lost: %v", a)
		}
		rotated := time.Now()

		used := ada.family(t, call, web).Refresh // repeated after its successor was used
		if a := broken.refresh(web, used); a.err == nil {
			t.Fatalf("the answer was not lost: %v", a)
		}
		lossy.mu.Lock()
		next := lossy.lost[1].Refresh
		lossy.mu.Unlock()
		for range 3 {
			a := call.refresh(web, used)
			if a.status != 200 || a.tokens().Refresh != next || next == "" {
				t.Fatalf("asking again: %v, want the successor that was lost", a)
			}
			if on, err := call.active(web, a.tokens().Access); err != nil || !on {
				t.Errorf("an access token of a repeated answer: active is %v, %v", on, err)
			}
		}
		newest := call.refresh(web, next)
		if newest.status != 200 {
			t.Fatalf("the successor: %v", newest)
		}
		ends(t, call, web, used, newest.tokens())

		time.Sleep(time.Until(rotated.Add(interval + 200*time.Millisecond)))
		lossy.mu.Lock()
		successor := lossy.lost[0]
		lossy.mu.Unlock()
		ends(t, call, web, late, successor)
	})
}

// ends presents an old refresh token, which must end its family.
func ends(t *testing.T, call *caller, cl client, old string, newest tokens) {
	t.Helper()
	if on, err := call.active(cl, newest.Access); err != nil || !on {
		t.Errorf("before the replay: active is %v, %v", on, err)
	}
	if a := call.refresh(cl, old); a.status != 400 || a.code() != "invalid_grant" {
		t.Errorf("the old token: %v", a)
	}
	if a := call.refresh(cl, newest.Refresh); a.status != 400 || a.code() != "invalid_grant" {
		t.Errorf("the newest token after the replay: %v", a)
	}
	if on, err := call.active(cl, newest.Access); err != nil || on {
		t.Errorf("the access token after the replay: active is %v, %v", on, err)
	}
}
