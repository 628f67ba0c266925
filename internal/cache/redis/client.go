// Package redis is a client of Redis and Valkey for a few commands with small answers, each about
// one key. It finds the primary of Sentinels and the servers of a cluster.
//
// A command is sent at most once, unless it is certain that it has had no effect: it has not left
// this process, or the server has answered that it is not the one to ask.
package redis

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"time"
)

// A Mode says what the addresses of a Config lead to.
type Mode int

// One server, the Sentinels of a primary, or servers of a cluster. A single server is treated as a
// cluster if it belongs to one.
const (
	Server Mode = iota
	Sentinel
	Cluster
)

// A Config says how to connect.
type Config struct {
	Mode     Mode
	Addrs    []string    // hosts with ports; or the path of a socket
	Socket   bool        // the address is a path
	TLS      *tls.Config // or nil; the name in a certificate must be that of the host connected to
	User     string
	Password string
	Database int
	Name     string // of this client, for CLIENT LIST

	Primary          string // what Sentinels call it
	SentinelUser     string
	SentinelPassword string

	DialTimeout time.Duration // of an attempt to connect, with the sign-in
	Timeout     time.Duration // that a server may owe an answer before its connection ends
	Refresh     time.Duration // between questions to the Sentinels
}

// A Client sends commands. It reconnects by itself, when the next command needs it.
type Client struct{ router router }

// A router knows the server for a key.
type router interface {
	do(ctx context.Context, key string, args []string) (Reply, error)
	close()
}

// Open returns a client that has reached its server. The error does not contain the password.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	open := openServer
	switch cfg.Mode {
	case Sentinel:
		open = openSentinel
	case Cluster:
		open = openCluster
	case Server:
	}
	r, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Client{router: r}, nil
}

// Do sends a command that concerns a key and returns its answer. An error of the server is an
// [Error].
func (c *Client) Do(ctx context.Context, key string, args ...string) (Reply, error) {
	return c.router.do(ctx, key, args)
}

// Close ends all connections, and returns when nothing of the client runs any more.
func (c *Client) Close() { c.router.close() }

// A Script is a program in Lua that a server runs. Servers store it after its first run.
type Script struct{ text, sum string }

// NewScript returns a script.
func NewScript(text string) Script {
	sum := sha1.Sum([]byte(text)) // by which Redis names scripts
	return Script{text: text, sum: hex.EncodeToString(sum[:])}
}

// Do runs the script with a key and arguments.
func (s Script) Do(ctx context.Context, c *Client, key string, args ...string) (Reply, error) {
	all := append([]string{"EVALSHA", s.sum, "1", key}, args...)
	reply, err := c.Do(ctx, key, all...)
	if code(err) == "NOSCRIPT" {
		all[0], all[1] = "EVAL", s.text
		reply, err = c.Do(ctx, key, all...)
	}
	return reply, err
}

// node returns a server at an address of the data.
func (cfg Config) node(addr string) *node {
	n := &node{
		network: "tcp", addr: addr, tls: cfg.TLS, dialTimeout: cfg.DialTimeout, timeout: cfg.Timeout,
		login: login{user: cfg.User, password: cfg.Password, database: cfg.Database, name: cfg.Name},
	}
	if cfg.Socket {
		n.network, n.tls = "unix", nil
	}
	n.login.primary = cfg.Mode == Sentinel
	return n.start()
}

// A server is the router for one server.
type server struct{ node *node }

func openServer(ctx context.Context, cfg Config) (router, error) {
	n := cfg.node(cfg.Addrs[0])
	if _, err := n.connection(ctx); err != nil {
		n.close()
		return nil, err
	}
	if cfg.Database == 0 && !cfg.Socket {
		slots, err := n.do(ctx, false, []string{"CLUSTER", "SLOTS"})
		if err == nil && len(slots.Items) > 0 {
			n.close()
			return openCluster(ctx, cfg)
		}
	}
	return server{n}, nil
}

func (s server) do(ctx context.Context, _ string, args []string) (Reply, error) {
	reply, err := s.node.do(ctx, false, args)
	if code(err) != "READONLY" {
		return reply, err
	}
	// The name of the server may lead to the new primary by now.
	return s.node.do(ctx, false, args)
}

func (s server) close() { s.node.close() }
