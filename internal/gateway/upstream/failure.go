package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Cause is why no answer came. It is in the chain of every error of Serve.
type Cause string

// The causes. The first four are the upstream's fault and count against it.
const (
	Refused Cause = "refused" // it cannot be reached
	Timeout Cause = "timeout" // it did not begin to answer in time
	Reset   Cause = "reset"   // it ended the connection before it answered
	Garbled Cause = "garbled" // its answer is not HTTP, too large, or contradicts itself

	NoneHealthy Cause = "none healthy" // every target is skipped for now
	Busy        Cause = "busy"         // too many requests already wait for its answer
	Gone        Cause = "gone"         // the caller went away
	Ended       Cause = "ended"        // Out.Recheck returned an error
	Slow        Cause = "slow"         // the caller's body did not come in time
	TooLarge    Cause = "too large"    // the caller's body is over the limit
	BadBody     Cause = "bad body"     // the caller's body broke off or is malformed
	BadRequest  Cause = "bad request"  // it cannot be forwarded
)

// Error returns the cause for a log.
func (c Cause) Error() string { return string(c) }

// upstreamFault reports whether the upstream is at fault.
func (c Cause) upstreamFault() bool {
	return c == Refused || c == Timeout || c == Reset || c == Garbled
}

// statusGone is the status code that nginx logs for a caller that went away. It is never received.
const statusGone = 499

// Status returns the status code for an error of Serve: 502, 503 or 504, or 400, 408, 413 where the
// caller is at fault.
func Status(err error) int {
	var c Cause
	errors.As(err, &c)
	switch c {
	case Refused, Reset, Garbled:
		return http.StatusBadGateway
	case Timeout:
		return http.StatusGatewayTimeout
	case Gone:
		return statusGone
	case Ended:
		return http.StatusForbidden
	case Slow:
		return http.StatusRequestTimeout
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case BadBody, BadRequest:
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}

// failure is the error for the operator. It names the upstream, so a caller never sees it.
type failure struct {
	Cause
	target string
	err    error
}

// Error implements error.
func (f *failure) Error() string {
	s := string(f.Cause)
	if f.target != "" {
		s = "upstream " + f.target + ": " + s
	}
	if f.err != nil {
		s += ": " + f.err.Error()
	}
	return s
}

// Unwrap returns the cause and the error behind it.
func (f *failure) Unwrap() []error {
	if f.err == nil {
		return []error{f.Cause}
	}
	return []error{f.Cause, f.err}
}

// fault returns the failure with a text for the caller, without the upstream's address.
func (f *failure) fault(after time.Duration) error {
	e := &fault.Error{Kind: fault.Unavailable, After: after, Cause: f}
	switch f.Cause {
	case Refused, NoneHealthy:
		e.Text = "The service behind this address cannot be reached at the moment. Try again in " +
			"a while."
	case Timeout:
		e.Text = "The service behind this address did not answer in time. Try again in a while."
	case Reset, Garbled:
		e.Text = "The service behind this address did not answer correctly. Try again; if it " +
			"happens again, tell its operator the request id."
	case Busy:
		e.Text = "The service behind this address has too many requests waiting. Try again in a " +
			"moment."
	case Gone:
		e.Text = "The caller went away before there was an answer."
	case Ended:
		e.Kind, e.Text = fault.Denied, "The permission for this request ended before there was "+
			"an answer."
	case Slow:
		e.Kind, e.Text = fault.Invalid, "The request's body did not come in time. Send it "+
			"without long breaks."
	case TooLarge:
		e.Kind, e.Text = fault.Invalid, "The request's body is larger than this address accepts. "+
			"Send less at once."
	case BadBody:
		e.Kind, e.Text = fault.Invalid, "The request's body broke off or is malformed. Send it "+
			"again in full."
	case BadRequest:
		e.Kind, e.Text = fault.Invalid, "This request cannot be forwarded. Check its method, its "+
			"path and its headers."
	}
	return e
}

// Why the watch or the transport ended a call: causes of its context.
var (
	errNoAnswer = errors.New("no answer in time")
	errLeaving  = errors.New("this server stops")
	errIdle     = errors.New("no byte moved for too long")
	errInterim  = errors.New("too many interim answers")
	errSwitch   = errors.New("switched protocols without being asked")
	errGone     = errors.New("the connection that the body is sent over is closed")
)

// endedError wraps the error that Recheck returned.
type endedError struct{ error }

// Unwrap returns the error of Recheck.
func (e endedError) Unwrap() error { return e.error }

// causeOf returns why a round trip failed. It checks the caller first, because a caller that goes
// away makes the transport fail, too.
func (c *call) causeOf(err error) Cause {
	if !c.reached {
		// the proxy itself rejected it, as for an upgrade to something unprintable
		return BadRequest
	}
	reason := context.Cause(c.ctx) // the first one counts
	var no endedError
	if errors.As(reason, &no) {
		return Ended
	}
	if p := c.body.failed.Load(); p != nil {
		return bodyCause(*p)
	}
	switch {
	case c.body.interrupted.Load():
		return Reset
	case errors.Is(reason, errNoAnswer), errors.Is(reason, context.DeadlineExceeded):
		return Timeout
	case errors.Is(reason, errIdle):
		return Slow
	case reason != nil:
		return Gone
	}
	var op *net.OpError
	var nerr net.Error
	switch {
	case strings.HasPrefix(err.Error(), headerTooLong):
		return BadRequest
	case errors.As(err, &nerr) && nerr.Timeout(): // while dialling: there is no other
		return Timeout
	case errors.As(err, &op) && op.Op == "dial":
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Reset
	case !c.accepted:
		// the transport itself rejected the request before it looked for a connection
		return BadRequest
	}
	return Garbled
}

// headerTooLong begins net/http's error for a request header that is larger than an HTTP/2 upstream
// accepts. The error has no type of its own.
const headerTooLong = "http2: request header list larger than"

func bodyCause(err error) Cause {
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return TooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Slow
	}
	return BadBody
}

func tooLarge(limit int64) error {
	f := &failure{Cause: TooLarge, err: fmt.Errorf("more than %d bytes: %w", limit, &http.MaxBytesError{Limit: limit})}
	return f.fault(0)
}
