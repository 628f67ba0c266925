package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// deadlines is a writer that counts how often its limits were moved.
type deadlines struct {
	*httptest.ResponseRecorder
	reads, writes int
}

func (d *deadlines) SetReadDeadline(time.Time) error  { d.reads++; return nil }
func (d *deadlines) SetWriteDeadline(time.Time) error { d.writes++; return nil }

// Files may be sent and taken for longer than the server waits for other requests.
func TestFilesTakeTheirTime(t *testing.T) {
	h := newHarness(t)
	for _, c := range []struct {
		method, path, body string
	}{
		{"GET", "/api/v1/users/export", ""},
		{"GET", "/api/v1/audit-logs/export", ""},
		{"GET", "/api/v1/audit-logs/proofs", ""},
		{"POST", "/api/v1/users/import", `{"email":"long@example.com"}` + "\n"},
		{"POST", "/api/v1/clients/import?format=auth0", "[]"},
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Authorization", "Bearer admin")
		r.Header.Set("Content-Type", "application/octet-stream")
		h.serve.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
		testkit.Equal(t, c.path+": the limit of the answer is moved", w.writes > 0, true)
		testkit.Equal(t, c.path+": the limit of the request is moved", w.reads > 0, c.method == "POST")
	}
}
