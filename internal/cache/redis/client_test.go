package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// withDefaults sets times that do not end a test on a busy machine.
func (cfg Config) withDefaults() Config {
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = testkit.HangAfter
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = testkit.HangAfter
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = time.Hour
	}
	return cfg
}

// client opens a client that ends with the test.
func client(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := Open(t.Context(), cfg.withDefaults())
	testkit.Must(t, err)
	t.Cleanup(c.Close)
	return c
}

// do sends a command, of which the second word is the key.
func do(t testing.TB, c *Client, args ...string) Reply {
	t.Helper()
	reply, err := c.Do(t.Context(), append(args, "")[1], args...)
	testkit.Must(t, err)
	return reply
}

// fake starts a server that has a function answer commands: "" ends the connection. It returns its
// address.
func fake(t testing.TB, answer func(args []string) string) string {
	t.Helper()
	l := listen(t)
	serveFake(t, l, answer)
	return l.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	return l
}

func serveFake(t testing.TB, l net.Listener, answer func(args []string) string) {
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := newReplyReader(c)
				for {
					command, err := r.next()
					if err != nil {
						return
					}
					var args []string
					for _, item := range command.Items {
						args = append(args, item.Text)
					}
					out := answer(args)
					if _, err := c.Write([]byte(out)); err != nil || out == "" {
						return
					}
				}
			}()
		}
	}()
}

// greeting answers what a connection begins with, and has next answer the rest.
func greeting(next func(args []string) string) func([]string) string {
	return func(args []string) string {
		switch args[0] {
		case "PING":
			return "+PONG\r\n"
		case "CLIENT", "AUTH", "SELECT":
			return "+OK\r\n"
		case "CLUSTER":
			return "-ERR This instance has cluster support disabled\r\n"
		}
		return next(args)
	}
}

func TestManyShareAConnection(t *testing.T) {
	t.Parallel()
	p := testkit.StartProxy(t, testkit.StartRedis(t).Addr())
	c := client(t, Config{Addrs: []string{p.Addr()}})
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			for j := range 50 {
				ctx, cancel := context.WithCancel(context.Background())
				if (i+j)%7 == 0 {
					go cancel() // before, while or after it is sent
				}
				want := fmt.Sprint(i, " ", j)
				got, err := c.Do(ctx, "", "ECHO", want)
				if err == nil && got.Text != want || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("ECHO %s: %+v %v", want, got, err)
				}
				cancel()
			}
		})
	}
	group.Wait()
	testkit.Equal(t, "connections", p.Accepted.Load(), 1)
}

func TestDatabaseAndUsers(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "r.sock")
	r := testkit.StartRedis(t, "--unixsocket", socket,
		"--user", "open", "on", "nopass", "~*", "&*", "+@all",
		"--user", "kim", "on", ">secret", "~*", "&*", "+@all",
		"--user", "few", "on", ">secret", "~*", "+set", "+get")
	plain := client(t, Config{Addrs: []string{r.Addr()}})
	for i, cfg := range []Config{
		{Addrs: []string{r.Addr()}, Database: 3},
		{Addrs: []string{r.Addr()}, Database: 3, User: "open"},
		{Addrs: []string{r.Addr()}, Database: 3, User: "kim", Password: "secret", Name: "me"},
		{Addrs: []string{r.Addr()}, Database: 3, Password: "not needed"},
		{Addrs: []string{socket}, Socket: true, Database: 3},
		{Addrs: []string{r.Addr()}, User: "few", Password: "secret", Name: "me"}, // may not set a name
	} {
		c := client(t, cfg)
		do(t, c, "SET", "k", strconv.Itoa(i))
		testkit.Equal(t, "value", do(t, c, "GET", "k").Text, strconv.Itoa(i))
		testkit.Equal(t, "it is in database 0", do(t, plain, "GET", "k").Null, cfg.Database != 0)
	}
	list := do(t, client(t, Config{Addrs: []string{r.Addr()}, Name: "named"}), "CLIENT", "LIST").Text
	if !strings.Contains(list, "name=named") {
		t.Errorf("no connection has the name: %s", list)
	}
}

