package oauth

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A ClientAuth is one token_endpoint_auth_method. Claim only looks at the call; exactly one method may
// claim it. Prove does the work.
type ClientAuth interface {
	Method() string
	Claim(c *Call) (id client.ID, claimed bool, err error)
	Prove(ctx context.Context, s *Server, cl *client.Client, c *Call) error
}

// Methods lists the client authentication methods.
func Methods() []string {
	var out []string
	for _, m := range clientAuths() {
		out = append(out, m.Method())
	}
	return out
}

// Authenticate finds the one method that a call uses and the client it proves (RFC 6749 §2.3: a
// client must not use more than one).
func (s *Server) Authenticate(ctx context.Context, c *Call) (*client.Client, error) {
	var method ClientAuth
	var id client.ID
	for _, m := range s.methods {
		mid, claimed, err := m.Claim(c)
		if err != nil {
			return nil, err
		}
		if !claimed {
			continue
		}
		if method != nil {
			return nil, invalidRequest("The request authenticates the client in more than one way. Use one.")
		}
		method, id = m, mid
	}
	if method == nil {
		return nil, invalidClient("Basic", "The request names no client. Send client_id, or authenticate with HTTP Basic.")
	}
	if named := client.ID(c.Get("client_id")); named != "" && named != id {
		return nil, invalidRequest("The client_id parameter and the client credentials name different clients.")
	}
	cl, err := s.store.Client(ctx, id)
	if fault.Is(err, fault.NotFound) {
		if err := s.store.SyncCache(ctx); err != nil {
			return nil, err
		}
		cl, err = s.store.Client(ctx, id)
	}
	if fault.Is(err, fault.NotFound) {
		return nil, s.refuseClient(ctx, c, method, id, "unknown_client")
	}
	if err != nil {
		return nil, err
	}
	if cl.Disabled {
		return nil, s.refuseClient(ctx, c, method, id, "client_disabled")
	}
	if !cl.AcceptsMethod(method.Method()) {
		return nil, s.refuseClient(ctx, c, method, id, "wrong_method")
	}
	if err := s.prove(ctx, method, cl, c); err != nil {
		if fault.Is(err, fault.Denied) {
			return nil, s.refuseClient(ctx, c, method, id, fault.Text(err))
		}
		return nil, err
	}
	return cl, nil
}

// prove proves the client. A secret that memory does not know may have been made by another process a moment ago.
func (s *Server) prove(ctx context.Context, m ClientAuth, cl *client.Client, c *Call) error {
	err := m.Prove(ctx, s, cl, c)
	if !fault.Is(err, fault.Denied) || fault.Text(err) != wrongSecret {
		return err
	}
	if err := s.store.SyncCache(ctx); err != nil {
		return err
	}
	now, cerr := s.store.Client(ctx, cl.ID)
	if cerr != nil || now == cl {
		return err
	}
	return m.Prove(ctx, s, now, c)
}

// refuseClient gives every failed authentication the same answer; the audit log alone knows the reason.
func (s *Server) refuseClient(ctx context.Context, c *Call, m ClientAuth, id client.ID, reason string) error {
	ev := audit.Event{
		At: c.Now, Type: audit.ClientAuthFailed, Actor: clip(string(id), 64), Client: clip(string(id), 64), IP: c.IP, Agent: c.Agent,
		RequestID: c.RequestID, Reason: reason, Detail: map[string]string{"method": m.Method()},
	}
	if err := s.store.Record(ctx, ev); err != nil {
		return err
	}
	challenge := ""
	if m.Method() == client.MethodBasic {
		challenge = "Basic"
	}
	return invalidClient(challenge, "The client could not be authenticated. Check client_id, secret and authentication method.")
}

// denied is a failed proof, with the word that the audit log keeps.
func denied(reason string) error { return fault.New(fault.Denied, "%s", reason) }

// clip bounds what a stranger can make us store.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
