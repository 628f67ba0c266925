package oauth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// RFC 6749 §4.1.2, RFC 9207 §2: code, state and issuer go to the registered address.
func TestAuthorizationResponse(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	st := w.authorize(cl, "state", "a b&c=ü")
	u, err := url.Parse(st.Reply.Location())
	testkit.Must(t, err)
	testkit.Equal(t, "address", u.Scheme+"://"+u.Host+u.Path, callback)
	q := u.Query()
	testkit.Equal(t, "state", q.Get("state"), "a b&c=ü")
	testkit.Equal(t, "iss", q.Get("iss"), issuer)
	if !secretLike(q.Get("code"), "gth_ac_") {
		t.Fatalf("code is %q", q.Get("code"))
	}
}

func TestNoStateNoState(t *testing.T) {
	w := newWorld(t)
	if params(t, w.authorize(w.client(), "state", "")).Has("state") {
		t.Fatal("state was not sent, but comes back")
	}
}

// OAuth 2.0 Multiple Response Type Encoding Practices §2.1 and Form Post Response Mode.
func TestResponseModes(t *testing.T) {
	w := newWorld(t)
	cl := w.client(func(c *client.Client) {
		c.Redirects = []string{callback, callback + "?a=1", callback + "?"}
	})
	for name, c := range map[string]struct{ mode, redirect, begins string }{
		"query":                {"query", callback, callback + "?code="},
		"query beside a query": {"", callback + "?a=1", callback + "?a=1&code="},
		"query after a mark":   {"", callback + "?", callback + "?code="},
		"fragment":             {"fragment", callback, callback + "#code="},
	} {
		t.Run(name, func(t *testing.T) {
			st := w.authorize(cl, "response_mode", c.mode, "redirect_uri", c.redirect)
			if !strings.HasPrefix(st.Reply.Location(), c.begins) {
				t.Fatalf("goes to %s", st.Reply.Location())
			}
		})
	}
	t.Run("form_post", func(t *testing.T) {
		testkit.Equal(t, "mode", w.authorize(cl, "response_mode", "form_post").Reply.Mode, oauth.ModeFormPost)
	})
	t.Run("errors take the same way", func(t *testing.T) {
		st := w.authorize(cl, "response_mode", "fragment", "scope", "nope")
		testkit.Equal(t, "mode", st.Reply.Mode, oauth.ModeFragment)
	})
}

// RFC 6749 §4.1.2.1: until the client and the redirect URI are known to be valid, only the person
// sees errors.
func TestErrorsThatAreShownOnAPage(t *testing.T) {
	w := newWorld(t)
	two := func(c *client.Client) { c.Redirects = append(c.Redirects, "https://app.example/2") }
	for name, c := range map[string]struct {
		edit  func(*client.Client)
		pairs []string
	}{
		"no client_id":                        {pairs: []string{"client_id", ""}},
		"unknown client":                      {pairs: []string{"client_id", "nobody"}},
		"disabled client":                     {edit: func(c *client.Client) { c.Disabled = true }},
		"unregistered redirect_uri":           {pairs: []string{"redirect_uri", "https://evil.example/"}},
		"redirect_uri longer":                 {pairs: []string{"redirect_uri", callback + "/x"}},
		"redirect_uri with a query":           {pairs: []string{"redirect_uri", callback + "?x=1"}},
		"redirect_uri in another case":        {pairs: []string{"redirect_uri", "https://APP.example/callback"}},
		"redirect_uri with a fragment":        {pairs: []string{"redirect_uri", callback + "#x"}},
		"redirect_uri through a username":     {pairs: []string{"redirect_uri", "https://app.example@evil.example/callback"}},
		"redirect_uri with dots":              {pairs: []string{"redirect_uri", "https://app.example/x/../callback"}},
		"redirect_uri javascript":             {pairs: []string{"redirect_uri", "javascript:alert(1)"}},
		"redirect_uri left out, of two":       {edit: two, pairs: []string{"redirect_uri", "", "scope", "api:read"}},
		"redirect_uri left out, of none":      {edit: func(c *client.Client) { c.Redirects = nil }, pairs: []string{"redirect_uri", "", "scope", "api:read"}},
		"redirect_uri left out in OpenID":     {pairs: []string{"redirect_uri", ""}}, // OpenID Connect Core §3.1.2.1 requires it
		"request too large":                   {pairs: []string{"login_hint", strings.Repeat("x", 7000)}},
		"flow made up":                        {pairs: []string{"flow", "AAAA"}},
		"bad address beside another mistake":  {pairs: []string{"redirect_uri", "https://evil.example/", "response_type", "token"}},
		"disabled client, all other is wrong": {edit: func(c *client.Client) { c.Disabled = true }, pairs: []string{"scope", "\"", "response_type", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := w.client(nonNil(c.edit)...)
			st, err := w.srv.Authorize(t.Context(), w.authorizationRequest(cl, c.pairs...))
			wantPage(t, st, err)
		})
	}
}

// RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6: all other errors are sent to the client.
func TestErrorsThatGoToTheClient(t *testing.T) {
	w := newWorld(t)
	other := w.newUser("bob")
	for name, c := range map[string]struct {
		edit  func(*client.Client)
		pairs []string
		code  string
	}{
		"response_type left out":                 {pairs: []string{"response_type", ""}, code: "invalid_request"},
		"response_type token":                    {pairs: []string{"response_type", "token"}, code: "unsupported_response_type"},
		"response_type hybrid":                   {pairs: []string{"response_type", "code id_token"}, code: "unsupported_response_type"},
		"code grant not allowed":                 {edit: func(c *client.Client) { c.Grants = []string{"client_credentials"} }, code: "unauthorized_client"},
		"response_mode unknown":                  {pairs: []string{"response_mode", "jwt"}, code: "invalid_request"},
		"scope not allowed":                      {pairs: []string{"scope", "openid api:admin"}, code: "invalid_scope"},
		"scope unreadable":                       {pairs: []string{"scope", "openid \"x\""}, code: "invalid_scope"},
		"too many scopes":                        {pairs: []string{"scope", manyScopes()}, code: "invalid_scope"},
		"resource not allowed":                   {pairs: []string{"resource", "https://other.example"}, code: "invalid_target"},
		"resource relative":                      {pairs: []string{"resource", "/api"}, code: "invalid_target"},
		"PKCE left out by a public client":       {edit: public, pairs: []string{"code_challenge", "", "code_challenge_method", ""}, code: "invalid_request"},
		"PKCE left out where required":           {edit: func(c *client.Client) { c.RequirePKCE = true }, pairs: []string{"code_challenge", "", "code_challenge_method", ""}, code: "invalid_request"},
		"PKCE plain":                             {pairs: []string{"code_challenge_method", "plain"}, code: "invalid_request"},
		"PKCE plain by default":                  {pairs: []string{"code_challenge_method", ""}, code: "invalid_request"},
		"PKCE method unknown":                    {pairs: []string{"code_challenge_method", "S512"}, code: "invalid_request"},
		"PKCE method without challenge":          {pairs: []string{"code_challenge", ""}, code: "invalid_request"},
		"PKCE challenge too short":               {pairs: []string{"code_challenge", challenge[:42]}, code: "invalid_request"},
		"PKCE challenge padded":                  {pairs: []string{"code_challenge", challenge + "="}, code: "invalid_request"},
		"PKCE challenge not base64url":           {pairs: []string{"code_challenge", challenge[:42] + "+"}, code: "invalid_request"},
		"plain challenge too short":              {edit: func(c *client.Client) { c.PlainPKCE = true }, pairs: []string{"code_challenge", "short", "code_challenge_method", "plain"}, code: "invalid_request"},
		"nonce too long":                         {pairs: []string{"nonce", strings.Repeat("n", 513)}, code: "invalid_request"},
		"prompt unknown":                         {pairs: []string{"prompt", "create"}, code: "invalid_request"},
		"prompt none with another":               {pairs: []string{"prompt", "none login"}, code: "invalid_request"},
		"max_age negative":                       {pairs: []string{"max_age", "-1"}, code: "invalid_request"},
		"max_age no number":                      {pairs: []string{"max_age", "soon"}, code: "invalid_request"},
		"max_age overflows":                      {pairs: []string{"max_age", "99999999999999999999"}, code: "invalid_request"},
		"id_token_hint unreadable":               {pairs: []string{"id_token_hint", "x"}, code: "invalid_request"},
		"claims no JSON":                         {pairs: []string{"claims", "{"}, code: "invalid_request"},
		"claims a list":                          {pairs: []string{"claims", "[]"}, code: "invalid_request"},
		"claims too long":                        {pairs: []string{"claims", `{"userinfo":{"x":{"value":"` + strings.Repeat("x", 4096) + `"}}}`}, code: "invalid_request"},
		"claims with a sub that is not a string": {pairs: []string{"claims", `{"id_token":{"sub":{"value":5}}}`}, code: "invalid_request"},
		"prompt none, another user expected": {
			pairs: []string{"prompt", "none", "claims", `{"id_token":{"sub":{"value":"` + string(other.ID) + `"}}}`}, code: "login_required",
		},
		"prompt none, sign-in too old": {pairs: []string{"prompt", "none", "max_age", "0"}, code: "login_required"},
		"prompt none, no consent":      {edit: func(c *client.Client) { c.FirstParty = false }, pairs: []string{"prompt", "none"}, code: "consent_required"},
		"prompt none, class too low": {
			pairs: []string{"prompt", "none", "claims", `{"id_token":{"acr":{"essential":true,"value":"aal2"}}}`}, code: "login_required",
		},
		"class unknown but essential": {
			pairs: []string{"claims", `{"id_token":{"acr":{"essential":true,"values":["urn:gold"]}}}`}, code: "unmet_authentication_requirements",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			cl := w.client(nonNil(c.edit)...)
			call := w.authorizationRequest(cl, c.pairs...)
			call.Now = call.Now.Add(time.Millisecond) // so that the session is older than max_age=0
			st, err := w.srv.Authorize(t.Context(), call)
			wantReply(t, st, err, c.code)
		})
	}
	t.Run("state too long is not repeated", func(t *testing.T) {
		st := w.authorize(w.client(), "state", strings.Repeat("s", 4097))
		testkit.Equal(t, "error", params(t, st).Get("error"), "invalid_request")
		if params(t, st).Has("state") {
			t.Fatal("state comes back")
		}
	})
	t.Run("PKCE required of all", func(t *testing.T) {
		w := newWorld(t, func(c *oauth.Config) { c.RequirePKCE = true })
		st, err := w.srv.Authorize(
			t.Context(),
			w.authorizationRequest(w.client(), "code_challenge", "", "code_challenge_method", ""),
		)
		wantReply(t, st, err, "invalid_request")
	})
}

