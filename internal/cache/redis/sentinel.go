package redis

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// maxPeers bounds the Sentinels that others have named.
const maxPeers = 16

// A sentinel is the router for a primary that Sentinels name. It asks them at intervals and when
// the primary fails, and does not depend on their announcements: a Sentinel that is cut off from
// the others announces nothing.
type sentinel struct {
	refresher
	cfg  Config
	ones []*node // the Sentinels of the address

	mu      sync.RWMutex
	peers   []string // Sentinels that these have named
	primary *node    // or nil
}

func openSentinel(ctx context.Context, cfg Config) (router, error) {
	s := &sentinel{cfg: cfg}
	for _, addr := range cfg.Addrs {
		s.ones = append(s.ones, s.watcher(addr))
	}
	s.start(s.find)
	err := s.find(ctx)
	if err == nil {
		_, err = s.current().connection(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.every(cfg.Refresh)
	return s, nil
}

// watcher returns a Sentinel.
func (s *sentinel) watcher(addr string) *node {
	return (&node{
		network: "tcp", addr: addr, tls: s.cfg.TLS, dialTimeout: s.cfg.DialTimeout, timeout: s.cfg.DialTimeout,
		login: login{user: s.cfg.SentinelUser, password: s.cfg.SentinelPassword, name: s.cfg.Name},
	}).start()
}

func (s *sentinel) current() *node {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.primary
}

func (s *sentinel) do(ctx context.Context, _ string, args []string) (Reply, error) {
	n := s.current()
	reply, err := n.do(ctx, false, args)
	switch {
	case err == nil || ctx.Err() != nil && context.Cause(ctx) == context.Canceled:
		return reply, err
	case unsent(err), code(err) == "READONLY": // the command has had no effect
	case code(err) != "":
		return reply, err
	default: // what the command has done is unknown
		s.begin()
		return reply, err
	}
	if s.wait(ctx) != nil {
		return reply, err
	}
	if next := s.current(); next != n {
		return next.do(ctx, false, args)
	}
	return reply, err
}

// find asks the Sentinels for the primary. Those that others have named are asked only when none of
// the address answers.
func (s *sentinel) find(ctx context.Context) error {
	v, err := newest(ctx, s.ones, s.question)
	if err != nil {
		if v, err = s.findByPeers(err); err != nil {
			return err
		}
	}
	if !s.accept(v) {
		return nil
	}
	s.mu.Lock()
	if len(v.peers) > 0 {
		s.peers = v.peers
	}
	old := s.primary
	same := old != nil && old.addr == v.addr
	if !same {
		s.primary = s.cfg.node(v.addr)
	}
	s.mu.Unlock()
	if old != nil && !same {
		old.close()
	}
	return nil
}

// findByPeers asks the Sentinels that others have named. If none answers, it returns the error that
// those of the address gave.
func (s *sentinel) findByPeers(because error) (view, error) {
	s.mu.RLock()
	peers := s.peers
	s.mu.RUnlock()
	if len(peers) == 0 {
		return view{}, because
	}
	// The round that asked the others may have used up its time.
	ctx, cancel := context.WithTimeout(s.ctx, refreshTimeout)
	defer cancel()
	var nodes []*node
	for _, addr := range peers {
		n := s.watcher(addr)
		defer n.close()
		nodes = append(nodes, n)
	}
	v, err := newest(ctx, nodes, s.question)
	if err != nil {
		return view{}, because
	}
	return v, nil
}

// question asks a Sentinel.
func (s *sentinel) question(ctx context.Context, n *node) (view, error) {
	at, err := n.do(ctx, false, []string{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.cfg.Primary})
	if err != nil {
		return view{}, fmt.Errorf("the Sentinel %s: %w", n.addr, err)
	}
	if at.Null {
		return view{}, fmt.Errorf("the Sentinel %s does not know the primary that REDIS_URL names", n.addr)
	}
	if len(at.Items) != 2 {
		return view{}, fmt.Errorf("the Sentinel %s: %w", n.addr, errMalformed)
	}
	v := view{addr: net.JoinHostPort(at.Items[0].Text, at.Items[1].Text)}
	// What follows may not be for this user, which leaves all Sentinels with the same epoch.
	state, err := n.do(ctx, false, []string{"SENTINEL", "MASTER", s.cfg.Primary})
	if err != nil && code(err) == "" {
		return view{}, fmt.Errorf("the Sentinel %s: %w", n.addr, err)
	}
	v.epoch, _ = strconv.ParseInt(fields(state)["config-epoch"], 10, 64)
	others, err := n.do(ctx, false, []string{"SENTINEL", "SENTINELS", s.cfg.Primary})
	if err != nil && code(err) == "" {
		return view{}, fmt.Errorf("the Sentinel %s: %w", n.addr, err)
	}
	for _, other := range others.Items[:min(len(others.Items), maxPeers)] {
		if f := fields(other); f["ip"] != "" {
			v.peers = append(v.peers, net.JoinHostPort(f["ip"], f["port"]))
		}
	}
	return v, nil
}

// fields returns a list of names and values as a map.
func fields(r Reply) map[string]string {
	out := make(map[string]string, len(r.Items)/2)
	for i := 0; i+1 < len(r.Items); i += 2 {
		out[r.Items[i].Text] = r.Items[i+1].Text
	}
	return out
}

func (s *sentinel) close() {
	s.refresher.close()
	for _, n := range s.ones {
		n.close()
	}
	if n := s.current(); n != nil {
		n.close()
	}
}
