package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// This part replaces servers under load, again and again, and counts the requests that fail: one
// server hands its socket on to a new process (SIGUSR2), and two servers behind HAProxy, with the
// file of deploy/proxies, are stopped and started by turns. Clients refresh tokens, have them
// introspected and read metadata, so a token that was lost is a failed request as well.

const (
	replacementPause = time.Second           // between two replacements
	balancerNotices  = 3 * time.Second       // HAProxy's check of a server that is back, and some more
	requestPause     = 25 * time.Millisecond // of each client, so that they do not only measure the server
	longestPause     = 8 * time.Second       // of clients with idle connections: longer than the drain
	replacedWithin   = 90 * time.Second      // until a process that was asked to end has gone
	failuresShown    = 5
)

// An arrangement is a way of replacing servers.
type arrangement struct {
	name   string
	engine engine
	secure bool
	two    bool // servers, behind HAProxy
}

// arranged is an arrangement that runs.
type arranged struct {
	*bench
	arrangement
	url     string
	address string // of clients
	cert    [2]string
	states  *net.UnixConn // what the process says to its service manager
	main    int           // process id of one server
	servers []*server     // several servers, or the first process of one
	next    int           // the server that is replaced then
	proxy   *process
}

// arrangements returns what is measured.
func arrangements() []arrangement {
	return []arrangement{
		{name: "one server", engine: sqlite},
		{name: "one server, TLS", engine: sqlite, secure: true},
		{name: "two servers", engine: postgres, two: true},
		{name: "two servers, TLS", engine: postgres, two: true, secure: true},
	}
}

// start starts the servers.
func (a *arranged) start(ctx context.Context) error {
	if a.two {
		return a.startTwo(ctx)
	}
	return a.startOne(ctx)
}

// replace replaces one of the servers, and returns once the former process has gone.
func (a *arranged) replace(ctx context.Context) error {
	if a.two {
		return a.restart(ctx)
	}
	return a.handOver(ctx)
}

// handovers sends n requests in each arrangement. It fails if one of them did.
func (b *bench) handovers(ctx context.Context, n int) error {
	var failed int64
	for i, x := range arrangements() {
		if !b.wanted(x.name) {
			continue
		}
		b.say("%s", x.name)
		count, err := b.handoverOf(ctx, x, fmt.Sprintf("handover%d", i), n)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		failed += count
	}
	if failed > 0 {
		return fmt.Errorf("%d requests failed", failed)
	}
	return nil
}

func (b *bench) handoverOf(ctx context.Context, x arrangement, name string, n int) (failed int64, err error) {
	a := &arranged{bench: b, arrangement: x}
	if a.url, err = b.fresh(ctx, x.engine, name); err != nil {
		return 0, err
	}
	families, client, err := a.grants(ctx)
	if err != nil {
		return 0, err
	}
	if a.cert[0], a.cert[1], err = testkit.WriteCertificate(b.dir); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.end()) }()
	if err = a.start(ctx); err != nil {
		return 0, err
	}
	l := &handoverLoad{secure: x.secure, address: a.address, client: client, left: int64(n), byKind: map[string]*counter{}}
	began := time.Now()
	replaced, err := a.replaceWhile(ctx, func(ctx context.Context) { l.run(ctx, families) })
	l.print(x.name, replaced, time.Since(began))
	return l.failed, err
}

// grants makes a chain of refresh tokens for each connection.
func (a *arranged) grants(ctx context.Context) (families []*family, client [2]string, err error) {
	st := &stage{bench: a.bench}
	if st.world, err = a.newWorld(ctx, a.engine, a.url, 1000); err != nil {
		return nil, client, err
	}
	if st.server, err = a.startServer(ctx, a.url); err != nil {
		return nil, client, err
	}
	families, err = st.families(ctx, a.connections, scopesAPI)
	id := clientID("ES256")
	return families, [2]string{id, st.world.clients[id]}, errors.Join(err, st.server.end())
}

