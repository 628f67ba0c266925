package bearer

import (
	"errors"
	"net/http"
	"strings"
)

// Codes of an Error, as in challenges.
const (
	CodeInvalidRequest    = "invalid_request"    // RFC 6750 §3.1
	CodeInvalidToken      = "invalid_token"      // RFC 6750 §3.1
	CodeInsufficientScope = "insufficient_scope" // RFC 6750 §3.1
	CodeInvalidProof      = "invalid_dpop_proof" // RFC 9449 §7.1
	CodeUseNonce          = "use_dpop_nonce"     // RFC 9449 §9
	CodeUnavailable       = "temporarily_unavailable"
)

// Error says why a request is refused. What it holds may be told to the caller, but for what it wraps, which is for a log.
type Error struct {
	Status      int    // HTTP status
	Code        string // one of the codes, or "" when no access token was sent
	Description string // one or two sentences for who wrote the calling program; ASCII without quotes
	Scheme      string // the scheme whose challenge tells it, or "" for every
	cause       error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return "bearer: " + e.Description + ": " + e.cause.Error()
	}
	return "bearer: " + e.Description
}

// Unwrap gives the reason, where there is more to say to the owner than to the caller.
func (e *Error) Unwrap() error { return e.cause }

// nothingSent tells who shows nothing no more than that a token is needed (RFC 6750 §3).
func nothingSent() error {
	return &Error{Status: http.StatusUnauthorized, Description: "This needs an access token."}
}

func malformed(description string) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeInvalidRequest, Description: description}
}

func invalid(description string, cause error) error {
	return &Error{Status: http.StatusUnauthorized, Code: CodeInvalidToken, Description: description, cause: cause}
}

func badProof(description string, cause error) error {
	return &Error{Status: http.StatusUnauthorized, Code: CodeInvalidProof, Description: description, Scheme: SchemeDPoP, cause: cause}
}

func unavailable(description string, cause error) error {
	return &Error{Status: http.StatusServiceUnavailable, Code: CodeUnavailable, Description: description, cause: cause}
}

// inScheme puts an error's words into the challenge of the scheme that was tried. Requests can share an error, so it is copied.
func inScheme(err error, scheme string) error {
	var e *Error
	if !errors.As(err, &e) || e.Scheme != "" {
		return err
	}
	own := *e
	own.Scheme = scheme
	return &own
}

// scheme is the scheme that a token is used with.
func scheme(t *Token) string {
	if t.Thumbprint != "" {
		return SchemeDPoP
	}
	return SchemeBearer
}

// printable keeps what may stand in a quoted string of a challenge (RFC 6750 §3).
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s)
}
