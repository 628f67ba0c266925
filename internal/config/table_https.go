package config

import (
	"net/url"
	"strconv"
	"strings"
)

// HTTPS holds how the server gets certificates by itself (ACME, RFC 8555), and the plain port.
type HTTPS struct {
	HTTPPort  int // 0: none
	Domains   []string
	Email     string // of the account, or ""
	Directory string // of the certificate authority
	KeyID     string // of the external account (RFC 8555 §7.3.4), or ""
	HMAC      Secret // its key, base64url, or ""
}

// ACME reports whether the server gets its certificates by itself.
func (c *Config) ACME() bool { return len(c.HTTPS.Domains) > 0 }

func httpsRows() []Setting {
	return []Setting{
		{
			Name:    "HTTP_PORT",
			Default: "0",
			Doc: "A second port, for plain http: it redirects browsers to https, and answers the " +
				"challenges of ACME (HTTP-01). Certificate authorities ask at port 80. 0 turns it off.",
			place: func(c *Config) value { return number[int]{&c.HTTPS.HTTPPort, 0, 65535} },
		},
		{
			Name: "ACME_DOMAINS",
			Doc: "The host names for which the server gets and renews certificates by itself (ACME), " +
				"which accepts the terms of the certificate authority. The host of BASE_URL must be " +
				"among them. The authority must reach the server at port 443 of each name, or at port " +
				"80 with HTTP_PORT. The default is none.",
			place: func(c *Config) value { return list{&c.HTTPS.Domains, "host names", hostName} },
		},
		{
			Name:  "ACME_EMAIL",
			Doc:   "The address at which the certificate authority may reach you. The default is none.",
			place: func(c *Config) value { return text{&c.HTTPS.Email, "an email address"} },
		},
		{
			Name:    "ACME_DIRECTORY",
			Default: "https://acme-v02.api.letsencrypt.org/directory",
			Doc:     "The directory of the certificate authority. The default is that of Let's Encrypt.",
			place:   func(c *Config) value { return text{&c.HTTPS.Directory, "an https address"} },
		},
		{
			Name: "ACME_EAB_KID",
			Doc: "The key identifier by which the certificate authority knows your account " +
				"(external account binding), if it demands one.",
			place: func(c *Config) value { return text{&c.HTTPS.KeyID, "a key identifier"} },
		},
		{
			Name:   "ACME_EAB_HMAC",
			Secret: true,
			Doc:    "The key that belongs to ACME_EAB_KID, in base64url.",
			place:  func(c *Config) value { return sealed{&c.HTTPS.HMAC, "a key in base64url"} },
		},
	}
}

// hostName reports whether a text is a name in the DNS that a certificate can be for: no wildcard,
// no address, no port.
func hostName(s string) bool {
	if len(s) > 253 || isIP(s) || !strings.Contains(s, ".") && s != "localhost" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
	}
	return true
}

// checkHTTPS checks the settings of certificates against one another.
func (c *Config) checkHTTPS(p *Problems) {
	h, base := c.HTTPS, c.Server.BaseURL
	if h.HTTPPort != 0 && h.HTTPPort == c.Server.Port {
		p.add("HTTP_PORT and PORT are both %s; they need ports of their own", strconv.Itoa(h.HTTPPort))
	}
	if h.HTTPPort != 0 && !strings.HasPrefix(base, "https:") {
		p.add("HTTP_PORT redirects to https, but BASE_URL is %q; remove HTTP_PORT, or serve https", clip(base))
	}
	if (h.KeyID == "") != (h.HMAC == "") {
		p.add("ACME_EAB_KID and ACME_EAB_HMAC belong together; set both or neither")
	}
	if !c.ACME() {
		if h.Email != "" || h.KeyID != "" {
			p.add("ACME_EMAIL or ACME_EAB_KID is set, but ACME_DOMAINS is not; set it, too")
		}
		return
	}
	if c.Server.CertFile != "" {
		p.add("ACME_DOMAINS and SSL_CERT are both set; the certificate comes from one of them")
	}
	if u, err := url.Parse(h.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		p.add("ACME_DIRECTORY is %q; it must be an https address", clip(h.Directory))
	}
	if h.Email != "" && !looksLikeAddress(h.Email) {
		p.add("ACME_EMAIL is %q; it must be an email address", clip(h.Email))
	}
	if u, err := url.Parse(base); err == nil {
		for _, name := range h.Domains {
			if strings.EqualFold(name, u.Hostname()) {
				return
			}
		}
		p.add("ACME_DOMAINS does not name %s, the host of BASE_URL; add it", u.Hostname())
	}
}
