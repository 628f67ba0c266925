package token

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// ClientAuth serves one token_endpoint_auth_method.
type ClientAuth interface {
	// Describe returns the name of the method and says which clients may use it.
	Describe() client.AuthMethod

	// Claim reports whether a call uses the method, and which client it names. It checks
	// nothing; at most one method may claim a call.
	Claim(c *oauth.Call) (id client.ID, claimed bool, err error)

	// Prove checks the client's credentials. Denied: they are not valid; the reason says why.
	Prove(ctx context.Context, cl *client.Client, c *oauth.Call) error
}

// builtinClientAuths returns the table of client authentication methods. Discovery, the
// validation of clients, the command line and the documentation derive from it.
func builtinClientAuths(s *Server) []ClientAuth {
	return []ClientAuth{
		basicAuth{s.secrets},
		postAuth{s.secrets},
		privateKeyAuth{
			once:       s.store,
			keys:       s.keys,
			clientKeys: oauth.ClientKeys{Fetch: s.fetch},
			issuer:     s.cfg.Issuer,
			aud:        s.TokenEndpoint(),
		},
		noneAuth{},
	}
}

// AuthMethods describes all client authentication methods that this program knows.
func AuthMethods() []client.AuthMethod {
	s := &Server{}
	s.methods = builtinClientAuths(s)
	return s.AuthMethods()
}

// AuthMethods describes the client authentication methods that this server serves.
func (s *Server) AuthMethods() []client.AuthMethod {
	out := make([]client.AuthMethod, len(s.methods))
	for i, m := range s.methods {
		out[i] = m.Describe()
	}
	return out
}

// Authenticate returns the client that a call authenticates. Exactly one method may be used
// (RFC 6749 §2.3).
func (s *Server) Authenticate(ctx context.Context, c *oauth.Call) (*client.Client, error) {
	method, id, err := s.claim(c)
	if err != nil {
		return nil, err
	}
	cl, err := s.clients.Lookup(ctx, id)
	if err == nil && cl.Public && emptySecret(c) {
		method = noneAuth{}
	}
	if err == nil && !cl.AcceptsMethod(method.Describe().Name) {
		err = denied(audit.ReasonWrongMethod)
	}
	if err == nil && cl.LoopbackOnly && !c.Local {
		err = denied(audit.ReasonNotLocal)
	}
	if err == nil {
		cl, err = s.prove(ctx, method, cl, c)
	}
	if fault.Is(err, fault.Denied) {
		return nil, s.rejectClient(ctx, c, method, id, fault.Reason(err))
	}
	if err != nil {
		return nil, err
	}
	return cl, nil
}

// claim returns the one method that claims a call, and the client that the call names.
func (s *Server) claim(c *oauth.Call) (method ClientAuth, id client.ID, err error) {
	for _, m := range s.methods {
		named, claimed, err := m.Claim(c)
		if err != nil {
			return nil, "", err
		}
		if !claimed {
			continue
		}
		if method != nil {
			return nil, "", oauth.InvalidRequest(
				"The request authenticates the client in more than one way. Use one.")
		}
		method, id = m, named
	}
	if method == nil {
		return nil, "", oauth.InvalidClient("Basic",
			"The request names no client. Send client_id, or authenticate with HTTP Basic.")
	}
	if named := client.ID(c.Get("client_id")); named != "" && named != id {
		return nil, "", oauth.InvalidRequest(
			"The client_id parameter and the client credentials name different clients.")
	}
	return method, id, nil
}

// prove checks a client's credentials. It returns the client as it is registered now.
func (s *Server) prove(
	ctx context.Context, m ClientAuth, cl *client.Client, c *oauth.Call,
) (*client.Client, error) {
	err := m.Prove(ctx, cl, c)
	newer, syncErr := s.newerClient(ctx, cl, err)
	switch {
	case syncErr != nil:
		return nil, syncErr
	case newer == nil:
		return cl, err
	}
	return newer, m.Prove(ctx, newer, c)
}

// ProveSecret returns the client that an id and a secret authenticate (RFC 6749 §2.3.1), outside
// of the token endpoint. Denied: they do not; the reason says why. The secret is compared in
// constant time.
func (s *Server) ProveSecret(
	ctx context.Context, id client.ID, pass string, now time.Time,
) (*client.Client, error) {
	cl, err := s.clients.Lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	if !cl.AcceptsMethod(client.MethodBasic) {
		return nil, denied(audit.ReasonWrongMethod)
	}
	err = s.secrets.check(cl, pass, now)
	newer, syncErr := s.newerClient(ctx, cl, err)
	switch {
	case syncErr != nil:
		return nil, syncErr
	case newer == nil:
		return cl, err
	}
	return newer, s.secrets.check(newer, pass, now)
}

// newerClient returns a client as it is registered now if a wrong secret is the reason of err,
// since another process may have just added a secret. It returns nil if the registration has not
// changed.
func (s *Server) newerClient(
	ctx context.Context, cl *client.Client, err error,
) (*client.Client, error) {
	if !fault.Is(err, fault.Denied) || fault.Reason(err) != audit.ReasonWrongSecret {
		return nil, nil
	}
	if err := s.store.SyncCache(ctx); err != nil {
		return nil, err
	}
	newer, err := s.clients.Lookup(ctx, cl.ID)
	if err != nil || newer == cl {
		return nil, nil
	}
	return newer, nil
}

// rejectClient returns the same error for every failed authentication; only the audit log knows
// the reason. What one caller repeats is recorded as a number; see RecordFailures.
func (s *Server) rejectClient(
	ctx context.Context, c *oauth.Call, m ClientAuth, id client.ID, reason string,
) error {
	name := m.Describe().Name
	ev := audit.Event{
		At:        c.Now,
		Type:      audit.ClientAuthFailed,
		Actor:     truncate(string(id), 64),
		Client:    truncate(string(id), 64),
		IP:        c.IP,
		Agent:     c.Agent,
		RequestID: c.RequestID,
		Reason:    reason,
		Detail:    map[string]string{"method": name},
	}
	if s.recordsFailure(&ev) {
		if err := s.store.Record(ctx, ev); err != nil {
			return err
		}
	}
	challenge := ""
	if name == client.MethodBasic {
		challenge = "Basic"
	}
	return oauth.InvalidClient(challenge, "The client could not be authenticated. "+
		"Check client_id, secret and authentication method.")
}

// denied returns the error for credentials that are not valid, with the reason for the audit log.
func denied(reason string) error { return fault.WithReason(fault.Denied, reason) }

// truncate bounds a text that a stranger sends and that is stored, in bytes.
func truncate(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}
