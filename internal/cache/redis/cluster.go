package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	slotCount    = 16384
	maxRedirects = 4
	maxNodes     = 1000 // that Redis recommends at most
)

var errNoServer = errors.New("no server of the Redis cluster has this key")

// slots are a range of slots with the address of their primary.
type slots struct {
	from, to int
	addr     string
}

// A cluster is the router for a cluster. It asks where the slots are when a server fails, names one
// that is not known, or says that the cluster is down.
type cluster struct {
	refresher
	cfg Config

	mu     sync.RWMutex
	closed bool
	nodes  map[string]*node // by address
	bySlot [slotCount]*node // or nil
}

func openCluster(ctx context.Context, cfg Config) (router, error) {
	c := &cluster{cfg: cfg, nodes: map[string]*node{}}
	c.start(c.find)
	if err := c.find(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cluster) do(ctx context.Context, key string, args []string) (Reply, error) {
	n, asking, refreshed := c.at(key), false, false
	var reply Reply
	err := error(unsentError{errNoServer})
	for range maxRedirects {
		if n != nil {
			reply, err = n.do(ctx, asking, args)
		}
		asking = false
		switch code(err) {
		case "MOVED", "ASK":
			asking = code(err) == "ASK"
			if n = c.redirect(n, err, asking); n == nil {
				return reply, err
			}
			continue
		case "":
		case "CLUSTERDOWN":
			c.begin()
			return reply, err
		default:
			return reply, err
		}
		if err == nil || ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
			return reply, err
		}
		if !unsent(err) || refreshed { // what a command has done may be unknown
			c.begin()
			return reply, err
		}
		if c.wait(ctx) != nil {
			return reply, err
		}
		next := c.at(key)
		if next == n {
			return reply, err
		}
		n, refreshed = next, true
	}
	return reply, err
}

// redirect returns the server that a server has named in an error, or nil. One for good is
// remembered.
func (c *cluster) redirect(from *node, because error, once bool) *node {
	words := strings.Fields(because.Error()) // MOVED 3999 127.0.0.1:6381
	if len(words) < 3 {
		return nil
	}
	slot, err := strconv.Atoi(words[1])
	if err != nil || slot < 0 || slot >= slotCount {
		return nil
	}
	host, port, err := net.SplitHostPort(words[2])
	if err != nil {
		return nil
	}
	addr := net.JoinHostPort(hostOr(host, from), port)
	c.mu.Lock()
	_, known := c.nodes[addr]
	n := c.nodeAt(addr)
	if n != nil && !once {
		c.bySlot[slot] = n
	}
	c.mu.Unlock()
	if !known { // more may have changed than this slot
		c.begin()
	}
	return n
}

// hostOr returns a host, or that of a server whose answer leaves it out because it is the same.
func hostOr(host string, n *node) string {
	if host != "" {
		return host
	}
	host, _, _ = net.SplitHostPort(n.addr)
	return host
}

// nodeAt returns the server at an address, or nil if there are too many. The caller holds the lock.
func (c *cluster) nodeAt(addr string) *node {
	if n := c.nodes[addr]; n != nil {
		return n
	}
	if c.closed || len(c.nodes) >= 2*maxNodes {
		return nil
	}
	n := c.cfg.node(addr)
	c.nodes[addr] = n
	return n
}

// at returns the server of a key, or nil.
func (c *cluster) at(key string) *node {
	slot := slotOf(key)
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.bySlot[slot]
}

// find asks servers of the cluster where the slots are: those of the address and some others.
func (c *cluster) find(ctx context.Context) error {
	c.mu.Lock()
	var ask []*node
	for _, addr := range c.cfg.Addrs {
		if n := c.nodeAt(addr); n != nil {
			ask = append(ask, n)
		}
	}
	for addr, n := range c.nodes {
		if len(ask) < len(c.cfg.Addrs)+4 && !slices.Contains(c.cfg.Addrs, addr) {
			ask = append(ask, n)
		}
	}
	c.mu.Unlock()
	v, err := newest(ctx, ask, c.question)
	if err != nil {
		return err
	}
	if c.accept(v) {
		c.use(v)
	}
	return nil
}

// question asks a server.
func (c *cluster) question(ctx context.Context, n *node) (view, error) {
	reply, err := n.do(ctx, false, []string{"CLUSTER", "SLOTS"})
	if err != nil {
		return view{}, err
	}
	v := view{}
	for _, item := range reply.Items {
		if len(item.Items) < 3 || len(item.Items[2].Items) < 2 {
			return view{}, errMalformed
		}
		from, to, primary := item.Items[0].Int, item.Items[1].Int, item.Items[2].Items
		if from < 0 || from > to || to >= slotCount {
			return view{}, errMalformed
		}
		host := primary[0].Text
		if host == "?" { // not known there
			continue
		}
		addr := net.JoinHostPort(hostOr(host, n), strconv.FormatInt(primary[1].Int, 10))
		v.slots = append(v.slots, slots{from: int(from), to: int(to), addr: addr})
	}
	if len(v.slots) == 0 {
		return view{}, fmt.Errorf("the Redis server at %s belongs to a cluster that has no slots", n.addr)
	}
	state, err := n.do(ctx, false, []string{"CLUSTER", "INFO"})
	if err != nil && code(err) == "" {
		return view{}, err
	}
	v.epoch = epochOf(state.Text)
	return v, nil
}

// epochOf returns the epoch in the answer to CLUSTER INFO. A server that is cut off from the others
// has none.
func epochOf(info string) (epoch int64) {
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "cluster_state" && value != "ok":
			return -1
		case name == "cluster_current_epoch":
			epoch, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return epoch
}

// use makes a view the present one, and closes the connections to servers that it does not have.
func (c *cluster) use(v view) {
	c.mu.Lock()
	used := map[string]bool{}
	for _, addr := range c.cfg.Addrs {
		used[addr] = true
	}
	c.bySlot = [slotCount]*node{}
	for _, s := range v.slots {
		n := c.nodeAt(s.addr)
		used[s.addr] = true
		for slot := s.from; slot <= s.to; slot++ {
			c.bySlot[slot] = n
		}
	}
	var unused []*node
	for addr, n := range c.nodes {
		if !used[addr] {
			unused = append(unused, n)
			delete(c.nodes, addr)
		}
	}
	c.mu.Unlock()
	for _, n := range unused {
		n.close()
	}
}

func (c *cluster) close() {
	c.refresher.close()
	c.mu.Lock()
	c.closed = true
	nodes := c.nodes
	c.mu.Unlock()
	for _, n := range nodes {
		n.close()
	}
}

// slotOf returns the slot of a key: that of its part in braces, if it has one.
func slotOf(key string) int {
	if _, rest, found := strings.Cut(key, "{"); found {
		if tag, _, found := strings.Cut(rest, "}"); found && tag != "" {
			key = tag
		}
	}
	sum := uint16(0) // CRC-16 with the polynomial x¹⁶ + x¹² + x⁵ + 1
	for _, b := range []byte(key) {
		sum ^= uint16(b) << 8
		for range 8 {
			carry := sum&0x8000 != 0
			if sum <<= 1; carry {
				sum ^= 0x1021
			}
		}
	}
	return int(sum) % slotCount
}
