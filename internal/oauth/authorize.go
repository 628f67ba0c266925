package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Step is what the browser does next. Exactly one field is set.
type Step struct {
	Login   *Flow
	Consent *Flow
	Reply   *Reply
}

// Reply goes to the client by way of the browser.
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

func ResponseModes() []string { return []string{ModeQuery, ModeFragment, ModeFormPost} }

// authorizeParams are the parameters of an authorization request that we know; others are
// ignored (RFC 6749 §3.1).
var authorizeParams = [...]string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "prompt", "max_age", "display",
	"ui_locales", "id_token_hint", "login_hint", "acr_values", "claims", "resource", "code_challenge", "code_challenge_method",
	"dpop_jkt",
}

// Bounds of an authorization request, in bytes.
const (
	maxRequest = 6 << 10
	maxState   = 2 << 10
	maxNonce   = 512
	maxHint    = 320
	maxClaims  = 4 << 10
)

// request is an authorization request that has been found sound.
type request struct {
	client    *client.Client
	redirect  string // where to answer
	named     bool   // redirect_uri was sent
	mode      string
	state     string
	scopes    []string
	resources []string
	nonce     string
	challenge string
	method    string
	prompts   []string
	maxAge    time.Duration // -1: not asked for
	hint      string
	subject   string // of id_token_hint, or of the claims parameter; "" for anyone
	acr       string // class to reach, or ""
	essential bool   // and without it the request fails
	claims    json.RawMessage
	bound     string // the key that must redeem the code, as Grant.Bound, or ""
}

// Authorize takes an authorization request one step further (RFC 6749 §4.1.1, OpenID Connect
// Core §3.1.2). An error is for the person at the browser; what may be told to the client comes
// as a Reply.
func (s *Server) Authorize(ctx context.Context, c *Call) (*Step, error) {
	flow, err := s.resume(c)
	if err != nil {
		return nil, err
	}
	req, err := s.addressee(ctx, flow.Form)
	if err != nil {
		return nil, err
	}
	if err := s.readRequest(req, flow.Form, c.Now); err != nil {
		return s.replyError(req, err)
	}
	if login, err := s.needsLogin(req, flow, c.Session, c.Now); err != nil {
		return s.replyError(req, err)
	} else if login {
		flow.Step, flow.Client = StepLogin, req.client
		return &Step{Login: flow}, nil
	}
	if ask, err := s.needsConsent(ctx, req, c.Session); err != nil {
		return s.replyError(req, err)
	} else if ask {
		flow.Step, flow.Client, flow.Session, flow.Scopes = StepConsent, req.client, c.Session.ID, req.scopes
		return &Step{Consent: flow}, nil
	}
	return s.replyCode(ctx, req, c)
}

// Consent takes the person's answer on the consent page.
func (s *Server) Consent(ctx context.Context, c *Call, sealed string, approve bool) (*Step, error) {
	flow, err := s.openConsent(ctx, sealed, c.Session, c.Now)
	if err != nil {
		return nil, err
	}
	req, err := s.addressee(ctx, flow.Form)
	if err != nil {
		return nil, err
	}
	if err := s.readRequest(req, flow.Form, c.Now); err != nil {
		return s.replyError(req, err)
	}
	ev := c.Event(audit.ConsentDenied, req.client)
	if !approve {
		if err := s.store.Record(ctx, ev); err != nil {
			return nil, err
		}
		return s.replyError(req, AccessDenied("The user refused."))
	}
	ev.Type, ev.Detail = audit.ConsentGranted, map[string]string{"scope": strings.Join(req.scopes, " ")}
	if err := s.remember(ctx, c, req, ev); err != nil {
		return nil, err
	}
	return s.replyCode(ctx, req, c)
}

// resume restores the request of a flow that comes back from a page, or starts a flow.
func (s *Server) resume(c *Call) (*Flow, error) {
	if sealed := c.Get("flow"); sealed != "" {
		return s.unseal(sealed, StepLogin, c.Now)
	}
	f := newFlow(c)
	if len(f.Query) > maxRequest {
		return nil, fault.New(fault.Invalid, "The application sent a request of more than %d bytes.", maxRequest)
	}
	return f, nil
}

// addressee settles who asks and where the answer may go. Until then nothing is said to any
// address (RFC 9700 §4.11).
func (s *Server) addressee(ctx context.Context, form url.Values) (*request, error) {
	id := form.Get("client_id")
	if id == "" {
		return nil, fault.New(fault.Invalid, "The application did not say who it is: client_id is missing.")
	}
	cl, err := s.clients.Lookup(ctx, client.ID(id))
	if err != nil {
		return nil, pageError(err)
	}
	req := &request{client: cl, redirect: form.Get("redirect_uri"), state: form.Get("state"), mode: ModeQuery}
	switch {
	case req.redirect != "":
		req.named = true
		if !cl.MatchRedirect(req.redirect) {
			return nil, fault.InvalidField("redirect_uri", "The application asked to send you to an address that is not registered for it. If you run it: register the redirect_uri exactly as it is sent.")
		}
	case len(cl.Redirects) == 1 && !slices.Contains(strings.Fields(form.Get("scope")), ScopeOpenID):
		req.redirect = cl.Redirects[0]
	default:
		return nil, fault.InvalidField("redirect_uri", "The application did not say where to send you back: redirect_uri is missing.")
	}
	if m := form.Get("response_mode"); slices.Contains(ResponseModes(), m) {
		req.mode = m
	}
	return req, nil
}

