package oauth

import (
	"crypto/x509"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// Call is one request to an endpoint, parsed from the wire. Every parameter occurs exactly once
// (RFC 6749 §3.1) but `resource`, which may repeat (RFC 8707 §2).
type Call struct {
	Form          url.Values
	Authorization string            // the header, or ""
	DPoP          []string          // the DPoP headers (RFC 9449 §4.1)
	Cert          *x509.Certificate // the client's TLS certificate, or nil
	Method        string
	URL           string            // the address as the client sees it, without a query
	Session       *identity.Session // the browser's session, or nil
	Accounts      []BrowserAccount  // all its sessions, if there are several; else nil
	Browser       string            // the secret that its cookie marks the browser with, or ""
	Local         bool              // a program on this machine calls, past no proxy
	IP, Agent     string
	RequestID     string
	Now           time.Time // read once per request

	// Admit counts a request of an authenticated client against the client's own limit; nil: none.
	Admit func(*client.Client) error
}

// BrowserAccount is one of several accounts that a browser is signed in to.
type BrowserAccount struct {
	Session *identity.Session
	Logins  []string // what its person may type to sign in, as identity.LoginKey returns it
}

// Get returns the value of a parameter, or "".
func (c *Call) Get(name string) string { return c.Form.Get(name) }

// Event returns an audit event about a client. Its actor is the person who is signed in, or the
// client itself.
func (c *Call) Event(t audit.Type, cl *client.Client) audit.Event {
	ev := audit.Event{
		At:        c.Now,
		Type:      t,
		IP:        c.IP,
		Agent:     c.Agent,
		RequestID: c.RequestID,
		Actor:     string(cl.ID),
		Client:    string(cl.ID),
	}
	if c.Session != nil {
		ev.Actor, ev.ActorType = actorOf(c.Session)
		ev.User, ev.Session = string(c.Session.User), string(c.Session.ID)
	}
	return ev
}

// actorOf returns who acts in a session, as an audit event has it: the person, or who acts as them.
func actorOf(sess *identity.Session) (id, kind string) {
	if sess.Impersonated() {
		return sess.Impersonator.ID, sess.Impersonator.Kind
	}
	return string(sess.User), ""
}
