package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/config"
)

func TestHealthcheck(t *testing.T) {
	answer, path := http.StatusOK, "/livez"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(answer)
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		answer, status int
		words          string
		ready          bool
	}{
		{http.StatusOK, exitDone, "is healthy", false},
		{http.StatusOK, exitDone, "is healthy", true},
		{http.StatusServiceUnavailable, exitFailed, "is not healthy: it responds with 503", false},
		{http.StatusServiceUnavailable, exitFailed, "is not healthy: it responds with 503", true},
		{http.StatusFound, exitFailed, "is not healthy: it responds with 302", false},
	} {
		answer, path = tt.answer, "/livez"
		var out bytes.Buffer
		p := Program{Settings: func(flags map[string]string, _, _ string) (*config.Config, error) {
			return config.Load(config.Source{Flags: flags})
		}}
		args := []string{"healthcheck", "--port", u.Port(), "--base-url", "https://login.example.com"}
		if tt.ready {
			path, args = "/readyz", append(args, "--ready")
		}
		status := Main(t.Context(), p, Streams{strings.NewReader(""), &out, &out}, args)
		if status != tt.status || !strings.Contains(out.String(), tt.words) {
			t.Errorf("answer %d: status %d, %q; want status %d, %q", tt.answer, status, out.String(), tt.status, tt.words)
		}
	}
}

func TestHealthAddress(t *testing.T) {
	for _, tt := range []struct {
		flags map[string]string
		want  string
	}{
		{nil, "http://127.0.0.1:8080/livez"},
		{map[string]string{"host": "*", "port": "9"}, "http://127.0.0.1:9/livez"},
		{map[string]string{"host": "0.0.0.0"}, "http://127.0.0.1:8080/livez"},
		{map[string]string{"host": "::"}, "http://127.0.0.1:8080/livez"},
		{map[string]string{"host": "::1"}, "http://[::1]:8080/livez"},
		{map[string]string{"host": "10.1.2.3"}, "http://10.1.2.3:8080/livez"},
		{map[string]string{"ssl-cert": "c", "ssl-key": "k"}, "https://127.0.0.1:8080/livez"},
	} {
		cfg, err := config.Load(config.Source{Flags: tt.flags})
		if err != nil {
			t.Fatal(err)
		}
		if got := healthURL(cfg, "/livez"); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.flags, got, tt.want)
		}
	}
}
