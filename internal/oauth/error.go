package oauth

import (
	"fmt"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Error is an answer that a client reads: a registered code and a sentence for the developer behind it.
type Error struct {
	Code        string // `error`
	Description string // `error_description`: printable ASCII, no quotes or backslashes (RFC 6749 §5.2)
	Status      int    // HTTP status
	Challenge   string // scheme for WWW-Authenticate with a 401 or 403: "Basic", "Bearer" or ""
	Scope       string // with insufficient_scope: the scope needed
}

// Error is code and description.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

func failure(code string, status int, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Description: fmt.Sprintf(format, args...)}
}

// The answers of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 8628 §3.5, RFC 8707 §2 and OpenID Connect Core §3.1.2.6.

func invalidRequest(format string, args ...any) *Error {
	return failure("invalid_request", 400, format, args...)
}

func invalidClient(challenge, format string, args ...any) *Error {
	e := failure("invalid_client", 401, format, args...)
	e.Challenge = challenge
	return e
}

func invalidGrant(format string, args ...any) *Error {
	return failure("invalid_grant", 400, format, args...)
}

func invalidScope(format string, args ...any) *Error {
	return failure("invalid_scope", 400, format, args...)
}

func invalidTarget(format string, args ...any) *Error {
	return failure("invalid_target", 400, format, args...)
}

func unauthorizedClient(format string, args ...any) *Error {
	return failure("unauthorized_client", 400, format, args...)
}

func accessDenied(format string, args ...any) *Error {
	return failure("access_denied", 403, format, args...)
}

func invalidToken(format string, args ...any) *Error {
	e := failure("invalid_token", 401, format, args...)
	e.Challenge = "Bearer"
	return e
}

func insufficientScope(scope, format string, args ...any) *Error {
	e := failure("insufficient_scope", 403, format, args...)
	e.Challenge, e.Scope = "Bearer", scope
	return e
}

// Wire is the answer that a client gets for any error: its own words if it is an Error, else what its kind allows to be said.
func Wire(err error) *Error {
	if e, ok := err.(*Error); ok {
		return e
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return invalidRequest("%s", printable(fault.Text(err)))
	case fault.Limited:
		return failure("rate_limit_exceeded", 429, "%s", printable(fault.Text(err)))
	case fault.Unavailable:
		return failure("temporarily_unavailable", 503, "The server cannot answer now. Try again in a moment.")
	}
	return failure("server_error", 500, "Something went wrong on the server. Tell its operator the request id.")
}

// printable keeps what RFC 6749 §5.2 allows in a description.
func printable(s string) string {
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
