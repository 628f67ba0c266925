package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	firstPause  = time.Second
	longestWait = 10 * time.Second
	maxAnswer   = 64 << 10
)

// exporter sends spans to a collector: POST of an ExportTraceServiceRequest (OTLP 1, section
// "OTLP/HTTP").
type exporter struct {
	o        Options
	client   *http.Client
	resource []attribute.KeyValue
}

func newExporter(o Options) *exporter {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 1
	if o.Certificate != "" {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities(o.Certificate)}
	}
	return &exporter{o: o, client: &http.Client{
		Transport: t,
		// the headers, with their keys, are for the collector alone
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// authorities returns the authorities of a file. If it cannot be read, nobody is trusted, and the
// first export says what is wrong.
func authorities(file string) *x509.CertPool {
	pool := x509.NewCertPool()
	if raw, err := os.ReadFile(file); err == nil {
		pool.AppendCertsFromPEM(raw)
	}
	return pool
}

// export sends spans, and again while the collector asks for that and ctx allows.
func (e *exporter) export(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body := encode(e.resource, scope, e.o.Version, spans)
	if e.o.Gzip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body) // a buffer takes everything
		_ = w.Close()
		body = b.Bytes()
	}
	for pause := firstPause; ; pause = min(2*pause, longestWait) {
		wait, err := e.post(ctx, body)
		if err == nil || wait < 0 {
			return err
		}
		if wait == 0 {
			wait = pause/2 + rand.N(pause)
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// post makes one request. With an error it returns how long to wait before the next one: 0 is any
// time, below 0 is that there must be none.
func (e *exporter) post(ctx context.Context, body []byte) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.o.Endpoint, bytes.NewReader(body))
	if err != nil {
		return -1, errors.New("the address of the collector cannot be used")
	}
	for _, h := range e.o.Headers {
		req.Header.Set(h.Name, h.Value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "gatehouse/"+e.o.Version)
	if e.o.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := e.client.Do(req)
	if err != nil {
		return 0, withoutAddress(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // so that the connection stays
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		n, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return time.Duration(max(n, 0)) * time.Second,
			fmt.Errorf("the collector answered with the status %d", res.StatusCode)
	}
	return -1, fmt.Errorf("the collector answered with the status %d", res.StatusCode)
}

// withoutAddress returns the cause of a failed request: its own text has the address, which may
// hold a password.
func withoutAddress(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return errors.New("the collector does not answer")
}
