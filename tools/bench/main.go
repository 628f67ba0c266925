// Command bench measures the server against what this machine can do: a bare net/http server that
// answers the same bytes, what the processors can sign or hash, and what PostgreSQL does by itself.
// Everything runs on this machine, over loopback addresses, in directories and databases that are
// removed at the end.
//
//	go run ./tools/bench                 every row on both engines, and tools/bench/report.md
//	go run ./tools/bench -quick -rows refresh -engines sqlite -out ''
//	go run ./tools/bench -growth         also with ten million users and grants
//	go run ./tools/bench -realms 100     start and memory of a server with realms
//	go run ./tools/bench -backup 8000000 a backup under refresh load, and restores of it
//	go run ./tools/bench -handover 100000 requests while servers are replaced, again and again
//	go run ./tools/bench -watch 8        the hot rows with metrics, traces, audit tree on and off
//	go run ./tools/bench -lists 10000000 lists, searches, exports and imports of so many users
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// options are what the user of this program decides.
type options struct {
	seconds     time.Duration // of load for each row and server
	rows        *regexp.Regexp
	engines     []engine
	connections int
	users       int
	sessions    int
	growth      bool
	growthSize  int
	profiles    string
	place       string
	program     string // that is measured; "" builds it
	out         string
	quick       bool
	lists       int // users in the measurement of lists; 0 measures the rows instead
	watch       int // rounds of the comparison with metrics, traces and the audit tree; 0 measures the rows instead
	realms      int // that one server serves; 0 measures the rows instead
	backup      int // users and grants of the database that is backed up; 0 measures the rows instead
	handover    int // requests while servers are replaced; 0 measures the rows instead
	timings     int // of each form and kind of address; 0 measures the rows instead
}

