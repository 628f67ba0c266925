package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Challenge demands a newer or stronger sign-in for a change (RFC 9470).
type Challenge struct {
	Text   string
	ACR    string        // the class to reach, or ""
	MaxAge time.Duration // the greatest age of the sign-in; 0: any
}

// Error returns the text.
func (c *Challenge) Error() string { return c.Text }

// rejection is the error of a token that the server does not accept.
type rejection struct{ text string }

// Error returns the words of the server.
func (r *rejection) Error() string { return "the server does not accept the token: " + r.text }

// problem is an error of the API (RFC 9457).
type problem struct {
	Status      int    `json:"status"`
	Error       string `json:"error"`
	Detail      string `json:"detail"`
	Description string `json:"error_description"`
	Scope       string `json:"scope"`
	ACRValues   string `json:"acr_values"`
	MaxAge      int64  `json:"max_age"`
	RetryAfter  int64  `json:"retry_after"`
	Etag        string `json:"etag"`
	Instance    string `json:"instance"`
	Details     []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"details"`
}

// maxProblem bounds how much of an error is read, in bytes.
const maxProblem = 1 << 20

// problem returns the error of an answer that is not a success.
func (s *Server) problem(answer *http.Response) error {
	if answer.StatusCode < http.StatusBadRequest {
		return s.redirected(answer)
	}
	var p problem
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxProblem))
	if err != nil || json.Unmarshal(raw, &p) != nil || p.Error == "" {
		return s.notGatehouse(answer)
	}
	if p.Detail == "" {
		p.Detail = p.Description
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		if p.Error == admin.ReasonStepUp {
			return &Challenge{Text: p.Detail, ACR: p.ACRValues, MaxAge: time.Duration(p.MaxAge) * time.Second}
		}
		return &rejection{p.Detail}
	case http.StatusForbidden:
		if p.Error == admin.ReasonInsufficientScope {
			p.Detail += "; the roles of who is signed in, or the client, do not give it"
		}
	}
	return p.fault(answer.StatusCode)
}

// redirected returns the error for a server that is elsewhere. The token is not sent there.
func (s *Server) redirected(answer *http.Response) error {
	to, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return s.notGatehouse(answer)
	}
	return fmt.Errorf("%s sends requests on to %s://%s; if that is your server, name it with --server",
		s.base, to.Scheme, to.Host)
}

// fault returns the error as the operation would return it on the database.
func (p *problem) fault(status int) error {
	e := &fault.Error{Kind: kindOf(status), Text: p.Detail, After: time.Duration(p.RetryAfter) * time.Second}
	switch {
	case e.Kind == fault.Conflict && p.Error != "conflict", status == http.StatusForbidden && p.Error != "access_denied":
		e.Reason = p.Error
	case e.Kind == fault.Stale:
		e.Reason = admin.ReasonVersion
		tag := strings.TrimSuffix(strings.TrimPrefix(p.Etag, `"v`), `"`)
		e.At, _ = strconv.ParseInt(tag, 10, 64) // 0 where there is none
		for _, d := range p.Details {
			e.Fields = append(e.Fields, d.Field)
		}
		return e
	case e.Kind == fault.Limited && e.After > 0:
		e.Text = fmt.Sprintf("%s; try again in %s", strings.TrimSuffix(e.Text, "."), e.After)
	case e.Kind == fault.Internal:
		e.Kind = fault.Unavailable
		if id, ok := strings.CutPrefix(p.Instance, "urn:gatehouse:request:"); ok {
			e.Text = fmt.Sprintf("something went wrong on the server; its log has more about the request %s", id)
		}
	}
	for i, d := range p.Details {
		if i == 0 {
			e.Field, e.Text = d.Field, d.Message
			continue
		}
		e.More = append(e.More, &fault.Error{Kind: e.Kind, Field: d.Field, Text: d.Message})
	}
	return e
}

func kindOf(status int) fault.Kind {
	switch status {
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return fault.Conflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Denied
	case http.StatusPreconditionFailed:
		return fault.Stale
	case http.StatusTooManyRequests:
		return fault.Limited
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return fault.Unavailable
	}
	if status >= http.StatusInternalServerError {
		return fault.Internal
	}
	return fault.Invalid
}

// unreachable explains why no answer came. Whether a change was made is then unknown.
func (s *Server) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the address is in the text already
	}
	var (
		unknown   x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		noTLS     tls.RecordHeaderError
		operation *net.OpError
		hint      string
	)
	switch {
	case errors.As(err, &unknown):
		hint = "; if the server has a certificate of your own authority, name its file in SSL_CERT_FILE"
	case errors.As(err, &host), errors.As(err, &invalid):
		hint = "; the certificate of the server is not valid for this address now"
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		hint = "; is it an http address?"
	case errors.As(err, &operation) && operation.Op == "dial":
		hint = "; is the address right, and is the server running?"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		hint = "; the connection ended before the answer did. Look whether the change was made before you repeat it"
	}
	return fault.New(fault.Unavailable, "%s cannot be reached: %v%s", s.base, err, hint)
}
