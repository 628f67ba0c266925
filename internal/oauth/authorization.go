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

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// authorizeParams are the parameters of an authorization request that this server knows. It
// ignores others (RFC 6749 §3.1).
var authorizeParams = [...]string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "prompt",
	"max_age", "display", "ui_locales", "id_token_hint", "login_hint", "acr_values", "claims",
	"resource", "code_challenge", "code_challenge_method", "dpop_jkt",
}

// unsupportedParams are parameters that must not be ignored: a client that sends its parameters
// elsewhere believes that they count (OpenID Connect Core §3.1.2.6, §6.2, §7.2.1).
var unsupportedParams = [...]string{"request_uri", "registration"}

// Bounds of an authorization request, in bytes.
const (
	maxRequest = 6 << 10
	maxState   = 4 << 10
	maxNonce   = 512
	maxHint    = 320
	maxClaims  = 4 << 10
)

// authorization is an authorization request whose client and redirect URI are valid.
type authorization struct {
	client       *client.Client
	redirect     string // the address to reply to
	redirectSent bool   // redirect_uri was in the request
	mode         string
	state        string
	scopes       []string
	consents     []string // what the person must allow: scopes, and those of the claims parameter
	resources    []string
	nonce        string
	challenge    string
	method       string
	prompts      []string
	maxAge       time.Duration // -1: not requested
	hint         string
	subject      string // of id_token_hint or the claims parameter; "" for any user
	acr          string // the class to reach, or ""
	essential    bool   // without that class the request fails
	claims       json.RawMessage
	test         bool   // an administrator tests the sign-in; the response goes to the console
	bound        string // the key that must redeem the code, as Grant.Bound, or ""
}

// PromptValues lists the values of the prompt parameter (OpenID Connect Core §3.1.2.1).
func PromptValues() []string { return []string{"none", "login", "consent", "select_account"} }

// newAuthorization checks the client and the redirect URI of a request. Until both are known to
// be valid, no error may be sent to any address (RFC 9700 §4.11).
func (s *Server) newAuthorization(ctx context.Context, form url.Values) (*authorization, error) {
	id := form.Get("client_id")
	if id == "" {
		return nil, invalid(ReasonClientMissing,
			"The app did not say who it is: client_id is missing.")
	}
	cl, err := s.clients.Lookup(ctx, client.ID(id))
	if err != nil {
		return nil, pageError(err)
	}
	req := &authorization{
		client:   cl,
		redirect: form.Get("redirect_uri"),
		state:    form.Get("state"),
		mode:     ModeQuery,
	}
	switch {
	case req.redirect != "":
		req.redirectSent = true
		req.test = s.tests.requested(cl.ID, form)
		if !req.test && !cl.MatchRedirect(req.redirect) {
			err := invalid(ReasonRedirectUnknown, "The app asked to send you to an "+
				"address that is not registered for it. If you run it: register the redirect_uri "+
				"exactly as it is sent.")
			err.Field = "redirect_uri"
			return nil, err
		}
	case len(cl.Redirects) == 1 && !slices.Contains(strings.Fields(form.Get("scope")), ScopeOpenID):
		req.redirect = cl.Redirects[0]
	default:
		err := invalid(ReasonRedirectMissing,
			"The app did not say where to send you back: redirect_uri is missing.")
		err.Field = "redirect_uri"
		return nil, err
	}
	if m := form.Get("response_mode"); slices.Contains(ResponseModes(), m) {
		req.mode = m
	}
	return req, nil
}

// readRequest checks the rest of a request, in the order in which the RFCs describe it.
func (s *Server) readRequest(req *authorization, form url.Values) (err error) {
	cl := req.client
	for _, name := range unsupportedParams {
		if form.Has(name) {
			return NewError(name+"_not_supported", 400, "The parameter %s is not supported.", name)
		}
	}
	if err := req.readResponse(form); err != nil {
		return err
	}
	if req.scopes, err = s.scopes.ForUser(cl, form.Get("scope")); err != nil {
		return err
	}
	req.consents = req.scopes
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

// readResponse checks what kind of response is requested (RFC 6749 §3.1.1).
func (r *authorization) readResponse(form url.Values) error {
	if len(r.state) > maxState {
		r.state = ""
		return InvalidRequest("state is longer than %d bytes.", maxState)
	}
	switch rt := form.Get("response_type"); {
	case rt == "":
		return InvalidRequest("response_type is missing.")
	case rt != "code":
		return NewError("unsupported_response_type", 400, "Only response_type=code is supported.")
	case !r.client.CanUseGrant(client.GrantTypeCode):
		return UnauthorizedClient("The client may not use the authorization code grant.")
	}
	if m := form.Get("response_mode"); m != "" && m != r.mode {
		return InvalidRequest("response_mode must be one of %s.",
			strings.Join(ResponseModes(), ", "))
	}
	return nil
}

// readPrompt reads prompt and max_age (OpenID Connect Core §3.1.2.1).
func (r *authorization) readPrompt(form url.Values) error {
	r.prompts = strings.Fields(form.Get("prompt"))
	for _, p := range r.prompts {
		if !slices.Contains(PromptValues(), p) {
			return InvalidRequest("prompt must consist of %s.", strings.Join(PromptValues(), ", "))
		}
	}
	if slices.Contains(r.prompts, "none") && len(r.prompts) > 1 {
		return InvalidRequest("prompt=none cannot be combined with another prompt.")
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

// readHints reads which user is expected and how strongly they must sign in (OpenID Connect Core
// §3.1.2.1, §5.5).
func (s *Server) readHints(req *authorization, form url.Values) error {
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

// validThumbprint reports whether a dpop_jkt parameter is a thumbprint (RFC 9449 §10).
func validThumbprint(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}
