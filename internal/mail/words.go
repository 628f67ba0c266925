package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	gomail "github.com/wneessen/go-mail"
)

// A failure is what happened at the mail server in a sentence, with the server's own words behind
// it where it has said any.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.cause }

// explained returns an error of a connection or a message as a failure.
func explained(err error) error {
	if err == nil {
		return nil
	}
	text := reason(err)
	if said := serverWords(err); said != "" {
		text += ": " + said
	}
	return &failure{text, err}
}

// reason returns the sentence for a kind of error.
func reason(err error) string {
	var lookup *net.DNSError
	var failed *gomail.SendError
	var plain tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "the name of the mail server was not found: check SMTP_HOST"
	case errors.As(err, &lookup):
		return "the name of the mail server could not be looked up now"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection to the mail server was refused: check SMTP_HOST and SMTP_PORT"
	case errors.As(err, &plain):
		return "the mail server does not begin with TLS on this port: set SMTP_SECURITY=starttls"
	case certificateReason(err) != "":
		return certificateReason(err)
	case errors.As(err, &failed):
		return sendReason(failed)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "the mail server did not answer in time"
	case errors.Is(err, gomail.ErrNoSupportedAuthDiscovered):
		return "the mail server offers no way to sign in on this connection: use TLS, or leave out SMTP_USER"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the mail server ended the connection"
	}
	return libraryReason(err)
}

// libraryReason returns the sentence for an error that the library names in its text alone.
func libraryReason(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "does not support STARTTLS"):
		return "the mail server does not offer STARTTLS on this port, so nothing was sent: " +
			"use port 465 with SMTP_SECURITY=tls"
	case strings.Contains(text, "does not support SMTP AUTH"):
		return "the mail server offers no way to sign in on this connection: use TLS, or leave out SMTP_USER"
	case strings.Contains(text, "SMTP AUTH failed"):
		return "the mail server rejected SMTP_USER or SMTP_PASSWORD"
	}
	return "the connection to the mail server failed"
}

// certificateReason returns the sentence for a certificate that is not accepted, or "".
func certificateReason(err error) string {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var other *tls.CertificateVerificationError
	switch {
	case errors.As(err, &host):
		return "the certificate of the mail server is for another name than SMTP_HOST"
	case errors.As(err, &authority):
		return "the certificate of the mail server is from an authority that this machine does not trust"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the mail server has expired"
	case errors.As(err, &invalid), errors.As(err, &other):
		return "the certificate of the mail server is not valid"
	}
	return ""
}

// sendReason returns the sentence for a message that was not accepted.
func sendReason(failed *gomail.SendError) string {
	what := "the message"
	switch failed.Reason {
	case gomail.ErrSMTPMailFrom:
		what = "the sender"
	case gomail.ErrSMTPRcptTo:
		what = "the address"
	}
	switch code := failed.ErrorCode(); {
	case code >= 500:
		return "the mail server rejected " + what
	case code == 421:
		return "the mail server is closing its connections"
	case code >= 400:
		return "the mail server does not take " + what + " now"
	}
	return "the mail server ended the connection before it said whether it has taken the message"
}

// serverSentence is an answer of a mail server: a code of three digits and words.
var serverSentence = regexp.MustCompile(`(?:^|[\s:])([45][0-9]{2}[ -][^\n]*)`)

// serverWords returns what the server has answered, without what the library adds to it, or "".
func serverWords(err error) string {
	m := serverSentence.FindStringSubmatch(answer(err).Error())
	if m == nil {
		return ""
	}
	return strings.TrimSpace(m[1])
}
