package redis

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// fakeSentinel starts a Sentinel with a fixed epoch that names an address, or another one that is
// stored later.
func fakeSentinel(t testing.TB, later *atomic.Pointer[string], addr string, epoch int) string {
	return fake(t, greeting(func(args []string) string {
		at := addr
		if l := later.Load(); l != nil {
			at = *l
		}
		host, port, _ := net.SplitHostPort(at)
		switch strings.ToUpper(args[1]) {
		case "GET-MASTER-ADDR-BY-NAME":
			return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(host), host, len(port), port)
		case "MASTER":
			e := strconv.Itoa(epoch)
			return fmt.Sprintf("*2\r\n$12\r\nconfig-epoch\r\n$%d\r\n%s\r\n", len(e), e)
		}
		return "*0\r\n"
	}))
}

// name stores a name of its server in each of two, and returns a function that says which of them a
// client reaches.
func name(t *testing.T, servers ...*testkit.Process) func(c *Client) string {
	t.Helper()
	for i, s := range servers {
		do(t, client(t, Config{Addrs: []string{s.Addr()}}), "SET", "name", strconv.Itoa(i))
	}
	return func(c *Client) string {
		reply, err := c.Do(t.Context(), "name", "GET", "name")
		if err != nil {
			return err.Error()
		}
		return reply.Text
	}
}

// A Sentinel that is cut off from the others knows an older primary, and announces nothing.
func TestSentinelIsCutOff(t *testing.T) {
	t.Parallel()
	a, b := testkit.StartRedis(t), testkit.StartRedis(t)
	reached := name(t, a, b)
	var never, later atomic.Pointer[string]
	cut := fakeSentinel(t, &never, a.Addr(), 1)
	addrs := []string{cut, fakeSentinel(t, &later, a.Addr(), 2), fakeSentinel(t, &later, a.Addr(), 2)}
	c := client(t, Config{Mode: Sentinel, Addrs: addrs, Primary: "main", Refresh: time.Millisecond})
	testkit.Equal(t, "primary", reached(c), "0")
	at := b.Addr()
	later.Store(&at) // while a still answers
	testkit.Eventually(t, "the new primary is found", func() bool { return reached(c) == "1" })
	for range 50 {
		testkit.Equal(t, "primary", reached(c), "1")
	}
}

// Sentinels that hang or have stopped do not matter while another answers, at the start too.
func TestSentinelsStop(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinels(t)
	cfg := Config{
		Mode: Sentinel, Primary: "main", Refresh: time.Second,
		Password: testkit.RedisPassword, SentinelPassword: testkit.SentinelPassword,
	}
	for _, p := range s.Sentinels {
		cfg.Addrs = append(cfg.Addrs, p.Addr())
	}
	s.Sentinels[0].Freeze()
	first := client(t, cfg)
	do(t, first, "SET", "k", "1")
	s.Sentinels[1].Freeze()
	do(t, client(t, cfg), "SET", "k", "1")
	s.Sentinels[1].Stop()
	do(t, client(t, cfg), "SET", "k", "1")
	s.Sentinels[2].Stop()
	do(t, first, "SET", "k", "1") // the primary is known
}

// A Sentinel of the address is lost. Those that it has named are asked.
func TestSentinelsNameOthers(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinels(t)
	c := client(t, Config{
		Mode: Sentinel, Primary: "main", Refresh: 10 * time.Millisecond,
		Addrs: []string{s.Sentinels[0].Addr()}, Password: testkit.RedisPassword, SentinelPassword: testkit.SentinelPassword,
	})
	s.Sentinels[0].Stop()
	s.Primary.Stop()
	testkit.Eventually(t, "the new primary is found", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		_, err := c.Do(ctx, "k", "SET", "k", "1")
		return err == nil
	})
}

// The replica is promoted while the old primary lives.
func TestReplicaIsPromoted(t *testing.T) {
	t.Parallel()
	s := testkit.StartSentinels(t)
	cfg := Config{
		Mode: Sentinel, Primary: "main", Refresh: time.Second,
		Password: testkit.RedisPassword, SentinelPassword: testkit.SentinelPassword,
	}
	for _, p := range s.Sentinels {
		cfg.Addrs = append(cfg.Addrs, p.Addr())
	}
	c := client(t, cfg)
	do(t, c, "SET", "k", "1")
	s.Sentinels[0].Ask("AUTH "+testkit.SentinelPassword+"\r\nSENTINEL FAILOVER main\r\n", "+OK\r\n+OK")
	testkit.Eventually(t, "the replica is written to", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		_, _ = c.Do(ctx, "k", "SET", "k", "2")
		return c.router.(*sentinel).current().addr == s.Replica.Addr()
	})
	answers(t, c)
}

// A primary that has become a replica answers READONLY: the Sentinels are asked at once, and the
// new primary gets the command.
func TestPrimaryAnswersReadOnly(t *testing.T) {
	t.Parallel()
	old, next := testkit.StartRedis(t), testkit.StartRedis(t)
	var later atomic.Pointer[string]
	watch := fakeSentinel(t, &later, old.Addr(), 1)
	c := client(t, Config{Mode: Sentinel, Addrs: []string{watch}, Primary: "main"}) // looks once an hour
	do(t, c, "SET", "k", "0")
	at := next.Addr()
	later.Store(&at)
	host, port, _ := net.SplitHostPort(at)
	do(t, client(t, Config{Addrs: []string{old.Addr()}}), "REPLICAOF", host, port)
	do(t, c, "SET", "k", "1")
	testkit.Equal(t, "value at the new primary", do(t, client(t, Config{Addrs: []string{at}}), "GET", "k").Text, "1")
}

