package bearer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	requestTimeout = 5 * time.Second // of one request to the issuer, to the last byte of the response
	maxDocument    = 256 << 10       // bytes of a discovery document or key set
	maxResponse    = 64 << 10        // bytes of an introspection response
	maxHeaders     = 32 << 10
	maxAddress     = 2048
)

// An issuerClient sends requests to the issuer. They are bounded in size and time, and redirects
// are not followed.
type issuerClient struct {
	client    *http.Client
	allowHTTP bool
}

func newIssuerClient(c *http.Client, allowHTTP bool) *issuerClient {
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:    3 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
			MaxIdleConnsPerHost:    maxIntrospections,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}}
	}
	own := *c
	// A redirect would send a token, or our trust, to an address that the owner did not configure.
	own.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return &issuerClient{client: &own, allowHTTP: allowHTTP}
}

// streaming returns a client for responses that do not end.
func (o *issuerClient) streaming() *http.Client {
	own := *o.client
	own.Timeout = 0
	return &own
}

// get requests a document and returns it with its lifetime.
func (o *issuerClient) get(ctx context.Context, address string) ([]byte, time.Duration, error) {
	if err := checkAddress(address, o.allowHTTP); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/json")
	body, header, err := o.do(ctx, req, maxDocument)
	return body, lifetime(header), err
}

// post sends a form with the client's credentials and returns the body of the response.
func (o *issuerClient) post(ctx context.Context, address string, c ClientCredentials, form url.Values) ([]byte, error) {
	if err := checkAddress(address, o.allowHTTP); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret)) // RFC 6749 §2.3.1
	body, _, err := o.do(ctx, req, maxResponse)
	return body, err
}

func (o *issuerClient) do(ctx context.Context, req *http.Request, maxBytes int64) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req.Header.Set("User-Agent", "gatehouse-bearer")
	res, err := o.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, nil, unreachable(req, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, &statusError{safeURL(req.URL), res.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBytes+1)) // counted after decompression
	if err != nil {
		return nil, nil, unreachable(req, err)
	}
	if int64(len(body)) > maxBytes {
		return nil, nil, fmt.Errorf("%s responded with more than %d bytes", safeURL(req.URL), maxBytes)
	}
	return body, res.Header, nil
}

// A statusError is a response with another status than 200.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string {
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return fmt.Sprintf("%s responded %d: check this API's client id and secret, and that the client is allowed to introspect", e.url, e.status)
	case e.status >= 300 && e.status < 400:
		return fmt.Sprintf("%s redirects, which is not followed: configure the final address", e.url)
	}
	return fmt.Sprintf("%s responded %d", e.url, e.status)
}

// safeURL returns an address without the parts that could be confidential.
func safeURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

func unreachable(req *http.Request, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s did not respond within %s", safeURL(req.URL), requestTimeout)
	}
	return fmt.Errorf("%s cannot be reached: %w", safeURL(req.URL), err)
}

// checkAddress rejects addresses that the acceptance of tokens must not depend on.
func checkAddress(raw string, allowHTTP bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxAddress || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%.100q is not an absolute https address", raw)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%s must have no username, password or fragment", safeURL(u))
	case !secure(u, allowHTTP):
		return fmt.Errorf("%s does not begin with https://, which is required for other machines; "+
			"in a test network, set AllowHTTP", safeURL(u))
	}
	return nil
}

// secure reports whether requests to an address are protected from others on the network.
func secure(u *url.URL, allowHTTP bool) bool {
	if u.Scheme == "https" {
		return true
	}
	if u.Scheme != "http" {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return allowHTTP || strings.EqualFold(u.Hostname(), "localhost") || (err == nil && a.IsLoopback())
}

const (
	minLifetime     = time.Minute
	maxLifetime     = time.Hour
	defaultLifetime = 10 * time.Minute
)

// lifetime returns how long a document is used before it is reloaded: as long as Cache-Control says
// (RFC 9111 §5.2.2), within our bounds.
func lifetime(h http.Header) time.Duration {
	for _, line := range h.Values("Cache-Control") {
		for d := range strings.SplitSeq(line, ",") {
			name, arg, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
			switch name {
			case "no-store", "no-cache":
				return minLifetime
			case "max-age":
				if n, err := strconv.ParseInt(strings.Trim(arg, `"`), 10, 32); err == nil {
					return min(max(time.Duration(n)*time.Second, minLifetime), maxLifetime)
				}
			}
		}
	}
	return defaultLifetime
}
