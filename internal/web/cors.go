package web

import (
	"net/http"
	"strings"
)

// ExposedHeaders are the headers of our responses that scripts of other origins may read.
const ExposedHeaders = "WWW-Authenticate, DPoP-Nonce, Retry-After, X-Request-Id, " +
	"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"

// maxRequestedHeaders bounds the header names that a preflight asks for, in bytes.
const maxRequestedHeaders = 1024

// OpenToScripts lets scripts of any origin read a response. Browsers send no cookies with such
// requests (Fetch Standard §3.2.5).
func OpenToScripts(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", ExposedHeaders)
}

// AnswerPreflight answers a CORS preflight (Fetch Standard §4.8) at an address that is open to
// scripts. No cookie takes part, so they may send any header, such as traceparent or
// MCP-Protocol-Version.
func AnswerPreflight(w http.ResponseWriter, r *http.Request, methods string) {
	h := w.Header()
	OpenToScripts(h)
	h.Set("Access-Control-Allow-Methods", methods)
	if names := RequestedHeaders(r.Header); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	h.Set("Access-Control-Max-Age", "3600")
	h.Set("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}

// RequestedHeaders returns the names of the headers that a preflight asks for, as a list, or "" if
// it is none or is too long.
func RequestedHeaders(h http.Header) string {
	names := strings.Join(h["Access-Control-Request-Headers"], ",")
	if len(names) > maxRequestedHeaders || strings.ContainsFunc(names, notInHeaderList) {
		return ""
	}
	return names
}

// notInHeaderList reports whether a character is in no list of header names (RFC 9110 §5.6.2).
func notInHeaderList(c rune) bool {
	return c > 0x7e || c < 0x20 || strings.ContainsRune(`"()/:;<=>?@[\]{}`, c)
}
