package bff

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxReturn bounds return_to, in bytes.
const maxReturn = 512

// origin is the scheme and host that a browser knows this server by. Behind a proxy that ends TLS it is the issuer that tells the
// scheme; what the Host header says counts for something only where a client has registered it.
func (s *Server) origin(r *http.Request) string {
	scheme := "http"
	if s.kit.Secure || r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + strings.ToLower(r.Host)
}

// hostname is an address's host in lower case, without a port: browsers do not tell cookies apart by ports (RFC 6265 §8.5).
func hostname(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

// foreign reports whether a request was caused by a page of another origin than the one given (Origin, RFC 6454 §7; Fetch Metadata
// §2.2 where there is none). Another origin of the same site counts as foreign: SameSite cookies come along with its requests.
func foreign(h http.Header, origin string) bool {
	o := h.Get("Origin")
	if o != "" && strings.EqualFold(o, origin) {
		return false
	}
	switch h.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		return o != ""
	}
	return true
}

// opened reports whether a person opened an address as a page of its own, by a link or by typing it, and nobody embedded or fetched it.
// A browser that sends no metadata is believed.
func opened(method string, h http.Header) bool {
	mode, dest := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")
	return (method == http.MethodGet || method == http.MethodHead) && (mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

// notOurs is the answer to requests that another origin's page has caused.
func notOurs() error {
	return fault.New(fault.Denied, "The request comes from a page of another site, so nothing was done.")
}

// returnTo is where a browser goes after signing in: a path of the same host, or an address of an origin that the client has
// registered. Nothing else, so that nobody is led away by a link to here (RFC 9700 §4.11).
func returnTo(cl *client.Client, raw string) (string, error) {
	if raw == "" {
		return "/", nil
	}
	bad := fault.InvalidField("return_to", "return_to must be a path of this host, as in /inbox, or an address of an origin that the application has registered, of at most %d bytes.", maxReturn)
	if len(raw) > maxReturn || !printable(raw) {
		return "", bad
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", bad
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") {
		return raw, nil
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || !strings.HasPrefix(raw, u.Scheme+"://"+u.Host) {
		return "", bad
	}
	for _, list := range [][]string{cl.Redirects, cl.PostLogout} {
		for _, known := range list {
			if client.Origin(known) == u.Scheme+"://"+u.Host {
				return raw, nil
			}
		}
	}
	return "", bad
}

// printable refuses what browsers and Go read differently in an address: backslashes, spaces, control characters, and all that is
// not ASCII.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