// No error repeats the password, whatever the server answers.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	locked := testkit.StartRedis(t, "--user", "kim", "on", ">hunter1", "~*", "+@all").Addr()
	do(t, client(t, Config{Addrs: []string{locked}}), "CONFIG", "SET", "requirepass", "hunter1")
	echo := fake(t, func(args []string) string {
		return fmt.Sprintf("-ERR unknown command, with args beginning with: %s\r\n", strings.Join(args[1:], " "))
	})
	for name, row := range map[string]struct {
		cfg  Config
		want string
	}{
		"wrong password":          {Config{Addrs: []string{locked}, Password: "hunter2"}, "rejects the user name or password"},
		"wrong user":              {Config{Addrs: []string{locked}, User: "lee", Password: "hunter2"}, "rejects the user name or password"},
		"without password":        {Config{Addrs: []string{locked}}, "NOAUTH"},
		"not allowed":             {Config{Addrs: []string{locked}, User: "kim", Password: "hunter1", Database: 99}, "out of range"},
		"server without AUTH":     {Config{Addrs: []string{echo}, User: "u", Password: "hunter2"}, "rejects the sign-in"},
		"no server":               {Config{Addrs: []string{"127.0.0.1:1"}, Password: "hunter2"}, "refused"},
		"no Sentinel":             {Config{Mode: Sentinel, Addrs: []string{"127.0.0.1:1"}, Primary: "main", SentinelPassword: "hunter2"}, "refused"},
		"no cluster":              {Config{Mode: Cluster, Addrs: []string{"127.0.0.1:1"}, Password: "hunter2"}, "refused"},
		"not a cluster":           {Config{Mode: Cluster, Addrs: []string{locked}, Password: "hunter1"}, "cluster support disabled"},
		"not a Sentinel":          {Config{Mode: Sentinel, Addrs: []string{locked}, SentinelPassword: "hunter1", Primary: "main"}, "unknown command"},
		"wrong Sentinel password": {Config{Mode: Sentinel, Addrs: []string{locked}, SentinelPassword: "hunter2", Primary: "main"}, "rejects"},
	} {
		_, err := Open(t.Context(), row.cfg.withDefaults())
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v; want %q", name, err, row.want)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	addr, sentinel, certFile := testkit.StartTLSRedis(t)
	pem, err := os.ReadFile(certFile)
	testkit.Must(t, err)
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(pem)
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: known}
	watch := strings.TrimSuffix(strings.TrimPrefix(sentinel, "rediss://"), "?master=main")
	for _, cfg := range []Config{
		{Addrs: []string{addr}, TLS: config},
		{Addrs: []string{strings.Replace(addr, "127.0.0.1", "localhost", 1)}, TLS: config},
		{Mode: Sentinel, Addrs: []string{watch}, Primary: "main", TLS: config},
	} {
		testkit.Equal(t, "answer", do(t, client(t, cfg), "PING").Text, "PONG")
	}
	cert, err := tls.LoadX509KeyPair(certFile, filepath.Join(filepath.Dir(certFile), "key.pem"))
	testkit.Must(t, err)
	secured := func(on string, server *tls.Config) string {
		server.Certificates = []tls.Certificate{cert}
		l, err := tls.Listen("tcp", on, server)
		testkit.Must(t, err)
		serveFake(t, l, greeting(nil))
		return l.Addr().String()
	}
	for name, row := range map[string]struct {
		addr string
		tls  *tls.Config
		want string
	}{
		"unknown authority": {addr, &tls.Config{MinVersion: tls.VersionTLS12}, "unknown authority"},
		"another host":      {secured("127.0.0.2:0", &tls.Config{}), config, "127.0.0.2"},
		"TLS 1.1":           {secured("127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), config, "protocol version"},
	} {
		_, err := Open(t.Context(), Config{Addrs: []string{row.addr}, TLS: row.tls}.withDefaults())
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v; want %q", name, err, row.want)
		}
	}
}

