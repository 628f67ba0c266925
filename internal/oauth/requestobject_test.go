package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// object returns the members of a good request object, with changes; nil removes a member.
func (w *world) object(cl *client.Client, changes map[string]any) map[string]any {
	m := map[string]any{
		"iss": string(cl.ID), "aud": issuer, "client_id": string(cl.ID),
		"iat": w.now.Unix(), "nbf": w.now.Unix(), "exp": w.now.Add(5 * time.Minute).Unix(),
		"response_type": "code", "redirect_uri": callback, "scope": "openid", "state": "xyz",
		"code_challenge": challenge, "code_challenge_method": "S256",
	}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

// jws signs a payload with a typ header, or without one if typ is "".
func (k signingKey) jws(t *testing.T, typ string, payload []byte) string {
	t.Helper()
	opts := &gojose.SignerOptions{}
	if typ != "" {
		opts.WithType(gojose.ContentType(typ))
	}
	key := gojose.JSONWebKey{Key: k.key, KeyID: k.id}
	s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: key}, opts)
	testkit.Must(t, err)
	jws, err := s.Sign(payload)
	testkit.Must(t, err)
	out, err := jws.CompactSerialize()
	testkit.Must(t, err)
	return out
}

func (k signingKey) object(t *testing.T, members map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(members)
	testkit.Must(t, err)
	return k.jws(t, "oauth-authz-req+jwt", raw)
}

// signedRequest returns a call with a request object and its client_id, and further parameters.
func (w *world) signedRequest(cl *client.Client, object string, pairs ...string) *oauth.Call {
	c := w.call(append([]string{"client_id", string(cl.ID), "request", object}, pairs...)...)
	c.Method, c.Session, c.Browser = "GET", w.sess, thisBrowser
	return c
}

// RFC 9101 §6.3: the parameters inside count, and none outside.
func TestRequestObject(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	object := k.object(t, w.object(cl, map[string]any{
		"nonce": "inside", "max_age": 300, "resource": []string{"https://api.example"},
		"claims": map[string]any{"id_token": map[string]any{"phone_number": nil}},
	}))
	st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, object,
		"nonce", "outside", "state", "outside", "scope", "openid email",
		"redirect_uri", "https://evil.example/", "response_type", "token", "response_mode", "fragment",
		"code_challenge", "x", "code_challenge_method", "plain", "prompt", "login", "login_hint", "eve"))
	testkit.Must(t, err)
	testkit.Equal(t, "state", params(t, st).Get("state"), "xyz")
	testkit.Equal(t, "redirect", st.Reply.RedirectURI, callback)
	testkit.Equal(t, "mode", st.Reply.Mode, oauth.ModeQuery)
	c := w.call("grant_type", "authorization_code", "code", params(t, st).Get("code"),
		"redirect_uri", callback, "code_verifier", verifier, "client_assertion",
		k.assertion(t, gojose.ES256, w.goodAssertion(cl)), "client_assertion_type", assertionType)
	r, err := w.srv.Token(t.Context(), c)
	testkit.Must(t, err)
	id := claims(t, r.IDToken)
	testkit.Equal(t, "nonce", id["nonce"], any("inside"))
	absent(t, id, "email")
	testkit.Equal(t, "scope", r.Scope, "openid")
}

// A request object goes through the pages of a sign-in like any other request.
func TestRequestObjectThroughPages(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	object := k.object(t, w.object(cl, map[string]any{"response_mode": "form_post"}))
	c := w.signedRequest(cl, object, "state", "outside")
	c.Session = nil
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	if st.Login == nil {
		t.Fatalf("no sign-in: %+v", st)
	}
	w.advance(10 * time.Minute) // the object has expired by now: it was good when it came
	st, err = w.back(st.Login, w.reauthenticated(w.sess))
	testkit.Must(t, err)
	testkit.Equal(t, "state", params(t, st).Get("state"), "xyz")
	testkit.Equal(t, "mode", st.Reply.Mode, oauth.ModeFormPost)

	st, err = w.srv.Repeat(t.Context(), w.signedRequest(cl, k.object(t, w.object(cl, nil))))
	testkit.Must(t, err)
	c = w.call("flow", st.Repeat)
	c.Session = w.sess
	st, err = w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	testkit.Equal(t, "state", params(t, st).Get("state"), "xyz")
	st, err = w.srv.Repeat(t.Context(), w.signedRequest(cl, "x", "redirect_uri", callback, "state", "xyz"))
	wantReply(t, st, err, "invalid_request_object")
}