func manyScopes() string {
	var b strings.Builder
	for i := range 65 {
		b.WriteString(" s" + strings.Repeat("x", i+1))
	}
	return b.String()[1:]
}

// Without a session the person goes to the sign-in page; with prompt=none the client gets an
// error.
func TestNotSignedIn(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	c := w.authorizationRequest(cl, "login_hint", "ada@example.com")
	c.Session = nil
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	if st.Login == nil || st.Login.Hint != "ada@example.com" || st.Login.Client.ID != cl.ID || st.Login.Reauth {
		t.Fatalf("step %+v", st.Login)
	}
	done, err := w.back(st.Login, w.signIn(w.user, "pwd"))
	testkit.Must(t, err)
	if params(t, done).Get("code") == "" {
		t.Fatalf("no code after signing in: %v", done.Reply)
	}
	c = w.authorizationRequest(cl, "prompt", "none")
	c.Session = nil
	st, err = w.srv.Authorize(t.Context(), c)
	wantReply(t, st, err, "login_required")
}

// OpenID Connect Core §3.1.2.1: prompt=login asks a person who is signed in to sign in again,
// once.
func TestPromptLogin(t *testing.T) {
	w := newWorld(t)
	w.advance(time.Minute)
	st := w.authorize(w.client(), "prompt", "login")
	if st.Login == nil || !st.Login.Reauth {
		t.Fatalf("step %+v", st)
	}
	still, err := w.back(st.Login, w.sess) // came back without signing in
	testkit.Must(t, err)
	if still.Login == nil {
		t.Fatalf("an old sign-in passes for a new one: %+v", still)
	}
	w.advance(time.Minute)
	done, err := w.back(st.Login, w.reauthenticated(w.sess))
	testkit.Must(t, err)
	params(t, done)
}

