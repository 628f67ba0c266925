package app

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The operator is told when SECRET_KEY_PREVIOUS can go, which is not before each server has the new
// key. Without it, and while no server has the former key, that opens the database no more.
func TestFormerSecretKeyIsDropped(t *testing.T) {
	database := "DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "g.db")
	former, latest := strings.Repeat("5e", 32), strings.Repeat("a7", 31)+"b1"
	var log bytes.Buffer
	open := func(settings ...string) *server {
		t.Helper()
		in := install(t, append(settings, database)...)
		p, err := openParts(t.Context(), in.e, in.cfg, nil)
		testkit.Must(t, err)
		t.Cleanup(func() { _ = p.Close() })
		return &server{parts: p, log: slog.New(slog.NewTextHandler(&log, nil))}
	}
	step := func(s *server, said string) (done bool) {
		t.Helper()
		log.Reset()
		done, err := s.previousDone(t.Context())
		testkit.Must(t, err)
		if !strings.Contains(log.String(), said) || said == "" && log.Len() > 0 {
			t.Errorf("the log says %q, not %q", log.String(), said)
		}
		return done
	}
	old := open("SECRET_KEY=" + former)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		old.parts.db.Serve(ctx, store.Server{Version: "v1", Schema: store.Schema(), KeyID: old.parts.keyName})
	}()
	testkit.Eventually(t, "the server with the former key is known", func() bool {
		all, err := old.parts.db.Servers(t.Context())
		return err == nil && len(all) == 1
	})

	both := open("SECRET_KEY="+latest, "SECRET_KEY_PREVIOUS="+former)
	testkit.Equal(t, "needed while a server has the former key", step(both, ""), false)
	alone := open("SECRET_KEY=" + latest)
	step(alone, "")
	open("SECRET_KEY=" + former) // which opens it meanwhile
	stop()
	<-ended
	testkit.Equal(t, "needed afterwards", !step(both, "SECRET_KEY_PREVIOUS is no longer needed"), false)
	step(alone, "the former SECRET_KEY does not open this database any more")
	step(alone, "")

	in := install(t, "SECRET_KEY="+former, database)
	if _, err := openParts(t.Context(), in.e, in.cfg, nil); err == nil || !strings.Contains(err.Error(), "SECRET_KEY is not the one") {
		t.Errorf("the former key afterwards: %v", err)
	}
	open("SECRET_KEY=" + latest)
}
