package doctor

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

const (
	slowProbe      = 2 * time.Second
	certificateEnd = 21 * 24 * time.Hour // ACME certificates are renewed 30 days before their end
	maxClockSkew   = 2 * time.Second
)

func examineServer(f *Facts, s *findings) {
	if f.Server == nil {
		return
	}
	switch {
	case f.Production:
		s.good("environment", "The server runs in production mode.")
	case f.Server.Local:
		s.note("environment", "The server runs in development mode.",
			"Before others use it, set ENVIRONMENT=production; the guide \"Run in production\" says what it asks for.")
	default:
		s.problem("environment", "The server runs in development mode, but its address is not of this machine only.",
			"Set ENVIRONMENT=production: development mode shows mail to whoever opens /dev/mail and keeps "+
				"the master key beside the database.")
	}
	if len(f.Migrations) > 0 {
		s.problem("migrations", fmt.Sprintf("The database schema is older than this program: %s.", plural(len(f.Migrations), "migration is", "migrations are")+" pending"),
			"Run: gatehouse migrate")
	}
	if f.Server.AccessTTL > 24*time.Hour {
		s.warn("access-ttl", fmt.Sprintf("Access tokens are valid for %s.", days(f.Server.AccessTTL)),
			"Shorten ACCESS_TOKEN_TTL to an hour: an API that checks tokens without the list of "+
				"revocations accepts them until they expire.")
	}
	if f.Server.MetricsOpen {
		s.note("metrics", "Metrics can be read from other machines without a password.",
			"Set METRICS_HOST to an address that only the monitoring can reach, or close the port in the firewall.")
	}
	examineRedis(f.Redis, s)
}

func examineRedis(r *Redis, s *findings) {
	switch {
	case r == nil:
	case r.Err != "":
		s.problem("redis", "Redis does not answer: "+r.Err+".", "Check REDIS_URL, and that the Redis server runs. "+
			"Until then each server counts for itself.")
	case r.Plain:
		s.warn("redis", "The connection to Redis is not encrypted and leaves this machine.",
			"Use rediss:// in REDIS_URL, or a private network.")
	default:
		s.good("redis", "Redis answers in "+milliseconds(r.Latency)+".")
	}
}

func examineProxy(f *Facts, s *findings) {
	if f.Server == nil {
		return
	}
	if f.Server.Scheme == "http" && !f.Server.Local {
		s.problem("https", "BASE_URL begins with http://, so that passwords and tokens travel in the open.",
			"Serve https: set SSL_CERT and SSL_KEY, or ACME_DOMAINS, or end TLS at a proxy, and make "+
				"BASE_URL begin with https://.")
	}
	examineDNS(f.DNS, s)
	p := f.Probe
	switch {
	case p == nil:
		return
	case p.Err != "":
		s.warn("reachable", "The server's address "+f.Server.BaseURL+" does not answer from here: "+p.Err+".",
			"If the server runs, check the DNS entry, the proxy and the firewall. Some networks do not "+
				"let a machine reach its own public address; then try from another one.")
		return
	case p.Other:
		s.problem("other", "Something else answers at "+f.Server.BaseURL+": it does not know this installation's keys.",
			"Check that BASE_URL and the proxy lead to a server with the same SECRET_KEY and version.")
		return
	}
	s.good("reachable", fmt.Sprintf("%s answers in %s.", f.Server.BaseURL, milliseconds(p.Took)))
	if p.Took > slowProbe {
		s.warn("slow", "A request to the server's own address took "+milliseconds(p.Took)+".",
			"Look at the proxy and the network between.")
	}
	examineForwarding(f.Server, p, s)
	examineCookies(p.Cookies, s)
}

// examineDNS reports whether clients find the server, whichever of its addresses they choose.
func examineDNS(d *DNS, s *findings) {
	switch {
	case d == nil:
	case d.Err != "":
		s.problem("dns", "The name "+d.Host+" of BASE_URL is not found: "+d.Err+".",
			"Add an A or AAAA record for it in the DNS.")
	case len(d.Dead) > 0:
		s.warn("dns", fmt.Sprintf("The DNS says that %s is at %s too, where nothing answers: clients that choose "+
			"it wait, or fail.", d.Host, strings.Join(d.Dead, " and ")),
			"Remove the A or AAAA record, or let the server, proxy or firewall there answer.")
	default:
		s.good("dns", d.Host+" is at "+strings.Join(d.Addresses, ", ")+".")
	}
}