// A sign-in since the request began satisfies it.
func TestPromptSelectAccount(t *testing.T) {
	w := newWorld(t)
	w.advance(time.Minute)
	st := w.authorize(w.client(), "prompt", "select_account")
	if st.Login == nil || !st.Login.Choose || st.Login.Reauth {
		t.Fatalf("step %+v", st)
	}
	sealed, err := w.srv.Choose(st.Login, w.sess)
	testkit.Must(t, err)
	c := w.call("flow", sealed)
	c.Session, c.Browser = w.sess, thisBrowser
	done, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	params(t, done)
	// The choice is valid for that session only.
	c.Session = &identity.Session{ID: "another", User: w.user.ID, AuthTime: w.sess.AuthTime, ACR: "aal1"}
	other, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	if other.Login == nil || !other.Login.Choose {
		t.Fatalf("another session was chosen: %+v", other)
	}
}

// OpenID Connect Core §3.1.2.1, max_age.
func TestMaxAge(t *testing.T) {
	w := newWorld(t)
	w.advance(60 * time.Second)
	params(t, w.authorize(w.client(), "max_age", "60"))
	st := w.authorize(w.client(), "max_age", "59")
	if st.Login == nil || !st.Login.Reauth {
		t.Fatalf("step %+v", st)
	}
	w.advance(time.Minute)
	done, err := w.back(st.Login, w.reauthenticated(w.sess))
	testkit.Must(t, err)
	params(t, done)
}

// OpenID Connect Core §3.1.2.1, id_token_hint; §5.5.1, sub.
func TestExpectedUser(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	mine := w.login(cl).IDToken
	bob := w.newUser("bob")
	his := w.signIn(bob, "pwd")
	w.advance(2 * time.Hour) // a hint may have expired
	params(t, w.authorize(cl, "id_token_hint", mine, "prompt", "none"))

	c := w.authorizationRequest(cl, "id_token_hint", mine)
	c.Session = his
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	if st.Login == nil || !st.Login.Reauth {
		t.Fatalf("another user passes for the one hinted at: %+v", st)
	}
	w.advance(time.Minute)
	st, err = w.back(st.Login, w.reauthenticated(his))
	wantReply(t, st, err, "login_required")

	c = w.authorizationRequest(cl, "id_token_hint", mine, "claims", `{"id_token":{"sub":{"value":"`+string(bob.ID)+`"}}}`)
	st, err = w.srv.Authorize(t.Context(), c)
	wantReply(t, st, err, "invalid_request")
}

// An access token of ours is not an ID token (RFC 8725 §3.11).
func TestAccessTokenIsNotAHint(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	st, err := w.srv.Authorize(t.Context(), w.authorizationRequest(cl, "id_token_hint", w.login(cl).AccessToken))
	wantReply(t, st, err, "invalid_request")
}

