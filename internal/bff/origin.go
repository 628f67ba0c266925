package bff

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxReturn is the longest address that a browser returns to, in bytes.
const maxReturn = 2 << 10

// origin returns the scheme and host by which a browser knows this server. Behind a proxy that ends
// TLS the scheme is the issuer's. The Host header only counts where a client has registered it.
func (s *Server) origin(r *http.Request) string {
	scheme := "http"
	if s.kit.Secure || r.TLS != nil {
		scheme = "https"
	}
	return canonicalOrigin(scheme + "://" + r.Host)
}

// canonicalOrigin returns an origin in the one spelling in which origins are compared: in lower
// case, without the scheme's own port and without a dot at the end of the host (RFC 6454 §4).
func canonicalOrigin(origin string) string {
	scheme, host, _ := strings.Cut(strings.ToLower(origin), "://")
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	if name, port, ok := strings.Cut(host, ".:"); ok {
		host = name + ":" + port
	}
	return scheme + "://" + strings.TrimSuffix(host, ".")
}

// hostname returns the host of an address in lower case and without a port: cookies do not depend
// on ports (RFC 6265 §8.5).
func hostname(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

// crossOrigin reports whether a page of another origin caused a request (Origin, RFC 6454 §7; Fetch
// Metadata §2.2 where there is none). Another origin of the same site counts as well, because
// SameSite cookies come with its requests.
func crossOrigin(h http.Header, origin string) bool {
	o := h.Get("Origin")
	if o != "" && canonicalOrigin(o) == canonicalOrigin(origin) {
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

// opened reports whether a person opened an address as a page of its own, by a link or by typing
// it, and no other page embedded or fetched it. A browser that sends no metadata is trusted.
func opened(method string, h http.Header) bool {
	mode, dest := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest")
	return (method == http.MethodGet || method == http.MethodHead) &&
		(mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

// errCrossOrigin returns the error of requests that a page of another origin caused.
func errCrossOrigin() error {
	return fault.New(fault.Denied, "The request comes from a page of another site, so nothing "+
		"was done.")
}

// parseReturnTo returns where a browser goes after signing in: a path of the same host, or an
// address of an origin that the client has registered. It rejects everything else, so that links
// to here are no open redirectors (RFC 9700 §4.11). An address that is too long is shortened.
func parseReturnTo(cl *client.Client, raw string) (string, error) {
	if raw == "" {
		return "/", nil
	}
	bad := fault.InvalidField("return_to", "return_to must be a path of this host such as "+
		"/inbox, or an address of an origin that the app has registered.")
	if !unambiguous(raw) {
		return "", bad
	}
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", bad
	}
	if u.Scheme == "" && u.Host == "" && strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") {
		return shortened(raw, "/"), nil
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || !strings.HasPrefix(raw, u.Scheme+"://"+u.Host) {
		return "", bad
	}
	for _, list := range [][]string{cl.Redirects, cl.PostLogout} {
		for _, known := range list {
			if client.Origin(known) == u.Scheme+"://"+u.Host {
				return shortened(raw, u.Scheme+"://"+u.Host+"/"), nil
			}
		}
	}
	return "", bad
}

// shortened returns an address that can be returned to: this one, or without its query if it is too
// long, or else the first page.
func shortened(address, first string) string {
	if len(address) > maxReturn {
		address, _, _ = strings.Cut(address, "#")
		address, _, _ = strings.Cut(address, "?")
	}
	if len(address) > maxReturn {
		return first
	}
	return address
}

// unambiguous reports whether browsers and Go read an address alike: one with backslashes, spaces,
// control characters or other characters outside ASCII they may not.
func unambiguous(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
