package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// wrkLoad sends one request over and over with wrk: one thread, many connections.
type wrkLoad struct {
	request     request
	connections int
	dir         string // for the script
}

// findWrk makes sure that wrk is there; root installs it.
func findWrk(ctx context.Context) error {
	if _, err := exec.LookPath("wrk"); err == nil {
		return nil
	}
	const install = "apt-get install --no-install-recommends wrk"
	if os.Getuid() != 0 {
		return errors.New("wrk is missing; install it with: sudo " + install)
	}
	fmt.Fprintln(os.Stderr, "installing wrk")
	cmd := exec.CommandContext(ctx, "sh", "-c", "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("wrk could not be installed (%w); install it with: %s", err, install)
	}
	return nil
}

// run drives the server for a while. wrk knows whole seconds only.
func (l wrkLoad) run(ctx context.Context, address string, d time.Duration, _ bool) (sample, error) {
	script := filepath.Join(l.dir, "request.lua")
	if err := os.WriteFile(script, []byte(l.script()), 0o600); err != nil {
		return sample{}, err
	}
	seconds := max(1, int(d.Round(time.Second)/time.Second))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "wrk", "-t1", fmt.Sprintf("-c%d", l.connections), fmt.Sprintf("-d%ds", seconds),
		"--timeout", "10s", "--latency", "-s", script, "http://"+address+l.request.Path).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %.500s", err, out)
	}
	return parseWrk(string(out))
}

// script returns the request as a wrk script. Long brackets quote everything that a header or form
// can contain.
func (l wrkLoad) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wrk.method = [[%s]]\n", l.request.Method)
	if l.request.Body != "" {
		fmt.Fprintf(&b, "wrk.body = [==[%s]==]\n", l.request.Body)
	}
	for _, h := range l.request.Header {
		fmt.Fprintf(&b, "wrk.headers[ [[%s]] ] = [==[%s]==]\n", h[0], h[1])
	}
	return b.String()
}

var (
	wrkTotal  = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h)`)
	wrkShare  = regexp.MustCompile(`(?m)^\s*(50|99)%\s+([\d.]+)(us|ms|s|m|h)\s*$`)
	wrkStatus = regexp.MustCompile(`(?m)Non-2xx or 3xx responses: (\d+)`)
	wrkSocket = regexp.MustCompile(`(?m)Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// parseWrk reads what wrk --latency prints.
func parseWrk(out string) (sample, error) {
	var s sample
	total := wrkTotal.FindStringSubmatch(out)
	if total == nil {
		return s, fmt.Errorf("wrk printed no total: %.500s", out)
	}
	s.Requests, _ = strconv.ParseInt(total[1], 10, 64)
	s.Took = wrkDuration(total[2], total[3])
	for _, m := range wrkShare.FindAllStringSubmatch(out, -1) {
		switch m[1] {
		case "50":
			s.P50 = wrkDuration(m[2], m[3])
		case "99":
			s.P99 = wrkDuration(m[2], m[3])
		}
	}
	if s.P50 == 0 || s.P99 == 0 {
		return s, fmt.Errorf("wrk printed no latencies: %.500s", out)
	}
	if m := wrkStatus.FindStringSubmatch(out); m != nil {
		s.Failed, _ = strconv.ParseInt(m[1], 10, 64)
		s.Requests -= s.Failed
	}
	if m := wrkSocket.FindStringSubmatch(out); m != nil {
		for _, n := range m[1:] {
			v, _ := strconv.ParseInt(n, 10, 64)
			s.Failed += v
		}
	}
	return s, nil
}

func wrkDuration(number, unit string) time.Duration {
	v, _ := strconv.ParseFloat(number, 64)
	units := map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour}
	return time.Duration(math.Round(v * float64(units[unit])))
}
