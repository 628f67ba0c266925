package bearer

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
)

// Schemes of the Authorization header.
const (
	SchemeBearer = "Bearer" // RFC 6750 §2.1
	SchemeDPoP   = "DPoP"   // RFC 9449 §7.1
)

// A Credential is what a request authenticates with.
type Credential struct {
	Scheme      string            // SchemeBearer or SchemeDPoP
	Token       string            // the access token
	Proofs      []string          // the DPoP headers: exactly one with SchemeDPoP
	Method      string            // of the request
	URL         string            // of the request as its caller sees it; required with SchemeDPoP
	Certificate *x509.Certificate // the caller's TLS certificate, or nil
}

// credential returns the credential in the Authorization header. A token in the address ends up in
// logs and browser histories (RFC 6750 §5.3), so it is an error and not ignored.
func (v *Verifier) credential(r *http.Request) (*Credential, error) {
	if inQuery(r.URL.RawQuery) {
		return nil, malformed("An access token in the address is not accepted (RFC 6750 section 5.3). Send it in the Authorization header.")
	}
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return nil, malformed("The Authorization header is sent twice. Send it once.")
	}
	if len(values) == 0 {
		return nil, noToken()
	}
	c, ok := ParseAuthorization(values[0])
	if !ok {
		return nil, noToken()
	}
	c.Method, c.Certificate = r.Method, v.ClientCertificate(r)
	if c.Scheme == SchemeDPoP {
		c.Proofs, c.URL = r.Header["Dpop"], v.requestURL(r)
	}
	return c, nil
}

// ParseAuthorization parses an Authorization header. It reports false for other schemes than Bearer
// and DPoP.
func ParseAuthorization(header string) (*Credential, bool) {
	name, token, _ := strings.Cut(header, " ")
	c := &Credential{Token: strings.Trim(token, " ")}
	switch {
	case strings.EqualFold(name, SchemeBearer):
		c.Scheme = SchemeBearer
	case strings.EqualFold(name, SchemeDPoP):
		c.Scheme = SchemeDPoP
	default:
		return nil, false
	}
	return c, true
}

// checkForm checks the syntax of a token (RFC 6750 §2.1) and its size.
func (c *Credential) checkForm(maxBytes int) error {
	switch {
	case c == nil || c.Token == "":
		return malformed("The Authorization header has no access token.")
	case len(c.Token) > maxBytes:
		return invalid("The access token is too long.", nil)
	case !isToken(c.Token):
		return malformed("The Authorization header is not of the form: Bearer, a space, the access token.")
	}
	return nil
}

// isToken reports whether s is a b64token (RFC 6750 §2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenBytes marks the bytes of a b64token before its padding. A table is fast enough to check each
// byte of each request's token.
var tokenBytes = func() (table [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") {
		table[c] = true
	}
	return table
}()

// inQuery reports whether a query has a parameter access_token, in any encoding.
func inQuery(raw string) bool {
	if !strings.Contains(raw, "access_token") && !strings.Contains(raw, "%") {
		return false
	}
	q, _ := url.ParseQuery(raw) // a part that cannot be parsed is left out, as in every handler
	return q.Has("access_token")
}

// requestURL returns a request's URL as its caller sees it, without the query, to be compared with
// a proof's htu (RFC 9449 §4.3).
func (v *Verifier) requestURL(r *http.Request) string {
	// The path as it was sent: an outer handler may have removed a prefix from r.URL.
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	path = strings.ReplaceAll(path, "#", "%23") // a request target has no fragment (RFC 9112 §3.2)
	if v.PublicURL != "" {
		return v.PublicURL + path
	}
	if r.TLS != nil {
		return "https://" + r.Host + path
	}
	return "http://" + r.Host + path
}

func peerCertificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}