// A server that hangs delays a command until its deadline, and those behind it no longer. After it
// the client needs no help.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	c := client(t, Config{Addrs: []string{r.Addr()}, Timeout: 50 * time.Millisecond})
	r.Freeze()
	for range 3 {
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				if _, err := c.Do(ctx, "", "ECHO", "lost"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			})
		}
		group.Wait()
	}
	// The connection ends also when no caller waits that long.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = c.Do(ctx, "", "ECHO", "lost")
	r.Thaw()
	answers(t, c)
}

// answers waits until the client gets the answer to its own command.
func answers(t *testing.T, c *Client) {
	t.Helper()
	n := 0
	testkit.Eventually(t, "the client has recovered", func() bool {
		n++
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		reply, err := c.Do(ctx, "", "ECHO", strconv.Itoa(n))
		if err == nil && reply.Text != strconv.Itoa(n) {
			t.Fatalf("%q is the answer to another command", reply.Text)
		}
		return err == nil
	})
}

// Packets are dropped, and neither side hears of it.
func TestConnectionIsSilent(t *testing.T) {
	t.Parallel()
	p := testkit.StartProxy(t, testkit.StartRedis(t).Addr())
	c := client(t, Config{Addrs: []string{p.Addr()}, Timeout: 50 * time.Millisecond})
	for range 3 {
		p.Silence()
		if _, err := c.Do(t.Context(), "", "ECHO", "lost"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		answers(t, c)
	}
}

func TestServerRestarts(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	c := client(t, Config{Addrs: []string{r.Addr()}})
	script := NewScript("return ARGV[1]")
	for range 3 { // with a server that does not know the script
		for range 2 {
			reply, err := script.Do(t.Context(), c, "k", "x")
			testkit.Must(t, err)
			testkit.Equal(t, "result", reply.Text, "x")
		}
		r.Stop()
		if _, err := c.Do(t.Context(), "k", "PING"); err == nil {
			t.Error("a server that does not run has answered")
		}
		r.Start()
		answers(t, c)
	}
}

// NOSCRIPT leads to EVAL, once.
func TestScriptIsSentOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	c := client(t, Config{Addrs: []string{fake(t, greeting(func(args []string) string {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, args[0])
		return "-NOSCRIPT No matching script. Please use EVAL.\r\n"
	}))}})
	_, err := NewScript("return 1").Do(t.Context(), c, "k")
	testkit.Equal(t, "code", code(err), "NOSCRIPT")
	testkit.Equal(t, "commands", strings.Join(got, " "), "EVALSHA EVAL")
}

// The answer to a command is lost. Nothing sends the command again.
func TestLostAnswerIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Server, Sentinel, Cluster} {
		var sets atomic.Int32
		l := listen(t)
		addr := l.Addr().String()
		serveFake(t, l, func(args []string) string {
			switch args[0] {
			case "PING":
				return "+PONG\r\n"
			case "ROLE":
				return "*1\r\n$6\r\nmaster\r\n"
			case "CLUSTER":
				if mode != Cluster || args[1] != "SLOTS" {
					return "-ERR not here\r\n"
				}
				_, port, _ := net.SplitHostPort(addr)
				return "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:" + port + "\r\n"
			}
			sets.Add(1)
			return ""
		})
		cfg := Config{Mode: mode, Addrs: []string{addr}, Primary: "main"}
		if mode == Sentinel {
			cfg.Addrs = []string{fakeSentinel(t, &atomic.Pointer[string]{}, addr, 1)}
		}
		c := client(t, cfg)
		_, err := c.Do(t.Context(), "k", "SET", "k", "1", "NX")
		if err == nil || unsent(err) {
			t.Errorf("mode %d: %v", mode, err)
		}
		testkit.Equal(t, "commands that arrived", sets.Load(), 1)
	}
}

