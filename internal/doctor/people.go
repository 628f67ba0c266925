package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

const (
	oldMail         = time.Hour
	oldBreachedList = 2 * 365 * 24 * time.Hour
	advisedLength   = 15 // NIST SP 800-63B-4 §3.1.1.2, for passwords that are the only factor
)

func examineMail(f *Facts, s *findings) {
	m := f.Mail
	if m == nil {
		return
	}
	if m.Host == "" {
		if f.Production {
			s.warn("server", "There is no mail server: nobody can reset a password, confirm an address or "+
				"be told of a new sign-in.",
				"Set SMTP_HOST and SMTP_FROM; the guide \"Accounts and mail\" says how.")
		} else {
			s.note("server", "Mail is not sent; messages are shown at /dev/mail.", "")
		}
		return
	}
	if m.Err != "" {
		s.problem("server", "The mail server does not take mail: "+m.Err+".",
			"Check the SMTP settings, then run: gatehouse mail test")
	} else {
		s.good("server", "The mail server "+m.Host+" accepts our connection.")
	}
	if m.Security == "none" && m.Passwords {
		s.problem("security", "The password of the mail server is sent without encryption.",
			"Set SMTP_SECURITY to starttls or tls.")
	}
	examineSenderDomain(m, s)
	if m.Dead > 0 {
		s.warn("dead", plural(m.Dead, "message was", "messages were")+" given up on.",
			"See why with: gatehouse mail list --state dead. Send again with: gatehouse mail retry")
	}
	if age := f.Now.Sub(m.Oldest); !m.Oldest.IsZero() && age > oldMail {
		s.warn("queue", "A message has waited for "+days(age)+".", "See why with: gatehouse mail list")
	}
}

// examineSenderDomain looks at what the domain of the sender publishes. Nothing can be said about
// DKIM (RFC 6376): its records are found only with the selector of a signed message.
func examineSenderDomain(m *Mail, s *findings) {
	_, domain, _ := strings.Cut(m.From, "@")
	switch {
	case domain == "" || m.DNSErr != "":
		if m.DNSErr != "" {
			s.note("dns", "The records of "+domain+" could not be read: "+m.DNSErr+".", "")
		}
		return
	case len(m.SPF) == 0:
		s.warn("spf", domain+" does not say which servers may send its mail, so that much of it is taken for spam.",
			"Publish an SPF record (RFC 7208) that includes "+m.Host+".")
	case len(m.SPF) > 1:
		s.problem("spf", domain+" has more than one SPF record; receivers then ignore all (RFC 7208 §4.5).", "Leave one.")
	default:
		s.good("spf", domain+" has an SPF record.")
	}
	if len(m.DMARC) == 0 {
		s.note("dmarc", domain+" has no DMARC record.", "Publish one at _dmarc."+domain+" (RFC 7489). To "+
			"check DKIM, run gatehouse mail test and read the header of the message.")
	}
}

func examinePeople(f *Facts, s *findings) {
	if a := f.Admins; a != nil {
		switch {
		case a.SetupPending:
			s.problem("setup", "Nobody is an administrator yet.", "Run: gatehouse setup-link")
		case a.Super == 1:
			s.note("single", "Only one person has the role super_admin.",
				"Give it to a second one, in case the first is not there.")
		}
		if len(a.WithoutMFA) > 0 {
			l := s.warn
			if a.RequireMFA {
				l = s.note
			}
			l("mfa", "Administrators without two-step verification or a passkey: "+some(a.WithoutMFA)+".",
				"Ask them to set it up at /account/security.")
		}
		if !a.RequireMFA && f.Production {
			s.problem("admin-mfa", "Administrators may sign in with a password alone.", "Set REQUIRE_ADMIN_MFA=true.")
		}
	}
	if srv := f.Server; srv != nil && f.Production && !srv.AdminNetworks {
		s.note("networks", "Administrators may sign in from anywhere.",
			"Set ADMIN_ALLOWED_IPS to the networks that they work from.")
	}
	examinePasswords(f, s)
}

func examinePasswords(f *Facts, s *findings) {
	p := f.Passwords
	if p == nil {
		return
	}
	if p.LockoutOff {
		s.warn("lockout", "Accounts are not locked after wrong passwords.", "Set LOCKOUT_THRESHOLD.")
	}
	if p.RateLimitOff {
		s.warn("rate-limits", "Rate limits are off.", "Set RATE_LIMIT_ENABLED=true.")
	}
	if !p.Allowed {
		return
	}
	if p.Characters || p.ExpiryDays > 0 {
		s.note("policy", "Passwords must have several kinds of characters, or expire.",
			"NIST advises neither: length and a list of breached passwords protect better (SP 800-63B-4). "+
				"See PASSWORD_POLICY.")
	}
	switch {
	case !p.BreachedList:
		s.note("breached", "Passwords are not compared with a list of breached ones.",
			"Build one with: gatehouse passwords build")
	case f.Now.Sub(p.BreachedFrom) > oldBreachedList:
		s.note("breached", "The list of breached passwords is "+days(f.Now.Sub(p.BreachedFrom))+" old.",
			"Build a new one with: gatehouse passwords build")
	}
	if p.MinLength < advisedLength && !p.MFARequired && !p.Characters {
		s.note("length", fmt.Sprintf("Passwords of %d characters are enough, and may be the only factor.", p.MinLength),
			"NIST advises 15 where a password is the only factor.")
	}
}

