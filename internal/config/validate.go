package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// Bounds of what the pages show, in characters and in bytes.
const (
	maxAppName = 64
	maxAddress = 2048

	maxBrandText = 200 // characters of the tagline, and of the company's name and address
)

// Validate checks what one setting alone cannot tell. The error is Problems with all of them.
func (c *Config) Validate() error {
	var p Problems
	c.checkAddress(&p)
	c.checkHTTPS(&p)
	c.checkBranding(&p)
	c.checkStorage(&p)
	c.checkPolicy(&p)
	c.checkRegistration(&p)
	c.checkMail(&p)
	c.checkPasskeys(&p)
	c.checkShipping(&p)
	c.checkBackups(&p)
	return p.orNil()
}

func (c *Config) checkAddress(p *Problems) {
	if strings.ContainsAny(c.Server.Host, "/[] \t") || (strings.Contains(c.Server.Host, ":") && !isIP(c.Server.Host)) {
		p.add("HOST is %q; it takes an address or a host name alone, and PORT the port", clip(c.Server.Host))
	}
	if (c.Server.CertFile == "") != (c.Server.KeyFile == "") {
		p.add("SSL_CERT and SSL_KEY belong together; set both or neither")
	}
	if c.Server.ClientCerts && !c.TLS() {
		p.add("TLS_CLIENT_CERTS needs SSL_CERT and SSL_KEY, or ACME_DOMAINS: " +
			"a proxy that ends TLS does not pass on the client's certificate")
	}
	if wrong := c.AddressProblem("BASE_URL", c.Server.BaseURL); wrong != "" {
		p.add("%s", wrong)
	}
}

// AddressProblem returns why an address cannot be that of a server with these settings, or "". The
// name is the one under which the address was given.
func (c *Config) AddressProblem(name, address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Opaque != "":
		return fmt.Sprintf("%s is %q; it must be an absolute address such as https://login.example.com",
			name, clip(withoutUser(address)))
	case strings.IndexFunc(u.Host, func(r rune) bool { return r > unicode.MaxASCII }) >= 0:
		return fmt.Sprintf("%s is %q; its host is not a name that the DNS can have", name, clip(address))
	case u.User != nil:
		return name + " holds a username or password; leave it out"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(address, "#"):
		return fmt.Sprintf("%s is %q; an issuer has no query and no fragment (RFC 8414 §2)", name, clip(address))
	case u.Path != "":
		return fmt.Sprintf("%s is %q; the server needs a host name of its own, without a path: use %s://%s",
			name, clip(address), u.Scheme, u.Host)
	case u.Scheme == "http" && c.Production() && !isLoopback(u.Hostname()):
		return fmt.Sprintf("%s is %q; production needs https: write https://%s and set ACME_DOMAINS, "+
			"or SSL_CERT and SSL_KEY, or put a proxy that speaks TLS in front and name it in "+
			"TRUSTED_PROXIES", name, clip(address), u.Host)
	}
	return ""
}

func (c *Config) checkBranding(p *Problems) {
	name := c.Branding.AppName
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) ||
		strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > maxAppName {
		p.add("APP_NAME is %q; it must be a name of 1 to %d characters", clip(name), maxAppName)
	}
	for _, t := range []struct{ name, value string }{
		{"APP_TAGLINE", c.Branding.Tagline},
		{"COMPANY_NAME", c.Branding.CompanyName},
		{"COMPANY_ADDRESS", c.Branding.CompanyAddress},
	} {
		if !utf8.ValidString(t.value) || strings.ContainsFunc(t.value, unicode.IsControl) ||
			utf8.RuneCountInString(t.value) > maxBrandText {
			p.add("%s is %q; it must be one line of at most %d characters", t.name, clip(t.value), maxBrandText)
		}
	}
	if c.Branding.CompanyAddress != "" && c.Branding.CompanyName == "" {
		p.add("COMPANY_ADDRESS is set, but COMPANY_NAME is not; set it, too")
	}
	for _, a := range []struct{ name, value, schemes, example string }{
		{"LOGO_URL", c.Branding.LogoURL, "https", "https://example.com/logo.png or /images/logo.png"},
		{"LOGO_DARK_URL", c.Branding.LogoDarkURL, "https", "https://example.com/logo.png or /images/logo.png"},
		{"FAVICON_URL", c.Branding.FaviconURL, "https", "https://example.com/icon.png or /images/favicon.ico"},
		{"TERMS_URL", c.Branding.TermsURL, "https http", "https://example.com/terms"},
		{"PRIVACY_URL", c.Branding.PrivacyURL, "https http", "https://example.com/privacy"},
		{"SUPPORT_URL", c.Branding.SupportURL, "https http mailto", "https://example.com/help or mailto:help@example.com"},
	} {
		if a.value != "" && !isLink(a.value, a.schemes) {
			p.add("%s is %q; it must be an address such as %s", a.name, clip(withoutUser(a.value)), a.example)
		}
	}
}

