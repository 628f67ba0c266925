// Package fault classifies the failures that cross package borders.
//
// The code that understands a failure sets its kind; the edge chooses the words
// that a person or a client reads. An error without a kind is Internal: it is
// logged and never shown.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what went wrong, in terms that an edge can map to a status code.
type Kind uint8

// The kinds. Internal is the zero value, so that an unclassified error stays private.
const (
	Internal    Kind = iota
	NotFound         // the thing named does not exist
	Conflict         // it exists already, or changed meanwhile
	Consumed         // single-use, and used before
	Denied           // proof is missing, wrong or not sufficient
	Invalid          // the input cannot be accepted as it is
	Limited          // too many or too much; try later
	Unavailable      // we cannot keep our promise now; try later
	Stale            // the version that the change is based on has been replaced
)

var names = [...]string{"internal", "not found", "conflict", "consumed", "denied", "invalid", "limited", "unavailable", "stale"}

// String returns the kind in lower-case words.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return "internal"
}

// Error is a failure with a kind. Code decides by Kind and Reason, never by Text.
type Error struct {
	Kind   Kind
	Reason string        // a stable code for decisions and the audit log, such as wrong_secret, or ""
	Field  string        // the input at fault, or ""
	Text   string        // what happened and what to do, in English; safe to show
	Format string        // what Text was made of, by which an edge finds it in other languages, or ""
	Args   []any         // the values in Format
	After  time.Duration // for Limited and Unavailable: when to try again; 0 means unknown
	At     int64         // for Stale: the version that the thing has now
	Fields []string      // for Stale: the names of the requested fields whose values differ now
	Cause  error         // for the log only
	More   []*Error      // the errors of further inputs; see Join
}

// Error returns the text, or the reason where there is no text, followed by the cause and by
// the errors of further inputs.
func (e *Error) Error() string {
	s := e.Text
	if s == "" {
		s = e.Reason
	}
	if s == "" {
		s = e.Kind.String()
	}
	if e.Cause != nil {
		s = strings.TrimSuffix(s, ".") + ": " + e.Cause.Error()
	}
	for _, more := range e.More {
		s += " " + more.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an error of a kind. The text must be safe to show.
func New(k Kind, format string, args ...any) *Error {
	return newError(k, format, args)
}

// newError keeps the format: an edge that speaks other languages knows texts by it, so formats are
// constants, and what differs from error to error is an argument.
func newError(k Kind, format string, args []any) *Error {
	return &Error{Kind: k, Text: fmt.Sprintf(format, args...), Format: format, Args: args}
}

// WithReason returns an error of a kind with a reason code and no text.
func WithReason(k Kind, reason string) *Error { return &Error{Kind: k, Reason: reason} }

// InvalidField returns an Invalid error that names the input at fault.
func InvalidField(field, format string, args ...any) *Error {
	e := newError(Invalid, format, args)
	e.Field = field
	return e
}

// Wrap returns err with a kind and a text that is safe to show. Wrap(k, nil, …) returns nil.
func Wrap(k Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	e := newError(k, format, args)
	e.Cause = err
	return e
}

// Join returns one error about all inputs at fault, so that a form can show what is wrong with each
// of its fields: the first error, with the others in More. An error that is not about an input is
// returned as it is, because nothing that a person enters mends it. Join of nil errors is nil.
func Join(errs ...error) error {
	var inputs []*Error
	for _, err := range errs {
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Field == "" {
			return err
		}
		inputs = append(inputs, e.Inputs()...)
	}
	if len(inputs) == 0 {
		return nil
	}
	first := *inputs[0]
	first.More = inputs[1:]
	return &first
}

// Inputs returns the error and those in More, each without More.
func (e *Error) Inputs() []*Error {
	first := *e
	first.More = nil
	return append([]*Error{&first}, e.More...)
}

// RetryAfter returns a Limited or Unavailable error with the time to wait.
func RetryAfter(k Kind, after time.Duration, format string, args ...any) *Error {
	e := newError(k, format, args)
	e.After = after
	return e
}

// KindOf returns the kind of the outermost classified error in err's chain, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of kind k. Is(nil, …) returns false.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }

// Reason returns the reason code of the outermost classified error in err's chain, or "".
func Reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// Text returns what may be shown of err: the text of the outermost classified error, or "".
func Text(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Text
	}
	return ""
}
