package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A host that did not answer is left out while another one answers, and tried again later.
func TestSilentHost(t *testing.T) {
	dials := map[string]int{}
	h := &hosts{silent: map[string]time.Time{}, dial: func(_ context.Context, _, addr string) (net.Conn, error) {
		if dials[addr]++; addr == "silent" {
			return nil, context.DeadlineExceeded
		}
		return nil, nil
	}}
	for range 3 {
		for _, addr := range []string{"silent", "good"} {
			_, err := h.connect(t.Context(), "tcp", addr)
			if (err == nil) != (addr == "good") {
				t.Fatalf("%s: %v", addr, err)
			}
		}
	}
	if dials["silent"] != 1 || dials["good"] != 3 {
		t.Errorf("%v", dials)
	}
	h.silent["silent"] = time.Now().Add(-time.Second)
	_, _ = h.connect(t.Context(), "tcp", "silent")
	h.good = time.Time{} // nobody answers: the silent one may be the one
	_, _ = h.connect(t.Context(), "tcp", "silent")
	if dials["silent"] != 3 {
		t.Errorf("%v", dials)
	}
}

// Several hosts are tried quickly, and must accept changes; a single one is as the URL says.
func TestSeveralHosts(t *testing.T) {
	for url, several := range map[string]bool{
		"postgres://u@127.0.0.1:1,127.0.0.1:2/db?sslmode=disable": true,
		"postgres://u@127.0.0.1:1/db?sslmode=prefer":              false,
	} {
		c, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		preferAnswering(c, url)
		if (c.ValidateConnect != nil) != several || (c.ConnectTimeout == hostTimeout) != several {
			t.Errorf("%s: %v", url, c.ConnectTimeout)
		}
	}
}

// Only what passes by itself is waited for.
func TestPassing(t *testing.T) {
	for code, passes := range map[string]bool{
		"57P03": true, "25006": true, "08006": true, "53300": true,
		"28P01": false, "28000": false, "3D000": false, "42P01": false, "": false,
	} {
		err := postgresError(fmt.Errorf("open: %w", &pgconn.PgError{Code: code, Severity: "FATAL"}))
		if Passing(err) != passes {
			t.Errorf("%s: %v", code, !passes)
		}
	}
	if Passing(nil) || Passing(errors.New("SECRET_KEY is another one")) || !Passing(&net.DNSError{Err: "no such host"}) {
		t.Error("errors without a code")
	}
}