// OpenID Connect Core §3.1.2.1 acr_values, §5.5.1.1 the acr claim.
func TestAuthenticationClass(t *testing.T) {
	essential := `{"id_token":{"acr":{"essential":true,"values":["aal2"]}}}`
	for name, c := range map[string]struct {
		pairs []string
		class string // that the sign-in page must reach, "" for none
		unmet string // the error when the person comes back without it
	}{
		"voluntary, higher":            {[]string{"acr_values", "aal2"}, "aal2", ""},
		"voluntary, among unknown":     {[]string{"acr_values", "urn:x aal2 aal1"}, "aal2", ""},
		"voluntary, had already":       {[]string{"acr_values", "aal1"}, "", ""},
		"voluntary, unknown":           {[]string{"acr_values", "urn:gold"}, "", ""},
		"voluntary claim":              {[]string{"claims", `{"id_token":{"acr":{"values":["aal1","aal2"]}}}`}, "aal2", ""},
		"essential":                    {[]string{"claims", essential}, "aal2", "unmet_authentication_requirements"},
		"essential, the lower will do": {[]string{"claims", `{"id_token":{"acr":{"essential":true,"values":["aal2","aal1"]}}}`}, "", ""},
		"essential without a value":    {[]string{"claims", `{"id_token":{"acr":{"essential":true}}}`}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client()
			w.advance(time.Second)
			st := w.authorize(cl, c.pairs...)
			if c.class == "" {
				params(t, st)
				return
			}
			if st.Login == nil || st.Login.ACR != c.class {
				t.Fatalf("step %+v", st)
			}
			flow := st.Login
			w.advance(time.Second)
			done, err := w.back(flow, w.reauthenticated(w.sess, "pwd", "otp", "mfa"))
			testkit.Must(t, err)
			r, err := w.redeem(cl, params(t, done).Get("code"))
			testkit.Must(t, err)
			testkit.Equal(t, "acr", claims(t, r.IDToken)["acr"], any("aal2"))
			list(t, "amr", amr(claims(t, r.IDToken)), "pwd", "otp", "mfa")

			w.now = w.now.Add(-time.Second)
			flow = w.authorize(cl, c.pairs...).Login
			w.advance(time.Second)
			no, err := w.back(flow, w.reauthenticated(w.sess, "pwd"))
			if c.unmet != "" {
				wantReply(t, no, err, c.unmet)
				return
			}
			testkit.Must(t, err)
			params(t, no)
		})
	}
	t.Run("voluntary with prompt=none passes", func(t *testing.T) {
		w := newWorld(t)
		if params(t, w.authorize(w.client(), "acr_values", "aal2", "prompt", "none")).Get("code") == "" {
			t.Fatal("rejected")
		}
	})
	t.Run("a person without a second step is asked once", func(t *testing.T) {
		w := newWorld(t)
		w.advance(time.Second)
		st := w.authorize(w.client(), "acr_values", "aal2")
		sealed, err := w.srv.StepUpImpossible(st.Login)
		testkit.Must(t, err)
		c := w.call("flow", sealed)
		c.Session, c.Browser = w.sess, thisBrowser
		done, err := w.srv.Authorize(t.Context(), c)
		testkit.Must(t, err)
		params(t, done)
	})
}

func thirdParty(c *client.Client) { c.FirstParty = false }

