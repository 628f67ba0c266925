package oauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Error is an error response of the protocol: a registered code, and a sentence for the developer
// of the client.
type Error struct {
	Code        string // the `error` member
	Description string // `error_description`: printable ASCII without " and \ (RFC 6749 §5.2)
	Status      int    // HTTP status
	Challenge   string // scheme for WWW-Authenticate with a 401 or 403: "Basic", "Bearer" or ""
	Scope       string // with insufficient_scope: the scope that is missing
}

// Error returns code and description.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// NewError returns an error response with a code, an HTTP status and a formatted description.
func NewError(code string, status int, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Description: fmt.Sprintf(format, args...)}
}

// The constructors below make the error responses of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1
// and RFC 8707 §2.

// InvalidRequest returns an invalid_request error.
func InvalidRequest(format string, args ...any) *Error {
	return NewError("invalid_request", 400, format, args...)
}

// InvalidClient returns an invalid_client error that asks for an authentication scheme, or for
// none if challenge is "".
func InvalidClient(challenge, format string, args ...any) *Error {
	e := NewError("invalid_client", 401, format, args...)
	e.Challenge = challenge
	return e
}

// InvalidGrant returns an invalid_grant error.
func InvalidGrant(format string, args ...any) *Error {
	return NewError("invalid_grant", 400, format, args...)
}

// InvalidScope returns an invalid_scope error.
func InvalidScope(format string, args ...any) *Error {
	return NewError("invalid_scope", 400, format, args...)
}

// InvalidTarget returns an invalid_target error.
func InvalidTarget(format string, args ...any) *Error {
	return NewError("invalid_target", 400, format, args...)
}

// UnauthorizedClient returns an unauthorized_client error.
func UnauthorizedClient(format string, args ...any) *Error {
	return NewError("unauthorized_client", 400, format, args...)
}

// AccessDenied returns an access_denied error.
func AccessDenied(format string, args ...any) *Error {
	return NewError("access_denied", 403, format, args...)
}

// InvalidToken returns an invalid_token error with a Bearer challenge.
func InvalidToken(format string, args ...any) *Error {
	e := NewError("invalid_token", 401, format, args...)
	e.Challenge = SchemeBearer
	return e
}

// InsufficientScope returns an insufficient_scope error with a Bearer challenge that names the
// missing scope, if there is one.
func InsufficientScope(scope, format string, args ...any) *Error {
	e := NewError("insufficient_scope", 403, format, args...)
	e.Challenge, e.Scope = SchemeBearer, scope
	return e
}

// Wire returns the error response for any error: the first Error in its chain, or what its kind
// allows to say.
func Wire(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return InvalidRequest("%s", Printable(fault.Text(err)))
	case fault.Limited:
		return NewError("rate_limit_exceeded", 429, "%s", Printable(fault.Text(err)))
	case fault.Unavailable:
		return NewError("temporarily_unavailable", 503,
			"The server cannot answer now. Try again in a moment.")
	}
	return NewError("server_error", 500,
		"Something went wrong on the server. Tell its operator the request id.")
}

// Printable returns the characters of a text that RFC 6749 §5.2 allows in a description. Double
// quotes become single ones.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r > 0x7e || r == '\\':
			return -1
		}
		return r
	}, s)
}
