package client

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/palette"
)

// Formats of access tokens.
const (
	FormatJWT    = "jwt"
	FormatOpaque = "opaque"
)

// Bounds of a registration.
const (
	maxID          = 64   // bytes
	maxName        = 200  // bytes
	maxDescription = 1000 // bytes
	maxWord        = 64   // bytes
	maxHost        = 253  // bytes (RFC 1035 §2.3.4)
	maxContacts    = 10

	maxAccessTTL  = 30 * 24 * time.Hour // a leaked token that nobody notices works that long
	maxIDTokenTTL = 30 * 24 * time.Hour
	maxRefreshTTL = 10 * 365 * 24 * time.Hour

	// maxAccessList bounds each list that the gateway searches for every request.
	maxAccessList = 256
)

// Normalize brings a registration into its stored form: grant types by their wire names, lists
// without repeats, and the method of a public client. It rejects grant types that do not exist.
func (c *Client) Normalize(r Rules) error {
	grants, err := r.ResolveGrants(c.Grants)
	if err != nil {
		return err
	}
	c.Grants = grants
	c.Name = strings.TrimSpace(c.Name)
	if c.Public && c.AuthMethod == "" {
		c.AuthMethod = MethodNone
	}
	c.RateLimits, err = normalRateLimits(c.RateLimits)
	return err
}

// HasSecret reports whether the client authenticates with a shared secret.
func (c *Client) HasSecret() bool { return !c.Public && c.AuthMethod != MethodPrivateKey }

// Validate returns the first thing that is wrong with a registration as a whole, as fault.Invalid
// with the name of a field, or nil (RFC 7591 §2, RFC 8252 §7, RFC 8707 §2).
func (c *Client) Validate(r Rules) error { return c.ValidateChange(r, &Client{}) }

