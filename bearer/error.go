package bearer

import (
	"errors"
	"net/http"
	"strings"
)

// Codes of an [Error], as sent in challenges.
const (
	CodeInvalidRequest    = "invalid_request"    // RFC 6750 §3.1
	CodeInvalidToken      = "invalid_token"      // RFC 6750 §3.1
	CodeInsufficientScope = "insufficient_scope" // RFC 6750 §3.1
	CodeInvalidProof      = "invalid_dpop_proof" // RFC 9449 §7.1
	CodeUseNonce          = "use_dpop_nonce"     // RFC 9449 §9
	CodeUnavailable       = "temporarily_unavailable"
)

// An Error says why a request was rejected. Its fields may be shown to the caller; the error that
// it wraps is for a log.
type Error struct {
	Status      int    // HTTP status
	Code        string // one of the codes, or "" if the request has no access token
	Description string // one or two sentences for the developer of the caller; ASCII without quotes
	Scheme      string // the scheme whose challenge describes it, or "" for all
	cause       error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return "bearer: " + e.Description + ": " + e.cause.Error()
	}
	return "bearer: " + e.Description
}

// Unwrap returns the reason that the caller does not see, or nil.
func (e *Error) Unwrap() error { return e.cause }

// noToken returns a bare challenge for a request without a token (RFC 6750 §3).
func noToken() error {
	return &Error{Status: http.StatusUnauthorized, Description: "This needs an access token."}
}

func malformed(description string) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeInvalidRequest, Description: description}
}

func invalid(description string, cause error) error {
	return &Error{
		Status:      http.StatusUnauthorized,
		Code:        CodeInvalidToken,
		Description: description,
		cause:       cause,
	}
}

func badProof(description string, cause error) error {
	return &Error{
		Status:      http.StatusUnauthorized,
		Code:        CodeInvalidProof,
		Description: description,
		Scheme:      SchemeDPoP,
		cause:       cause,
	}
}

func unavailable(description string, cause error) error {
	return &Error{
		Status:      http.StatusServiceUnavailable,
		Code:        CodeUnavailable,
		Description: description,
		cause:       cause,
	}
}

// inScheme returns an error whose description belongs to the challenge of the scheme that the
// request used. It copies the error, since requests can share one.
func inScheme(err error, scheme string) error {
	var e *Error
	if !errors.As(err, &e) || e.Scheme != "" {
		return err
	}
	c := *e
	c.Scheme = scheme
	return &c
}

// schemeOf returns the scheme that a token is sent with.
func schemeOf(t *Token) string {
	if t.Thumbprint != "" {
		return SchemeDPoP
	}
	return SchemeBearer
}

// quotable removes the characters that are not allowed in the quoted strings of a challenge (RFC
// 6750 §3).
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s)
}
