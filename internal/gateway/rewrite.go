package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// addressMap turns addresses as an upstream writes them into those that the caller can use.
type addressMap struct {
	origin  string   // the caller's view of the route: scheme, host and port
	prefix  string   // that is cut off requests, without a slash at the end
	base    string   // that the upstream's address has before the path, likewise
	origins []string // of the route's upstreams
	host    string   // of the upstream, without a port
}

// addressMap returns the map for responses of an upstream.
func (f *forwarding) addressMap(target *url.URL) *addressMap {
	prefix := strings.TrimSuffix(f.d.Route.Prefix(), "/")
	if f.d.Route.source.KeepPath {
		prefix = ""
	}
	return &addressMap{
		origin:  f.req.origin(),
		prefix:  prefix,
		base:    strings.TrimSuffix(target.EscapedPath(), "/"),
		origins: f.d.Route.origins,
		host:    strings.ToLower(target.Hostname()),
	}
}

// rewrite changes the headers of a response that contain addresses of the upstream.
func (m *addressMap) rewrite(h http.Header) {
	for _, name := range [...]string{"Location", "Content-Location"} {
		if v := h[name]; len(v) == 1 {
			h[name] = []string{m.address(v[0])}
		}
	}
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		out := make([]string, len(lines))
		for i, line := range lines {
			out[i] = m.cookie(line)
		}
		h["Set-Cookie"] = out
	}
}

// address returns an address as the caller sees it. Addresses of other servers, relative ones, and
// those that no request of the route leads to stay as they are.
func (m *addressMap) address(s string) string {
	if strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") {
		to := m.path(s)
		if len(to) > 1 && (to[1] <= ' ' || to[1] == '/' || to[1] == '\\') {
			return m.origin + to // alone, browsers would read a host at its beginning
		}
		return to
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil {
		return s
	}
	scheme := u.Scheme
	if scheme == "" { // the browser's scheme, and the upstream means its own
		scheme, _, _ = strings.Cut(m.origin, "://")
	}
	from, err := originOf(scheme + "://" + u.Host)
	if err != nil {
		return s
	}
	own, _ := originOf(m.origin)
	if from != own && !m.isUpstream(from, u) {
		return s
	}
	_, rest, _ := strings.Cut(s, "//")
	at := strings.IndexAny(rest, "/?#")
	if at < 0 {
		at = len(rest)
	}
	path := rest[at:]
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return m.origin + m.path(path)
}

// isUpstream reports whether an origin is one of the route's upstreams. Without a scheme the host
// and port decide.
func (m *addressMap) isUpstream(origin string, u *url.URL) bool {
	if u.Scheme != "" {
		return slices.Contains(m.origins, origin)
	}
	for _, scheme := range [...]string{"http", "https"} {
		if o, _ := originOf(scheme + "://" + u.Host); slices.Contains(m.origins, o) {
			return true
		}
	}
	return false
}

// path returns a path, which may have a query, as the caller sees it. One that has the prefix
// already was written by an upstream that knows it.
func (m *addressMap) path(s string) string {
	if m.prefix != "" && below(s, m.prefix) {
		return s
	}
	if !below(s, m.base) {
		return s
	}
	s = m.prefix + s[len(m.base):]
	if s == "" || s[0] != '/' {
		s = "/" + s
	}
	return s
}

// below reports whether an address is a path or below it. Its end may be a query.
func below(s, path string) bool {
	rest, ok := strings.CutPrefix(s, path)
	return ok && (rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}

// cookie returns a Set-Cookie header whose path is the caller's, and without a domain that is the
// upstream's. A cookie whose name begins with __Host- must have the path / (RFC 6265bis §4.1.3.2).
func (m *addressMap) cookie(line string) string {
	parts := strings.Split(line, ";")
	fixed := len(parts[0]) >= len(hostPrefix) && strings.EqualFold(parts[0][:len(hostPrefix)], hostPrefix)
	out := parts[:1:1]
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		value = strings.TrimSpace(value)
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, "domain") && m.upstreamDomain(value):
			continue
		case strings.EqualFold(name, "path") && strings.HasPrefix(value, "/") && !fixed:
			part = " " + name + "=" + m.cookiePath(value)
		}
		out = append(out, part)
	}
	return strings.Join(out, ";")
}

const hostPrefix = "__Host-"

// cookiePath returns the path of a cookie as the caller sees it. The path / covers the whole route.
func (m *addressMap) cookiePath(path string) string {
	if path == "/" && m.base != "" {
		path = m.base
	}
	if path = m.path(path); path != "/" && path == m.prefix+"/" {
		return m.prefix
	}
	return path
}

// upstreamDomain reports whether a cookie's domain is the upstream's host, or a domain above it:
// browsers would reject the cookie.
func (m *addressMap) upstreamDomain(domain string) bool {
	domain = strings.ToLower(strings.TrimPrefix(domain, "."))
	caller, _ := url.Parse(m.origin)
	matches := func(host string) bool {
		return host == domain || strings.HasSuffix(host, "."+domain)
	}
	return domain != "" && matches(m.host) && (caller == nil || !matches(strings.ToLower(caller.Hostname())))
}