// Consent is requested once per client and scope, and again for further scopes.
func TestConsentIsRemembered(t *testing.T) {
	w := newWorld(t)
	cl := w.client(thirdParty)
	st := w.authorize(cl, "scope", "openid email")
	if st.Consent == nil {
		t.Fatalf("consent is not requested: %+v", st)
	}
	list(t, "scopes on the page", st.Consent.Scopes, "openid", "email")
	params(t, w.answer(st, w.sess, true))
	params(t, w.authorize(cl, "scope", "openid email"))
	params(t, w.authorize(cl, "scope", "openid"))
	more := w.authorize(cl, "scope", "openid profile")
	if more.Consent == nil {
		t.Fatalf("more is given without asking: %+v", more)
	}
	params(t, w.answer(more, w.sess, true))
	params(t, w.authorize(cl, "scope", "openid email profile", "prompt", "none"))
	if again := w.authorize(cl, "prompt", "consent"); again.Consent == nil {
		t.Fatalf("prompt=consent does not ask: %+v", again)
	}
	if other := w.authorize(w.client(thirdParty)); other.Consent == nil {
		t.Fatalf("another client profits: %+v", other)
	}
}

func TestConsentDenied(t *testing.T) {
	w := newWorld(t)
	cl := w.client(thirdParty)
	st := w.authorize(cl)
	wantReply(t, w.answer(st, w.sess, false), nil, "access_denied")
	w.audited(cl, audit.ConsentDenied, 1)
	if again := w.authorize(cl); again.Consent == nil {
		t.Fatalf("a denial is taken for consent: %+v", again)
	}
}

func TestFirstPartyNeedsNoConsent(t *testing.T) {
	w := newWorld(t)
	params(t, w.authorize(w.client(), "prompt", "none"))
	if st := w.authorize(w.client(), "prompt", "consent"); st.Consent == nil {
		t.Fatalf("prompt=consent does not ask: %+v", st)
	}
}

// A sealed flow comes from this server, is for one step, and expires.
func TestFlowIsSealed(t *testing.T) {
	w := newWorld(t)
	cl := w.client(thirdParty)
	consent := w.authorize(cl).Consent
	sealed, err := w.srv.SealFlow(consent)
	testkit.Must(t, err)
	c := w.authorizationRequest(cl)
	c.Session = nil
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	login, err := w.srv.SealFlow(st.Login)
	testkit.Must(t, err)

	decide := func(sealed string, sess *identity.Session, now time.Time) error {
		c := w.call()
		c.Session, c.Now = sess, now
		_, err := w.srv.Consent(t.Context(), c, sealed, true)
		return err
	}
	bob := w.signIn(w.newUser("bob"), "pwd")
	other := *w.sess
	other.ID = "another session of the same person"
	tampered := []byte(sealed)
	tampered[20] ^= 1
	for name, err := range map[string]error{
		"tampered":          decide(string(tampered), w.sess, w.now),
		"cut":               decide(sealed[:len(sealed)-4], w.sess, w.now),
		"empty":             decide("", w.sess, w.now),
		"of another step":   decide(login, w.sess, w.now),
		"too old":           decide(sealed, w.sess, w.now.Add(time.Hour+time.Second)),
		"another user":      decide(sealed, bob, w.now),
		"another session":   decide(sealed, &other, w.now),
		"not signed in":     decide(sealed, nil, w.now),
		"consent as login":  resume(w, sealed, w.now),
		"too old for login": resume(w, login, w.now.Add(time.Hour+time.Second)),
		"another server's":  resume(worldWithKey(t), login, w.now),
	} {
		t.Run(name, func(t *testing.T) { wantPage(t, nil, err) })
	}
	testkit.Must(t, decide(sealed, w.sess, w.now.Add(time.Hour)))
}

func resume(w *world, sealed string, now time.Time) error {
	c := w.call("flow", sealed)
	c.Session, c.Now = w.sess, now
	_, err := w.srv.Authorize(w.t.Context(), c)
	return err
}

