package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// trialTimeout bounds each request of a trial.
const trialTimeout = 30 * time.Second

// trialRedirect is where the trial's application gets its codes. Nothing listens there.
const trialRedirect = "https://trial.invalid/callback"

// A trial uses a server as people and programs do: with an account and applications of its own, and
// without a port, so that nobody else reaches the server.
type trial struct {
	s    *server
	ops  *admin.Operations
	now  func() time.Time
	http *http.Client
	base string

	user, password string
	web            client.ID
	refresh        string // of the account's sign-in
}

func newTrial(s *server, ops *admin.Operations, now func() time.Time) *trial {
	jar, _ := cookiejar.New(nil) // without a list of suffixes it cannot fail
	return &trial{
		s:        s,
		ops:      ops,
		now:      now,
		base:     s.parts.cfg.Server.BaseURL,
		user:     "trial-" + strings.ToLower(rand.Text()[:12]),
		password: "Aa1-" + rand.Text(),
		http: &http.Client{
			Transport:     inProcess{s.handler},
			Jar:           jar,
			Timeout:       trialTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// inProcess answers requests by a handler of this process.
type inProcess struct{ handler http.Handler }

// RoundTrip calls the handler as an HTTP server on this machine would.
func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RemoteAddr, in.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
	in.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if r.URL.Scheme == "https" {
		in.TLS = &tls.ConnectionState{}
	}
	w := &answerRecorder{header: http.Header{}}
	h.handler.ServeHTTP(w, in)
	return &http.Response{
		StatusCode: max(w.status, http.StatusOK),
		Header:     w.header,
		Body:       io.NopCloser(&w.body),
		Request:    r,
	}, r.Context().Err()
}

// answerRecorder keeps an answer in memory.
type answerRecorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header returns the header, which the handler completes.
func (w *answerRecorder) Header() http.Header { return w.header }

// WriteHeader keeps the status.
func (w *answerRecorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

// Write keeps the body.
func (w *answerRecorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// errNothingToTry is that a probe does not apply to the database or the settings.
type errNothingToTry struct{ why string }

func (e errNothingToTry) Error() string { return e.why }

// all runs all probes, and returns what became of them.
func (t *trial) all(ctx context.Context) (out []cli.Probe) {
	return t.run(ctx, []attempted{
		{"discovery and keys", t.discover},
		{"client credentials", t.machine},
		{"sign-in with a password", t.signIn},
		{"refresh", t.renew},
		{"refresh of an existing approval", t.renewExisting},
		{"audit log", t.verifyAudit},
	})
}

// signsIn runs the probes that tell whether people and programs get tokens.
func (t *trial) signsIn(ctx context.Context) (out []cli.Probe) {
	return t.run(ctx, []attempted{
		{"discovery and keys", t.discover},
		{"client credentials", t.machine},
		{"sign-in with a password", t.signIn},
		{"refresh", t.renew},
	})
}

// attempted is one thing to try.
type attempted struct {
	name string
	run  func(context.Context) error
}

func (t *trial) run(ctx context.Context, all []attempted) (out []cli.Probe) {
	for _, p := range all {
		begun := time.Now()
		err := p.run(ctx)
		done := cli.Probe{Name: p.name, Took: time.Since(begun)}
		var nothing errNothingToTry
		switch {
		case errors.As(err, &nothing):
			done.Skipped = nothing.why
		case err != nil:
			done.Error = err.Error()
		}
		out = append(out, done)
	}
	return out
}

// discover reads the discovery document and the key set.
func (t *trial) discover(ctx context.Context) error {
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := t.getJSON(ctx, t.base+"/.well-known/openid-configuration", &doc); err != nil {
		return err
	}
	if doc.Issuer != t.base {
		return fmt.Errorf("the discovery document names the issuer %q, and not BASE_URL", doc.Issuer)
	}
	var keys struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := t.getJSON(ctx, doc.Keys, &keys); err != nil {
		return err
	}
	if len(keys.Keys) == 0 {
		return errors.New("the key set is empty")
	}
	return nil
}

// machine gets a token as a program, and asks whether it is valid.
func (t *trial) machine(ctx context.Context) error {
	made, err := t.ops.CreateClient(ctx, admin.CommandLine(), admin.NewClient{Fields: admin.ClientPatch{
		Values: client.Client{Name: "Trial of a program", Grants: []string{client.GrantTypeClient}},
		Names:  []string{"client_name", "grant_types"},
	}})
	if err != nil {
		return err
	}
	tokens, err := t.tokens(ctx, credentials{made.Client.ID, made.Secret}, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return err
	}
	var info struct {
		Active bool `json:"active"`
	}
	err = t.post(ctx, "/oauth/introspect", credentials{made.Client.ID, made.Secret}, url.Values{"token": {tokens.Access}}, &info)
	if err == nil && !info.Active {
		err = errors.New("introspection calls a new access token inactive")
	}
	return err
}

// signIn signs a new account in at the login page, for an application, and reads its claims.
func (t *trial) signIn(ctx context.Context) error {
	if !slices.Contains(t.s.parts.cfg.Accounts.LoginMethods, "password") {
		return errNothingToTry{"LOGIN_METHODS has no password"}
	}
	if err := t.createAccount(ctx); err != nil {
		return err
	}
	made, err := t.ops.CreateClient(ctx, admin.CommandLine(), admin.NewClient{Fields: admin.ClientPatch{
		Values: client.Client{
			Name:       "Trial of an application",
			Public:     true,
			FirstParty: true,
			Grants:     []string{client.GrantTypeCode, client.GrantTypeRefresh},
			Redirects:  []string{trialRedirect},
			Scopes:     []string{"openid", "profile", "offline_access"},
		},
		Names: []string{"client_name", "public", "first_party", "grant_types", "redirect_uris", "scope"},
	}})
	if err != nil {
		return err
	}
	t.web = made.Client.ID
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	code, err := t.authorize(ctx, base64.RawURLEncoding.EncodeToString(challenge[:]))
	if err != nil {
		return err
	}
	tokens, err := t.tokens(ctx, credentials{id: t.web}, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {trialRedirect}, "code_verifier": {verifier},
	})
	if err != nil {
		return err
	}
	t.refresh = tokens.Refresh
	return t.readClaims(ctx, tokens.Access)
}

func (t *trial) createAccount(ctx context.Context) error {
	u := identity.User{Username: t.user, Name: "Trial", Email: t.user + "@trial.invalid", EmailVerified: true}
	in := admin.NewUser{Password: t.password}
	in.Fields.Values, in.Fields.Names = u, []string{"username", "name", "email", "email_verified"}
	_, err := t.ops.CreateUser(ctx, admin.CommandLine(), in)
	return err
}

// formOf finds the form of the login page, and hiddenInput its hidden fields.
var (
	formOf      = regexp.MustCompile(`(?s)<form[^>]*action="(/login[^"]*)"[^>]*>(.*?)</form>`)
	hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// authorize asks for a code as a browser does, and signs in on the way.
func (t *trial) authorize(ctx context.Context, challenge string) (code string, err error) {
	to := t.base + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {string(t.web)}, "redirect_uri": {trialRedirect},
		"scope": {"openid profile offline_access"}, "state": {"trial"}, "code_challenge": {challenge},
		"code_challenge_method": {"S256"},
	}.Encode()
	page, at, err := t.browse(ctx, to, nil)
	if err != nil {
		return "", err
	}
	form := formOf.FindStringSubmatch(page)
	if form == nil {
		return "", fmt.Errorf("the login page did not come, but %s", at.Path)
	}
	in := url.Values{"username": {t.user}, "password": {t.password}}
	for _, h := range hiddenInput.FindAllStringSubmatch(form[2], -1) {
		in.Set(h[1], html.UnescapeString(h[2]))
	}
	_, at, err = t.browse(ctx, t.base+html.UnescapeString(form[1]), in)
	if err != nil {
		return "", err
	}
	if code = at.Query().Get("code"); code == "" || at.Host != "trial.invalid" {
		return "", fmt.Errorf("the sign-in did not end with a code, but at %s", at.Path)
	}
	return code, nil
}

// browse requests a page, with a form if there is one, and follows redirects until one leaves the
// server.
func (t *trial) browse(ctx context.Context, to string, form url.Values) (page string, at *url.URL, err error) {
	for range 12 {
		if at, err = url.Parse(to); err != nil {
			return "", nil, err
		}
		if at.Host == "trial.invalid" {
			return "", at, nil
		}
		res, err := t.send(ctx, to, form, func(r *http.Request) {
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Origin", t.base)
		})
		if err != nil {
			return "", nil, err
		}
		next, err := res.Location()
		if err != nil {
			if res.StatusCode != http.StatusOK {
				return "", nil, fmt.Errorf("%s answers %d", at.Path, res.StatusCode)
			}
			body, err := io.ReadAll(res.Body)
			return string(body), at, err
		}
		to, form = next.String(), nil
	}
	return "", nil, errors.New("the redirects do not end")
}

func (t *trial) readClaims(ctx context.Context, access string) error {
	var claims struct {
		Name string `json:"preferred_username"`
	}
	res, err := t.send(ctx, t.base+"/oauth/userinfo", nil, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+access)
	})
	if err == nil {
		err = decodeAnswer(res, &claims)
	}
	if err == nil && claims.Name != t.user {
		err = errors.New("user info does not name the account that signed in")
	}
	return err
}

// renew refreshes the tokens of the sign-in.
func (t *trial) renew(ctx context.Context) error {
	if t.refresh == "" {
		return errNothingToTry{"the sign-in gave no refresh token"}
	}
	_, err := t.tokens(ctx, credentials{id: t.web}, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.refresh}})
	return err
}

