package ship

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	logTimeout  = 30 * time.Second
	maxLogReply = 8 << 20 // Elasticsearch answers about every event
)

// logServer is an HTTP interface of a log server. The operator chose its address in the settings,
// so it may be in a private network.
type logServer struct {
	base   string // without a slash at its end
	header http.Header
	client *http.Client
}

func newLogServer(base string, roots *x509.CertPool, header http.Header) *logServer {
	return &logServer{
		base:   strings.TrimRight(base, "/"),
		header: header,
		client: &http.Client{
			Timeout: logTimeout,
			// The headers carry a credential, which is not for another address.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout: logTimeout / 3,
				MaxIdleConnsPerHost: 2,
				IdleConnTimeout:     time.Minute,
				ForceAttemptHTTP2:   true,
			},
		},
	}
}

func (s *logServer) close() { s.client.CloseIdleConnections() }

// reply is the answer of a log server.
type reply struct {
	status     int
	body       []byte
	retryAfter time.Duration
}

// post sends a body to a path.
func (s *logServer) post(ctx context.Context, path, contentType string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, values := range s.header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "Gatehouse")
	res, err := s.client.Do(req)
	if err != nil {
		return reply{}, fault.Wrap(fault.Unavailable, err, "the log server could not be reached")
	}
	defer res.Body.Close()
	out := reply{status: res.StatusCode}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		out.retryAfter = time.Duration(n) * time.Second
	}
	out.body, err = io.ReadAll(io.LimitReader(res.Body, maxLogReply+1))
	if err == nil && len(out.body) > maxLogReply {
		err = fmt.Errorf("the answer is larger than %d bytes", maxLogReply)
	}
	return out, err
}

// failure returns the error of an answer that is not success.
func (r reply) failure() error {
	return fault.New(fault.Unavailable, "the log server answered with status %d: %s", r.status,
		excerpt(r.body, maxError/2))
}