// ValidateChange validates a registration as a whole as Validate does, but its texts only where
// they differ from old, so that a name which was stored before the rule for characters existed does
// not stand in the way of another change.
func (c *Client) ValidateChange(r Rules, old *Client) error {
	if err := c.checkTexts(old); err != nil {
		return err
	}
	for _, check := range []func(Rules) error{
		c.checkNames, c.checkGrants, c.checkAuth, c.checkURIs, c.checkScopes, c.checkTokens, c.checkAccess,
	} {
		if err := check(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) checkNames(Rules) error {
	switch {
	case strings.TrimSpace(c.Name) == "":
		return fault.InvalidField("client_name", "a client needs a name that people recognize")
	case len(c.Name) > maxName:
		return fault.InvalidField("client_name", "a client's name has at most %d bytes of text", maxName)
	case len(c.Description) > maxDescription:
		return fault.InvalidField("description", "a description has at most %d bytes of text", maxDescription)
	case len(c.Contacts) > maxContacts:
		return fault.InvalidField("contacts", "a client has at most %d contacts", maxContacts)
	case !validID(string(c.ID)):
		return fault.InvalidField("client_id", "client id %q must have 1 to %d letters, digits and . _ ~ -", c.ID, maxID)
	}
	return nil
}

// checkTexts checks the texts that differ from those of old.
func (c *Client) checkTexts(old *Client) error {
	if what := identity.InvalidName(c.Name); what != "" && c.Name != old.Name {
		return fault.InvalidField("client_name",
			"the name contains %s; remove it, or type the name again", what)
	}
	if what := identity.InvalidText(c.Description); what != "" && c.Description != old.Description {
		return fault.InvalidField("description",
			"the description contains %s; remove it, or type the text again", what)
	}
	for _, address := range c.Contacts {
		if !identity.ValidEmail(address) && !slices.Contains(old.Contacts, address) {
			return fault.InvalidField("contacts", "%q is not an email address", address)
		}
	}
	return nil
}

// validID reports whether an id means the same in a header, a URL and a form without any quoting:
// clients differ in whether they encode it in HTTP Basic (RFC 6749 §2.3.1).
func validID(s string) bool { return s != "" && len(s) <= maxID && onlyASCII(s, "._~-") }

func (c *Client) checkGrants(r Rules) error {
	if len(c.Grants) == 0 {
		return fault.InvalidField("grant_types", "a client needs a grant type: use one of %s",
			strings.Join(r.GrantNames(), ", "))
	}
	for _, g := range r.Grants {
		if !slices.Contains(c.Grants, g.Name) {
			continue
		}
		switch {
		case g.Confidential && c.Public:
			return fault.InvalidField("grant_types", "%s is for clients that keep a secret; "+
				"make the client confidential, or leave out that grant type", g.Title())
		case g.Redirects && len(c.Redirects) == 0:
			return fault.InvalidField("redirect_uris",
				"%s needs an address to send people back to", g.Title())
		}
	}
	begins := func(name string) bool { return !r.grant(name).Continues }
	if !slices.ContainsFunc(c.Grants, begins) {
		return fault.InvalidField("grant_types",
			"%s alone cannot get a first token; add %s beside it",
			strings.Join(r.ShortGrants(c.Grants), " and "),
			strings.Join(r.namesOf(func(g GrantType) bool { return g.Approval }), " or "))
	}
	return nil
}

func (c *Client) checkAuth(r Rules) error {
	const method = "token_endpoint_auth_method"
	if err := oneOf(method, "authentication method", c.AuthMethod, r.AuthMethodNames()); err != nil {
		return err
	}
	keys := len(c.JWKS) > 0 || c.JWKSURI != ""
	chosen := r.authMethod(c.AuthMethod)
	switch {
	case c.Public && !chosen.Public:
		return fault.InvalidField(method,
			"a public client has no secret and no key; leave out %s, or make the client confidential", c.AuthMethod)
	case !c.Public && chosen.Public:
		return fault.InvalidField(method,
			"%s is for public clients; make the client public", chosen.Name)
	case chosen.Keys && !keys:
		return fault.InvalidField("jwks",
			"%s needs the client's public keys, in jwks or at jwks_uri", chosen.Name)
	case !chosen.Keys && keys && !c.CanUseGrant(GrantTypeCode): // it signs no request either
		return fault.InvalidField(method, "only private_key_jwt uses keys in a client that has no "+
			"authorization requests to sign; choose it, or leave out jwks and jwks_uri")
	case len(c.JWKS) > 0 && c.JWKSURI != "": // RFC 7591 §2
		return fault.InvalidField("jwks", "jwks and jwks_uri exclude each other; keep one of them")
	}
	for _, alg := range [][2]string{
		{"token_endpoint_auth_signing_alg", c.AuthAlg}, {"request_object_signing_alg", c.RequestAlg},
	} {
		if err := oneOf(alg[0], "signature algorithm", alg[1], jose.AssertionAlgorithms()); err != nil {
			return err
		}
	}
	if len(c.JWKS) == 0 {
		return nil
	}
	if len(c.JWKS) > jose.MaxKeySet {
		return fault.InvalidField("jwks", "a key set has at most %d bytes", jose.MaxKeySet)
	}
	_, err := jose.ParseKeySet(c.JWKS)
	return inField("jwks", err)
}

func (c *Client) checkURIs(Rules) error {
	for _, list := range []struct {
		field string
		uris  []string
	}{{"redirect_uris", c.Redirects}, {"post_logout_redirect_uris", c.PostLogout}} {
		for _, u := range list.uris {
			if err := validRedirect(u, c.CustomSchemes); err != nil {
				return inField(list.field, err)
			}
		}
	}
	for _, r := range c.Resources { // RFC 8707 §2
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || strings.ContainsAny(r, "# ") || len(r) > MaxURI {
			return fault.InvalidField("resources", "%q must be an absolute URI without a fragment", r)
		}
	}
	for _, page := range [][2]string{
		{"client_uri", c.URI}, {"logo_uri", c.LogoURI}, {"tos_uri", c.TermsURI}, {"policy_uri", c.PolicyURI},
	} {
		if page[1] != "" && (!webAddress(page[1]) || !strings.HasPrefix(strings.ToLower(page[1]), "https:")) {
			return fault.InvalidField(page[0], "%q must be an https address", page[1])
		}
	}
	if _, err := palette.Parse(c.BrandColor); c.BrandColor != "" && err != nil {
		return fault.InvalidField("brand_color", "%q %s", c.BrandColor, err)
	}
	// As with redirects, http is safe only to a program on this machine.
	if u := c.JWKSURI; u != "" && (!webAddress(u) || ValidRedirect(u) != nil) {
		return fault.InvalidField("jwks_uri", "%q must be an https address", u)
	}
	return nil
}

// webAddress reports whether s is an absolute http or https URL without a username.
func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		len(s) <= MaxURI && !strings.ContainsFunc(s+u.Host, notPrintableASCII)
}

func (c *Client) checkScopes(Rules) error {
	for _, name := range c.Scopes {
		if !ValidScope(name) {
			return fault.InvalidField("scope",
				"scope %q has characters that a scope cannot have (RFC 6749 section 3.3)", name)
		}
	}
	return nil
}

// MaxScope is the longest name of a scope, in bytes.
const MaxScope = 128

// ValidScope reports whether s can be one scope of a request (RFC 6749 §3.3).
func ValidScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= MaxScope
}