// isLink reports whether an address may stand on a page: a path of this server, or an absolute
// address of one of the schemes. It rejects all that browsers and Go could read differently.
func isLink(s, schemes string) bool {
	u, err := url.Parse(s)
	odd := func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || !unicode.IsPrint(r) }
	if err != nil || len(s) > maxAddress || strings.ContainsFunc(s, odd) || !utf8.ValidString(s) {
		return false
	}
	switch {
	case u.Scheme == "":
		return u.Host == "" && u.User == nil && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
	case !slices.Contains(strings.Fields(schemes), u.Scheme):
		return false
	case u.Scheme == "mailto":
		return strings.Contains(u.Opaque, "@")
	}
	return u.Host != "" && u.User == nil
}

func (c *Config) checkStorage(p *Problems) {
	switch key := c.MasterKey(); {
	case len(key) == 0 && c.Production():
		p.add("SECRET_KEY is required in production; make one with `openssl rand -hex 32`, keep it safe, " +
			"and set SECRET_KEY or SECRET_KEY_FILE")
	case len(key) == 0 && !strings.HasPrefix(string(c.Storage.DatabaseURL), "sqlite:"):
		p.add("SECRET_KEY is required with a PostgreSQL database, whose servers must share it; " +
			"make one with `openssl rand -hex 32`")
	case c.Production() && weakKey(string(c.Storage.SecretKey), key):
		p.add("SECRET_KEY is easy to guess: it repeats or counts, or is a placeholder; make one with " +
			"`openssl rand -hex 32`")
	case len(key) > 0 && len(key) < minKey:
		p.add("SECRET_KEY has %d bytes; it needs at least %d: make one with `openssl rand -hex 32`", len(key), minKey)
	}
	if previous := c.PreviousMasterKey(); len(previous) > 0 && c.MasterKey() == nil {
		p.add("SECRET_KEY_PREVIOUS is set without SECRET_KEY; set the new key as SECRET_KEY")
	}
	if c.Storage.ListenURL != "" && strings.HasPrefix(string(c.Storage.DatabaseURL), "sqlite:") {
		p.add("DATABASE_LISTEN_URL is set, but DATABASE_URL is an SQLite database; remove it")
	}
	if c.RateLimits.Store == "redis" && c.Storage.RedisURL == "" {
		p.add("RATE_LIMIT_STORE is redis, but REDIS_URL is not set; set it, or use memory")
	}
}

// leastRevocationAge is the least REVOCATION_MAX_AGE that a server which works as it should never
// reaches.
const leastRevocationAge = 10 * time.Second

func (c *Config) checkPolicy(p *Problems) {
	if age := c.Tokens.RevocationMaxAge; age > 0 && age < leastRevocationAge {
		p.add("REVOCATION_MAX_AGE is %s; it must be at least %s, or 0 for no bound", age, leastRevocationAge)
	}
	if c.Passwords.AdminMinLength < c.Passwords.MinLength {
		p.add("ADMIN_PASSWORD_MIN_LENGTH is %d, less than PASSWORD_MIN_LENGTH with %d; "+
			"administrators need at least as much as users", c.Passwords.AdminMinLength, c.Passwords.MinLength)
	}
}

func (c *Config) checkMail(p *Problems) {
	m := c.Mail
	for _, w := range c.Accounts.LoginMethods {
		if (w == "email_code" || w == "magic_link") && m.Host == "" && (c.Production() || !c.Local()) {
			p.add("LOGIN_METHODS names %s, but SMTP_HOST is not set, so no message can be sent", w)
		}
	}
	if c.Accounts.SignUp && m.Host == "" && (c.Production() || !c.Local()) {
		p.add("ENABLE_SIGNUP is on, but SMTP_HOST is not set: nobody could confirm an address; set it, or turn " +
			"ENABLE_SIGNUP off")
	}
	switch {
	case m.Host == "":
		if m.From != "" || m.User != "" {
			p.add("SMTP_FROM or SMTP_USER is set, but SMTP_HOST is not; set it, too")
		}
		return
	case m.From == "":
		p.add("SMTP_HOST needs SMTP_FROM: the address that messages come from, such as login@example.com")
	case !looksLikeAddress(m.From):
		p.add("SMTP_FROM is %q; it takes an email address alone, and SMTP_FROM_NAME the name", clip(m.From))
	}
	if strings.ContainsAny(m.Host, "/: \t") && !isIP(m.Host) {
		p.add("SMTP_HOST is %q; it takes a host name alone, and SMTP_PORT the port", clip(withoutUser(m.Host)))
	}
	if (m.User == "") != (m.Password == "") {
		p.add("SMTP_USER and SMTP_PASSWORD belong together; set both or neither")
	}
	if m.Security == "none" && m.User != "" && !isLoopback(m.Host) {
		p.add("SMTP_SECURITY is none, which would send SMTP_PASSWORD in plain text to %s; use starttls or tls",
			clip(m.Host))
	}
}

// looksLikeAddress reports whether a text has the form local@domain, without spaces or brackets.
func looksLikeAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s, " \t\r\n<>,;\"") &&
		!strings.Contains(domain, "@")
}

func isIP(host string) bool { _, err := netip.ParseAddr(host); return err == nil }

// isLoopback reports whether a URL's host can only mean this machine (RFC 6761 §6.3 for
// localhost).
func isLoopback(host string) bool {
	return strings.HasSuffix(host, ".localhost") || netaddr.IsLoopback(host)
}

// withoutUser cuts what may be a password out of an address that could not be parsed.
func withoutUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}
