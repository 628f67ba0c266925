package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// realmsSettle is how long a server has nothing to do before its memory is read.
const realmsSettle = time.Minute

// measureRealms starts a server with n realms, whose keys it makes in a first run, and prints how
// long the start takes, how long the first request of a realm, and what memory it needs: with all
// realms closed, but for those that work in the background, and with all of them open.
func (b *bench) measureRealms(ctx context.Context, n int) error {
	for _, e := range b.engines {
		if err := b.measureRealmsOn(ctx, e, n); err != nil {
			return err
		}
	}
	return nil
}

// measureRealmsOn measures realms on one engine: files of SQLite, or schemas of one PostgreSQL
// database.
func (b *bench) measureRealmsOn(ctx context.Context, e engine, n int) error {
	var file strings.Builder
	file.WriteString("realms:\n")
	for i := range n {
		fmt.Fprintf(&file, "  r%d:\n    base_url: http://r%d.localhost\n    secret_key: %s\n", i, i, secret.NewToken(""))
	}
	name := filepath.Join(b.dir, "realms.yaml")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		return err
	}
	database, err := b.fresh(ctx, e, "realms")
	if err != nil {
		return err
	}
	for _, run := range []string{"new keys", "keys made before"} {
		s, err := b.startServer(ctx, database, "REALMS_FILE="+name)
		if err != nil {
			return err
		}
		err = b.askRealms(ctx, s, n, string(e)+", "+run)
		if end := s.end(); err == nil {
			err = end
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// askRealms measures one run.
func (b *bench) askRealms(ctx context.Context, s *server, n int, run string) error {
	if err := sleep(ctx, realmsSettle); err != nil {
		return err
	}
	closed, _ := s.memory()
	used := s.cpu()
	if err := sleep(ctx, realmsSettle/4); err != nil {
		return err
	}
	used = (s.cpu() - used) / (15 * time.Second / 100)
	begin := time.Now()
	slowest := time.Duration(0)
	for i := range n {
		from := time.Now()
		if err := askRealm(ctx, s.address, fmt.Sprintf("r%d.localhost", i)); err != nil {
			return err
		}
		slowest = max(slowest, time.Since(from))
	}
	took := time.Since(begin)
	open, _ := s.memory()
	fmt.Printf("%d realms, %s: start %s; memory %d MiB and %d %% of a core with none in use, %d MiB with all open; "+
		"first request %s, slowest %s\n", n, run, s.started.Round(time.Millisecond), closed>>20, int64(used), open>>20,
		(took / time.Duration(n)).Round(time.Millisecond), slowest.Round(time.Millisecond))
	return nil
}

func askRealm(ctx context.Context, address, host string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+pathKeys, http.NoBody)
	if err != nil {
		return err
	}
	r.Host = host
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err == nil && w.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", host, w.Status, body)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
