package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Bounds of a client's registration.
const (
	maxClientID    = 64
	maxDescription = 1000                // bytes
	maxAddress     = 2048                // bytes
	maxAccessTTL   = 30 * 24 * time.Hour // a leaked one that nobody notices works that long
	maxIDTokenTTL  = 30 * 24 * time.Hour
	maxRefreshTTL  = 10 * 365 * 24 * time.Hour
)

// checkClient says what is wrong with a registration as a whole, the first thing found.
func checkClient(cl *client.Client) error {
	for _, check := range []func(*client.Client) error{
		checkClientNames, checkGrants, checkClientAuth, checkAddresses, checkClientScopes, checkTokens, checkClientAccess,
	} {
		if err := check(cl); err != nil {
			var u usageError
			if errors.As(err, &u) {
				return err
			}
			return usageError{err}
		}
	}
	return nil
}

func checkClientNames(cl *client.Client) error {
	switch {
	case strings.TrimSpace(cl.Name) == "":
		return wrong("a client needs a name that people recognise: add --name")
	case !plainText(cl.Name, maxName):
		return wrong("a client's name has at most %d bytes of text", maxName)
	case !plainText(cl.Description, maxDescription):
		return wrong("a description has at most %d bytes of text", maxDescription)
	case !clientID(string(cl.ID)):
		return wrong("client id %q must have 1 to %d letters, digits and . _ ~ -", cl.ID, maxClientID)
	}
	return nil
}

// clientID reports whether an id means the same in a header, a URL and a form without any quoting: clients differ
// in whether they encode it in HTTP Basic (RFC 6749 §2.3.1).
func clientID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._~-", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= maxClientID
}

func checkGrants(cl *client.Client) error {
	switch {
	case len(cl.Grants) == 0:
		return wrong("a client needs a grant: add --grant with one of %s", strings.Join(grantWords(), ", "))
	case cl.Public && cl.CanUseGrant(client.GrantTypeClient): // RFC 6749 §4.4
		return wrong("client_credentials is for clients that keep a secret; leave out --public, or that grant")
	case len(cl.Grants) == 1 && cl.CanUseGrant(client.GrantTypeRefresh):
		return wrong("refresh_token alone gives no first token; add --grant authorization_code or device_code beside it")
	case cl.CanUseGrant(client.GrantTypeCode) && len(cl.Redirects) == 0:
		return wrong("authorization_code needs an address to send the person back to: add --redirect-uri")
	}
	return nil
}

func checkClientAuth(cl *client.Client) error {
	keys := len(cl.JWKS) > 0 || cl.JWKSURI != ""
	if cl.AuthMethod != "" {
		if err := known("authentication method", cl.AuthMethod, oauth.Methods()); err != nil {
			return err
		}
	}
	switch {
	case cl.Public && cl.AuthMethod != client.MethodNone:
		return wrong("a public client has no secret and no key; leave out --auth-method %s, or --public", cl.AuthMethod)
	case !cl.Public && cl.AuthMethod == client.MethodNone:
		return wrong("--auth-method none is for public clients; add --public")
	case cl.AuthMethod == client.MethodPrivateKey && !keys:
		return wrong("private_key_jwt needs the client's public keys: add --jwks FILE or --jwks-uri URL")
	case cl.AuthMethod != client.MethodPrivateKey && keys:
		return wrong("keys are used by private_key_jwt only; add --auth-method private_key_jwt, or leave out --jwks and --jwks-uri")
	case len(cl.JWKS) > 0 && cl.JWKSURI != "": // RFC 7591 §2
		return wrong("--jwks and --jwks-uri exclude each other; keep one of them")
	}
	if len(cl.JWKS) > 0 {
		if _, err := jose.ParseKeySet(cl.JWKS); err != nil {
			return fmt.Errorf("--jwks: %w", err)
		}
	}
	return nil
}

func checkAddresses(cl *client.Client) error {
	for _, list := range []struct {
		flag string
		uris []string
	}{{"redirect-uri", cl.Redirects}, {"post-logout-redirect-uri", cl.PostLogout}} {
		for _, u := range list.uris {
			if err := client.ValidRedirect(u); err != nil {
				return fmt.Errorf("--%s: %w", list.flag, err)
			}
		}
	}
	for _, r := range cl.Resources { // RFC 8707 §2
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || strings.ContainsAny(r, "# ") || len(r) > maxAddress {
			return wrong("--resource %q must be an absolute URI without a fragment", r)
		}
	}
	for _, page := range [][2]string{{"uri", cl.URI}, {"logo-uri", cl.LogoURI}} {
		if page[1] != "" && !webAddress(page[1], "https", "http") {
			return wrong("--%s %q must be an https address", page[0], page[1])
		}
	}
	// As with redirects, http is safe to a program on this machine only.
	if u := cl.JWKSURI; u != "" && (!webAddress(u, "https", "http") || client.ValidRedirect(u) != nil) {
		return wrong("--jwks-uri %q must be an https address", u)
	}
	return nil
}

