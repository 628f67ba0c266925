package protocol

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// challenges returns the WWW-Authenticate headers of an error. A request without credentials
// gets both ways to present a token; one that used the DPoP scheme gets that scheme, whatever
// went wrong (RFC 9449 §7.1).
func challenges(r *http.Request, p web.Problem, issuer string) []string {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case p.Challenge == oauth.SchemeBearer && p.Code == "":
		return []string{
			challenge(oauth.SchemeBearer, p, issuer),
			challenge(oauth.SchemeDPoP, p, issuer),
		}
	case p.Challenge == oauth.SchemeBearer && strings.EqualFold(scheme, oauth.SchemeDPoP):
		return []string{challenge(oauth.SchemeDPoP, p, issuer)}
	}
	return []string{challenge(p.Challenge, p, issuer)}
}

// challenge returns one challenge (RFC 6749 §5.2, RFC 6750 §3, RFC 9449 §7.1).
func challenge(scheme string, p web.Problem, issuer string) string {
	out := fmt.Sprintf(`%s realm="%s"`, scheme, issuer)
	if scheme == oauth.SchemeDPoP {
		out += fmt.Sprintf(`, algs="%s"`, strings.Join(token.ProofAlgorithms(), " "))
	}
	if scheme != "Basic" && p.Code != "" {
		out += fmt.Sprintf(`, error="%s", error_description="%s"`, p.Code, p.Text)
		if p.Scope != "" {
			out += fmt.Sprintf(`, scope="%s"`, p.Scope)
		}
	}
	return out
}