// If a registration changes between two requests, the later state applies.
func TestClientChangesBetweenTwoRequests(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*client.Client)
		code string // "" for a page
	}{
		"disabled":         {func(c *client.Client) { c.Disabled = true }, ""},
		"address removed":  {func(c *client.Client) { c.Redirects = []string{"https://new.example/"} }, ""},
		"scope taken away": {func(c *client.Client) { c.Scopes = []string{"api:read"} }, "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client()
			call := w.authorizationRequest(cl)
			call.Session = nil
			st, err := w.srv.Authorize(t.Context(), call)
			testkit.Must(t, err)
			changed := *cl
			c.edit(&changed)
			testkit.Must(t, w.db.UpdateClient(t.Context(), cl, &changed))
			st, err = w.back(st.Login, w.sess)
			if c.code == "" {
				wantPage(t, st, err)
				return
			}
			wantReply(t, st, err, c.code)
		})
	}
}

// A request that is sealed for the browser to repeat is checked when it is repeated, with the
// usual errors.
func TestResumedRequest(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	for name, c := range map[string]struct {
		pairs []string
		code  string // "" is a code, "page" a page
	}{
		"sound":           {nil, ""},
		"bad scope":       {[]string{"scope", "api:admin"}, "invalid_scope"},
		"unknown client":  {[]string{"client_id", "nobody"}, "page"},
		"foreign address": {[]string{"redirect_uri", "https://evil.example"}, "page"},
	} {
		t.Run(name, func(t *testing.T) {
			repeat, err := w.srv.Repeat(t.Context(), w.authorizationRequest(cl, c.pairs...))
			testkit.Must(t, err)
			call := w.call("flow", repeat.Repeat)
			call.Session = w.sess
			st, err := w.srv.Authorize(t.Context(), call)
			switch c.code {
			case "":
				testkit.Must(t, err)
				params(t, st)
			case "page":
				wantPage(t, st, err)
			default:
				wantReply(t, st, err, c.code)
			}
		})
	}
	_, err := w.srv.Repeat(t.Context(), w.authorizationRequest(cl, "login_hint", strings.Repeat("x", 7000)))
	wantPage(t, nil, err)
}

// OpenID Connect Core §5.5: single claims for the ID token and for userinfo.
func TestClaimsParameter(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	r := w.login(cl, "scope", "openid", "claims",
		`{"userinfo":{"given_name":{"essential":true},"email":null,"email_verified":null,"nope":null},"id_token":{"phone_number":{"essential":true},"auth_time":null,"x":{"value":"y"}}}`)
	id := claims(t, r.IDToken)
	testkit.Equal(t, "phone_number", id["phone_number"], any("+44 20 7946 0000"))
	absent(t, id, "email", "x")
	info := w.userinfo(r.AccessToken)
	testkit.Equal(t, "email", info["email"], any(w.user.Email))
	testkit.Equal(t, "email_verified", info["email_verified"], any(true))
	absent(t, info, "phone_number", "nope", "name")
	// A refresh gives the same (§12.2).
	n, err := w.refresh(cl, r.RefreshToken)
	testkit.Must(t, err)
	testkit.Equal(t, "email", w.userinfo(n.AccessToken)["email"], any(w.user.Email))
}

// userinfo returns the response of the userinfo endpoint.
func (w *world) userinfo(token string) map[string]any {
	w.t.Helper()
	c := w.call()
	bearer(token)(c)
	info, err := w.srv.UserInfo(w.t.Context(), c)
	testkit.Must(w.t, err)
	raw, err := json.Marshal(info)
	testkit.Must(w.t, err)
	var m map[string]any
	testkit.Must(w.t, json.Unmarshal(raw, &m))
	return m
}

// RFC 6749 §3.3: a request without a scope gets the defaults.
func TestDefaultScopes(t *testing.T) {
	for name, c := range map[string]struct {
		has, want []string
	}{
		"the server's":              {[]string{"openid", "api:read"}, []string{"openid"}},
		"as far as the client may":  {[]string{"api:read"}, nil},
		"never more than it may be": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cl := w.client(thirdParty, func(cl *client.Client) { cl.Scopes = c.has })
			st := w.authorize(cl, "scope", "")
			if st.Consent == nil {
				t.Fatalf("step %+v", st)
			}
			list(t, "scopes", st.Consent.Scopes, c.want...)
		})
	}
}