// RFC 9101 §4, §6.2, clause by clause. What is wrong inside an object that the client has signed
// is told at the address inside, if that is registered.
func TestRequestObjectClaims(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	other := w.keyClient(k)
	at := func(d time.Duration) int64 { return w.now.Add(d).Unix() }
	for name, c := range map[string]struct {
		change map[string]any
		code   string // "" is a code
	}{
		"good":                        {nil, ""},
		"times of nbf and iat absent": {map[string]any{"nbf": nil, "iat": nil}, ""},
		"audience in a list":          {map[string]any{"aud": []string{"https://x.example", issuer}}, ""},
		"audience absent":             {map[string]any{"aud": nil}, "invalid_request_object"},
		"audience is another":         {map[string]any{"aud": "https://x.example"}, "invalid_request_object"},
		"audience is an endpoint":     {map[string]any{"aud": issuer + "/oauth/authorize"}, "invalid_request_object"},
		"audience is a number":        {map[string]any{"aud": 1}, "invalid_request_object"},
		"issuer absent":               {map[string]any{"iss": nil}, "invalid_request_object"},
		"issuer is another client":    {map[string]any{"iss": string(other.ID)}, "invalid_request_object"},
		"client_id absent":            {map[string]any{"client_id": nil}, "invalid_request_object"},
		"client_id is another":        {map[string]any{"client_id": string(other.ID)}, "invalid_request_object"},
		"subject is the client":       {map[string]any{"sub": string(cl.ID)}, "invalid_request_object"},
		"exp absent":                  {map[string]any{"exp": nil}, "invalid_request_object"},
		"exp null":                    {map[string]any{"exp": json.RawMessage("null")}, "invalid_request_object"},
		"exp is text":                 {map[string]any{"exp": "soon"}, "invalid_request_object"},
		"exp overflows":               {map[string]any{"exp": 1e300}, "invalid_request_object"},
		"expired":                     {map[string]any{"exp": at(-61 * time.Second)}, "invalid_request_object"},
		"expired within the skew":     {map[string]any{"exp": at(-58 * time.Second)}, ""},
		"exp in an hour":              {map[string]any{"exp": at(time.Hour)}, ""},
		"exp after an hour":           {map[string]any{"exp": at(time.Hour + 62*time.Second)}, "invalid_request_object"},
		"nbf in the future":           {map[string]any{"nbf": at(62 * time.Second)}, "invalid_request_object"},
		"nbf within the skew":         {map[string]any{"nbf": at(58 * time.Second)}, ""},
		"nbf long ago":                {map[string]any{"nbf": at(-time.Hour - 62*time.Second)}, "invalid_request_object"},
		"nbf is text":                 {map[string]any{"nbf": "now"}, "invalid_request_object"},
		"iat in the future":           {map[string]any{"iat": at(62 * time.Second)}, "invalid_request_object"},
		"request inside":              {map[string]any{"request": "x"}, "invalid_request_object"},
		"request_uri inside":          {map[string]any{"request_uri": "https://app.example/r"}, "invalid_request_object"},
		"registration inside":         {map[string]any{"registration": map[string]any{}}, "registration_not_supported"},
		"scope is a list":             {map[string]any{"scope": []string{"openid"}}, "invalid_request_object"},
		"nonce is a number":           {map[string]any{"nonce": 7}, "invalid_request_object"},
		"nonce with NUL":              {map[string]any{"nonce": "a\x00b"}, "invalid_request_object"},
		"max_age is true":             {map[string]any{"max_age": true}, "invalid_request_object"},
		"max_age with a fraction":     {map[string]any{"max_age": 1.5}, "invalid_request"},
		"max_age is text":             {map[string]any{"max_age": "300"}, ""},
		"claims is a list":            {map[string]any{"claims": []string{}}, "invalid_request_object"},
		"resource is a number":        {map[string]any{"resource": 1}, "invalid_request_object"},
		"response_type absent":        {map[string]any{"response_type": nil}, "invalid_request"},
		"response_type is token":      {map[string]any{"response_type": "token"}, "unsupported_response_type"},
		"scope that it may not have":  {map[string]any{"scope": "api:admin"}, "invalid_scope"},
		"dpop_jkt that is none":       {map[string]any{"dpop_jkt": "x"}, "invalid_request"},
		"names in other letters":      {map[string]any{"ISS": "eve", "Client_ID": "eve", "Scope": "api:admin"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			object := k.object(t, w.object(cl, c.change))
			st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, object, "response_type", "code", "scope", "openid"))
			if c.code == "" {
				testkit.Must(t, err)
				if params(t, st).Get("code") == "" {
					t.Fatalf("no code: %v", params(t, st))
				}
				return
			}
			wantReply(t, st, err, c.code)
		})
	}
}

