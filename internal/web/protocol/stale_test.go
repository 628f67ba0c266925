package protocol_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func boundedKnowledge(c *oauth.Config) { c.RevocationMaxAge = 5 * time.Minute }

// A server that has not heard of revocations for too long calls no token active. It does not know:
// what it answers is not that the token is invalid.
func TestStaleRevocations(t *testing.T) {
	s := newSite(t, boundedKnowledge)
	token := s.userToken()["access_token"].(string)
	ask := map[string]func() *httptest.ResponseRecorder{
		"introspection": func() *httptest.ResponseRecorder {
			return s.do("POST", "/oauth/introspect", formType, "token="+token, "Authorization", basic("app", testSecret))
		},
		"user info": func() *httptest.ResponseRecorder {
			return s.do("GET", "/oauth/userinfo", "", "", "Authorization", "Bearer "+token)
		},
		"token info": func() *httptest.ResponseRecorder {
			return s.do("GET", "/oauth/tokeninfo", "", "", "Authorization", "Bearer "+token)
		},
	}
	for name, do := range ask {
		t.Run(name, func(t *testing.T) {
			s.age.Store(int64(5 * time.Minute))
			testkit.Equal(t, "status at the bound", do().Code, http.StatusOK)
			s.age.Store(int64(5*time.Minute + 1))
			w := do()
			failed(t, w, http.StatusServiceUnavailable, "temporarily_unavailable")
			if w.Header().Get("Retry-After") == "" || w.Header().Get("Www-Authenticate") != "" {
				t.Errorf("%v", w.Header())
			}
			s.age.Store(0)
			testkit.Equal(t, "status when it knows again", do().Code, http.StatusOK)
		})
	}
}

// Followers of the feed believe its beats. A server that may lack revocations sends none: it ends
// the stream, and begins no other, so that followers ask another server or know that they do not
// know. Without a bound it goes on.
func TestStaleFeed(t *testing.T) {
	for name, row := range map[string]struct {
		tweak func(*oauth.Config)
		ends  bool
	}{
		"bounded":   {boundedKnowledge, true},
		"unbounded": {func(*oauth.Config) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, row.tweak)
			front := httptest.NewServer(s.handler)
			t.Cleanup(front.Close)
			t.Cleanup(front.CloseClientConnections)
			follow := func() *http.Response {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+"/oauth/revocations", nil)
				testkit.Must(t, err)
				r.Header.Set("Authorization", basic("app", testSecret))
				res, err := http.DefaultClient.Do(r)
				testkit.Must(t, err)
				t.Cleanup(func() { _ = res.Body.Close() })
				return res
			}
			res := follow()
			testkit.Equal(t, "status", res.StatusCode, http.StatusOK)
			lines := bufio.NewReader(res.Body)
			if line, err := lines.ReadString('\n'); err != nil || line != "event: beat\n" {
				t.Fatalf("%q, %v", line, err)
			}
			s.age.Store(int64(11 * time.Second))
			again := follow()
			if !row.ends {
				testkit.Equal(t, "status of another stream", again.StatusCode, http.StatusOK)
				return
			}
			testkit.Equal(t, "status of another stream", again.StatusCode, http.StatusServiceUnavailable)
			testkit.Must(t, s.db.Revoke(t.Context(), oauth.Revocation{Kind: oauth.RevokeToken, ID: "x", NotBefore: s.now}))
			rest := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(lines)
				rest <- b
			}()
			testkit.Receive(t, "the end of the stream", rest)
		})
	}
}
