package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	postTimeout = 15 * time.Second
	maxAnswer   = 64 << 10 // read of an answer, so that the connection can be used again
	// ReasonBlocked marks the error of an address that the server may not connect to.
	ReasonBlocked = "address_blocked"
)

// A Poster sends messages to addresses that others chose. Its rules are those of Client. Plain
// http is for addresses that the operator allows explicitly. It is safe for concurrent use.
type Poster struct {
	now           func() time.Time
	secure, plain *http.Client
}

// NewPoster returns a Poster. Close it when done.
func NewPoster(o Options) *Poster {
	p := &Poster{now: o.Now}
	if p.now == nil {
		p.now = time.Now
	}
	g := newGuard(o.AllowPrivate)
	p.secure = newPostClient(o, g.control)
	p.plain = newPostClient(o, g.controlAllowed)
	return p
}

func newPostClient(o Options, control controlFunc) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: control}
	return &http.Client{
		Timeout: postTimeout,
		// An allowed address could redirect to any other, and the message is not for that one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would resolve names without the guard
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: maxHeaders,
			MaxIdleConnsPerHost:    8,
			MaxIdleConns:           128,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		},
	}
}

// Close closes the connections that are not in use.
func (p *Poster) Close() {
	p.secure.CloseIdleConnections()
	p.plain.CloseIdleConnections()
}

// Answer is what an address said.
type Answer struct {
	Status     int
	Body       []byte // the beginning
	RetryAfter time.Duration
}

// Post sends a body once. It returns an error unless the address answers; its text is for
// operators.
func (p *Poster) Post(ctx context.Context, address string, header http.Header, body []byte) (Answer, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return Answer{}, fault.New(fault.Invalid, "the address is not a URL")
	}
	client := p.secure
	if strings.EqualFold(u.Scheme, "http") {
		client = p.plain
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{}, fault.Wrap(fault.Invalid, err, "the address is not a URL")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Gatehouse")
	res, err := client.Do(req)
	if err != nil {
		return Answer{}, noAnswer(u, err)
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil && len(read) == 0 && res.StatusCode/100 == 2 && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Answer{}, noAnswer(u, err)
	}
	return Answer{
		Status:     res.StatusCode,
		Body:       read,
		RetryAfter: retryAfter(res.Header.Get("Retry-After"), p.now()),
	}, nil
}

// noAnswer returns the error of an attempt without an answer. Its text tells the operator, who
// chose the address, which step failed; it says nothing about the server's own network.
func noAnswer(u *url.URL, err error) error {
	var request *url.Error
	if errors.As(err, &request) { // it repeats the whole address, which may contain a token
		err = request.Err
	}
	var blocked *blockedError
	var dns *net.DNSError
	if errors.As(err, &blocked) {
		e := fault.New(fault.Invalid, "%s is at an address that the server may not connect to; "+
			"networks other than public ones must be in OUTBOUND_ALLOW", u.Host)
		e.Reason, e.Cause = ReasonBlocked, err
		return e
	}
	if errors.As(err, &dns) && dns.IsNotFound {
		return fault.Wrap(fault.Unavailable, err, "there is no host %s", u.Hostname())
	}
	return unreachable(u, err)
}

// retryAfter returns what a Retry-After header asks for (RFC 9110 §10.2.3): seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(time.Duration(n)*time.Second, 0)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// Allowed returns the networks that are allowed beside public ones, as a Client and a Poster use
// them.
func Allowed(networks []netip.Prefix, loopback bool) []netip.Prefix {
	all := append([]netip.Prefix(nil), networks...)
	if loopback {
		all = append(all, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	return all
}
