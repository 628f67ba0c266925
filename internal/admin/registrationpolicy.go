package admin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Bounds of what is registered without an administrator.
const (
	maxSelfRedirects = 16
	maxSelfScopes    = 64
)

// RegistrationPolicy bounds what may be registered without an administrator.
type RegistrationPolicy struct {
	Grants        []string `json:"grant_types"`
	Scopes        []string `json:"scopes"`
	RedirectHosts []string `json:"redirect_hosts,omitempty"`              // a name or *.example.com; none: any
	AuthMethods   []string `json:"token_endpoint_auth_methods,omitempty"` // none: any
	Resources     []string `json:"resources,omitempty"`
}

// defaultPolicy returns the policy of an initial access token that was made without one: apps for
// people, with the scopes of a sign-in.
func defaultPolicy() *RegistrationPolicy {
	return &RegistrationPolicy{
		Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh},
		Scopes: []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeOffline},
	}
}

// openPolicy returns what anybody may register: public clients that send people back to https or to
// their own device.
func (r *Registrar) openPolicy() *RegistrationPolicy {
	return &RegistrationPolicy{
		Grants:      []string{client.GrantTypeCode, client.GrantTypeRefresh},
		Scopes:      slices.DeleteFunc(slices.Clone(r.cfg.Registration.Scopes), r.powerful),
		AuthMethods: []string{client.MethodNone},
		Resources:   r.cfg.Registration.Resources,
	}
}

// applyPolicy brings the fields of a client within the policy, or says what is outside of it. What
// anybody registers is narrowed, since RFC 7591 §3.2.1 allows it and programs that people install
// request more than they need. The owner of a token is told what it does not allow.
func (r *Registrar) applyPolicy(may *permission, m *client.Metadata, c *client.Client) error {
	p := may.policy
	if p == nil {
		return nil
	}
	grants, err := r.parts.Rules.ResolveGrants(c.Grants)
	if err != nil && !may.anybody() {
		return err
	}
	c.Grants = grants
	if may.anybody() {
		r.narrow(p, m, c)
	}
	if !m.Fields.Has("scope") {
		c.Scopes = slices.Clone(p.Scopes)
	}
	if !m.Fields.Has("resources") {
		c.Resources = slices.Clone(p.Resources)
	}
	if len(p.AuthMethods) > 0 && !m.Fields.Has("token_endpoint_auth_method") {
		c.AuthMethod = p.AuthMethods[0]
		c.Public = c.AuthMethod == client.MethodNone
	}
	if err := p.check(c); err != nil {
		return err
	}
	powerful := func(s string) bool { return r.powerful(s) && !slices.Contains(may.has, s) }
	if i := slices.IndexFunc(c.Scopes, powerful); i >= 0 {
		return fault.InvalidField("scope", "The scope %.200q is for administrators to give.", c.Scopes[i])
	}
	return checkSelfRedirects(may, c)
}

// powerful reports whether a scope, or one that it requires, is not for everybody to hand out.
func (o *Operations) powerful(scope string) bool {
	return scope == ScopeSuperuser || len(o.definitions().Powers(scope)) > 0
}

// ScopeSuperuser is the scope of full administration of older programs. Where it is defined, it
// requires ScopeAll.
const ScopeSuperuser = "superuser"

// check returns what is outside of the policy.
func (p *RegistrationPolicy) check(c *client.Client) error {
	method := c.AuthMethod
	if method == "" {
		method = client.MethodBasic
	}
	for _, row := range []struct {
		field, what string
		have, allow []string
		any         bool
	}{
		{"grant_types", "grant type", c.Grants, p.Grants, false},
		{"scope", "scope", c.Scopes, p.Scopes, false},
		{"resources", "resource", c.Resources, p.Resources, false},
		{"token_endpoint_auth_method", "authentication method", []string{method}, p.AuthMethods, len(p.AuthMethods) == 0},
	} {
		for _, v := range row.have {
			if !row.any && !slices.Contains(row.allow, v) {
				return fault.InvalidField(row.field, "The %s %.200q may not be registered here; allowed: %s.",
					row.what, v, strings.Join(row.allow, ", "))
			}
		}
	}
	for _, uri := range c.Redirects {
		if len(p.RedirectHosts) > 0 && !hostAllowed(p.RedirectHosts, uri) {
			return fault.InvalidField("redirect_uris", "The redirect URI %.200q may not be registered here; "+
				"allowed hosts: %s.", uri, strings.Join(p.RedirectHosts, ", "))
		}
	}
	return nil
}

// hostAllowed reports whether the host of a redirect URI is among names and wildcards. An app's own
// scheme has no host.
func hostAllowed(hosts []string, uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return false
	}
	host := strings.ToLower(u.Hostname())
	for _, h := range hosts {
		if below, ok := strings.CutPrefix(h, "*"); ok && strings.HasSuffix(host, below) && len(host) > len(below) {
			return true
		}
		if h == host {
			return true
		}
	}
	return false
}

// narrow leaves out what anybody may not register.
func (r *Registrar) narrow(p *RegistrationPolicy, m *client.Metadata, c *client.Client) {
	outside := func(allowed []string) func(string) bool {
		return func(s string) bool { return !slices.Contains(allowed, s) }
	}
	c.Grants = slices.DeleteFunc(slices.Clone(c.Grants), outside(p.Grants))
	if rest := slices.DeleteFunc(slices.Clone(c.Scopes), outside(p.Scopes)); len(rest) > 0 || len(c.Scopes) == 0 {
		c.Scopes = rest
	}
	c.Resources = slices.Clone(p.Resources)
	m.Fields.Names = slices.DeleteFunc(m.Fields.Names, func(s string) bool { return s == "resources" })
	if c.AuthMethod == client.MethodBasic || c.AuthMethod == client.MethodPost || c.AuthMethod == "" {
		c.AuthMethod = client.MethodNone
	}
	c.Public = c.AuthMethod == client.MethodNone
	c.PostLogout, c.LogoURI, c.Contacts = nil, "", nil
	c.Alg, c.JWKS, c.JWKSURI, c.AuthAlg, c.RequestAlg = "", nil, "", "", ""
	for _, page := range []*string{&c.URI, &c.TermsURI, &c.PolicyURI} {
		if !sameHost(*page, c.Redirects) {
			*page = ""
		}
	}
}