// posture is what the registration of a client may lack.
type posture struct {
	name, what, fix string
	level           Level
	has             func(*Client) bool
}

// says returns what n clients lack.
func (p *posture) says(n int) string {
	if n > 1 {
		return p.what
	}
	for _, verb := range [][2]string{
		{"use ", "uses "},
		{"have ", "has "},
		{"see ", "sees "},
		{"registered themselves and were ", "registered itself and was "},
	} {
		if rest, ok := strings.CutPrefix(p.what, verb[0]); ok {
			return verb[1] + rest
		}
	}
	return p.what
}

func examineClients(f *Facts, s *findings) {
	if f.Clients == nil {
		return
	}
	for _, p := range append(grantPostures(), secretPostures(f.Now)...) {
		var names []string
		for i := range f.Clients {
			if p.has(&f.Clients[i]) {
				names = append(names, f.Clients[i].Name)
			}
		}
		if len(names) > 0 {
			slices.Sort(names)
			s.add(p.name, p.level, fmt.Sprintf("%s %s: %s.", plural(len(names), "client", "clients"),
				p.says(len(names)), some(names)), p.fix)
		}
	}
	if len(s.all) == 0 {
		s.good("posture", plural(len(f.Clients), "client was", "clients were")+" examined.")
	}
}

// grantPostures look at how a client may get tokens and what it sees of them.
func grantPostures() []posture {
	return []posture{
		{
			"password-grant", "may use the password grant, which shows people's passwords to the app and " +
				"skips the second step (RFC 9700 §2.4)",
			"Move them to the authorization code grant.", Warning, grants(client.GrantTypePassword),
		},
		{
			"plain-pkce", "may use PKCE with the method plain", "Set code_challenge_method plain off.", Warning,
			func(c *Client) bool { return c.PlainPKCE },
		},
		{
			"pkce", "use the authorization code grant without PKCE being required (RFC 9700 §2.1.1)",
			"Set require_pkce once they send it.", Note,
			func(c *Client) bool { return !c.Public && !c.RequirePKCE && grants(client.GrantTypeCode)(c) },
		},
		{"redirect", "have a redirect address with http:// that is not of the person's own machine", "Replace it by https://.", Warning, openRedirect},
		{
			"unverified", "registered themselves and were checked by nobody", "Look at them in the console.", Note,
			func(c *Client) bool { return c.Unverified },
		},
		{
			"introspect", "see every token at introspection", "Keep this to gateways: introspect_any off.", Note,
			func(c *Client) bool { return c.IntrospectAny },
		},
	}
}

// secretPostures look at the secrets of a client.
func secretPostures(now time.Time) []posture {
	return []posture{
		{
			"expired", "have no secret that is valid", "Run: gatehouse client rotate-secret ID", Problem,
			func(c *Client) bool { return c.HasSecret && !c.SecretExpires.IsZero() && !c.SecretExpires.After(now) },
		},
		{
			"expiring", "have a secret that expires within 30 days", "Run: gatehouse client rotate-secret ID", Warning,
			func(c *Client) bool { return c.SecretExpires.After(now) && c.SecretExpires.Before(now.Add(soon)) },
		},
		{
			"old", "have a secret that is older than a year", "Run: gatehouse client rotate-secret ID", Note,
			func(c *Client) bool { return c.HasSecret && now.Sub(c.SecretSince) > oldSecret },
		},
		{
			"admin-secret", "may administer this server with a secret that never expires",
			"Give the secret an end, or use private_key_jwt.", Warning,
			func(c *Client) bool { return c.Administrative && c.HasSecret && c.SecretExpires.IsZero() },
		},
	}
}

// grants returns a function that reports whether a client may use a grant type.
func grants(grant string) func(*Client) bool {
	return func(c *Client) bool { return slices.Contains(c.Grants, grant) }
}

// openRedirect reports whether a redirect address of a client sends codes without encryption.
func openRedirect(c *Client) bool {
	return slices.ContainsFunc(c.Redirects, func(address string) bool {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" {
			return false
		}
		host := u.Hostname()
		return host != "localhost" && !strings.HasPrefix(host, "127.") && host != "::1"
	})
}