// readRequest checks the rest of the request, in the order in which the RFCs describe it.
func (s *Server) readRequest(req *request, form url.Values, now time.Time) (err error) {
	cl := req.client
	if len(req.state) > maxState {
		req.state = ""
		return InvalidRequest("state is longer than %d bytes.", maxState)
	}
	switch rt := form.Get("response_type"); {
	case rt == "":
		return InvalidRequest("response_type is missing.")
	case rt != "code":
		return NewError("unsupported_response_type", 400, "Only response_type=code is served.")
	case !cl.CanUseGrant(client.GrantTypeCode):
		return UnauthorizedClient("The client may not use the authorization code grant.")
	}
	if m := form.Get("response_mode"); m != "" && m != req.mode {
		return InvalidRequest("response_mode must be one of %s.", strings.Join(ResponseModes(), ", "))
	}
	if req.scopes, err = s.scopes.ForUser(cl, form.Get("scope")); err != nil {
		return err
	}
	if req.resources, err = RequestedResources(s.cfg.Issuer, cl, form); err != nil {
		return err
	}
	req.challenge, req.method = form.Get("code_challenge"), form.Get("code_challenge_method")
	if err := s.checkChallenge(cl, req.challenge, req.method); err != nil {
		return err
	}
	if jkt := form.Get("dpop_jkt"); jkt != "" { // RFC 9449 §10
		if !validThumbprint(jkt) {
			return InvalidRequest("dpop_jkt is not the SHA-256 thumbprint of a key in base64url.")
		}
		req.bound = BoundKey + jkt
	}
	if req.nonce = form.Get("nonce"); len(req.nonce) > maxNonce {
		return InvalidRequest("nonce is longer than %d bytes.", maxNonce)
	}
	if err := req.readPrompt(form); err != nil {
		return err
	}
	return s.readHints(req, form)
}

// readPrompt reads prompt and max_age (OpenID Connect Core §3.1.2.1).
func (r *request) readPrompt(form url.Values) error {
	r.prompts = strings.Fields(form.Get("prompt"))
	for _, p := range r.prompts {
		if !slices.Contains(PromptValues(), p) {
			return InvalidRequest("prompt must be made of %s.", strings.Join(PromptValues(), ", "))
		}
	}
	if slices.Contains(r.prompts, "none") && len(r.prompts) > 1 {
		return InvalidRequest("prompt=none goes with no other prompt.")
	}
	r.maxAge = -1
	if v := form.Get("max_age"); v != "" {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 {
			return InvalidRequest("max_age must be a number of seconds.")
		}
		r.maxAge = time.Duration(n) * time.Second
	}
	return nil
}

func PromptValues() []string { return []string{"none", "login", "consent", "select_account"} }

// readHints reads who is expected and how strongly (OpenID Connect Core §3.1.2.1, §5.5).
func (s *Server) readHints(req *request, form url.Values) error {
	if req.hint = form.Get("login_hint"); len(req.hint) > maxHint {
		req.hint = ""
	}
	if hint := form.Get("id_token_hint"); hint != "" {
		t, err := s.readIDTokenHint(hint)
		if err != nil {
			return InvalidRequest("id_token_hint is not an ID token of this server.")
		}
		req.subject = t.Subject
	}
	for _, acr := range strings.Fields(form.Get("acr_values")) {
		if identity.ACRRank(acr) > identity.ACRRank(req.acr) {
			req.acr = acr
		}
	}
	if raw := form.Get("claims"); raw != "" {
		if err := req.readClaims(raw); err != nil {
			return err
		}
	}
	return nil
}

