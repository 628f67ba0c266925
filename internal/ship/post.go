package ship

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// HTTPPoster is a Poster over HTTP.
type HTTPPoster struct {
	Client *fetch.Poster
	Now    func() time.Time
	// Trace begins the trace of an attempt, whose headers it may extend. It returns what ends it,
	// with the error of the attempt. nil: there are no traces.
	Trace func(header http.Header) (end func(status int, err error))
}

// Post makes one attempt (Standard Webhooks 1.0).
func (p HTTPPoster) Post(ctx context.Context, m Message) webhook.Answer {
	header := http.Header{
		http.CanonicalHeaderKey(webhook.HeaderID):        {m.ID},
		http.CanonicalHeaderKey(webhook.HeaderTimestamp): {webhook.Timestamp(m.At)},
	}
	if signature := m.Signer.Sign(m.ID, m.At, m.Body); signature != "" {
		header.Set(webhook.HeaderSignature, signature)
	}
	begin := p.Now()
	end := func(int, error) {}
	if p.Trace != nil {
		end = p.Trace(header)
	}
	res, err := p.Client.Post(ctx, m.URL, header, m.Body)
	end(res.Status, err)
	answer := webhook.Answer{
		Status:     res.Status,
		Body:       excerpt(res.Body, webhook.MaxAnswer),
		Duration:   p.Now().Sub(begin),
		RetryAfter: res.RetryAfter,
		Err:        err,
	}
	if err == nil {
		answer.Err = statusError(res.Status)
	}
	if !answer.Busy() {
		answer.RetryAfter = 0
	}
	return answer
}

// statusError returns why a status is not success, or nil.
func statusError(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return fault.New(fault.Invalid, "the target redirects (status %d); redirects are not followed, "+
			"so use the address that it redirects to", status)
	case status == http.StatusGone:
		return fault.New(fault.Invalid, "the target wants no more events (status 410)")
	}
	return fault.New(fault.Unavailable, "the target answered with status %d", status)
}

// excerpt returns the beginning of a text, as it can be stored and shown: valid UTF-8 without
// control characters.
func excerpt(b []byte, size int) string {
	if len(b) > size {
		b = b[:size]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		if r, n := utf8.DecodeLastRune(b); r == utf8.RuneError && n == 1 {
			b = b[:len(b)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b), "\uFFFD"))
}
