package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// WantsPage reports whether a person waits for the answer to a request; see PrefersPage.
func WantsPage(r *http.Request) bool { return PrefersPage(r.Header) }

// PrefersPage reports whether a request with these headers is for a person, who gets a page, and
// not for a program, which gets JSON. Browsers that send Sec-Fetch-Mode say so themselves (Fetch
// Metadata §2.2). Others accept HTML by name, and no other kind of answer more (RFC 9110 §12.5.1);
// programs such as curl and fetch accept anything.
func PrefersPage(h http.Header) bool {
	if mode := h["Sec-Fetch-Mode"]; len(mode) > 0 && mode[0] != "" {
		return mode[0] == "navigate"
	}
	var page, data int
	for _, line := range h["Accept"] {
		for one := range strings.SplitSeq(line, ",") {
			kind, q := acceptable(one)
			switch {
			case kind == "text/html" || kind == "application/xhtml+xml":
				page = max(page, q)
			case kind == "application/json" || strings.HasSuffix(kind, "+json"):
				data = max(data, q)
			}
		}
	}
	return page > 0 && page >= data
}

// acceptable returns a media type of an Accept header in lower case, and its weight in thousandths
// (RFC 9110 §12.4.2), 0 for one that cannot be read.
func acceptable(one string) (kind string, q int) {
	kind, params, _ := strings.Cut(one, ";")
	q = 1000
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if q = 0; err == nil && weight > 0 && weight <= 1 {
			q = int(weight * 1000)
		}
	}
	return strings.ToLower(strings.TrimSpace(kind)), q
}

// WrongMethod returns the error of a request whose method an address does not serve (RFC 9110
// §15.5.6), and sets Allow.
func WrongMethod(h http.Header, allow string) error {
	h.Set("Allow", allow)
	return oauth.NewError("invalid_request", http.StatusMethodNotAllowed,
		"This address does not serve that method. Use one of %s.", allow)
}

// AllowedMethods returns the value of Allow for a request that a mux serves by other methods only,
// or "" if it serves nothing at the address. Patterns that name no method do not count.
func AllowedMethods(mux *http.ServeMux, r *http.Request) string {
	var out []string
	for _, method := range [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(probe); strings.Contains(pattern, " ") {
			out = append(out, method)
		}
	}
	if slices.Contains(out, r.Method) {
		return ""
	}
	return strings.Join(out, ", ")
}