func main() {
	if len(os.Args) > 1 {
		if part := partNamed(os.Args[1]); part != nil {
			exit(part(os.Args[2:]))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = runBench(ctx, o)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// parseOptions reads the command line.
func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.quick, "quick", false, "two seconds a row")
	f.DurationVar(&o.seconds, "seconds", 8*time.Second, "load on each row's server")
	which := f.String("rows", "", "regular expression: the rows to measure")
	engines := f.String("engines", "sqlite,postgres", "the databases to measure on")
	f.IntVar(&o.connections, "connections", 32, "connections of the load")
	f.IntVar(&o.users, "users", 10_000, "users and grants in the database of the rows")
	f.IntVar(&o.sessions, "sessions", liveSessions, "live sessions in the measurement of memory")
	f.BoolVar(&o.growth, "growth", false, "measure on a small and a very large database, too")
	f.IntVar(&o.growthSize, "growth-size", 10_000_000, "users and grants in the very large one")
	f.StringVar(&o.profiles, "profiles", "", "directory for profiles (default: a new one; it stays)")
	f.StringVar(&o.place, "place", "/var/tmp", "directory for databases, on the disk that is measured")
	f.StringVar(&o.program, "program", "", "the program to measure (default: it is built)")
	f.StringVar(&o.out, "out", "tools/bench/report.md", "file for the report, or empty")
	f.IntVar(&o.realms, "realms", 0, "measure a server with so many realms, and nothing else")
	f.IntVar(&o.backup, "backup", 0, "back up and restore a database of so many users and grants under "+
		"load (8,000,000 have about 10 GB), and nothing else")
	f.IntVar(&o.handover, "handover", 0, "send so many requests to one server that hands its socket on, and to two "+
		"behind HAProxy that are restarted by turns, plain and by TLS; -rows chooses among these, and nothing else")
	f.IntVar(&o.timings, "timings", 0, "take so many times of known and unknown addresses, and nothing else")
	f.IntVar(&o.watch, "watch", 0, "compare the hot rows with metrics, traces and the tree of the audit log on and "+
		"off in so many rounds, and nothing else")
	f.IntVar(&o.lists, "lists", 0, "measure lists, searches, exports and imports with so many users and sessions "+
		"and twice as many audit events, and nothing else")
	if err = f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.quick {
		o.seconds = 2 * time.Second
	}
	if o.seconds < time.Second || o.seconds > 10*time.Minute {
		return o, errors.New("-seconds must be between 1s and 10m")
	}
	if o.connections < 1 || o.users < 1000 || o.growthSize < 1000 || o.sessions < 1 || o.backup < 0 {
		return o, errors.New("-connections and -sessions must be at least 1, -users and -growth-size at least 1000")
	}
	if o.rows, err = regexp.Compile("(?i)" + *which); err != nil {
		return o, err
	}
	o.engines, err = parseEngines(*engines)
	return o, err
}

// wanted reports whether a row is to be measured.
func (o options) wanted(name string) bool { return o.rows.MatchString(name) }

// runBench measures everything and writes the report; what was measured before something failed is
// shown all the same.
func runBench(ctx context.Context, o options) error {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.cleanUp()
	if o.realms > 0 {
		return b.measureRealms(ctx, o.realms)
	}
	if o.handover > 0 {
		return b.handovers(ctx, o.handover)
	}
	if o.timings > 0 {
		return b.timings(ctx, o.timings)
	}
	if o.lists > 0 {
		return b.lists(ctx, o.lists)
	}
	if o.backup > 0 {
		return b.backups(ctx, o.backup)
	}
	list := slices.DeleteFunc(rows(), func(r row) bool { return !o.wanted(r.name) })
	if o.watch > 0 {
		if o.rows.String() == "(?i)" {
			list = slices.DeleteFunc(list, func(r row) bool { return !slices.Contains(hotRows(), r.name) })
		}
		return b.watching(ctx, list, o.watch)
	}
	rep := &report{bench: b, began: time.Now()}
	if err = b.measureAlone(ctx, rep); err != nil {
		return err
	}
	for _, e := range o.engines {
		if err = b.measureOn(ctx, e, list, rep); err != nil {
			break
		}
	}
	rep.took = time.Since(rep.began)
	fmt.Print(rep.text())
	if err != nil || o.out == "" {
		return err
	}
	return os.WriteFile(o.out, []byte(rep.markdown()), 0o644) // documentation
}

// measureAlone measures what needs neither server nor database.
func (b *bench) measureAlone(ctx context.Context, rep *report) error {
	if !b.wanted(factMatch) {
		return nil
	}
	b.say("%s", factMatch)
	var err error
	rep.matching, err = routeMatch(ctx, matchPasses, matchEach)
	return err
}

// measureOn measures everything on one engine.
func (b *bench) measureOn(ctx context.Context, e engine, list []row, rep *report) error {
	results, err := b.run(ctx, e, ofEngine(list, e))
	rep.results = append(rep.results, results...)
	if err != nil {
		return err
	}
	facts, err := b.facts(ctx, e)
	rep.facts = append(rep.facts, facts...)
	if err != nil || !b.growth {
		return err
	}
	grown, loads, err := b.grow(ctx, e)
	rep.grown, rep.loads = append(rep.grown, grown...), append(rep.loads, loads...)
	return err
}

// newBench looks for what is needed, builds the server and makes the directory.
func newBench(ctx context.Context, o options) (*bench, error) {
	if o.handover == 0 {
		if err := findWrk(ctx); err != nil {
			return nil, err
		}
	}
	b := &bench{options: o, masterKey: make([]byte, 32)}
	rand.Read(b.masterKey)
	b.secretKey = hex.EncodeToString(b.masterKey)
	var err error
	if b.dir, err = os.MkdirTemp(o.place, "gatehouse-bench-"); err != nil {
		return nil, err
	}
	if b.profiles == "" && hasSetting(settingPprof) {
		b.profiles, err = os.MkdirTemp("", "gatehouse-profiles-")
	} else if b.profiles != "" {
		err = os.MkdirAll(b.profiles, 0o755)
	}
	if err == nil && b.profiles != "" {
		b.profiles, err = filepath.Abs(b.profiles)
	}
	switch {
	case err != nil:
	case b.program != "":
		b.binary, err = filepath.Abs(b.program)
	default:
		b.say("building the server")
		b.binary, err = buildBinary(ctx, b.dir)
	}
	if err != nil {
		b.cleanUp()
		return nil, err
	}
	return b, nil
}

// cleanUp ends and removes everything but the profiles.
func (b *bench) cleanUp() {
	if err := errors.Join(b.upstream.end(), b.pg.end(), os.RemoveAll(b.dir)); err != nil {
		b.say("%v", err)
	}
}
