package oauth

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Reply is the response of the authorization endpoint to the client, by way of the browser.
type Reply struct {
	Client      *client.Client
	RedirectURI string
	Mode        string // ModeQuery, ModeFragment or ModeFormPost
	Params      url.Values
}

// Response modes (OAuth 2.0 Multiple Response Type Encoding Practices §2.1, OAuth 2.0 Form Post
// Response Mode).
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post"
)

// ResponseModes lists the response modes.
func ResponseModes() []string { return []string{ModeQuery, ModeFragment, ModeFormPost} }

// Location returns the address that a Reply in the query or the fragment redirects to.
func (r *Reply) Location() string {
	sep := "?"
	if r.Mode == ModeFragment {
		sep = "#"
	} else if strings.Contains(r.RedirectURI, "?") {
		sep = "&"
		if strings.HasSuffix(r.RedirectURI, "?") || strings.HasSuffix(r.RedirectURI, "&") {
			sep = ""
		}
	}
	return r.RedirectURI + sep + r.Params.Encode()
}

// flowMargin is how long a used flow is remembered after its end, for servers whose clocks differ.
const flowMargin = 10 * time.Minute

// replyCode issues an authorization code for the browser's session (RFC 6749 §4.1.2). A flow that a
// browser has carried gets one code: its address may be in a history or a log.
func (s *Server) replyCode(
	ctx context.Context, req *authorization, c *Call, f *Flow,
) (*Step, error) {
	code := secret.NewToken(secret.PrefixCode)
	rec := &Code{
		Grant:           codeGrant(req, c),
		Challenge:       req.challenge,
		ChallengeMethod: req.method,
		Nonce:           req.nonce,
		ExpiresAt:       c.Now.Add(s.cfg.CodeTTL),
	}
	if req.redirectSent {
		rec.RedirectURI = req.redirect
	}
	ev := c.Event(audit.AuthorizationCodeIssued, req.client)
	ev.Grant = string(rec.Grant.ID)
	err := s.putCode(ctx, s.keys.Hash(code), rec, f, ev)
	if fault.Is(err, fault.Consumed) {
		return nil, &InterruptedFlow{Client: req.client.ID, err: invalidBecause(err, ReasonFlowUsed,
			"The app has its response to this request already. Go back to the app. If you are not "+
				"signed in there, start again from the app.")}
	}
	if err != nil {
		return nil, err
	}
	return s.reply(req, url.Values{"code": {code}}), nil
}

// putCode stores the code of a flow.
func (s *Server) putCode(
	ctx context.Context, h secret.Hash, c *Code, f *Flow, ev audit.Event,
) error {
	if !f.carried {
		return s.store.PutCode(ctx, h, c, ev)
	}
	use := FlowUse{ID: f.ID, Until: f.ends().Add(flowMargin)}
	return s.store.PutFlowCode(ctx, h, c, use, ev)
}

// codeGrant returns the grant that a code for the browser's session becomes.
func codeGrant(req *authorization, c *Call) Grant {
	sess := c.Session
	g := Grant{
		ID:         GrantID(secret.NewID(c.Now)),
		Client:     req.client.ID,
		User:       sess.User,
		Session:    sess.ID,
		Kind:       client.GrantTypeCode,
		Scopes:     req.scopes,
		Resources:  req.resources,
		Claims:     req.claims,
		AuthTime:   sess.AuthTime,
		AMR:        sess.AMR,
		ACR:        sess.ACR,
		Bound:      req.bound,
		IP:         c.IP,
		Agent:      c.Agent,
		CreatedAt:  c.Now,
		LastUsedAt: c.Now,
	}
	if sess.Impersonated() {
		g.Impersonator, g.AbsoluteEnd = sess.Impersonator, sess.ExpiresAt
	}
	return g
}

// replyError returns an error to the client, by way of the browser (RFC 6749 §4.1.2.1). It does
// not pass on errors that do not concern the client, such as a failure of this server.
func (s *Server) replyError(req *authorization, err error) (*Step, error) {
	e := Wire(err)
	if e.Status >= 429 && e.Code != "temporarily_unavailable" {
		return nil, err
	}
	return s.reply(req, url.Values{
		"error":             {e.Code},
		"error_description": {e.Description},
	}), nil
}

// reply returns a Reply with parameters, state and the issuer (RFC 9207 §2).
func (s *Server) reply(req *authorization, params url.Values) *Step {
	if req.state != "" {
		params.Set("state", req.state)
	}
	params.Set("iss", s.cfg.Issuer)
	return &Step{Reply: &Reply{
		Client:      req.client,
		RedirectURI: req.redirect,
		Mode:        req.mode,
		Params:      params,
	}}
}
