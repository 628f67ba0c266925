package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// maxWaiting bounds the commands of a connection that wait for their answers.
const maxWaiting = 8192

// maxIdleBuffer is the largest buffer that a connection without work holds.
const maxIdleBuffer = 64 << 10

var (
	errClosed     = errors.New("the connection to Redis is closed")
	errBusy       = errors.New("too many commands wait for Redis")
	errUnexpected = errors.New("the Redis server answered without being asked")
)

// An unsentError says that a command has not been sent, so that it may be sent again.
type unsentError struct{ err error }

func (e unsentError) Error() string { return e.err.Error() }
func (e unsentError) Unwrap() error { return e.err }

func unsent(err error) bool { return errors.As(err, new(unsentError)) }

// lateError says that a server did not answer in time.
type lateError struct{}

func (lateError) Error() string        { return "the Redis server does not answer in time" }
func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// A conn is a connection that many goroutines share. Their commands are sent together, without
// waiting for the answers to earlier ones.
//
// The connection ends when a server owes an answer and has not sent one for the timeout. What has
// become of the commands that waited then is unknown, so none of them is sent again.
type conn struct {
	raw   net.Conn // closes at once, where TLS would write first
	net   net.Conn
	flush chan struct{} // has a value while there is something to write

	mu       sync.Mutex
	timeout  time.Duration
	out      []byte
	waiting  queue
	progress time.Time // the last answer, or the first command since nothing waited
	err      error     // why the connection has ended, or nil
}

// A call is a command that waits for its answer. Its channel is nil if the answer is not needed.
type call chan outcome

type outcome struct {
	reply Reply
	err   error
}

// startConn starts to serve a connection. Its two goroutines are counted by a group, and end with
// the connection.
func startConn(raw, secured net.Conn, timeout time.Duration, group *sync.WaitGroup) *conn {
	c := &conn{raw: raw, net: secured, timeout: timeout, flush: make(chan struct{}, 1)}
	group.Go(c.read)
	group.Go(c.write)
	return c
}

// do sends a command and returns its answer. In front of it, asking sends ASKING.
func (c *conn) do(ctx context.Context, asking bool, args []string) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, unsentError{err}
	}
	answered, err := c.send(asking, args)
	if err != nil {
		return Reply{}, err
	}
	select {
	case out := <-answered:
		return out.result()
	case <-ctx.Done():
	}
	select {
	case out := <-answered: // both happened
		return out.result()
	default:
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return Reply{}, lateError{}
	}
	return Reply{}, ctx.Err()
}

func (o outcome) result() (Reply, error) {
	if o.err == nil && o.reply.Err != "" {
		return Reply{}, o.reply.Err
	}
	return o.reply, o.err
}

// send adds a command to those to be written.
func (c *conn) send(asking bool, args []string) (call, error) {
	answered := make(call, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, unsentError{c.err}
	}
	if c.waiting.len() >= maxWaiting {
		return nil, unsentError{errBusy}
	}
	if c.waiting.len() == 0 {
		c.progress = time.Now()
		_ = c.net.SetReadDeadline(c.progress.Add(c.timeout)) // the reader waits without one
	}
	if asking {
		c.out = appendCommand(c.out, []string{"ASKING"})
		c.waiting.push(nil)
	}
	c.out = appendCommand(c.out, args)
	c.waiting.push(answered)
	select {
	case c.flush <- struct{}{}:
	default:
	}
	return answered, nil
}

// write writes what there is until the connection ends.
func (c *conn) write() {
	var buf []byte
	for range c.flush {
		c.mu.Lock()
		buf, c.out = c.out, buf[:0]
		timeout := c.timeout
		c.mu.Unlock()
		if len(buf) == 0 {
			continue
		}
		_ = c.net.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := c.net.Write(buf); err != nil {
			c.end(err)
			return
		}
		if cap(buf) > maxIdleBuffer {
			buf = nil
		}
	}
}

// read hands out answers until the connection ends.
func (c *conn) read() {
	r := newReplyReader(deadlineReader{c})
	for {
		reply, err := r.next()
		if err == nil {
			err = c.answer(reply)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// answer hands an answer to the command that has waited longest.
func (c *conn) answer(reply Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting.len() == 0 {
		return errUnexpected
	}
	c.progress = time.Now()
	if answered := c.waiting.pop(); answered != nil {
		answered <- outcome{reply: reply}
	}
	return nil
}

// A deadlineReader reads from a connection. Where the server owes an answer, it must come in time.
type deadlineReader struct{ c *conn }

func (r deadlineReader) Read(p []byte) (int, error) {
	c := r.c
	c.mu.Lock()
	var until time.Time
	if c.waiting.len() > 0 {
		until = c.progress.Add(c.timeout)
	}
	_ = c.net.SetReadDeadline(until)
	c.mu.Unlock()
	return c.net.Read(p)
}

// end ends the connection for a reason, which all commands get that wait for answers.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.err = lateError{}
	case errors.Is(err, errClosed), errors.Is(err, errMalformed), errors.Is(err, errUnexpected):
		c.err = err
	default:
		c.err = fmt.Errorf("the connection to Redis is lost: %w", err)
	}
	_ = c.raw.Close()
	close(c.flush)
	for c.waiting.len() > 0 {
		if answered := c.waiting.pop(); answered != nil {
			answered <- outcome{err: c.err}
		}
	}
}

// ended reports whether the connection has ended.
func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// setTimeout sets how long the server may owe an answer.
func (c *conn) setTimeout(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeout = timeout
}

// A queue is a queue of calls whose memory is reused.
type queue struct {
	calls []call
	first int
}

func (q *queue) len() int { return len(q.calls) - q.first }

func (q *queue) push(c call) {
	if q.first > 0 && len(q.calls) == cap(q.calls) {
		n := copy(q.calls, q.calls[q.first:])
		clear(q.calls[n:])
		q.calls, q.first = q.calls[:n], 0
	}
	q.calls = append(q.calls, c)
}

func (q *queue) pop() call {
	c := q.calls[q.first]
	q.calls[q.first] = nil
	if q.first++; q.first == len(q.calls) {
		q.calls, q.first = q.calls[:0], 0
	}
	return c
}
