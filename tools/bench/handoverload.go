package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// handoverLoad is a load of clients of several kinds, none of which sends a request again that it
// has begun to send.
type handoverLoad struct {
	secure  bool
	address string
	client  [2]string

	mu     sync.Mutex
	left   int64
	failed int64
	errs   []error
	byKind map[string]*counter
}

// A caller sends requests.
type caller interface {
	do(ctx context.Context, r request) (status int, body []byte, err error)
}

// handoverKind is a kind of client.
type handoverKind struct {
	name string
	make func(address string, secure bool) caller
	idle bool // pauses up to longestPause, on a connection that stays open
}

// handoverKinds returns the kinds, of which the clients are dealt to by turns.
func handoverKinds() []handoverKind {
	return []handoverKind{
		{name: "HTTP/1.1, kept connections", make: func(a string, s bool) caller { return newDirect(a, s, true) }},
		{name: "HTTP/2", make: func(a string, s bool) caller { return newSecond(a, s) }},
		{name: "HTTP/1.1, new connections", make: func(a string, s bool) caller { return newDirect(a, s, false) }},
		{name: "HTTP/1.1, idle connections", make: func(a string, s bool) caller { return newDirect(a, s, true) }, idle: true},
	}
}

// run sends requests, a client for each family, until none is left.
func (l *handoverLoad) run(ctx context.Context, families []*family) {
	var wg sync.WaitGroup
	kinds := handoverKinds()
	for i, f := range families {
		k := kinds[i%len(kinds)]
		if l.byKind[k.name] == nil {
			l.byKind[k.name] = &counter{}
		}
		wg.Go(func() { l.goOn(ctx, k, f.current()) })
	}
	wg.Wait()
}

// goOn does what one client does: it refreshes, has the new token introspected, and reads metadata.
func (l *handoverLoad) goOn(ctx context.Context, k handoverKind, refresh string) {
	c := k.make(l.address, l.secure)
	for l.take() && ctx.Err() == nil {
		access := ""
		_ = l.ask(ctx, k, c, func() request {
			return form(pathToken, l.client[0], l.client[1], "grant_type", "refresh_token", "refresh_token", refresh)
		}, func(body []byte) error {
			refresh, access = string(member(body, "refresh_token")), string(member(body, "access_token"))
			if refresh == "" || access == "" {
				return fmt.Errorf("no tokens in %.200s", body)
			}
			return nil
		})
		if access == "" {
			return // its chain has ended: without the answer it cannot go on
		}
		if l.take() {
			_ = l.ask(ctx, k, c, func() request {
				return form(pathIntrospect, l.client[0], l.client[1], "token", access)
			}, func(body []byte) error {
				if !bytes.Contains(body, []byte(`"active":true`)) {
					return fmt.Errorf("a token that was just issued: %.200s", body)
				}
				return nil
			})
		}
		if l.take() {
			_ = l.ask(ctx, k, c, func() request { return get(pathDiscovery) }, func([]byte) error { return nil })
		}
	}
}

// ask sends one request, counts it, and pauses.
func (l *handoverLoad) ask(
	ctx context.Context, k handoverKind, c caller, with func() request, check func(body []byte) error,
) error {
	r, begin := with(), time.Now()
	status, body, err := c.do(ctx, r)
	took := time.Since(begin)
	if err == nil && status != http.StatusOK {
		err = wrongAnswer(status, body)
	}
	if err == nil {
		err = check(body)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.mu.Lock()
	t := l.byKind[k.name]
	if err != nil {
		t.failed++
		l.failed++
		l.errs = append(l.errs, fmt.Errorf("%s, %s %s, %s: %w", time.Now().Format("15:04:05.000"), r.Method, r.Path, k.name, err))
	} else {
		t.times = append(t.times, took)
	}
	l.mu.Unlock()
	pause := requestPause
	if k.idle {
		pause = rand.N(longestPause)
	}
	_ = sleep(ctx, pause)
	return err
}

// take takes one of the requests that are left.
func (l *handoverLoad) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left--
	return l.left >= 0
}

// A direct caller speaks HTTP/1.1 on a connection of its own, and repeats nothing.
type direct struct {
	address string
	secure  bool
	keep    bool
	conn    net.Conn
	in      *bufio.Reader
}

func newDirect(address string, secure, keep bool) *direct {
	return &direct{address: address, secure: secure, keep: keep}
}

// do sends a request. Like every client it looks first whether the connection was closed.
func (d *direct) do(ctx context.Context, r request) (status int, body []byte, err error) {
	if d.conn != nil && d.closed() {
		d.drop()
	}
	if d.conn == nil {
		if err := d.connect(ctx); err != nil {
			return 0, nil, fmt.Errorf("connecting: %w", err)
		}
	}
	_ = d.conn.SetDeadline(time.Now().Add(exchangeWithin))
	if _, err := d.conn.Write(r.raw()); err != nil {
		d.drop()
		return 0, nil, err
	}
	a, err := http.ReadResponse(d.in, nil)
	if err != nil {
		d.drop()
		return 0, nil, err
	}
	body, err = io.ReadAll(a.Body)
	_ = a.Body.Close()
	if err != nil || a.Close || !d.keep {
		d.drop()
	}
	return a.StatusCode, body, err
}

// connect connects.
func (d *direct) connect(ctx context.Context) error {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", d.address)
	if err != nil {
		return err
	}
	if d.secure {
		secure := tls.Client(conn, trusting())
		if err := secure.HandshakeContext(ctx); err != nil {
			return errors.Join(err, conn.Close())
		}
		conn = secure
	}
	d.conn, d.in = conn, bufio.NewReader(conn)
	return nil
}

// trusting returns the settings of a client that does not look who it is that answers.
func trusting() *tls.Config {
	return &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}
}

// closed reports whether the other side has closed the connection.
func (d *direct) closed() bool {
	_ = d.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := d.in.Peek(1)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func (d *direct) drop() {
	_ = d.conn.Close()
	d.conn, d.in = nil, nil
}

// A second caller speaks HTTP/2. Go's client sends a request again only if the server has said, by
// GOAWAY, that it did not look at it (RFC 9113 §6.8).
type second struct {
	base   string
	client *http.Client
}

func newSecond(address string, secure bool) *second {
	p := new(http.Protocols)
	p.SetHTTP2(secure)
	p.SetUnencryptedHTTP2(!secure)
	s := &second{base: "http://" + address}
	if secure {
		s.base = "https://" + strings.Replace(address, "127.0.0.1", "localhost", 1)
	}
	s.client = &http.Client{Transport: &http.Transport{Protocols: p, TLSClientConfig: trusting()}, Timeout: exchangeWithin}
	return s
}

func (s *second) do(ctx context.Context, r request) (status int, body []byte, err error) {
	q, err := http.NewRequestWithContext(ctx, r.Method, s.base+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return 0, nil, err
	}
	for _, h := range r.Header {
		q.Header.Set(h[0], h[1])
	}
	a, err := s.client.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	if a.ProtoMajor != 2 {
		return 0, nil, fmt.Errorf("it is not HTTP/2 but %s", a.Proto)
	}
	body, err = io.ReadAll(a.Body)
	return a.StatusCode, body, err
}
