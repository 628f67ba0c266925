package token

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

func FuzzBasicSecret(f *testing.F) {
	for _, s := range []string{"Basic YTpi", "basic YSUyMGI6Yw==", "Basic", "Bearer x", "Basic ====", "Basic YTo="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, h string) {
		id, _, ok, err := BasicSecret(h)
		if ok && (err != nil || id == "") {
			t.Fatalf("%q: %q %v", h, id, err)
		}
		if err != nil && oauth.Wire(err).Code != "invalid_client" {
			t.Fatalf("%q: %v", h, err)
		}
	})
}
