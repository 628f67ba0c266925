// Package fetch reads documents from addresses that others chose: the jwks_uri of a client, the
// metadata of a provider.
//
// Such an address must not open a way into the server's network (server-side request forgery),
// nor a way to keep the server busy. So connections go to public addresses only, over TLS,
// directly, without redirects; time, size and the number of attempts are bounded; and documents
// are cached.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	timeout    = 5 * time.Second // of one attempt
	maxURL     = 2048
	maxHeaders = 32 << 10
)

// Options configures a Client. The zero value is safe.
type Options struct {
	AllowPrivate []netip.Prefix   // addresses that are allowed although they are not public
	Roots        *x509.CertPool   // nil for those of the system
	Now          func() time.Time // nil for time.Now

	// Trace begins the trace of an attempt, whose headers it may extend. It returns what ends it,
	// with the status of the answer, or 0. nil: there are no traces.
	Trace func(header http.Header) (end func(status int, err error))
}

// A Client fetches and caches documents. It is safe for concurrent use.
type Client struct {
	guard guard
	http  *http.Client
	now   func() time.Time
	cache cache
	trace func(header http.Header) (end func(status int, err error))
}

// New returns a Client. Close it when done.
func New(o Options) *Client {
	c := &Client{guard: newGuard(o.AllowPrivate), now: o.Now, trace: o.Trace}
	if c.now == nil {
		c.now = time.Now
	}
	if c.trace == nil {
		c.trace = func(http.Header) func(int, error) { return func(int, error) {} }
	}
	c.cache.init()
	dialer := &net.Dialer{Timeout: 3 * time.Second, Control: c.guard.control}
	c.http = &http.Client{
		Timeout: timeout,
		// An allowed address could redirect to any other; none of our documents needs redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve names without the guard
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    3 * time.Second,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: maxHeaders,
			MaxIdleConnsPerHost:    1,
			MaxIdleConns:           16,
			IdleConnTimeout:        30 * time.Second,
			ForceAttemptHTTP2:      true,
		},
	}
	return c
}

// Close cancels the attempts in progress and closes the connections.
func (c *Client) Close() {
	c.cache.close()
	c.http.CloseIdleConnections()
}

// A Document is the response of an address.
type Document struct {
	Body    []byte // shared: must not be changed
	Fetched time.Time
	Expires time.Time
	Stale   bool // it has expired, and a new one could not be fetched
}

// check parses an address and rejects one that need not be tried.
func (c *Client) check(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(raw) > maxURL:
		return nil, fault.New(fault.Invalid, "the address is not an absolute URL of at most %d characters", maxURL)
	case u.User != nil:
		return nil, fault.New(fault.Invalid, "the address must not contain a username or password")
	case u.Fragment != "":
		return nil, fault.New(fault.Invalid, "the address must not have a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !c.plainAllowed(u.Hostname())):
		return nil, fault.New(fault.Invalid, "the address must begin with https://")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !c.guard.permits(a) {
		return nil, notPublic(u, nil)
	}
	return u, nil
}

// plainAllowed reports whether http is allowed: for this machine, if its addresses are allowed.
func (c *Client) plainAllowed(host string) bool {
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() && c.guard.permits(a)
}

// load makes one attempt.
func (c *Client) load(ctx context.Context, u *url.URL, maxBytes int64) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Document{}, fault.Wrap(fault.Invalid, err, "the address is not a URL")
	}
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	req.Header.Set("User-Agent", "Gatehouse")
	end := c.trace(req.Header)
	res, err := c.http.Do(req)
	if err != nil {
		end(0, err)
		return Document{}, unreachable(u, err)
	}
	end(res.StatusCode, nil)
	defer res.Body.Close()
	if err := acceptable(u, res, maxBytes); err != nil {
		return Document{}, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBytes+1)) // counts after decompression
	if err != nil {
		return Document{}, unreachable(u, err)
	}
	if int64(len(body)) > maxBytes {
		return Document{}, tooLarge(u, maxBytes)
	}
	now := c.now()
	return Document{Body: body, Fetched: now, Expires: now.Add(ttl(res.Header, now))}, nil
}

func acceptable(u *url.URL, res *http.Response, maxBytes int64) error {
	switch {
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return fault.New(fault.Invalid, "%s redirects to another address; use the address of the document itself", u.Host)
	case res.StatusCode != http.StatusOK:
		return fault.New(fault.Unavailable, "%s answered with status %d", u.Host, res.StatusCode)
	case res.ContentLength > maxBytes:
		return tooLarge(u, maxBytes)
	}
	return nil
}

func tooLarge(u *url.URL, maxBytes int64) error {
	return fault.New(fault.Invalid, "the document at %s is larger than %d bytes", u.Host, maxBytes)
}

func notPublic(u *url.URL, cause error) error {
	e := fault.New(fault.Invalid, "%s is not on the public internet, where the server may fetch from", u.Host)
	e.Cause = cause
	return e
}

// unreachable returns the error of an attempt, with a text that says nothing about the server's
// own network.
func unreachable(u *url.URL, err error) error {
	var blocked *blockedError
	var cert *tls.CertificateVerificationError
	var timedOut net.Error
	switch {
	case errors.As(err, &blocked):
		return notPublic(u, err)
	case errors.As(err, &cert):
		return fault.Wrap(fault.Unavailable, err, "the certificate of %s is not valid", u.Host)
	case errors.As(err, &timedOut) && timedOut.Timeout():
		return fault.Wrap(fault.Unavailable, err, "%s did not answer in time", u.Host)
	}
	return fault.Wrap(fault.Unavailable, err, "%s could not be reached", u.Host)
}
