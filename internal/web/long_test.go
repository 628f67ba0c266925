package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// A slow is a body of three parts, with a pause before each but the first.
type slow struct {
	parts int
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.parts == 0 {
		return 0, io.EOF
	}
	if s.parts < 3 {
		time.Sleep(s.pause)
	}
	s.parts--
	return copy(p, "part "), nil
}

// A file may be sent and taken for longer than the server waits for other requests, over HTTP/1.1
// and HTTP/2. The same request without these limits breaks off.
func TestLongRequests(t *testing.T) {
	const limit = 200 * time.Millisecond
	for _, http2 := range []bool{false, true} {
		for _, long := range []bool{true, false} {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var body, out io.Reader = r.Body, &slow{parts: 3, pause: 2 * limit}
				var to io.Writer = w
				if long {
					body, to = web.LongBody(w, r.Body), web.LongAnswer(w)
				}
				if _, err := io.Copy(io.Discard, body); err != nil {
					return
				}
				_, _ = io.Copy(to, io.MultiReader(out, strings.NewReader("end")))
			}))
			s.Config.ReadTimeout, s.Config.WriteTimeout = limit, limit
			s.EnableHTTP2 = http2
			s.StartTLS()
			answer := ""
			r, err := s.Client().Post(s.URL, "text/plain", &slow{parts: 3, pause: 2 * limit})
			if err == nil {
				b, _ := io.ReadAll(r.Body)
				answer = string(b)
				_ = r.Body.Close()
			}
			if got := strings.HasSuffix(answer, "end"); got != long {
				t.Errorf("HTTP/2 %v, long %v: %q, %v", http2, long, answer, err)
			}
			s.Close()
		}
	}
}