// replaceWhile replaces servers until work is done, and returns how often.
func (a *arranged) replaceWhile(ctx context.Context, work func(ctx context.Context)) (n int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { work(ctx); done.Store(true) })
	for err == nil && !done.Load() {
		if err = sleep(ctx, replacementPause); err != nil {
			break
		}
		if done.Load() {
			break
		}
		if err = a.replace(ctx); err == nil {
			n++
		}
	}
	if err != nil {
		stop()
	}
	wg.Wait()
	return n, err
}

// settings returns those of production where they matter here.
func (a *arranged) settings(port int, more ...string) []string {
	scheme := "http"
	if a.secure {
		scheme = "https"
	}
	return append(append(plainEnviron(), "HOST=127.0.0.1", fmt.Sprintf("PORT=%d", port),
		"BASE_URL="+scheme+"://"+strings.Replace(a.address, "127.0.0.1", "localhost", 1), "DATABASE_URL="+a.url,
		"SECRET_KEY="+a.secretKey, "RATE_LIMIT_ENABLED=false", "LOG_LEVEL=info", "LOG_FORMAT=json"), more...)
}

// launch starts a server and waits until it is ready.
func (a *arranged) launch(ctx context.Context, port int, secure bool, settings ...string) (*server, error) {
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", port)}
	cmd := exec.Command(a.binary, "serve")
	cmd.Dir, cmd.Env = a.dir, a.settings(port, settings...)
	var err error
	if s.process, err = startProcess(cmd, filepath.Join(a.dir, "server.log"), syscall.SIGTERM); err != nil {
		return nil, err
	}
	probe := newDirect(s.address, secure, false)
	return s, s.await(time.Minute, 10*time.Millisecond, func() error {
		status, body, err := probe.do(ctx, get("/readyz"))
		if err == nil && status != 200 {
			err = wrongAnswer(status, body)
		}
		return err
	})
}

// startOne starts one server, which reports to us, as its service manager, which process is the
// main one.
func (a *arranged) startOne(ctx context.Context) error {
	port, err := testkit.UnusedPort()
	if err != nil {
		return err
	}
	a.address = fmt.Sprintf("127.0.0.1:%d", port)
	socket := filepath.Join(a.dir, "notify")
	_ = os.Remove(socket)
	if a.states, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		return err
	}
	settings := []string{"NOTIFY_SOCKET=" + socket}
	if a.secure {
		settings = append(settings, "SSL_CERT="+a.cert[0], "SSL_KEY="+a.cert[1])
	}
	s, err := a.launch(ctx, port, a.secure, settings...)
	if err != nil {
		return err
	}
	a.servers, a.main = []*server{s}, s.cmd.Process.Pid
	return nil
}

// handOver has the main process start the next one, and waits until it has gone itself.
func (a *arranged) handOver(ctx context.Context) error {
	former := a.main
	if err := syscall.Kill(former, syscall.SIGUSR2); err != nil {
		return err
	}
	raw := make([]byte, 256)
	for a.main == former {
		_ = a.states.SetReadDeadline(time.Now().Add(replacedWithin))
		n, err := a.states.Read(raw)
		if err != nil {
			return fmt.Errorf("no new process: %w", err)
		}
		if pid, ok := strings.CutPrefix(string(raw[:n]), "MAINPID="); ok {
			if a.main, err = strconv.Atoi(pid); err != nil {
				return err
			}
		}
	}
	return untilGone(ctx, former)
}

