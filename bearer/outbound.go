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
	patience    = 5 * time.Second // with one answer of the issuer, to its last byte
	maxDocument = 256 << 10       // bytes of a discovery document or key set
	maxAnswer   = 64 << 10        // bytes of an answer of introspection
	maxHeaders  = 32 << 10
	maxAddress  = 2048
)

// outbound asks the issuer: bounded in size and time, and never led elsewhere.
type outbound struct {
	client *http.Client
	plain  bool
}

func newOutbound(c *http.Client, plain bool) *outbound {
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:    3 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
			MaxIdleConnsPerHost:    maxAsking,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}}
	}
	own := *c
	// A redirect would carry a token, or our trust, to where the owner did not send it.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &outbound{client: &own, plain: plain}
}

// stream is a client for an answer without end.
func (o *outbound) stream() *http.Client {
	own := *o.client
	own.Timeout = 0
	return &own
}

// get reads a document and says for how long it may be kept.
func (o *outbound) get(ctx context.Context, address string) ([]byte, time.Duration, error) {
	if err := addressable(address, o.plain); err != nil {
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

// post sends a form as a client.
func (o *outbound) post(ctx context.Context, address, id, secret string, form url.Values) ([]byte, error) {
	if err := addressable(address, o.plain); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) // RFC 6749 §2.3.1
	body, _, err := o.do(ctx, req, maxAnswer)
	return body, err
}

func (o *outbound) do(ctx context.Context, req *http.Request, most int64) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req.Header.Set("User-Agent", "gatehouse-bearer")
	res, err := o.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, nil, unreachable(req, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, &statusError{place(req.URL), res.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1)) // counts after decompression
	if err != nil {
		return nil, nil, unreachable(req, err)
	}
	if int64(len(body)) > most {
		return nil, nil, fmt.Errorf("%s answered with more than %d bytes", place(req.URL), most)
	}
	return body, res.Header, nil
}

// statusError is an answer other than 200.
type statusError struct {
	place  string
	status int
}

func (e *statusError) Error() string {
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return fmt.Sprintf("%s answered %d: check this API's client id and secret, and that the client may ask", e.place, e.status)
	case e.status >= 300 && e.status < 400:
		return fmt.Sprintf("%s redirects elsewhere, which is not followed: give the address itself", e.place)
	}
	return fmt.Sprintf("%s answered with status %d", e.place, e.status)
}

// place names an address without what could be confidential in it.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

func unreachable(req *http.Request, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s did not answer within %s", place(req.URL), patience)
	}
	return fmt.Errorf("%s cannot be reached: %w", place(req.URL), err)
}

// addressable refuses addresses that tokens must not depend on.
func addressable(raw string, plain bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxAddress || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("%.100q is not an absolute https address", raw)
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("%s must have no user name, password or fragment", place(u))
	case !secure(u, plain):
		return fmt.Errorf("%s does not begin with https://, which only an address on this machine may leave out; AllowHTTP permits it in a test network", place(u))
	}
	return nil
}

// secure reports whether an address is one that nobody on the way can answer for.
func secure(u *url.URL, plain bool) bool {
	if u.Scheme == "https" {
		return true
	}
	if u.Scheme != "http" {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return plain || strings.EqualFold(u.Hostname(), "localhost") || (err == nil && a.IsLoopback())
}

const (
	leastFresh = time.Minute
	mostFresh  = time.Hour
	usualFresh = 10 * time.Minute // where the answer does not say
)

// lifetime is how long a document is used before it is asked for anew: as long as its issuer says, within our bounds (RFC 9111 §5.2.2).
func lifetime(h http.Header) time.Duration {
	for _, line := range h.Values("Cache-Control") {
		for d := range strings.SplitSeq(line, ",") {
			name, arg, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
			switch name {
			case "no-store", "no-cache":
				return leastFresh
			case "max-age":
				if n, err := strconv.ParseInt(strings.Trim(arg, `"`), 10, 32); err == nil {
					return min(max(time.Duration(n)*time.Second, leastFresh), mostFresh)
				}
			}
		}
	}
	return usualFresh
}