func (c *Client) checkTokens(r Rules) error {
	for _, ttl := range []struct {
		field string
		value time.Duration
		most  time.Duration
		words string
	}{
		{"access_token_ttl", c.AccessTTL, maxAccessTTL, "30 days"},
		{"id_token_ttl", c.IDTokenTTL, maxIDTokenTTL, "30 days"},
		{"refresh_token_ttl", c.RefreshTTL, maxRefreshTTL, "10 years"},
	} {
		if ttl.value != 0 && (ttl.value < time.Second || ttl.value > ttl.most) {
			return fault.InvalidField(ttl.field, "must be from 1 second to %s", ttl.words)
		}
	}
	for _, w := range []struct {
		field, what, value string
		known              []string
	}{
		{"token_format", "token format", c.TokenFormat, []string{FormatJWT, FormatOpaque}},
		{"token_typ", "token type header", c.TokenTyp, []string{TypAccessToken, TypJWT}},
		{"id_token_profile", "choice of profile claims in ID tokens", c.IDTokenProfile, []string{"on", "off"}},
		{"alg", "signature algorithm", c.Alg, r.Algorithms},
		{"refresh_rotation", "refresh token rotation", c.Rotation, []string{"on", "off"}},
	} {
		if err := oneOf(w.field, w.what, w.value, w.known); err != nil {
			return err
		}
	}
	return nil
}

// checkAccess checks what the gateway requires of the client, and what its tokens are bound to.
func (c *Client) checkAccess(Rules) error {
	for _, l := range []struct {
		field string
		items []string
		check func(string) error
	}{
		{"roles", c.Roles, checkRole},
		{"from_networks", c.Networks, checkNetwork},
		{"from_origins", c.Origins, CheckOrigin},
		{"to_hosts", c.Hosts, checkHost},
		{"to_routes", c.Routes, checkRoute},
	} {
		if len(l.items) > maxAccessList {
			return fault.InvalidField(l.field, "is given %d times; a client has at most %d", len(l.items), maxAccessList)
		}
		for _, item := range l.items {
			if err := l.check(item); err != nil {
				return inField(l.field, err)
			}
		}
	}
	if c.DPoPBound && c.CertBound {
		return fault.InvalidField("dpop_bound_access_tokens",
			"a token is bound to one key; keep the binding to a DPoP key or to a TLS certificate")
	}
	return nil
}

func checkRole(s string) error {
	if s == "" || len(s) > maxWord || !onlyASCII(s, "._:-") {
		return fmt.Errorf("role %q must be one word of letters, digits and . _ : -", s)
	}
	return nil
}

func checkNetwork(s string) error {
	_, err := netaddr.ParseList([]string{s})
	return err
}

// CheckOrigin returns what is wrong with an origin in a list that is compared with the Origin
// header: it is written as browsers send it (RFC 6454 §6.2).
func CheckOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" ||
		s != u.Scheme+"://"+u.Host || s != strings.ToLower(s) || len(s) > MaxURI ||
		strings.HasSuffix(s, ":") || strings.ContainsFunc(s, notPrintableASCII) {
		return fmt.Errorf("%q is not an origin; write it as a browser sends it: "+
			"https://app.example.com, in lower case and without a slash at the end", shorten(s))
	}
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return fmt.Errorf("browsers leave out the port in %q; leave it out, too", shorten(s))
	}
	return nil
}

// shorten returns the beginning of a text that an error repeats.
func shorten(s string) string { return s[:min(len(s), 200)] }

// checkHost accepts a host name (RFC 1123 §2.1), an address, or a wildcard for all names below
// one.
func checkHost(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	valid := len(s) <= maxHost
	for label := range strings.SplitSeq(strings.TrimPrefix(s, "*."), ".") {
		valid = valid && label != "" && len(label) <= 63 && onlyASCII(label, "-_") && strings.ToLower(label) == label
	}
	if !valid {
		return fmt.Errorf("%q is not a host; write a name such as api.example.com or *.example.com, without a port", s)
	}
	return nil
}

// checkRoute accepts DOMAIN/VERSION, DOMAIN or the id of a route. A route of the file is
// file:NAME.
func checkRoute(s string) error {
	if s == "" || len(s) > MaxURI || strings.Count(s, "/") > 1 || strings.Trim(s, "/") != s ||
		strings.ContainsRune(s, '*') || strings.ContainsFunc(s, notPrintableASCII) {
		return fmt.Errorf("%q is not a route; write it as DOMAIN/VERSION, DOMAIN, or a route's id", s)
	}
	return nil
}

// inField returns the error as fault.Invalid with the name of a field, or nil for nil.
func inField(name string, err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Text != "" {
		return fault.InvalidField(name, "%s", f.Text)
	}
	return fault.InvalidField(name, "%s", err.Error())
}

func notPrintableASCII(r rune) bool { return r <= ' ' || r > '~' }

// onlyASCII reports whether s has only ASCII letters, digits and the other characters given.
func onlyASCII(s, others string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r)
	})
}
