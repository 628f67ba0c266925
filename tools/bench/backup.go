package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A backup must not be felt by those who refresh tokens meanwhile. This part makes a database of
// many users and grants, drives refreshes at a server on it without a backup, during one and after
// it, and restores the file into either engine.

const (
	backupMost  = 1.5    // p99 during a backup, in times of that without one
	restoreMB   = 100.0  // megabytes a second into the same engine
	restoreRows = 50_000 // rows a second into the other one
	logLook     = 50 * time.Millisecond
)

// backups measures a backup under load of a database with so many users and grants, and prints it.
func (b *bench) backups(ctx context.Context, size int) error {
	if err := b.roomFor(2 * size); err != nil {
		return err
	}
	st, l, err := b.grown(ctx, sqlite, size, "backup")
	if err != nil {
		return err
	}
	defer func() { _ = st.server.end() }()
	work, err := refreshWork(ctx, st)
	if err != nil {
		return err
	}
	if _, err := work.run(ctx, st.server.address, b.warmUp(), false); err != nil {
		return err
	}
	without, err := b.drivePasses(ctx, st, work, func(n int) bool { return n < max(4, int(b.seconds/time.Second)) })
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "load.backup")
	made, during, largest, err := b.backUpUnderLoad(ctx, st, work, file)
	if err != nil {
		return err
	}
	after, err := b.drivePasses(ctx, st, work, func(n int) bool { return n < 10 })
	if err != nil {
		return err
	}
	if err := st.server.end(); err != nil {
		return err
	}
	fmt.Printf("database       %s, %d users and grants\n", mebibytes(l.bytes), size)
	fmt.Printf("backup         %s, %d rows in %.1f s (%.0f MB/s of the database)\n",
		mebibytes(made.Bytes), made.Rows, made.Seconds, float64(l.bytes)/1e6/made.Seconds)
	fmt.Printf("largest -wal   %s\n", mebibytes(largest))
	quiet := figureOf(without)
	for _, x := range []struct {
		name string
		f    figure
	}{{"without", quiet}, {"during", figureOf(during)}, {"10 s after", figureOf(after)}} {
		times := ratio(float64(x.f.P99), float64(quiet.P99))
		fmt.Printf("%-14s %s/s, p99 %s (%.2f of without; at most %.1f), %d failed\n",
			x.name, count(x.f.Rate), brief(x.f.P99), times, backupMost, x.f.Failed)
	}
	return b.restores(ctx, file, l.bytes)
}

// refreshWork returns the load of refreshes by as many grants as other measurements use.
func refreshWork(ctx context.Context, st *stage) (load, error) {
	all, err := st.tokens(ctx, growthHot, scopesAPI)
	if err != nil {
		return nil, err
	}
	id := clientID("ES256")
	var families []*family
	for _, t := range all {
		families = append(families, newFamily(id, st.world.clients[id], t.refresh))
	}
	return refreshes(st.connections, families), nil
}

// drivePasses drives a server in passes of a second while more says so.
func (b *bench) drivePasses(ctx context.Context, st *stage, l load, more func(n int) bool) ([]sample, error) {
	var out []sample
	for n := 0; more(n); n++ {
		s, err := b.pass(ctx, l, st.server, time.Second, false)
		if err != nil {
			return out, err
		}
		out = append(out, s)
		st.server.emptyLog()
	}
	return out, nil
}

// A madeBackup is what the command line says of a backup.
type madeBackup struct {
	Bytes, Rows int64
	Seconds     float64
}

// backUpUnderLoad drives a server while another process makes a backup of its database, and returns
// the largest size of the write-ahead log meanwhile.
func (b *bench) backUpUnderLoad(
	ctx context.Context, st *stage, l load, file string,
) (made madeBackup, during []sample, largest int64, err error) {
	var done atomic.Bool
	var output []byte
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		output, failed = b.command(ctx, st.world.url, "backup", file, "--json")
		done.Store(true)
	}()
	sizes := make(chan int64)
	go func() {
		var most int64
		for !done.Load() {
			if info, err := os.Stat(strings.TrimPrefix(st.world.url, "sqlite:") + "-wal"); err == nil {
				most = max(most, info.Size())
			}
			time.Sleep(logLook)
		}
		sizes <- most
	}()
	during, err = b.drivePasses(ctx, st, l, func(n int) bool { return n == 0 || !done.Load() })
	<-ended
	largest = <-sizes
	if err = errors.Join(err, failed); err != nil {
		return made, during, largest, err
	}
	return made, during, largest, json.Unmarshal(output, &made)
}

// command runs a command of the program on a database.
func (b *bench) command(ctx context.Context, url string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Env = append(plainEnviron(), "DATABASE_URL="+url, "SECRET_KEY="+b.secretKey)
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("gatehouse %s: %w\n%s", strings.Join(args, " "), err, failed.Stderr)
		}
	}
	return out, err
}

// restores restores a backup of a database of some bytes into each engine.
func (b *bench) restores(ctx context.Context, file string, bytes int64) error {
	for _, e := range []engine{sqlite, postgres} {
		if !slices.Contains(b.engines, e) {
			continue
		}
		url, err := b.fresh(ctx, e, "restored")
		if err != nil {
			return err
		}
		begin := time.Now()
		output, err := b.command(ctx, url, "restore", file, "--move", "--json")
		if err != nil {
			return err
		}
		took := time.Since(begin)
		var v struct {
			Rows      int64
			PerSecond int64 `json:"rows_per_second"`
		}
		if err := json.Unmarshal(output, &v); err != nil {
			return err
		}
		fmt.Printf("restore        into %s: %d rows in %.1f s with all checks, %.0f MB/s of the database "+
			"(at least %.0f into SQLite), %s rows/s while loading (at least %s into PostgreSQL)\n",
			e, v.Rows, took.Seconds(), float64(bytes)/1e6/took.Seconds(), restoreMB,
			count(float64(v.PerSecond)), count(restoreRows))
	}
	return nil
}
