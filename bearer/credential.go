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

// Credential is what a request shows.
type Credential struct {
	Scheme      string            // SchemeBearer or SchemeDPoP
	Token       string            // the access token
	Proofs      []string          // the DPoP headers: exactly one with SchemeDPoP
	Method      string            // of the request
	URL         string            // of the request, as its caller sees it; needed with SchemeDPoP
	Certificate *x509.Certificate // the caller's in TLS, or nil
}

// credential takes the credential out of a request: from the Authorization header, and from nowhere else. A token in an address would
// be kept in logs and histories (RFC 6750 §5.3), so there it is refused, not passed over.
func (v *Verifier) credential(r *http.Request) (*Credential, error) {
	if inQuery(r.URL.RawQuery) {
		return nil, malformed("An access token in the address is refused (RFC 6750 section 5.3). Send it in the Authorization header.")
	}
	sent := r.Header["Authorization"]
	if len(sent) > 1 {
		return nil, malformed("The Authorization header is sent twice. Send it once.")
	}
	if len(sent) == 0 {
		return nil, nothingSent()
	}
	c, ok := ParseAuthorization(sent[0])
	if !ok {
		return nil, nothingSent()
	}
	c.Method, c.Certificate = r.Method, v.certificate(r)
	if c.Scheme == SchemeDPoP {
		c.Proofs, c.URL = r.Header["Dpop"], v.address(r)
	}
	return c, nil
}

// ParseAuthorization reads an Authorization header. It reports false for other schemes than those of access tokens.
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

// wellFormed looks at the form alone.
func (c *Credential) wellFormed(most int) error {
	switch {
	case c == nil || c.Token == "":
		return malformed("The Authorization header holds no access token.")
	case len(c.Token) > most:
		return invalid("The access token is too long to be one of this API's.", nil)
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

// tokenBytes are the bytes of a b64token before its padding: a table, because each byte of each request's token is looked at.
var tokenBytes = func() (table [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") {
		table[c] = true
	}
	return table
}()

// inQuery reports whether a query holds an access token, however it is written.
func inQuery(raw string) bool {
	if !strings.Contains(raw, "access_token") && !strings.Contains(raw, "%") {
		return false
	}
	q, _ := url.ParseQuery(raw) // what cannot be parsed is left out, and no handler finds it either
	return q.Has("access_token")
}

// address is a request's URL as its caller sees it, without the query, for comparison with a proof's htu (RFC 9449 §4.3).
func (v *Verifier) address(r *http.Request) string {
	// The path as it was sent: a handler in front may have cut a prefix off r.URL.
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path = r.URL.EscapedPath()
	}
	path = strings.ReplaceAll(path, "#", "%23") // it begins no fragment here (RFC 9112 §3.2), and must not be taken for one
	if v.base != "" {
		return v.base + path
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