// sameHost reports whether an address has the host of an https redirect URI (RFC 7591 §5).
func sameHost(address string, redirects []string) bool {
	origin := client.Origin(address)
	return strings.HasPrefix(origin, "https:") &&
		slices.ContainsFunc(redirects, func(uri string) bool { return client.Origin(uri) == origin })
}

// checkSelfRedirects checks the addresses that a client registers without an administrator: https,
// or http on a loopback address (RFC 8252 §7.3, RFC 9700 §4.11.2). A client of anybody has no
// scheme of its own, since nobody can see to whom that belongs.
func checkSelfRedirects(may *permission, c *client.Client) error {
	if len(c.Redirects) > maxSelfRedirects || len(c.PostLogout) > maxSelfRedirects {
		return fault.InvalidField("redirect_uris", "A client may register at most %d addresses.", maxSelfRedirects)
	}
	if len(c.Scopes) > maxSelfScopes {
		return fault.InvalidField("scope", "A client may register at most %d scopes.", maxSelfScopes)
	}
	if !may.anybody() {
		return nil
	}
	for _, uri := range c.Redirects {
		if err := client.ValidRedirect(uri); err != nil {
			return fault.InvalidField("redirect_uris", "%s", fault.Text(err))
		}
		if u, err := url.Parse(uri); err != nil || (u.Scheme != "https" && u.Scheme != "http") {
			return fault.InvalidField("redirect_uris", "The redirect URI %.200q must use https, or http on "+
				"a loopback address.", uri)
		}
	}
	if len(c.Redirects) == 0 {
		return fault.InvalidField("redirect_uris", "A client needs an address to send people back to.")
	}
	return nil
}

// checkOpenName rejects a name that a client which somebody has checked already has, or the
// server's own: a self-given name is not an identity.
func (r *Registrar) checkOpenName(ctx context.Context, name string) error {
	key := nameKey(name)
	taken := key == nameKey(r.cfg.Registration.AppName)
	all, err := r.store.VerifiedNames(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		taken = taken || key == nameKey(other)
	}
	if taken || key == "" {
		return fault.InvalidField("client_name", "The name %.200q cannot be registered here; choose another one.", name)
	}
	return nil
}

// nameKey returns the letters and digits of a name in the compatibility form of Unicode, without
// accents, in lower case, and with Latin letters in place of those of other scripts that look the
// same: names with the same key look alike to people.
func nameKey(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		r = unicode.ToLower(r)
		if i := slices.Index(lookalikes, r); i >= 0 {
			return latin[i]
		}
		return r
	}, norm.NFKD.String(name))
}

// Cyrillic, Greek, Armenian and Latin letters, digits, and the Latin letters that they look like
// (the common ones of Unicode UTS #39).
var (
	lookalikes = []rune("авсеһіјкӏмнорԛѕтухѵԝԁɡαβγεικνορτυχηωօսոհց01ıɩℓi")
	latin      = []rune("abcehljklmhopqstyxvwdgabyelkvoptuxnwounhgolllll")
)

// faultField returns the field that an error is about, or "".
func faultField(err error) string {
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}

// validatePolicy checks and completes the policy of a new initial access token. No such token gives
// scopes of administration: these are for administrators to give, each time.
func (o *Operations) validatePolicy(p *RegistrationPolicy) error {
	def := defaultPolicy()
	if len(p.Grants) == 0 {
		p.Grants = def.Grants
	}
	if len(p.Scopes) == 0 {
		p.Scopes = def.Scopes
	}
	grants, err := o.parts.Rules.ResolveGrants(p.Grants)
	if err != nil {
		return inPolicy(err)
	}
	p.Grants = grants
	for _, s := range p.Scopes {
		if !client.ValidScope(s) {
			return fault.InvalidField("policy", "scope %q has characters that a scope cannot have", s)
		}
		if o.powerful(s) {
			return fault.InvalidField("policy", "scope %s is for administrators to give; "+
				"leave it out, and register such a client yourself", s)
		}
	}
	for _, m := range p.AuthMethods {
		if !slices.Contains(o.parts.Rules.AuthMethodNames(), m) {
			return fault.InvalidField("policy", "there is no authentication method %q", m)
		}
	}
	for i, h := range p.RedirectHosts {
		p.RedirectHosts[i] = strings.ToLower(h)
		if strings.ContainsAny(h, "/:@ ") || strings.Contains(strings.TrimPrefix(h, "*."), "*") || strings.Trim(h, ".") != h || h == "" {
			return fault.InvalidField("policy", "%q is not a host; write a name such as app.example.com "+
				"or *.example.com", h)
		}
	}
	probe := client.Client{Resources: p.Resources}
	for _, r := range probe.Resources {
		if u, err := url.Parse(r); err != nil || !u.IsAbs() || strings.ContainsAny(r, "# ") {
			return fault.InvalidField("policy", "%q must be an absolute URI without a fragment", r)
		}
	}
	return nil
}

// inPolicy returns an error about a part of a policy as one about the policy.
func inPolicy(err error) error {
	if text := fault.Text(err); text != "" {
		return fault.InvalidField("policy", "%s", text)
	}
	return fmt.Errorf("policy: %w", err)
}
