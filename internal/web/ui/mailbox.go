package ui

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Letter is a message as the mailbox of a development server holds it.
type Letter struct {
	ID, To, Subject, Text, HTML string
	At                          time.Time
}

// Mailbox is the messages that a development server has sent. It is served at /dev/mail to this
// machine only: whoever reads it can take over any account.
type Mailbox interface {
	// Letters returns the messages, newest first.
	Letters() []Letter
	// Letter returns a message, or fault.NotFound.
	Letter(id string) (*Letter, error)
}

// ShowMailbox serves a mailbox at /dev/mail. Call it before Routes.
func (s *Server) ShowMailbox(b Mailbox) { s.mailbox = b }

// mailboxRoutes returns the pages of the mailbox, if there is one.
func (s *Server) mailboxRoutes() []route {
	if s.mailbox == nil {
		return nil
	}
	return []route{
		{"GET /dev/mail", s.local(s.showMailbox)},
		{"GET /dev/mail/{id}", s.local(s.showLetter)},
		{"GET /dev/mail/{id}/html", s.local(s.showLetterHTML)},
	}
}

// forwarding lists the headers by which a request shows that it came through a proxy.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// local serves a page to this machine only: the connection and the host must be of the loopback
// interface, so that another site's name that leads here is no way in, and no proxy may be between.
func (s *Server) local(h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		ok := err == nil && peer.Addr().Unmap().IsLoopback() && loopbackHost(r.Host)
		for _, name := range forwarding {
			ok = ok && r.Header.Get(name) == ""
		}
		if !ok {
			return fault.New(fault.NotFound, "There is no page at this address. Check it for typing errors.")
		}
		return h(w, r)
	}
}

// loopbackHost reports whether a Host header names the loopback interface.
func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(name)
	if err != nil && len(name) > 2 && name[0] == '[' {
		a, err = netip.ParseAddr(name[1 : len(name)-1])
	}
	return err == nil && a.IsLoopback()
}

func (s *Server) showMailbox(w http.ResponseWriter, r *http.Request) error {
	v := &MailboxView{Base: begin(r)}
	for _, l := range s.mailbox.Letters() {
		v.Letters = append(v.Letters, LetterLine{
			URL:     "/dev/mail/" + url.PathEscape(l.ID),
			Subject: l.Subject,
			To:      l.To,
			At:      l.At,
		})
	}
	return s.show(w, http.StatusOK, v)
}

// address finds a link in the text of a message.
var address = regexp.MustCompile(`https?://\S+`)

func (s *Server) showLetter(w http.ResponseWriter, r *http.Request) error {
	l, err := s.mailbox.Letter(r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, &LetterView{
		Base:    begin(r),
		Subject: l.Subject,
		To:      l.To,
		At:      l.At,
		Parts:   letterParts(l.Text),
		HTMLURL: fmt.Sprintf("/dev/mail/%s/html", url.PathEscape(l.ID)),
	})
}

// letterParts splits a text into words and links.
func letterParts(text string) (parts []LetterPart) {
	rest := 0
	for _, at := range address.FindAllStringIndex(text, -1) {
		if at[0] > rest {
			parts = append(parts, LetterPart{Text: text[rest:at[0]]})
		}
		parts = append(parts, LetterPart{Text: text[at[0]:at[1]], Link: true})
		rest = at[1]
	}
	if rest < len(text) {
		parts = append(parts, LetterPart{Text: text[rest:]})
	}
	return parts
}

// showLetterHTML serves the message itself. It is sandboxed: its scripts do not run, and it has no
// access to this origin.
func (s *Server) showLetterHTML(w http.ResponseWriter, r *http.Request) error {
	l, err := s.mailbox.Letter(r.PathValue("id"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "sandbox allow-top-navigation-by-user-activation; "+
		"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https: data:; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	_, _ = w.Write([]byte(l.HTML)) // the person has gone if it fails
	return nil
}
