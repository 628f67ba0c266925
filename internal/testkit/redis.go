package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// StartRedis starts a redis-server that stores nothing on disk, with further arguments. Without
// redis-server the test is skipped; see [Missing].
func StartRedis(t testing.TB, args ...string) *Process {
	t.Helper()
	return startRedis(t, FreePort(t), "PING\r\n", "+PONG", args...)
}

// startRedis starts a redis-server that is ready when it gives an answer to a request.
func startRedis(t testing.TB, port int, request, answer string, args ...string) *Process {
	t.Helper()
	path := Need(t, "redis-server")
	dir := t.TempDir()
	return start(&Process{
		t:    t,
		port: port,
		log:  filepath.Join(dir, "redis.log"),
		command: func() *exec.Cmd {
			return exec.Command(path, append([]string{
				"--port", strconv.Itoa(port), "--bind", "127.0.0.1",
				"--dir", dir, "--save", "", "--appendonly", "no",
			}, args...)...)
		},
		ready: func(c net.Conn) bool { return asks(c, request, answer) },
	})
}

// Sentinels are three Redis Sentinels that watch a primary with one replica.
type Sentinels struct {
	Primary, Replica *Process
	Sentinels        []*Process
}

// The passwords of the data servers and of the Sentinels that StartSentinels starts.
const (
	RedisPassword    = "data-secret"
	SentinelPassword = "watch-secret"
)

// StartSentinels starts a primary called "main", a replica and three Sentinels, and returns when
// the Sentinels know all of them, so that a failover can begin.
func StartSentinels(t testing.TB) *Sentinels {
	t.Helper()
	auth := []string{"--requirepass", RedisPassword, "--masterauth", RedisPassword}
	login := "AUTH " + RedisPassword + "\r\n"
	s := &Sentinels{Primary: startRedis(t, FreePort(t), login, "+OK", auth...)}
	at := strconv.Itoa(s.Primary.port)
	s.Replica = startRedis(t, FreePort(t), login, "+OK", append(auth, "--replicaof", "127.0.0.1 "+at)...)
	for range 3 {
		s.Sentinels = append(s.Sentinels, startSentinel(t, at))
	}
	Eventually(t, "the Sentinels know the replica and each other", func() bool {
		for _, p := range s.Sentinels {
			state := p.Ask("AUTH "+SentinelPassword+"\r\nSENTINEL MASTER main\r\n", "parallel-syncs")
			if !strings.Contains(state, "num-slaves\r\n$1\r\n1\r\n") ||
				!strings.Contains(state, "num-other-sentinels\r\n$1\r\n2\r\n") {
				return false
			}
		}
		return strings.Contains(s.Primary.Ask(login+"INFO replication\r\n", "master_replid"), "state=online")
	})
	return s
}

func startSentinel(t testing.TB, primary string) *Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sentinel.conf") // it writes what it learns into its file
	Must(t, os.WriteFile(file, fmt.Appendf(nil, `sentinel monitor main 127.0.0.1 %s 2
sentinel auth-pass main %s
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
sentinel sentinel-pass %s
requirepass %s
`, primary, RedisPassword, SentinelPassword, SentinelPassword), 0o600))
	path := Need(t, "redis-server")
	port := FreePort(t)
	return start(&Process{
		t:    t,
		port: port,
		log:  filepath.Join(t.TempDir(), "sentinel.log"),
		command: func() *exec.Cmd {
			return exec.Command(path, file, "--sentinel", "--port", strconv.Itoa(port), "--bind", "127.0.0.1")
		},
		ready: func(c net.Conn) bool { return asks(c, "AUTH "+SentinelPassword+"\r\n", "+OK") },
	})
}

// URL returns the address of the primary through the Sentinels.
func (s *Sentinels) URL() string {
	hosts := make([]string, len(s.Sentinels))
	for i, p := range s.Sentinels {
		hosts[i] = p.Addr()
	}
	return "redis://:" + RedisPassword + "@" + strings.Join(hosts, ",") + "/main?sentinel_password=" + SentinelPassword
}

// StartRedisCluster starts a cluster of three servers without replicas, and returns its address
// when each of them knows where all keys are.
func StartRedisCluster(t testing.TB) (url string) {
	t.Helper()
	var nodes []*Process
	var bus []int
	for i := range 3 {
		port, other := freePair(t)
		bus = append(bus, other)
		n := startRedis(t, port, "PING\r\n", "+PONG", "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(other))
		nodes = append(nodes, n)
		n.Ask(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d\r\n", 16384*i/3, 16384*(i+1)/3-1), "+OK")
	}
	for i, n := range nodes[1:] {
		nodes[0].Ask(fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %d\r\n", n.port, bus[i+1]), "+OK")
	}
	hosts := make([]string, len(nodes))
	for i, n := range nodes {
		hosts[i] = n.Addr()
		Eventually(t, "the cluster is complete", func() bool {
			return strings.Contains(n.Ask("CLUSTER INFO\r\n", "cluster_size:"), "cluster_state:ok") &&
				strings.Contains(n.Ask("CLUSTER INFO\r\n", "cluster_size:3"), "cluster_known_nodes:3")
		})
	}
	return "redis://" + strings.Join(hosts, ",")
}

// freePair returns two different ports like FreePort.
func freePair(t testing.TB) (a, b int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, FreePort(t)
}

// Ask sends requests and returns the answer up to and including a text, or until the answer
// pauses.
func (p *Process) Ask(requests, until string) string {
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return ""
	}
	defer c.Close()
	return converse(c, requests, until)
}