// An object that the client has not signed, or that is not a request object, is refused, and its
// address is not used. The address outside is used if it is registered.
func TestRequestObjectForm(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	good := w.object(cl, nil)
	raw, err := json.Marshal(good)
	testkit.Must(t, err)
	enc := base64.RawURLEncoding.EncodeToString
	signed := k.object(t, good)
	parts := strings.Split(signed, ".")
	for name, object := range map[string]string{
		"alg none":             enc([]byte(`{"alg":"none"}`)) + "." + enc(raw) + ".",
		"alg none with a type": enc([]byte(`{"alg":"none","typ":"oauth-authz-req+jwt"}`)) + "." + enc(raw) + ".",
		"alg HS256":            k.assertion(t, gojose.HS256, good),
		"another key":          newKey(t, "k1").object(t, good),
		"unknown key id":       newKey(t, "k2").object(t, good),
		"altered":              parts[0] + "." + enc(append([]byte(" "), raw...)) + "." + parts[2],
		"signature cut off":    parts[0] + "." + parts[1] + ".",
		"two parts":            parts[0] + "." + parts[1],
		"no JWT":               "x",
		"encrypted":            enc([]byte(`{"alg":"RSA-OAEP","enc":"A128GCM"}`)) + ".a.b.c.d",
		"JSON":                 `{"payload":"e30","signatures":[]}`,
		"too large":            k.object(t, w.object(cl, map[string]any{"x": strings.Repeat("x", 10000)})),
		"typ of another token": k.jws(t, "at+jwt", raw),
		"typ of an assertion":  k.jws(t, "client-authentication+jwt", raw),
		"typ of a proof":       k.jws(t, "dpop+jwt", raw),
		"payload is no object": k.jws(t, "", []byte(`"x"`)),
		"payload is a list":    k.jws(t, "", []byte(`[]`)),
		"payload is broken":    k.jws(t, "", raw[:len(raw)-1]),
		"payload goes on":      k.jws(t, "", append(raw[:len(raw):len(raw)], "{}"...)),
		"member twice":         k.jws(t, "", append([]byte(`{"scope":"openid",`), raw[1:]...)),
		"payload is not UTF-8": k.jws(t, "", append([]byte("{\"x\":\"\xff\","), raw[1:]...)),
		"signed with a secret": k.assertion(t, gojose.HS256, good),
		"more than 64 members": k.object(t, w.object(cl, manyMembers())),
		"whitespace around it": " " + signed,
		"payload not encoded":  enc([]byte(`{"alg":"ES256","b64":false,"crit":["b64"]}`)) + "." + string(raw) + "." + parts[2],
	} {
		t.Run(name, func(t *testing.T) {
			st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, object))
			wantPage(t, st, err)
			testkit.Equal(t, "reason", fault.Reason(err), oauth.ReasonRequestObject)
			c := w.signedRequest(cl, object, "redirect_uri", callback, "state", "xyz", "response_type", "code")
			st, err = w.srv.Authorize(t.Context(), c)
			wantReply(t, st, err, "invalid_request_object")
			testkit.Equal(t, "redirect", st.Reply.RedirectURI, callback)
			st, err = w.srv.Authorize(t.Context(), w.signedRequest(cl, object, "redirect_uri", "https://evil.example/"))
			wantPage(t, st, err)
		})
	}
	for _, typ := range []string{"", "JWT", "jwt", "oauth-authz-req+jwt", "application/oauth-authz-req+jwt"} {
		st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, k.jws(t, typ, raw)))
		testkit.Must(t, err)
		if params(t, st).Get("code") == "" {
			t.Errorf("typ %q: %v", typ, params(t, st))
		}
	}
}

func manyMembers() map[string]any {
	m := map[string]any{}
	for i := range 65 {
		m["m"+strings.Repeat("x", i)] = 1
	}
	return m
}

// An object that names an address that is not registered, or none, leads to a page, whether it is
// good or not.
func TestRequestObjectAddress(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	for name, change := range map[string]map[string]any{
		"good, unknown":    {"redirect_uri": "https://evil.example/"},
		"good, none":       {"redirect_uri": nil},
		"expired, unknown": {"redirect_uri": "https://evil.example/", "exp": 1},
		"expired, none":    {"redirect_uri": nil, "exp": 1},
	} {
		t.Run(name, func(t *testing.T) {
			object := k.object(t, w.object(cl, change))
			st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, object, "redirect_uri", callback))
			wantPage(t, st, err)
		})
	}
}

