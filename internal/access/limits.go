package access

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of a route.
const (
	maxName      = 200  // bytes
	maxSegment   = 64   // bytes
	maxAddress   = 2048 // bytes
	maxUpstreams = 64
	maxList      = 256 // entries of a list
	maxTimeout   = Duration(24 * time.Hour)
	maxAge       = 366 * 24 * time.Hour
	maxRate      = 1_000_000_000
	minHealth    = Duration(time.Second)
	maxHealth    = Duration(time.Hour)
	minRatePer   = Duration(time.Second)
	maxRatePer   = Duration(24 * time.Hour)
)

func checkUpstreams(c *Compiled, o *Options) error {
	r := &c.route
	switch n := len(r.Upstreams); {
	case n == 0:
		return fault.InvalidField("upstreams", "a route needs an upstream, such as "+
			"http://10.0.0.5:8000")
	case n > maxUpstreams:
		return fault.InvalidField("upstreams", "a route has at most %d upstreams", maxUpstreams)
	}
	own, _ := url.Parse(o.Issuer)
	for i, s := range r.Upstreams {
		u, err := parseUpstream(s)
		if err != nil {
			return err
		}
		if own != nil && own.Host != "" && sameOrigin(u, own) {
			return fault.InvalidField("upstreams", "the upstream %q is this server; requests "+
				"would loop", s)
		}
		if slices.Contains(r.Upstreams[:i], s) {
			return fault.InvalidField("upstreams", "the upstream %q is there twice; leave out one",
				s)
		}
	}
	return nil
}

// parseUpstream parses the address of an upstream. Errors do not repeat an address that may contain
// a password.
func parseUpstream(s string) (*url.URL, error) {
	const form = "write it as http://host:port, https://host or h2c://host:port, with a path if " +
		"need be"
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > maxAddress || !visible(s):
		return nil, fault.InvalidField("upstreams", "an upstream is not an address; %s", form)
	case u.User != nil:
		return nil, fault.InvalidField("upstreams", "an upstream has a name or password in its "+
			"address; leave it out, it would be shown to everyone who sees the route")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c", u.Hostname() == "", u.Opaque != "":
		return nil, fault.InvalidField("upstreams", "the upstream %q is not an address; %s",
			clip(s), form)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return nil, fault.InvalidField("upstreams", "the upstream %q has a query or a fragment; "+
			"the caller's query is passed on instead", clip(s))
	case !validPort(u):
		return nil, fault.InvalidField("upstreams", "the upstream %q has no valid port; it is 1 "+
			"to 65535", clip(s))
	}
	if path := u.EscapedPath(); path != "" {
		if _, err := Clean(path); err != nil {
			return nil, fault.InvalidField("upstreams", "the path of the upstream %q is "+
				"ambiguous; leave out dot segments, double slashes and the like", clip(s))
		}
	}
	return u, nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// sameOrigin reports whether two addresses have the same origin (RFC 6454 §5); h2c counts as http.
func sameOrigin(a, b *url.URL) bool {
	scheme := func(u *url.URL) string { return strings.Replace(u.Scheme, "h2c", "http", 1) }
	port := func(u *url.URL) string {
		switch {
		case u.Port() != "":
			return u.Port()
		case u.Scheme == "https":
			return "443"
		}
		return "80"
	}
	return scheme(a) == scheme(b) && port(a) == port(b) && strings.EqualFold(a.Hostname(), b.Hostname())
}

func checkLimits(c *Compiled, _ *Options) error {
	switch r := &c.route; {
	case r.Timeout < 0 || r.Timeout > maxTimeout:
		return fault.InvalidField("timeout", "%s is not a timeout; write a duration up to %s, "+
			"or 0 for 30s", r.Timeout, maxTimeout)
	case r.BodyLimit < 0:
		return fault.InvalidField("body_limit", "%d is not a number of bytes; write 0 for no limit",
			r.BodyLimit)
	}
	return nil
}

func checkCORS(c *Compiled, _ *Options) error {
	for _, s := range c.route.CORS {
		if s != "*" {
			if err := checkOrigin("cors", s); err != nil {
				return err
			}
		} else if len(c.route.CORS) > 1 {
			return fault.InvalidField("cors", "* means any origin; leave out the others, or "+
				"the star")
		}
	}
	return nil
}

