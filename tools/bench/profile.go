package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// topFunctions is how many functions of a profile the report names.
const topFunctions = 12

// profile drives a row once more while the server looks at itself, keeps what it saw, and gives the
// functions that took most of the processor and of the memory. It is "" where the server cannot be
// asked.
func (st *stage) profile(ctx context.Context, r *result, l load) (string, error) {
	if st.server.pprof == "" || st.profiles == "" {
		return "", nil
	}
	d := st.profiled()
	driven := make(chan error, 1)
	go func() {
		_, err := l.run(ctx, st.server.address, d, false)
		driven <- err
	}()
	base := filepath.Join(st.profiles, fileName(r.Row.name+" "+string(r.Engine)))
	seconds := max(1, int(d/time.Second)-1)
	err := fetchProfile(ctx, st.server.pprof, fmt.Sprintf("profile?seconds=%d", seconds), base+".cpu.pprof")
	if err == nil {
		err = fetchProfile(ctx, st.server.pprof, "heap", base+".heap.pprof")
	}
	<-driven // how it ended does not matter: this pass is in no figure
	if err != nil {
		return "", err
	}
	cpu, err := topOf(ctx, base+".cpu.pprof")
	if err != nil {
		return "", err
	}
	heap, err := topOf(ctx, base+".heap.pprof", "-sample_index=inuse_space")
	return cpu + "\nmemory in use\n" + heap, err
}

// profiled returns how long a row is driven for its profile, which is a second shorter.
func (b *bench) profiled() time.Duration {
	return min(11*time.Second, max(2*time.Second, b.seconds+time.Second))
}

// fileName makes a file's name of a row's.
func fileName(s string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(s), "-"), "-")
}

func fetchProfile(ctx context.Context, address, what, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/debug/pprof/"+what, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", what, res.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, res.Body); err != nil {
		return err
	}
	return f.Sync()
}

// topOf returns pprof's own list, without the lines about the file.
func topOf(ctx context.Context, file string, flags ...string) (string, error) {
	args := append([]string{"tool", "pprof", "-top", fmt.Sprintf("-nodecount=%d", topFunctions)}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, file)...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+filepath.Dir(file))
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool pprof: %w", err)
	}
	return shortTop(string(out)), nil
}

// shortTop cuts a list down to its table.
func shortTop(out string) string {
	if i := strings.Index(out, "      flat"); i >= 0 {
		out = out[i:]
	}
	var b strings.Builder
	n := 0
	for line := range strings.Lines(out) {
		if n++; n > topFunctions+1 {
			break
		}
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