// A server that has become a replica says so. Its name leads to the new primary.
func TestServerBecomesReplica(t *testing.T) {
	t.Parallel()
	old, next := testkit.StartRedis(t), testkit.StartRedis(t)
	p := testkit.StartProxy(t, old.Addr())
	c := client(t, Config{Addrs: []string{p.Addr()}})
	host, port, _ := net.SplitHostPort(next.Addr())
	p.Redirect(next.Addr())
	do(t, client(t, Config{Addrs: []string{old.Addr()}}), "REPLICAOF", host, port)
	do(t, c, "SET", "k", "1")
	testkit.Equal(t, "value at the new primary", do(t, client(t, Config{Addrs: []string{next.Addr()}}), "GET", "k").Text, "1")
}

// Answers without a question, and what cannot be read, end the connection and nothing else.
func TestBrokenServer(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"$1000000000\r\n", "*1000000000\r\n", "$-7\r\n", "HTTP/1.1 400 Bad Request\r\n", ":1\r\n:2\r\n"} {
		var broken atomic.Bool
		c := client(t, Config{Addrs: []string{fake(t, greeting(func([]string) string {
			if broken.CompareAndSwap(false, true) {
				return answer
			}
			return "+fine\r\n"
		}))}})
		reply, err := c.Do(t.Context(), "", "GET", "k")
		if answer[0] != ':' && !errors.Is(err, errMalformed) {
			t.Errorf("%q: %+v %v", answer, reply, err)
		}
		testkit.Eventually(t, "a new connection", func() bool {
			reply, err := c.Do(t.Context(), "", "GET", "k")
			return err == nil && reply.Text == "fine"
		})
	}
}

// Commands that wait for a server that hangs are bounded.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	c := client(t, Config{Addrs: []string{r.Addr()}})
	conn, err := c.router.(server).node.connection(t.Context())
	testkit.Must(t, err)
	r.Freeze()
	for range maxWaiting {
		_, err := conn.send(false, []string{"ECHO", "x"})
		testkit.Must(t, err)
	}
	if _, err := c.Do(t.Context(), "", "ECHO", "x"); !errors.Is(err, errBusy) || !unsent(err) {
		t.Error(err)
	}
}

// After Close nothing of a client runs, whatever it was at.
func TestNothingRunsAfterClose(t *testing.T) {
	frozen := testkit.StartRedis(t)
	sentinels := testkit.StartSentinels(t)
	hosts := strings.TrimPrefix(testkit.StartRedisCluster(t), "redis://")
	var watch []string
	for _, p := range sentinels.Sentinels {
		watch = append(watch, p.Addr())
	}
	for name, cfg := range map[string]Config{
		"one": {Addrs: []string{frozen.Addr()}},
		"sentinel": {
			Mode: Sentinel, Addrs: watch, Primary: "main", Refresh: time.Millisecond,
			Password: testkit.RedisPassword, SentinelPassword: testkit.SentinelPassword,
		},
		"cluster": {Mode: Cluster, Addrs: strings.Split(hosts, ",")},
	} {
		c, err := Open(t.Context(), cfg.withDefaults())
		testkit.Must(t, err)
		if name == "one" {
			frozen.Freeze()
		}
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				defer cancel()
				_, _ = c.Do(ctx, strconv.Itoa(i), "ECHO", "x")
			})
		}
		group.Wait()
		c.Close()
		c.Close() // again, as a program that ends may
		if _, err := c.Do(t.Context(), "k", "PING"); !errors.Is(err, errClosed) {
			t.Errorf("%s: after Close: %v", name, err)
		}
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, of := range []string{"redis.(*conn)", "redis.(*node)", "redis.(*refresher)", "redis.newest"} {
			if strings.Contains(string(stacks), of) {
				t.Errorf("%s: %s still runs:\n%s", name, of, stacks)
			}
		}
	}
}
