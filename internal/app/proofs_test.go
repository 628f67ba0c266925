package app

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestServersShareProofs checks that, with REDIS_URL, servers reject a proof that another server
// has accepted, regardless of where rate limits are counted (RFC 9449 §11.1).
func TestServersShareProofs(t *testing.T) {
	redis := testkit.StartRedis(t).URL()
	for name, row := range map[string]struct {
		settings []string
		shared   bool
	}{
		"redis": {[]string{"REDIS_URL=" + redis}, true}, "redis, for limits too": {[]string{"REDIS_URL=" + redis, "RATE_LIMIT_STORE=redis"}, true}, "none": {nil, false},
	} {
		var errs []error
		for range 2 {
			e := &env{
				stdout:  io.Discard,
				stderr:  io.Discard,
				now:     time.Now,
				environ: append([]string{"DATABASE_URL=sqlite::memory:"}, row.settings...),
			}
			cfg, err := loadConfig(e, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			p, err := openParts(t.Context(), e, cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
			s, err := newServer(t.Context(), e, p, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				for _, f := range s.close {
					f()
				}
			})
			errs = append(errs, s.tokens.CheckReplay(t.Context(), &dpop.Proof{
				Thumbprint: "key",
				ID:         name,
				IssuedAt:   time.Now(),
			}, time.Now()))
		}
		if errs[0] != nil || (errs[1] != nil) != row.shared {
			t.Errorf("%s: %v", name, errs)
		}
	}
}
