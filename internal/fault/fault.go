// Package fault names the kinds of failure that cross package borders.
//
// The kind is set where the failure is understood, deep down; the words that a
// person or a client reads are chosen at the edge. An error without a kind is
// Internal: it is logged and never shown.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what went wrong, in terms that an edge can map to a status code.
type Kind uint8

// The kinds. Internal is the zero value, so an error nobody classified stays private.
const (
	Internal    Kind = iota
	NotFound         // the thing named does not exist
	Conflict         // it exists already, or changed meanwhile
	Consumed         // single-use, and used before
	Denied           // proof is missing, wrong or not sufficient
	Invalid          // the input cannot be accepted as it is
	Limited          // too many or too much; try later
	Unavailable      // we cannot keep our promise now; try later
)

var names = [...]string{"internal", "not found", "conflict", "consumed", "denied", "invalid", "limited", "unavailable"}

// String is the kind in lower-case words.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return "internal"
}

// Error is a failure with a kind. Field names the offending input where there is one.
type Error struct {
	Kind  Kind
	Field string        // the input at fault, or ""
	Text  string        // what happened and what to do; safe to show
	After time.Duration // for Limited and Unavailable: when to try again; 0 is unknown
	Cause error         // for the log only
}

// Error is the text, and the cause behind it.
func (e *Error) Error() string {
	s := e.Text
	if s == "" {
		s = e.Kind.String()
	}
	if e.Cause != nil {
		return strings.TrimSuffix(s, ".") + ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error of a kind; the text is safe to show.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...)}
}

// InvalidField makes an Invalid error that names the input at fault.
func InvalidField(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Text: fmt.Sprintf(format, args...)}
}

// Wrap gives err a kind and a text that is safe to show. Wrap(k, nil, …) is nil.
func Wrap(k Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...), Cause: err}
}

// RetryAfter makes a Limited or Unavailable error with the time to wait.
func RetryAfter(k Kind, after time.Duration, format string, args ...any) *Error {
	return &Error{Kind: k, After: after, Text: fmt.Sprintf(format, args...)}
}

// KindOf is the kind of the outermost classified error in err's chain, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of kind k. Is(nil, …) is false.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// Text is what may be shown of err: the text of the outermost classified error, or "".
func Text(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Text
	}
	return ""
}