// RFC 8252 §7.3: a native app does not know its port in advance.
func TestLoopbackPort(t *testing.T) {
	w := newWorld(t)
	cl := w.client(public, func(c *client.Client) { c.Redirects = []string{"http://127.0.0.1/cb", "http://[::1]/cb"} })
	for _, uri := range []string{"http://127.0.0.1:51004/cb", "http://[::1]:61023/cb"} {
		code := w.code(cl, "redirect_uri", uri)
		_, err := w.token(
			cl, "grant_type", "authorization_code", "code", code, "redirect_uri", uri,
			"code_verifier", verifier,
		)
		testkit.Must(t, err)
	}
	// The token request must have the same address, with the port (RFC 6749 §4.1.3).
	code := w.code(cl, "redirect_uri", "http://127.0.0.1:51004/cb")
	_, err := w.token(
		cl, "grant_type", "authorization_code", "code", code, "redirect_uri",
		"http://127.0.0.1:51005/cb", "code_verifier", verifier,
	)
	wantError(t, err, "invalid_grant", 400)
	st, err := w.srv.Authorize(t.Context(), w.authorizationRequest(cl, "redirect_uri", "http://localhost:51004/cb"))
	wantPage(t, st, err)
}

// An error of storage is not sent to the client.
func TestServerErrorsAreNotSentToTheClient(t *testing.T) {
	e := oauth.Wire(fault.Wrap(fault.Internal, tableMissing(), "secret details"))
	testkit.Equal(t, "code", e.Code, "server_error")
	if strings.Contains(e.Description, "details") {
		t.Fatalf("sent to the client: %s", e.Description)
	}
}

func tableMissing() error { return fault.New(fault.Internal, "pq: no such table") }

// What a person allowed once does not pass silently to whatever listens on their device: loopback
// and private-scheme redirects of public clients ask every time (RFC 8252 §8.6).
func TestConsentOfNativeApps(t *testing.T) {
	w := newWorld(t)
	for uri, asks := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://[::1]/cb": true, "http://localhost/cb": true, "com.example.app:/cb": true, callback: false,
	} {
		for _, isPublic := range []bool{true, false} {
			cl := w.client(func(c *client.Client) {
				c.FirstParty, c.Redirects = false, []string{uri}
				if isPublic {
					public(c)
				}
			})
			w.code(cl, "redirect_uri", uri)
			again := w.authorize(cl, "redirect_uri", uri)
			if (again.Consent != nil) != (asks && isPublic) {
				t.Errorf("%s, public %v: consent page %v", uri, isPublic, again.Consent != nil)
			}
			silent := w.authorize(cl, "redirect_uri", uri, "prompt", "none")
			if want := asks && isPublic; (params(t, silent).Get("error") == "consent_required") != want || silent.Reply.Params.Has("code") == want {
				t.Errorf("%s, public %v: prompt=none %v", uri, isPublic, silent.Reply.Params)
			}
		}
	}
}

// Parameters that carry other parameters are refused by name and never ignored (OpenID Connect
// Core §3.1.2.6).
func TestUnsupportedParameters(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	for _, name := range []string{"request_uri", "registration"} {
		for _, value := range []string{"eyJhbGciOiJub25lIn0.e30.", strings.Repeat("x", 8000)} {
			st, err := w.srv.Authorize(t.Context(), w.authorizationRequest(cl, name, value))
			wantReply(t, st, err, name+"_not_supported")
			repeat, err := w.srv.Repeat(t.Context(), w.authorizationRequest(cl, name, value))
			testkit.Must(t, err)
			c := w.call("flow", repeat.Repeat)
			c.Session = w.sess
			st, err = w.srv.Authorize(t.Context(), c)
			wantReply(t, st, err, name+"_not_supported")
		}
	}
}
