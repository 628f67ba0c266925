package gateway

import (
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// approve answers a proxy that the request it asked about may pass.
func (g *Gateway) approve(w http.ResponseWriter, d Decision, headers *identityHeaders) {
	h := w.Header()
	headers.write(h)
	if d.Nonce != "" {
		h["Dpop-Nonce"] = []string{d.Nonce}
	}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
}

// forProxy returns the decision as a proxy gets it. The address exists at the proxy, so the gateway
// does not answer that it does not.
func (d Decision) forProxy() Decision {
	if d.Denial.Status != http.StatusNotFound {
		return d
	}
	denial := *d.Denial
	denial.Status, denial.Code = http.StatusForbidden, access.CodeAccessDenied
	denial.Public = "There is no route for this address, so no request may pass."
	d.Denial = &denial
	return d
}

// originalRequest returns the request that a proxy asks about. A proxy describes it in one of four
// ways. A question that uses two of them is rejected, since one of them may come from the caller.
// The request is not nil with an error, for the record.
func (g *Gateway) originalRequest(r *http.Request) (*Request, error) {
	line, nginx, err := g.originalLine(r)
	if err == nil {
		err = checkDisguised(r.Header)
	}
	if line.scheme == "" {
		line.scheme = g.scheme(r)
	}
	req := build(r, line)
	req.ForwardAuth, req.OnlyAuthStatus = true, nginx
	if err == nil {
		req.ProxyPort = proxyPort(req)
	}
	return req, err
}

// originalLine returns the line of the request that a proxy asks about, and whether the proxy is
// nginx, by the way in which it describes the request.
func (g *Gateway) originalLine(r *http.Request) (line requestLine, nginx bool, err error) {
	if !g.trusted(r) {
		d := badRequest("proxy", "The question comes from an address that is not a trusted proxy.",
			"Add the proxy's address to TRUSTED_PROXIES.")
		d.Status, d.Code = http.StatusForbidden, access.CodeAccessDenied
		return line, false, d
	}
	below := strings.TrimPrefix(rawPath(r), pathCheck)
	forwarded := len(r.Header["X-Forwarded-Uri"]) > 0
	originalURI, originalURL := len(r.Header["X-Original-Uri"]) > 0, len(r.Header["X-Original-Url"]) > 0
	switch count(below != "", forwarded, originalURI, originalURL) {
	case 0:
		return line, false, badRequest("proxy", "The question does not contain the address of "+
			"the request.",
			"Set X-Forwarded-Uri, X-Original-URI or X-Original-URL at the proxy, or ask below "+
				"/gateway/check with the request's own path.")
	case 1:
	default:
		return line, false, badRequest("proxy", "The question contains the request's address in "+
			"two ways.",
			"Let the proxy remove X-Forwarded-Uri, X-Original-URI and X-Original-URL from what the caller "+
				"sends, except the one that it sets.")
	}
	switch {
	case below != "": // as Envoy asks (ext_authz over HTTP): the request with its path behind ours
		return requestLine{method: r.Method, authority: r.Host, path: below, query: r.URL.RawQuery}, false, nil
	case forwarded:
		line, err = lineFromHeaders(r.Header, "X-Forwarded-Uri", "X-Forwarded-Method",
			"X-Forwarded-Host")
		return line, false, err
	case originalURI:
		line, err = lineFromHeaders(r.Header, "X-Original-Uri", "X-Original-Method",
			"X-Original-Host")
		return line, true, err
	}
	line, err = lineFromURL(r.Header)
	return line, true, err
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// checkDisguised rejects a request with a header that some servers would read as one of the
// gateway's own. Where a proxy copies the gateway's headers over the caller's, it would be left.
func checkDisguised(h http.Header) error {
	for name := range h {
		if asCGI(name) != name && reserved(name) {
			d := badRequest("header", "A header's name is a disguised form of one of the "+
				"gateway's own.",
				"Send no headers such as X_Auth_User.")
			d.Had = []string{name}
			return d
		}
	}
	return nil
}

// lineFromHeaders reads three headers, as Traefik and Caddy set them, and nginx when it is
// configured as the guide says. All must be there once: what the proxy does not set, the caller
// could.
func lineFromHeaders(h http.Header, uri, method, host string) (requestLine, error) {
	for _, name := range [...]string{uri, method, host} {
		switch v := h[name]; {
		case len(v) == 0 || v[0] == "":
			return requestLine{}, badRequest("proxy", "The header "+name+" is missing.",
				"Set it at the proxy, so that callers cannot.")
		case len(v) > 1 || name != uri && strings.ContainsAny(v[0], ", "):
			return requestLine{}, badRequest("proxy", "The header "+name+" has more than one value.",
				"Let the proxy replace what the caller sends.")
		}
	}
	line := requestLine{method: h[method][0], authority: h[host][0]}
	line.path, line.query, _ = strings.Cut(h[uri][0], "?")
	return line, nil
}

// lineFromURL reads the whole address from one header, as some configurations of nginx set it.
func lineFromURL(h http.Header) (requestLine, error) {
	method, address := h["X-Original-Method"], h["X-Original-Url"]
	if len(method) != 1 || len(address) != 1 || method[0] == "" {
		return requestLine{}, badRequest("proxy",
			"X-Original-URL and X-Original-Method must each be there once.",
			"Set both at the proxy, so that callers cannot.")
	}
	rest, secure := strings.CutPrefix(address[0], "https://")
	rest, plain := strings.CutPrefix(rest, "http://")
	if secure == plain {
		return requestLine{}, badRequest("proxy", "X-Original-URL is not an http or https address.",
			"Set it to $scheme://$http_host$request_uri.")
	}
	line := requestLine{method: method[0], scheme: "http"}
	if secure {
		line.scheme = "https"
	}
	at := strings.IndexAny(rest, "/?")
	if at < 0 {
		at = len(rest)
	}
	line.authority = rest[:at]
	line.path, line.query, _ = strings.Cut(rest[at:], "?")
	if line.path == "" {
		line.path = "/"
	}
	return line, nil
}