// renewExisting refreshes the tokens of an approval that was in the database before. Only its
// client has the present refresh token, so the approval gets another one, and its client another
// secret.
func (t *trial) renewExisting(ctx context.Context) error {
	db := t.s.parts.db
	found, err := db.RenewableGrants(ctx, t.now())
	if err != nil {
		return err
	}
	for _, g := range found {
		c, err := db.Client(ctx, client.ID(g.Client))
		plain := err == nil && (c.AcceptsMethod(client.MethodNone) || c.AcceptsMethod(client.MethodBasic))
		if !plain || c.Disabled || c.DPoPBound || c.CertBound || c.ServerSideRefresh || c.ID == t.web ||
			!c.CanUseGrant(client.GrantTypeRefresh) {
			continue
		}
		as := credentials{id: c.ID}
		if !c.Public {
			added, err := t.ops.AddSecret(ctx, admin.CommandLine(), string(c.ID), 0)
			if fault.Is(err, fault.Conflict) { // it has as many as it may have
				continue
			}
			if err != nil {
				return err
			}
			as.secret = added.Secret
		}
		refresh, hash := t.s.tokens.ReplacementOf(g.ID)
		if err := db.SetRefreshHash(ctx, g.ID, hash); err != nil {
			return err
		}
		_, err = t.tokens(ctx, as, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
		return err
	}
	return errNothingToTry{"there is no approval that could be renewed without its client's own keys"}
}

// verifyAudit reads the whole audit log.
func (t *trial) verifyAudit(ctx context.Context) error {
	v, err := t.ops.VerifyAudit(ctx, admin.CommandLine(), admin.VerifyInput{})
	if err == nil && len(v.Findings) > 0 {
		err = fmt.Errorf("it is not what was written: %s", v.Findings[0].Text)
	}
	return err
}

// credentials are those of a client; a public one has no secret.
type credentials struct {
	id     client.ID
	secret string
}

type trialTokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// tokens asks for tokens.
func (t *trial) tokens(ctx context.Context, as credentials, form url.Values) (out trialTokens, err error) {
	err = t.post(ctx, "/oauth/token", as, form, &out)
	if err == nil && !strings.Contains(out.Access, ".") && !secret.WellFormed(secret.PrefixAccessToken, out.Access) {
		err = errors.New("the answer has no access token")
	}
	return out, err
}

func (t *trial) post(ctx context.Context, path string, as credentials, form url.Values, to any) error {
	if as.secret == "" {
		form.Set("client_id", string(as.id))
	}
	res, err := t.send(ctx, t.base+path, form, func(r *http.Request) {
		if as.secret != "" {
			r.SetBasicAuth(url.QueryEscape(string(as.id)), url.QueryEscape(as.secret))
		}
	})
	if err != nil {
		return err
	}
	return decodeAnswer(res, to)
}

func (t *trial) getJSON(ctx context.Context, to string, v any) error {
	res, err := t.send(ctx, to, nil, func(*http.Request) {})
	if err != nil {
		return err
	}
	return decodeAnswer(res, v)
}

// send sends a request, with a form if there is one.
func (t *trial) send(
	ctx context.Context, to string, form url.Values, complete func(*http.Request),
) (*http.Response, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	complete(r)
	return t.http.Do(r)
}

// decodeAnswer reads the JSON of an answer. Its error repeats the code, never a token.
func decodeAnswer(res *http.Response, v any) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var problem struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(body, &problem)
		return fmt.Errorf("%s answers %d %s: %s", res.Request.URL.Path, res.StatusCode, problem.Error, problem.Description)
	}
	return json.Unmarshal(body, v)
}