// needsLogin decides whether the person must visit the login page first.
func (s *Server) needsLogin(req *request, f *Flow, sess *identity.Session, now time.Time) (bool, error) {
	f.Hint, f.ACR, f.Reauth, f.Choose = req.hint, "", false, false
	silent := slices.Contains(req.prompts, "none")
	if identity.ACRRank(req.acr) > 1 {
		f.ACR = req.acr
	}
	if req.essential && identity.ACRRank(req.acr) == 0 {
		return false, NewError("unmet_authentication_requirements", 400, "The class of sign-in that is required is not known here.")
	}
	switch {
	case sess == nil:
	case req.subject != "" && req.subject != string(sess.User):
		if f.provedSince(sess) {
			return false, NewError("login_required", 400, "Another user than the one expected has signed in.")
		}
		f.Reauth = true
	case slices.Contains(req.prompts, "login") && !f.provedSince(sess):
		f.Reauth = true
	case req.maxAge >= 0 && now.Sub(sess.AuthTime) > req.maxAge && !f.provedSince(sess):
		f.Reauth = true
	case slices.Contains(req.prompts, "select_account") && f.Chosen != sess.ID && !f.provedSince(sess):
		f.Choose = true
	case identity.ACRRank(sess.ACR) < identity.ACRRank(req.acr):
		// Without the essential mark the class is only wished for (OpenID Connect Core
		// §5.5.1.1): one attempt is made.
		tried := f.Tried || f.provedSince(sess)
		if tried && req.essential {
			return false, NewError("unmet_authentication_requirements", 400, "The user cannot sign in with the class that is required.")
		}
		if tried || (silent && !req.essential) {
			return false, nil
		}
	default:
		return false, nil
	}
	if silent {
		return false, NewError("login_required", 400, "The user is not signed in as the request requires.")
	}
	return true, nil
}

// needsConsent decides whether the person must be asked. What was allowed before is remembered
// per client and scope.
func (s *Server) needsConsent(ctx context.Context, req *request, sess *identity.Session) (bool, error) {
	if slices.Contains(req.prompts, "consent") {
		return true, nil
	}
	if req.client.FirstParty {
		return false, nil
	}
	have, err := s.store.Consent(ctx, sess.User, req.client.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return false, err
	}
	if err == nil && covers(have.Scopes, req.scopes) {
		return false, nil
	}
	if slices.Contains(req.prompts, "none") {
		return false, NewError("consent_required", 400, "The user has not allowed this application what it asks for.")
	}
	return true, nil
}

func covers(have, want []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// remember adds what was approved to what was approved before.
func (s *Server) remember(ctx context.Context, c *Call, req *request, ev audit.Event) error {
	con := &Consent{User: c.Session.User, Client: req.client.ID, Scopes: req.scopes, CreatedAt: c.Now, UpdatedAt: c.Now}
	have, err := s.store.Consent(ctx, con.User, con.Client)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err == nil {
		con.CreatedAt, con.Scopes = have.CreatedAt, slices.Clone(have.Scopes)
		for _, sc := range req.scopes {
			if !slices.Contains(con.Scopes, sc) {
				con.Scopes = append(con.Scopes, sc)
			}
		}
	}
	return s.store.PutConsent(ctx, con, ev)
}

// replyCode issues the code (RFC 6749 §4.1.2).
func (s *Server) replyCode(ctx context.Context, req *request, c *Call) (*Step, error) {
	sess := c.Session
	code := secret.NewToken(secret.PrefixCode)
	g := Grant{
		ID: GrantID(secret.NewID(c.Now)), Client: req.client.ID, User: sess.User, Session: sess.ID, Kind: client.GrantTypeCode,
		Scopes: req.scopes, Resources: req.resources, Claims: req.claims, AuthTime: sess.AuthTime, AMR: sess.AMR, ACR: sess.ACR,
		Bound: req.bound, IP: c.IP, Agent: c.Agent, CreatedAt: c.Now, LastUsedAt: c.Now,
	}
	rec := &Code{Grant: g, Challenge: req.challenge, ChallengeMethod: req.method, Nonce: req.nonce, ExpiresAt: c.Now.Add(s.cfg.CodeTTL)}
	if req.named {
		rec.RedirectURI = req.redirect
	}
	ev := c.Event(audit.AuthorizationCodeIssued, req.client)
	ev.Grant = string(g.ID)
	if err := s.store.PutCode(ctx, s.keys.Hash(code), rec, ev); err != nil {
		return nil, err
	}
	return s.reply(req, url.Values{"code": {code}}), nil
}

// replyError tells the client, by way of the browser, why there is no code (RFC 6749 §4.1.2.1).
// Errors that are nobody's business stay with us.
func (s *Server) replyError(req *request, err error) (*Step, error) {
	e := Wire(err)
	if e.Status >= 429 && e.Code != "temporarily_unavailable" {
		return nil, err
	}
	return s.reply(req, url.Values{"error": {e.Code}, "error_description": {e.Description}}), nil
}

// reply addresses parameters to the client, with state and the issuer (RFC 9207 §2).
func (s *Server) reply(req *request, params url.Values) *Step {
	if req.state != "" {
		params.Set("state", req.state)
	}
	params.Set("iss", s.cfg.Issuer)
	return &Step{Reply: &Reply{Client: req.client, RedirectURI: req.redirect, Mode: req.mode, Params: params}}
}

// Location is the address that a Reply in query or fragment leads to.
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

// validThumbprint reports whether a dpop_jkt parameter is a thumbprint (RFC 9449 §10).
func validThumbprint(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}