// untilGone waits for the end of a process that need not be a child of this one.
func untilGone(ctx context.Context, pid int) error {
	for end := time.Now().Add(replacedWithin); time.Now().Before(end); {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(raw), ") Z ") {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the process %d has not ended", pid)
}

// startTwo starts two servers, and HAProxy in front of them.
func (a *arranged) startTwo(ctx context.Context) error {
	ports := make([]int, 3)
	for i := range ports {
		var err error
		if ports[i], err = testkit.UnusedPort(); err != nil {
			return err
		}
	}
	a.address = fmt.Sprintf("127.0.0.1:%d", ports[2])
	for _, port := range ports[:2] {
		s, err := a.launch(ctx, port, false, "TRUSTED_PROXIES=127.0.0.1")
		if err != nil {
			return err
		}
		a.servers = append(a.servers, s)
	}
	return a.startBalancer(ctx, ports)
}

// startBalancer starts HAProxy with the file that is shipped.
func (a *arranged) startBalancer(ctx context.Context, ports []int) error {
	raw, err := os.ReadFile("deploy/proxies/haproxy.cfg")
	if err != nil {
		return fmt.Errorf("run this at the top of the repository: %w", err)
	}
	pem := filepath.Join(a.dir, "id.pem")
	var both []byte
	for _, name := range a.cert {
		one, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		both = append(both, one...)
	}
	if err := os.WriteFile(pem, both, 0o600); err != nil {
		return err
	}
	tls, scheme := "ssl crt "+pem+" alpn h2,http/1.1", "X-Forwarded-Proto https"
	if !a.secure {
		tls, scheme = "", "X-Forwarded-Proto http"
	}
	text := strings.NewReplacer(":443 ssl crt /etc/haproxy/id.pem alpn h2,http/1.1", a.address+" "+tls,
		"X-Forwarded-Proto https", scheme, "127.0.0.1:8080", fmt.Sprintf("127.0.0.1:%d", ports[0]),
		"127.0.0.1:8081", fmt.Sprintf("127.0.0.1:%d", ports[1])).Replace(string(raw))
	file := filepath.Join(a.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte("global\n    maxconn 4000\n"+text), 0o600); err != nil {
		return err
	}
	cmd := exec.Command("haproxy", "-db", "-f", file)
	if a.proxy, err = startProcess(cmd, filepath.Join(a.dir, "haproxy.log"), syscall.SIGTERM); err != nil {
		return fmt.Errorf("haproxy (Debian's package haproxy): %w", err)
	}
	probe := newDirect(a.address, a.secure, false)
	return a.proxy.await(20*time.Second, 20*time.Millisecond, func() error {
		status, body, err := probe.do(ctx, get("/readyz"))
		if err == nil && status != 200 {
			err = wrongAnswer(status, body)
		}
		return err
	})
}

// restart stops one of the servers and starts it again, as an upgrade of several servers does.
func (a *arranged) restart(ctx context.Context) error {
	s := a.servers[a.next]
	if err := s.stop(syscall.SIGTERM, replacedWithin); err != nil {
		return err
	}
	_, port, _ := strings.Cut(s.address, ":")
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	if a.servers[a.next], err = a.launch(ctx, number, false, "TRUSTED_PROXIES=127.0.0.1"); err != nil {
		return err
	}
	a.next = 1 - a.next
	return sleep(ctx, balancerNotices)
}

// end stops everything.
func (a *arranged) end() error {
	var errs []error
	if a.main != 0 {
		_ = syscall.Kill(a.main, syscall.SIGINT)
		errs = append(errs, untilGone(context.Background(), a.main), a.states.Close())
	}
	for _, s := range a.servers {
		errs = append(errs, s.stop(syscall.SIGINT, replacedWithin))
	}
	if a.proxy != nil {
		errs = append(errs, a.proxy.stop(syscall.SIGTERM, 10*time.Second))
	}
	return errors.Join(errs...)
}

// counter counts the requests of one kind of client.
type counter struct {
	times  []time.Duration
	failed int64
}

// print writes what became of the requests.
func (l *handoverLoad) print(name string, replaced int, took time.Duration) {
	var all []time.Duration
	for _, t := range l.byKind {
		all = append(all, t.times...)
	}
	slices.Sort(all)
	fmt.Printf("%-18s %s requests, %d failed; %d replacements in %.0f s, %s/s, p50 %s, p99 %s, slowest %s\n",
		name, count(float64(len(all))+float64(l.failed)), l.failed, replaced, took.Seconds(),
		count(float64(len(all))/took.Seconds()), brief(quantile(all, 0.5)), brief(quantile(all, 0.99)), brief(quantile(all, 1)))
	for _, k := range handoverKinds() {
		if t := l.byKind[k.name]; t != nil {
			fmt.Printf("    %-40s %s, %d failed\n", k.name, count(float64(len(t.times))+float64(t.failed)), t.failed)
		}
	}
	for _, err := range l.errs[:min(len(l.errs), failuresShown)] {
		fmt.Printf("    %v\n", err)
	}
}