// A client assertion is not a request object, nor the other way round (RFC 9101 §10.8).
func TestAssertionIsNoRequestObject(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	a := w.goodAssertion(cl)
	a["aud"] = issuer
	st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, k.assertion(t, gojose.ES256, a), "redirect_uri", callback))
	wantPage(t, st, err)
	testkit.Equal(t, "reason", fault.Reason(err), oauth.ReasonRequestObject)
	wantError(t, w.assert(k.object(t, w.object(cl, map[string]any{"jti": "x"}))), "invalid_client", 401)
}

// A client that has registered one algorithm gets no other accepted (OpenID Connect Registration
// §2). It needs keys, but not for its authentication.
func TestRequestObjectAlgorithm(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	for alg, code := range map[string]string{"": "", "ES256": "", "PS256": "invalid_request_object"} {
		cl := w.client(func(c *client.Client) { c.JWKS, c.RequestAlg = set(t, k), alg })
		c := w.signedRequest(cl, k.object(t, w.object(cl, nil)), "redirect_uri", callback, "state", "xyz")
		st, err := w.srv.Authorize(t.Context(), c)
		if code != "" {
			wantReply(t, st, err, code)
			continue
		}
		testkit.Must(t, err)
		if params(t, st).Get("code") == "" {
			t.Errorf("%q: %v", alg, params(t, st))
		}
	}
}

// Parameters that are refused by name are refused beside a request object as well.
func TestRequestObjectBesideUnsupported(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	for _, name := range []string{"request_uri", "registration"} {
		st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, k.object(t, w.object(cl, nil)), name, "x"))
		wantReply(t, st, err, name+"_not_supported")
	}
}

// The keys come from the registration. Nobody makes the server fetch a key set for a client that
// it does not know, nor for an object that no key could verify.
func TestRequestObjectKeys(t *testing.T) {
	w := newWorld(t)
	old, fresh := newKey(t, "old"), newKey(t, "fresh")
	remote := w.client(func(c *client.Client) { c.JWKSURI = "https://app.example/jwks" })
	w.fetch.cached, w.fetch.fresh = set(t, old), set(t, old, fresh)
	for _, k := range []signingKey{old, fresh} {
		st, err := w.srv.Authorize(t.Context(), w.signedRequest(remote, k.object(t, w.object(remote, nil))))
		testkit.Must(t, err)
		if params(t, st).Get("code") == "" {
			t.Fatalf("key %s: %v", k.id, params(t, st))
		}
	}
	before := len(w.fetch.requests)
	testkit.Equal(t, "fetches", before, 3) // cached; cached, then fresh
	ghost := &client.Client{ID: "nobody"}
	for _, c := range []*oauth.Call{
		w.signedRequest(ghost, old.object(t, w.object(ghost, nil))),
		w.signedRequest(remote, "x"),
		w.signedRequest(remote, old.assertion(t, gojose.HS256, w.object(remote, nil))),
		w.call("request", old.object(t, w.object(remote, nil))),
	} {
		st, err := w.srv.Authorize(t.Context(), c)
		wantPage(t, st, err)
	}
	testkit.Equal(t, "further fetches", len(w.fetch.requests)-before, 0)

	w.fetch.broken = true
	bare, broken := w.client(), w.client(func(c *client.Client) { c.JWKS = []byte(`{"keys":[]}`) })
	for cl, words := range map[*client.Client]string{
		remote: "cannot be fetched", bare: "no registered keys", broken: "no key that can verify",
	} {
		c := w.signedRequest(cl, old.object(t, w.object(cl, nil)), "redirect_uri", callback, "state", "xyz")
		st, err := w.srv.Authorize(t.Context(), c)
		wantReply(t, st, err, "invalid_request_object")
		if text := params(t, st).Get("error_description"); !strings.Contains(text, words) {
			t.Errorf("%q does not say %q", text, words)
		}
	}
}

// The operator finds in the audit log why an object was refused, a bounded number of times.
func TestRefusedRequestObjectIsRecorded(t *testing.T) {
	w := newWorld(t)
	cl := w.keyClient(newKey(t, "k1"))
	for range 30 {
		st, err := w.srv.Authorize(t.Context(), w.signedRequest(cl, "x"))
		wantPage(t, st, err)
	}
	list, err := w.db.ListAudit(t.Context(), store.AuditQuery{Client: string(cl.ID), Limit: 100})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(list), 10)
	e := list[0]
	testkit.Equal(t, "type", e.Type, audit.AuthorizationFailed)
	testkit.Equal(t, "reason", e.Reason, audit.ReasonRequestObject)
	if !strings.Contains(e.Detail["problem"], "not a JWT") {
		t.Errorf("the detail is %v", e.Detail)
	}
}
