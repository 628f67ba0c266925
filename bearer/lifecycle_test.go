package bearer_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

// beats is a transport to an issuer whose feed is always current.
type beats struct{ requests atomic.Int32 }

func (b *beats) RoundTrip(r *http.Request) (*http.Response, error) {
	b.requests.Add(1)
	body, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "event: beat\ndata: {\"seq\":1}\n\n")
		<-r.Context().Done()
		_ = w.CloseWithError(r.Context().Err())
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
}

func withFeed(b *beats) bearer.Config {
	return bearer.Config{
		Issuer:     "https://id.example.com",
		Audience:   []string{api},
		Client:     client,
		HTTPClient: &http.Client{Transport: b},
	}
}

// New sends no request and starts no goroutine, so a Verifier that is never used need not be
// closed.
func TestNewStartsNothing(t *testing.T) {
	b := &beats{}
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		if _, err := bearer.New(withFeed(b)); err != nil {
			t.Fatal(err)
		}
	})
	if n := b.requests.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Start follows the feed once, and Close waits for it to stop.
func TestStartAndClose(t *testing.T) {
	b := &beats{}
	synctest.Test(t, func(t *testing.T) {
		v, err := bearer.New(withFeed(b))
		if err != nil {
			t.Fatal(err)
		}
		v.Start()
		v.Start()
		synctest.Wait()
		if n := b.requests.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		v.Start()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := b.requests.Load(); n != 1 {
		t.Errorf("%d requests after Close", n)
	}
}

// The first token starts the feed.
func TestFirstTokenStarts(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL, Client: client})
	if _, err := verify(t, v, issuer.Opaque(nil)); err != nil {
		t.Fatal(err)
	}
	if err := v.Ready(t.Context()); err != nil { // returns once the feed is current
		t.Error(err)
	}
}

// The error of New lists every problem.
func TestAllProblems(t *testing.T) {
	_, err := bearer.New(bearer.Config{
		Issuer:        "http://id.example.com",
		Client:        bearer.ClientCredentials{ID: "a"},
		MaxTokenBytes: -1,
	})
	for _, part := range []string{"Issuer", "Audience", "Secret", "MaxTokenBytes"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name %s: %v", part, err)
		}
	}
}
