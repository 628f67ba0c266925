package app

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Lines about a request have its id and that of its trace, in either format; Go's own lines have
// the form of ours.
func TestLogLines(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out testLog
		cfg := &config.Config{Server: config.Server{LogLevel: "info", LogFormat: format}}
		l := newLogger(&out, cfg)
		kit := web.New(web.Options{Log: l, Now: time.Now, BodyLimit: 1, Deadline: 1 << 40})
		h := kit.Stack(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			web.EventOf(r.Context()).Trace = "0af7651916cd43dd8448eb211c80319c"
			l.With("part", "test").WarnContext(r.Context(), "something about it")
			_, _ = io.WriteString(w, "ok")
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/?q=QUERYMARK", nil))
		restore := catchStandardLog(l)
		log.Printf(`http: bad byte in "SECRETMARK"`)
		restore()
		text := out.String()
		id := w.Header().Get("X-Request-Id")
		if strings.Count(text, id) != 2 || strings.Count(text, "0af7651916cd43dd8448eb211c80319c") != 2 ||
			!strings.Contains(text, "duration_ms") || !strings.Contains(text, "bad byte in") ||
			strings.Contains(text, "MARK") || strings.Count(text, "\n") != 3 {
			t.Errorf("%s: the log is\n%s", format, text)
		}
	}
}

// A duration in the log is a number of milliseconds: a time.Duration would be one of nanoseconds,
// whose name has no unit.
func TestLogHasNoDurations(t *testing.T) {
	bad := regexp.MustCompile(`slog\.Duration\(|"took"|took_ms`)
	for _, dir := range []string{".", "../web", "../gateway", "../ship", "../web/api", "../web/protocol", "../web/ui"} {
		entries, err := os.ReadDir(dir)
		testkit.Must(t, err)
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			raw, err := os.ReadFile(dir + "/" + e.Name())
			testkit.Must(t, err)
			if at := bad.FindString(string(raw)); at != "" {
				t.Errorf("%s/%s logs %s", dir, e.Name(), at)
			}
		}
	}
}