// webAddress reports whether s is an absolute address on the web.
func webAddress(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains(schemes, u.Scheme) && u.Hostname() != "" && u.User == nil && len(s) <= maxAddress &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func checkClientScopes(cl *client.Client) error {
	for _, name := range cl.Scopes {
		if !oauth.ValidScope(name) {
			return wrong("scope %q has characters that a scope cannot have (RFC 6749 section 3.3)", name)
		}
	}
	return nil
}

func checkTokens(cl *client.Client) error {
	for _, ttl := range []struct {
		flag      string
		value     time.Duration
		atMost    time.Duration
		mostWords string
	}{
		{"access-token-ttl", cl.AccessTTL, maxAccessTTL, "30 days"},
		{"id-token-ttl", cl.IDTokenTTL, maxIDTokenTTL, "30 days"},
		{"refresh-token-ttl", cl.RefreshTTL, maxRefreshTTL, "10 years"},
	} {
		if ttl.value != 0 && (ttl.value < time.Second || ttl.value > ttl.atMost) {
			return wrong("--%s must be from 1 second to %s", ttl.flag, ttl.mostWords)
		}
	}
	if cl.TokenFormat != "" {
		if err := known("token format", cl.TokenFormat, []string{oauth.FormatJWT, oauth.FormatOpaque}); err != nil {
			return err
		}
	}
	if cl.Alg != "" {
		if err := known("signature algorithm", cl.Alg, jose.Algorithms()); err != nil {
			return err
		}
	}
	if cl.Rotation != "" && cl.Rotation != "on" && cl.Rotation != "off" {
		return wrong("--refresh-rotation is %q; it takes on or off", cl.Rotation)
	}
	return nil
}

// maxAccessList bounds each list of a client that is looked through for every request, and the rows that hold them.
const maxAccessList = 256

// checkClientAccess checks what the gateway asks of a client, and what its tokens are bound to.
func checkClientAccess(cl *client.Client) error {
	for _, l := range []struct {
		flag string
		list []string
	}{{"role", cl.Roles}, {"from-network", cl.Networks}, {"to-host", cl.Hosts}, {"to-route", cl.Routes}} {
		if len(l.list) > maxAccessList {
			return wrong("--%s is given %d times; a client has at most %d", l.flag, len(l.list), maxAccessList)
		}
	}
	for _, r := range cl.Roles {
		if !word(r) {
			return wrong("role %q must be one word of letters, digits and . _ : -", r)
		}
	}
	if _, err := netaddr.ParseList(cl.Networks); err != nil {
		return fmt.Errorf("--from-network: %w", err)
	}
	for _, h := range cl.Hosts {
		if !hostPattern(h) {
			return wrong("--to-host %q is no host; write a name such as api.example.com or *.example.com, without a port", h)
		}
	}
	for _, r := range cl.Routes {
		if !routeWord(r) {
			return wrong("--to-route %q is no route; write it as DOMAIN/VERSION, DOMAIN, or a route's id", r)
		}
	}
	if cl.DPoPBound && cl.CertBound {
		return wrong("a token is bound to one key; keep --dpop-bound or --certificate-bound")
	}
	return nil
}

// hostPattern reports whether s is a host name (RFC 1123 §2.1), an address, or a wildcard for all names below one.
func hostPattern(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	s = strings.TrimPrefix(s, "*.")
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return len(s) <= 253
}

// routeWord reports whether s can be DOMAIN/VERSION, DOMAIN or the id of a route. A route of the file is file:NAME.
func routeWord(s string) bool {
	return s != "" && len(s) <= maxAddress && strings.Count(s, "/") <= 1 && strings.Trim(s, "/") == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' })
}

// grantNames maps the words that the command line takes to grant types: the short ones, and the full ones.
func grantNames() map[string]string {
	names := map[string]string{
		"code": client.GrantTypeCode, "refresh": client.GrantTypeRefresh,
		"device": client.GrantTypeDevice, "device_code": client.GrantTypeDevice,
	}
	for _, full := range oauth.GrantTypeNames() {
		names[full] = full
	}
	return names
}

// grantWords lists the grant types in the words that messages use.
func grantWords() []string {
	out := slices.Clone(oauth.GrantTypeNames())
	for i, g := range out {
		if g == client.GrantTypeDevice {
			out[i] = "device_code"
		}
	}
	return out
}

// readGrants reads --grant, which may repeat and hold several.
func readGrants(given []string) ([]string, error) {
	names := grantNames()
	var out []string
	for _, g := range splitWords(given, ",") {
		full := names[g]
		if full == "" {
			return nil, known("grant", g, grantWords())
		}
		if !slices.Contains(out, full) {
			out = append(out, full)
		}
	}
	return out, nil
}

// splitWords takes lists apart at spaces, and at further separators, without repeats.
func splitWords(given []string, more string) []string {
	var out []string
	for _, s := range given {
		for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || strings.ContainsRune(more, r) }) {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}