// examineCookies reports whether sessions survive the way through the proxies.
func examineCookies(c *Cookies, s *findings) {
	const fix = "Make the proxy pass Cookie and Set-Cookie headers unchanged, and cache no answer that has one."
	switch {
	case c == nil:
	case c.Withheld:
		s.problem("cookies", "Cookies do not reach the server: nobody can sign in with a browser.", fix)
	case c.Missing:
		s.problem("cookies", "The server's cookies do not reach browsers: nobody can sign in with one.", fix)
	case len(c.Changed) > 0:
		s.problem("cookies", "Cookies arrive with another "+strings.Join(c.Changed, ", ")+" than the server sets.", fix)
	default:
		s.good("cookies", "Cookies pass unchanged in both directions.")
	}
}

// examineForwarding compares what the server took from the request with how it was sent.
func examineForwarding(srv *Server, p *Probe, s *findings) {
	peer, err := netip.ParseAddr(p.Peer)
	trusted := false
	for _, net := range srv.TrustedProxies {
		trusted = trusted || err == nil && net.Contains(peer.Unmap())
	}
	switch {
	case len(p.Forwarded) > 0 && !trusted:
		s.problem("untrusted", fmt.Sprintf("A proxy at %s sends %s, but is not trusted: everybody has its "+
			"address for rate limits, locks and the audit log.",
			p.Peer, strings.Join(p.Forwarded, ", ")), "Add "+p.Peer+" to TRUSTED_PROXIES.")
	case len(p.Forwarded) == 0 && trusted:
		s.problem("headers", "The trusted proxy at "+p.Peer+" does not say whom it forwards for.",
			"Make it set X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host; deploy/proxies has examples.")
	case trusted:
		s.good("headers", fmt.Sprintf("The proxy at %s says whom it forwards for.", p.Peer))
	}
	if p.Scheme != srv.Scheme && (trusted || len(p.Forwarded) == 0) {
		s.problem("scheme", fmt.Sprintf("The server takes requests to be %s, but BASE_URL says %s.", p.Scheme, srv.Scheme),
			"Make the proxy set X-Forwarded-Proto.")
	}
	if !strings.EqualFold(p.Host, srv.Host) && p.Host != "" {
		s.warn("host", fmt.Sprintf("Requests arrive with the host %s instead of %s.", p.Host, srv.Host),
			"Make the proxy keep the Host header, or set X-Forwarded-Host.")
	}
}

func examineTLS(f *Facts, s *findings) {
	c := f.Certificate
	if c == nil {
		return
	}
	left := c.NotAfter.Sub(f.Now)
	renew := "Renew it. With ACME_DOMAINS the server does that by itself."
	if c.Managed {
		renew = "The server should have renewed it: look for \"certificate\" in its log."
	}
	switch {
	case c.Err != "":
		s.problem("invalid", "The certificate is not accepted: "+c.Err+".",
			"Install a certificate for the host of BASE_URL, with its intermediate certificates.")
	case left <= 0:
		s.problem("expiry", "The certificate expired "+days(-left)+" ago.", renew)
	case left < certificateEnd:
		s.warn("expiry", "The certificate expires in "+days(left)+".", renew)
	default:
		s.good("expiry", "The certificate is valid for "+days(left)+" more.")
	}
}

func examineClock(f *Facts, s *findings) {
	c := f.Clock
	if c == nil {
		return
	}
	if c.Unsynchronized {
		s.warn("unsynchronized", "Nothing sets the clock of this machine.",
			"Start chrony or systemd-timesyncd: one-time codes and tokens are refused when clocks differ.")
	}
	if c.Database == nil {
		return
	}
	if skew := c.Database.Abs(); skew > maxClockSkew {
		s.problem("database", fmt.Sprintf("The clock of the database server differs from ours by %s.", skew.Round(time.Millisecond)),
			"Set both by the same time server.")
		return
	}
	s.good("database", "The clocks of this machine and of the database agree.")
}