// checkOrigin returns what is wrong with an origin in a list that is compared with the Origin
// header.
func checkOrigin(field, s string) error {
	if err := client.CheckOrigin(s); err != nil {
		return fault.InvalidField(field, "%s", err.Error())
	}
	return nil
}

func checkRate(c *Compiled, _ *Options) error {
	switch r := &c.route; {
	case r.Rate < -1 || r.Rate > maxRate:
		return fault.InvalidField("rate", "%d is not a rate; write a number of requests, 0 for "+
			"the default or -1 for none", r.Rate)
	case r.RatePer < 0 || r.RatePer > maxRatePer || r.RatePer != 0 && r.RatePer < minRatePer:
		return fault.InvalidField("rate_per", "a rate is counted over 1s to 24h, not %s", r.RatePer)
	case r.RatePer != 0 && r.Rate <= 0:
		return fault.InvalidField("rate_per", "rate_per is the time that a rate counts over; "+
			"add a rate, or leave it out")
	case !slices.Contains([]string{"", RateByAddress, RateByClient, RateByUser}, r.RateBy):
		return fault.InvalidField("rate_by", "a rate is counted by %s, %s or %s, not by %q",
			RateByAddress, RateByClient, RateByUser, clip(r.RateBy))
	}
	return nil
}

func checkHealth(c *Compiled, _ *Options) error {
	r := &c.route
	switch {
	case r.HealthPath == "" && r.HealthEvery != 0:
		return fault.InvalidField("health_every", "health_every is how often health_path is "+
			"requested; add that, or leave it out")
	case r.HealthPath == "":
		return nil
	case r.HealthEvery != 0 && (r.HealthEvery < minHealth || r.HealthEvery > maxHealth):
		return fault.InvalidField("health_every", "upstreams are checked every %s to %s, not "+
			"every %s", minHealth, maxHealth, r.HealthEvery)
	}
	path, _, _ := strings.Cut(r.HealthPath, "?")
	_, err := Clean(path)
	if err != nil || !visible(r.HealthPath) || strings.Contains(r.HealthPath, "#") ||
		len(r.HealthPath) > maxAddress {
		return fault.InvalidField("health_path", "%q is not a path; write one such as /healthz",
			clip(r.HealthPath))
	}
	return nil
}

// checkLists bounds the lists that are searched for every request.
func checkLists(c *Compiled, _ *Options) error {
	r := &c.route
	for _, l := range []struct {
		field string
		list  []string
	}{
		{"methods", r.Methods},
		{"cors", r.CORS},
		{"scopes", r.Scopes},
		{"roles", r.Roles},
		{"clients", r.Clients},
		{"networks", r.Networks},
		{"origins", r.Origins},
		{"audiences", r.Audiences},
		{"issuers", r.Issuers},
	} {
		if len(l.list) > maxList {
			return fault.InvalidField(l.field, "%s has %d entries; at most %d are searched for "+
				"every request", l.field, len(l.list), maxList)
		}
	}
	return nil
}

// checkSense rejects rules that would only look like protection: a rule about the caller has no
// effect where callers need not identify themselves. Pages may not share the issuer's origin.
func checkSense(c *Compiled, _ *Options) error {
	r := &c.route
	if r.Browser && r.Host == "" {
		return fault.InvalidField("browser", "web pages need a host of their own: without one, "+
			"their scripts would share the origin of the sign-in page; give the route a host such "+
			"as wiki.example.com")
	}
	if !r.Unidentified {
		return nil
	}
	for _, l := range []struct {
		field string
		set   bool
	}{
		{"scopes", len(r.Scopes) > 0},
		{"roles", len(r.Roles) > 0},
		{"clients", len(r.Clients) > 0},
		{"acr", r.ACR != ""},
		{"max_age", r.MaxAge != 0},
	} {
		if l.set {
			return fault.InvalidField(l.field, "%s depends on the caller's identity, and "+
				"allow_unidentified lets callers without one pass; leave out one of them", l.field)
		}
	}
	return nil
}

// visible reports whether s is one or more visible ASCII characters, without a space.
func visible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// printable reports whether s is text of at most n bytes that can be shown in one line.
func printable(s string, n int) bool {
	unprintable := func(c rune) bool { return !unicode.IsPrint(c) }
	return s != "" && len(s) <= n && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, unprintable)
}