// A replica that Sentinels name by mistake is not written to.
func TestReplicaIsRejected(t *testing.T) {
	t.Parallel()
	a, b := testkit.StartRedis(t), testkit.StartRedis(t)
	host, port, _ := net.SplitHostPort(a.Addr())
	do(t, client(t, Config{Addrs: []string{b.Addr()}}), "REPLICAOF", host, port)
	watch := fakeSentinel(t, &atomic.Pointer[string]{}, b.Addr(), 1)
	_, err := Open(t.Context(), Config{Mode: Sentinel, Addrs: []string{watch}, Primary: "main"}.withDefaults())
	if err == nil || !strings.Contains(err.Error(), "not a primary") {
		t.Error(err)
	}
}

// keys returns keys of all three servers.
func keys() (out []string) {
	for i := range 30 {
		out = append(out, "k"+strconv.Itoa(i))
	}
	return out
}

// One address of a cluster is enough, and needs not say that it is one.
func TestClusterByOneAddress(t *testing.T) {
	t.Parallel()
	hosts := strings.Split(strings.TrimPrefix(testkit.StartRedisCluster(t), "redis://"), ",")
	for _, mode := range []Mode{Server, Cluster} {
		c := client(t, Config{Mode: mode, Addrs: hosts[1:2]})
		for _, k := range keys() {
			do(t, c, "SET", k, "1")
		}
		testkit.Equal(t, "servers", len(c.router.(*cluster).nodes), 3)
	}
	c := client(t, Config{Mode: Cluster, Addrs: []string{"127.0.0.1:1", hosts[0]}})
	do(t, c, "SET", "k", "1")
}

// A slot moves: ASK leads to its new server once, MOVED for good.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	hosts := strings.Split(strings.TrimPrefix(testkit.StartRedisCluster(t), "redis://"), ",")
	c := client(t, Config{Mode: Cluster, Addrs: hosts})
	router := c.router.(*cluster)
	key := "moving"
	from := router.at(key)
	to := router.nodes[hosts[0]]
	if to == from {
		to = router.nodes[hosts[1]]
	}
	manage := func(n *node, args ...string) string {
		reply, err := n.do(t.Context(), false, append([]string{"CLUSTER"}, args...))
		testkit.Must(t, err)
		return reply.Text
	}
	slot, fromID, toID := strconv.Itoa(slotOf(key)), manage(from, "MYID"), manage(to, "MYID")
	manage(to, "SETSLOT", slot, "IMPORTING", fromID)
	manage(from, "SETSLOT", slot, "MIGRATING", toID)
	do(t, c, "SET", key, "1") // is not there yet, so the old server answers ASK
	testkit.Equal(t, "server after ASK", router.at(key).addr, from.addr)
	for _, n := range []*node{to, from} {
		manage(n, "SETSLOT", slot, "NODE", toID)
	}
	testkit.Equal(t, "value", do(t, c, "GET", key).Text, "1") // MOVED
	testkit.Equal(t, "server after MOVED", router.at(key).addr, to.addr)
}

// Servers that send each other's clients in a circle are left after some steps.
func TestRedirectsAreBounded(t *testing.T) {
	t.Parallel()
	l := listen(t)
	addr := l.Addr().String()
	var sets atomic.Int32
	serveFake(t, l, func(args []string) string {
		switch {
		case args[0] == "PING":
			return "+PONG\r\n"
		case args[0] == "CLUSTER" && args[1] == "SLOTS":
			_, port, _ := net.SplitHostPort(addr)
			return "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:" + port + "\r\n" // the same host
		case args[0] == "CLUSTER":
			return "-NOPERM\r\n"
		}
		sets.Add(1)
		_, port, _ := net.SplitHostPort(addr)
		return "-MOVED 1 :" + port + "\r\n"
	})
	c := client(t, Config{Mode: Cluster, Addrs: []string{addr}})
	_, err := c.Do(t.Context(), "k", "SET", "k", "1")
	testkit.Equal(t, "code", code(err), "MOVED")
	testkit.Equal(t, "commands", sets.Load(), maxRedirects)
}

// A server of a cluster is lost: the keys of the others work. It returns, and all do.
func TestClusterLosesServer(t *testing.T) {
	t.Parallel()
	hosts := strings.Split(strings.TrimPrefix(testkit.StartRedisCluster(t), "redis://"), ",")
	p := testkit.StartProxy(t, hosts[2])
	c := client(t, Config{Mode: Cluster, Addrs: hosts[:1]})
	router := c.router.(*cluster)
	lost := router.nodes[hosts[2]]
	lost.mu.Lock()
	lost.addr = p.Addr() // of further connections
	if lost.conn != nil {
		lost.conn.end(errClosed)
	}
	lost.mu.Unlock()
	set := func(k string) error {
		_, err := c.Do(t.Context(), k, "SET", k, "1")
		return err
	}
	for _, k := range keys() {
		testkit.Eventually(t, "all keys work", func() bool { return set(k) == nil })
	}
	p.Redirect("")
	p.Disconnect()
	failed := 0
	for _, k := range keys() {
		of := router.at(k)
		if err := set(k); err != nil && of == lost {
			failed++
		} else if err != nil {
			t.Errorf("%s of a server that runs: %v", k, err)
		}
	}
	if failed == 0 {
		t.Error("no key was of the lost server")
	}
	p.Redirect(hosts[2])
	for _, k := range keys() {
		testkit.Eventually(t, "all keys work again", func() bool { return set(k) == nil })
	}
}
