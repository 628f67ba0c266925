package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A worker is one connection's part of a load that has a state: it says what to send next, by what
// it was answered.
type worker interface {
	// next is the next request as it goes over the wire, valid until the next call; nil when there
	// is none left.
	next() []byte
	// took looks at the answer; the body is valid during the call. done tells that a unit of work,
	// which is what is counted and timed, is complete.
	took(status int, body []byte) (done bool, err error)
}

// driveLoad runs workers, each on a keep-alive connection of its own.
type driveLoad struct {
	// workers makes the workers of a pass. Frozen ones learn nothing from the answers: they are for
	// the bare server, which always gives the same one.
	workers func(frozen bool) []worker
}

// sharedFailure is how many failed units a pass may have before it stops: the figures of such a
// pass mean nothing.
const sharedFailure = 1000

// run drives a server until the time is over or the workers have nothing left. Each worker sends at
// least one request, however late it starts. What has been sent is always answered
// before it returns: a worker's state is that of the server.
func (l driveLoad) run(ctx context.Context, address string, d time.Duration, frozen bool) (sample, error) {
	workers := l.workers(frozen)
	results := make([]pass, len(workers))
	var wg sync.WaitGroup
	begin := time.Now()
	end := begin.Add(d)
	for i, w := range workers {
		wg.Go(func() { results[i].drive(ctx, address, w, end) })
	}
	wg.Wait()
	return sampleOf(results, time.Since(begin))
}

// sampleOf merges together what the workers found. The error is the first, or, if nothing went
// well, all.
func sampleOf(results []pass, took time.Duration) (sample, error) {
	s := sample{Took: took}
	var times []time.Duration
	var errs []error
	for i := range results {
		times = append(times, results[i].times...)
		s.Failed += results[i].failed
		errs = append(errs, results[i].err)
	}
	slices.Sort(times)
	s.Requests, s.P50, s.P99 = int64(len(times)), quantile(times, 0.5), quantile(times, 0.99)
	if len(times) == 0 {
		return s, errors.Join(errs...)
	}
	return s, firstOf(errs)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// pass is what one worker found.
type pass struct {
	times  []time.Duration
	failed int64
	err    error // the first
}

func (p *pass) fail(err error) {
	p.failed++
	if p.err == nil {
		p.err = err
	}
}

func (p *pass) drive(ctx context.Context, address string, w worker, end time.Time) {
	p.times = make([]time.Duration, 0, 1<<16)
	var c *wire
	defer func() {
		if c != nil {
			c.conn.Close()
		}
	}()
	begun := time.Now()
	for first := true; p.failed < sharedFailure && ctx.Err() == nil; first = false {
		if !first && begun.After(end) {
			return
		}
		raw := w.next()
		if raw == nil {
			return
		}
		var err error
		if c == nil {
			if c, err = dial(address); err != nil {
				p.fail(err)
				return
			}
		}
		status, body, err := c.exchange(raw)
		if err != nil {
			c.conn.Close()
			c = nil
			p.fail(err)
			begun = time.Now()
			continue
		}
		done, err := w.took(status, body)
		now := time.Now()
		switch {
		case err != nil:
			p.fail(err)
			begun = now
		case done:
			p.times = append(p.times, now.Sub(begun))
			begun = now
		}
	}
}

// wire is a keep-alive connection that understands just as much HTTP/1.1 as our servers speak.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

const exchangeWithin = 30 * time.Second

func dial(address string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}, nil
}

// exchange sends a request and reads the answer; the body is valid until the next call.
func (c *wire) exchange(raw []byte) (status int, body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(exchangeWithin)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(raw); err != nil {
		return 0, nil, err
	}
	return c.read()
}

func (c *wire) read() (status int, body []byte, err error) {
	line, err := c.line()
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, fmt.Errorf("no HTTP/1.1 answer: %.60q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length, chunked := 0, false
	for {
		line, err := c.line()
		if err != nil {
			return 0, nil, err
		}
		if len(line) == 0 {
			break
		}
		if v, ok := headerValue(line, "content-length"); ok {
			if length, err = strconv.Atoi(string(v)); err != nil || length < 0 {
				return 0, nil, fmt.Errorf("content length %q", v)
			}
		}
		if v, ok := headerValue(line, "transfer-encoding"); ok {
			chunked = string(v) == "chunked"
		}
	}
	c.body = c.body[:0]
	if !chunked {
		return status, c.body, c.take(length)
	}
	for {
		line, err := c.line()
		if err != nil {
			return 0, nil, err
		}
		size, err := strconv.ParseInt(string(line), 16, 31)
		if err != nil {
			return 0, nil, err
		}
		if err := c.take(int(size)); err != nil {
			return 0, nil, err
		}
		if _, err := c.line(); err != nil { // after each chunk, and, as our servers send no trailers, after the last
			return 0, nil, err
		}
		if size == 0 {
			return status, c.body, nil
		}
	}
}

// take appends n bytes to the body.
func (c *wire) take(n int) error {
	at := len(c.body)
	c.body = slices.Grow(c.body, n)[:at+n]
	_, err := io.ReadFull(c.in, c.body[at:])
	return err
}

func (c *wire) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// headerValue returns the value of a header line if its name, in lower case, is the given one.
func headerValue(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return nil, false
	}
	return bytes.TrimSpace(line[len(name)+1:]), true
}
