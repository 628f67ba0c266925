package protocol

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

// recorder is a response that takes a deadline.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetWriteDeadline(time.Time) error { return nil }

// Entries that a follower may not see count as sent: it resumes after them, and a page without a
// visible entry is not asked for again.
func TestHiddenEntriesCountAsSent(t *testing.T) {
	w := recorder{httptest.NewRecorder()}
	f := &follower{w: w, out: http.NewResponseController(w), since: 3}
	send := func(b batch) string {
		t.Helper()
		w.Body.Reset()
		if err := f.send(b, time.UnixMilli(5)); err != nil {
			t.Fatal(err)
		}
		return w.Body.String()
	}
	if got := send(batch{FeedPage: token.FeedPage{Last: 503, More: true}, head: oauth.LogHead{Seq: 600}}); got != "" || f.since != 503 {
		t.Errorf("a full page of hidden entries: %q, since %d", got, f.since)
	}
	got := send(batch{
		FeedPage: token.FeedPage{Entries: []token.FeedEntry{{Seq: 550, Kind: "token", ID: "a"}}, Last: 598},
		head:     oauth.LogHead{Seq: 600},
	})
	if !strings.HasPrefix(got, "event: revocation\nid: 550\n") ||
		!strings.HasSuffix(got, "event: beat\nid: 600\ndata: {\"seq\":600,\"time\":5}\n\n") || f.since != 600 {
		t.Errorf("the last page: %q, since %d", got, f.since)
	}
	if got := send(batch{FeedPage: token.FeedPage{Last: 600}, head: oauth.LogHead{Seq: 600}}); !strings.HasPrefix(got, "event: beat\nid: 600\n") {
		t.Errorf("nothing new: %q", got)
	}
	if got := send(batch{FeedPage: token.FeedPage{Last: 600}, head: oauth.LogHead{Seq: 20, History: 1}}); !strings.HasPrefix(got, "event: reset\n") || f.since != 0 {
		t.Errorf("a log that was restored: %q, since %d", got, f.since)
	}
}
