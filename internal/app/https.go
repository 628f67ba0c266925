package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/acme"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// newCertificates returns what gets the server's certificates, or nil if it has them in files or
// serves no https.
func newCertificates(e *env, p *parts, log *slog.Logger) (*acme.Manager, error) {
	c := p.cfg
	if !c.ACME() {
		return nil, nil
	}
	if p.copied {
		return nil, fault.New(fault.Conflict, "the database is a copy for trying things out, which gets no "+
			"certificates; remove ACME_DOMAINS, and set SSL_CERT and SSL_KEY or serve http on a loopback address")
	}
	host := c.Hosts()[0]
	return acme.New(acme.Options{
		Domains:   slices.Clone(c.HTTPS.Domains),
		Email:     c.HTTPS.Email,
		Directory: c.HTTPS.Directory,
		KeyID:     c.HTTPS.KeyID,
		HMAC:      string(c.HTTPS.HMAC),
		Host:      host,
		Port:      c.Server.Port,
		HTTPPort:  c.HTTPS.HTTPPort,
		Store:     p.db,
		Box:       p.keys.Box("certificates"),
		Now:       e.now,
		Log:       log,
	})
}

// secureParts is what https needs beside the server: the listeners of HTTP_PORT, the configuration
// of TLS, or nil, and the log.
type secureParts struct {
	plain  []net.Listener
	secure *tls.Config
	log    *slog.Logger
}

// startHTTPS begins to get and renew certificates, if they come by ACME, and serves HTTP_PORT,
// until the returned function is called.
func (s *server) startHTTPS(ctx context.Context, e *env, h secureParts) (stop func(), err error) {
	p := s.parts
	certificates, err := newCertificates(e, p, h.log)
	if err != nil {
		return nil, err
	}
	stopPlain := servePlain(h.plain, plainHandler(p.cfg, certificates, s.realms.origin), h.log)
	if certificates == nil {
		return stopPlain, nil
	}
	certificates.TLS(h.secure)
	p.expiries = certificates.Expiry
	stop = func() { stopPlain(); certificates.Close() }
	if err := certificates.Start(ctx); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// plainHandler answers at HTTP_PORT: challenges of ACME if there is a manager, and a redirect to
// https for all else. origin returns the https address of the issuer that has a host, or nil.
func plainHandler(c *config.Config, m *acme.Manager, origin func(host string) *url.URL) http.Handler {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			// What was sent may be a secret, and has crossed the network in plain text already.
			http.Error(w, "This address needs https.", http.StatusForbidden)
			return
		}
		http.Redirect(w, r, secureAddress(c, r, origin), http.StatusPermanentRedirect)
	})
	if m != nil {
		h = m.Handler(h)
	}
	return h
}

// secureAddress returns the https address of a request that came by http. It replaces a host that
// is not ours by that of BASE_URL. The hosts of realms are ours as well.
func secureAddress(c *config.Config, r *http.Request, origin func(host string) *url.URL) string {
	if to := origin(r.Host); to != nil {
		return withTarget(to, r)
	}
	to, err := url.Parse(c.Server.BaseURL)
	if err != nil { // the settings have validated it
		return c.Server.BaseURL
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ours := func(name string) bool { return strings.EqualFold(name, host) }
	domains := c.HTTPS.Domains
	if i := slices.IndexFunc(domains, ours); i >= 0 && !ours(to.Hostname()) {
		port := to.Port()
		if to.Host = domains[i]; port != "" {
			to.Host = net.JoinHostPort(domains[i], port)
		}
	}
	return withTarget(to, r)
}

// withTarget adds the path and the query of a request to an address.
func withTarget(to *url.URL, r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/") {
		to.Path, to.RawPath, to.RawQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
	}
	return to.String()
}

// servePlain serves HTTP_PORT on its listeners until the returned function is called.
func servePlain(listeners []net.Listener, h http.Handler, log *slog.Logger) (stop func()) {
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout,
		IdleTimeout:       5 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	for _, l := range listeners {
		go func() {
			if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				log.Error("HTTP_PORT does not answer any more", "error", err)
			}
		}()
	}
	return func() { _ = hs.Close() }
}
