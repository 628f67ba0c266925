package oauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (w *world) authenticate(c *oauth.Call) error {
	_, err := w.srv.Authenticate(w.t.Context(), c)
	return err
}

// RFC 6749 §2.3.1: both parts of Basic are form-encoded.
func TestClientSecretBasic(t *testing.T) {
	w := newWorld(t)
	const pass = `p:a+s%s "ü`
	cl := w.client(func(c *client.Client) {
		c.ID = "client:with+odd id"
		c.Secrets = []client.Secret{{ID: secret.NewID(w.now), Hash: w.keys.Hash(pass), CreatedAt: w.now}}
	})
	c := w.call()
	c.Authorization = basic(string(cl.ID), pass)
	testkit.Must(t, w.authenticate(c))
	c.Authorization = "bAsIc" + strings.TrimPrefix(c.Authorization, "Basic")
	testkit.Must(t, w.authenticate(c))
}

func TestClientSecretBasicErrors(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	b64 := base64.StdEncoding.EncodeToString
	for name, h := range map[string]string{
		"wrong secret":   basic(string(cl.ID), "wrong"),
		"no secret":      basic(string(cl.ID), ""),
		"unknown client": basic("nobody", testSecret),
		"no colon":       "Basic " + b64([]byte("x")),
		"no base64":      "Basic !!!",
		"empty":          "Basic ",
		"bad escape":     "Basic " + b64([]byte("a%zz:b")),
		"no id":          "Basic " + b64([]byte(":b")),
	} {
		t.Run(name, func(t *testing.T) {
			c := w.call()
			c.Authorization = h
			e := wantError(t, w.authenticate(c), "invalid_client", 401)
			testkit.Equal(t, "challenge", e.Challenge, "Basic") // RFC 6749 §5.2
		})
	}
}

// The error does not tell what is wrong with credentials of the right form.
func TestClientAuthenticationHidesTheReason(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	off := w.client(func(c *client.Client) { c.Disabled = true })
	jwt := w.client(func(c *client.Client) { c.AuthMethod = client.MethodPrivateKey })
	say := map[string]bool{}
	for _, h := range []string{basic("nobody", testSecret), basic(string(cl.ID), "wrong"), basic(string(off.ID), testSecret), basic(string(jwt.ID), testSecret)} {
		c := w.call()
		c.Authorization = h
		say[wantError(t, w.authenticate(c), "invalid_client", 401).Description] = true
	}
	testkit.Equal(t, "different answers", len(say), 1)
	w.audited(cl, audit.ClientAuthFailed, 1)
	w.audited(off, audit.ClientAuthFailed, 1)
}

func TestClientSecretPost(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	testkit.Must(t, w.authenticate(w.call("client_id", string(cl.ID), "client_secret", testSecret)))
	for name, c := range map[string]struct {
		pairs  []string
		code   string
		status int
	}{
		"wrong secret":       {[]string{"client_id", string(cl.ID), "client_secret", "wrong"}, "invalid_client", 401},
		"unknown client":     {[]string{"client_id", "nobody", "client_secret", testSecret}, "invalid_client", 401},
		"no client_id":       {[]string{"client_secret", testSecret}, "invalid_request", 400},
		"no credentials":     {nil, "invalid_client", 401},
		"confidential, none": {[]string{"client_id", string(cl.ID)}, "invalid_client", 401},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, w.authenticate(w.call(c.pairs...)), c.code, c.status) })
	}
}

func TestPublicClient(t *testing.T) {
	w := newWorld(t)
	cl := w.client(public)
	testkit.Must(t, w.authenticate(w.call("client_id", string(cl.ID))))
	wantError(t, w.authenticate(w.call("client_id", string(cl.ID), "client_secret", "anything")), "invalid_client", 401)
	wantError(t, w.authenticate(w.call("client_id", "nobody")), "invalid_client", 401)
}

// RFC 6749 §2.3: one method per request.
// A public client that sends Basic with an empty secret only names itself; for a confidential
// client it stays a wrong credential.
func TestBasicWithEmptySecret(t *testing.T) {
	w := newWorld(t)
	cl, confidential := w.client(public), w.client()
	testkit.Must(t, w.authenticate(with(w.call(), basic(string(cl.ID), ""))))
	testkit.Must(t, w.authenticate(with(w.call("client_id", string(cl.ID)), basic(string(cl.ID), ""))))
	wantError(t, w.authenticate(with(w.call(), basic(string(cl.ID), "x"))), "invalid_client", 401)
	e := wantError(t, w.authenticate(with(w.call(), basic(string(confidential.ID), ""))), "invalid_client", 401)
	testkit.Equal(t, "challenge", e.Challenge, "Basic")
}

func TestTwoMethodsAtOnce(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	k := newKey(t, "k")
	a := k.assertion(t, gojose.ES256, w.goodAssertion(cl))
	for name, c := range map[string]*oauth.Call{
		"basic and post":      with(w.call("client_id", string(cl.ID), "client_secret", testSecret), basic(string(cl.ID), testSecret)),
		"basic and assertion": with(w.call("client_assertion", a, "client_assertion_type", assertionType), basic(string(cl.ID), testSecret)),
		"post and assertion":  w.call("client_id", string(cl.ID), "client_secret", testSecret, "client_assertion", a, "client_assertion_type", assertionType),
		"two names":           with(w.call("client_id", "other"), basic(string(cl.ID), testSecret)),
	} {
		t.Run(name, func(t *testing.T) { wantError(t, w.authenticate(c), "invalid_request", 400) })
	}
}

func with(c *oauth.Call, authorization string) *oauth.Call {
	c.Authorization = authorization
	return c
}

// Each client has one method; a client that is registered without one may send its secret either
// way.
func TestRegisteredMethodOnly(t *testing.T) {
	w := newWorld(t)
	for method, ok := range map[string][2]bool{ // basic, post
		"":                      {true, true},
		client.MethodBasic:      {true, false},
		client.MethodPost:       {false, true},
		client.MethodPrivateKey: {false, false},
	} {
		t.Run("method "+method, func(t *testing.T) {
			cl := w.client(func(c *client.Client) { c.AuthMethod = method })
			testkit.Equal(t, "basic", w.authenticate(with(w.call(), basic(string(cl.ID), testSecret))) == nil, ok[0])
			testkit.Equal(
				t, "post",
				w.authenticate(w.call("client_id", string(cl.ID), "client_secret", testSecret)) == nil,
				ok[1],
			)
		})
	}
}

// A secret is rotated without an outage: both secrets work until the old one expires.
func TestTwoActiveSecrets(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	next := client.Secret{ID: secret.NewID(w.now), Hash: w.keys.Hash("next"), CreatedAt: w.now.Add(time.Second)}
	testkit.Must(t, w.db.RotateSecret(t.Context(), cl.ID, next, 2, w.now.Add(time.Hour)))
	for _, pass := range []string{testSecret, "next"} {
		testkit.Must(t, w.authenticate(with(w.call(), basic(string(cl.ID), pass))))
	}
	w.advance(time.Hour)
	testkit.Must(t, w.authenticate(with(w.call(), basic(string(cl.ID), "next"))))
	wantError(t, w.authenticate(with(w.call(), basic(string(cl.ID), testSecret))), "invalid_client", 401)
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// signingKey is a client's private key.
type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

func newKey(t *testing.T, id string) signingKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(t, err)
	return signingKey{id, k}
}

// set returns the public keys as a key set.
func set(t *testing.T, keys ...signingKey) []byte {
	t.Helper()
	var out gojose.JSONWebKeySet
	for _, k := range keys {
		out.Keys = append(out.Keys, gojose.JSONWebKey{Key: k.key.Public(), KeyID: k.id, Algorithm: "ES256", Use: "sig"})
	}
	raw, err := json.Marshal(out)
	testkit.Must(t, err)
	return raw
}

func (k signingKey) assertion(t *testing.T, alg gojose.SignatureAlgorithm, claims map[string]any) string {
	t.Helper()
	var key any = k.key
	if alg == gojose.HS256 { // algorithm confusion: the public key as a shared secret
		key = set(t, k)
	}
	s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: alg, Key: gojose.JSONWebKey{Key: key, KeyID: k.id}}, nil)
	testkit.Must(t, err)
	raw, err := json.Marshal(claims)
	testkit.Must(t, err)
	jws, err := s.Sign(raw)
	testkit.Must(t, err)
	out, err := jws.CompactSerialize()
	testkit.Must(t, err)
	return out
}

func (w *world) goodAssertion(cl *client.Client) map[string]any {
	return map[string]any{
		"iss": string(cl.ID), "sub": string(cl.ID), "aud": issuer + "/oauth/token", "jti": secret.NewID(w.now) + "x",
		"iat": w.now.Unix(), "exp": w.now.Add(5 * time.Minute).Unix(),
	}
}

func (w *world) keyClient(keys ...signingKey) *client.Client {
	return w.client(func(c *client.Client) {
		c.AuthMethod, c.Secrets, c.JWKS = client.MethodPrivateKey, nil, set(w.t, keys...)
	})
}

func (w *world) assert(a string) error {
	return w.authenticate(w.call("client_assertion", a, "client_assertion_type", assertionType))
}

// RFC 7523 §3, clause by clause.
func TestPrivateKeyJWT(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	at := func(d time.Duration) int64 { return w.now.Add(d).Unix() }
	for name, c := range map[string]struct {
		change map[string]any // nil removes a claim
		ok     bool
	}{
		"good":                              {ok: true},
		"audience is the issuer":            {map[string]any{"aud": issuer}, true},
		"audience in a list":                {map[string]any{"aud": []string{issuer, issuer + "/oauth/token"}}, true},
		"audience one of several":           {map[string]any{"aud": []string{"https://x.example", issuer}}, false},
		"audience is another":               {map[string]any{"aud": "https://other.example"}, false},
		"audience left out":                 {map[string]any{"aud": nil}, false},
		"audience is the other path":        {map[string]any{"aud": issuer + "/oauth/token/"}, false},
		"issuer another":                    {map[string]any{"iss": "other"}, false},
		"issuer left out":                   {map[string]any{"iss": nil}, false},
		"expired":                           {map[string]any{"exp": at(-61 * time.Second)}, false},
		"expired within the skew":           {map[string]any{"exp": at(-58 * time.Second)}, true},
		"exp left out":                      {map[string]any{"exp": nil}, false},
		"exp is text":                       {map[string]any{"exp": "tomorrow"}, false},
		"exp overflows":                     {map[string]any{"exp": 1e300}, false},
		"lives too long":                    {map[string]any{"exp": at(2 * time.Hour)}, false},
		"exp with a fraction":               {map[string]any{"exp": float64(at(time.Minute)) + 0.5}, true},
		"from the future":                   {map[string]any{"iat": at(62 * time.Second)}, false},
		"from the future within the skew":   {map[string]any{"iat": at(59 * time.Second)}, true},
		"iat left out":                      {map[string]any{"iat": nil}, true},
		"not yet valid":                     {map[string]any{"nbf": at(62 * time.Second)}, false},
		"not yet valid within the skew":     {map[string]any{"nbf": at(59 * time.Second)}, true},
		"jti left out":                      {map[string]any{"jti": nil}, false},
		"jti too long":                      {map[string]any{"jti": strings.Repeat("x", 257)}, false},
		"names an unknown client":           {map[string]any{"sub": "nobody", "iss": "nobody"}, false},
		"subject of another, issuer itself": {map[string]any{"sub": string(w.client().ID)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.goodAssertion(cl)
			for n, v := range c.change {
				if a[n] = v; v == nil {
					delete(a, n)
				}
			}
			err := w.assert(k.assertion(t, gojose.ES256, a))
			if c.ok {
				testkit.Must(t, err)
				return
			}
			wantError(t, err, "invalid_client", 401)
		})
	}
}

// FAPI 2.0 §5.3.2.1: a client may demand that its assertions name the issuer alone, as one text.
func TestPrivateKeyJWTStrictAudience(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.client(func(c *client.Client) {
		c.AuthMethod, c.JWKS, c.Secrets, c.StrictAudience = client.MethodPrivateKey, set(t, k), nil, true
	})
	for name, c := range map[string]struct {
		aud any
		ok  bool
	}{
		"issuer":             {issuer, true},
		"issuer in a list":   {[]string{issuer}, false},
		"issuer with others": {[]string{issuer, issuer + "/oauth/token"}, false},
		"token endpoint":     {issuer + "/oauth/token", false},
		"issuer and a slash": {issuer + "/", false},
		"empty list":         {[]string{}, false},
		"null":               {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.goodAssertion(cl)
			a["aud"] = c.aud
			err := w.assert(k.assertion(t, gojose.ES256, a))
			if c.ok {
				testkit.Must(t, err)
				return
			}
			wantError(t, err, "invalid_client", 401)
		})
	}
}

// A client that registered an algorithm is authenticated by no other (RFC 7591 §2).
func TestPrivateKeyJWTAlgorithm(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	for alg, ok := range map[string]bool{"": true, jose.ES256: true, jose.PS256: false} {
		cl := w.client(func(c *client.Client) {
			c.AuthMethod, c.JWKS, c.Secrets, c.AuthAlg = client.MethodPrivateKey, set(t, k), nil, alg
		})
		err := w.assert(k.assertion(t, gojose.ES256, w.goodAssertion(cl)))
		if ok {
			testkit.Must(t, err)
			continue
		}
		wantError(t, err, "invalid_client", 401)
	}
}

func TestPrivateKeyJWTForm(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	good := k.assertion(t, gojose.ES256, w.goodAssertion(cl))
	body, err := json.Marshal(w.goodAssertion(cl))
	testkit.Must(t, err)
	enc := base64.RawURLEncoding.EncodeToString
	for name, c := range map[string]struct {
		a, kind, code string
		status        int
	}{
		"alg none":             {enc([]byte(`{"alg":"none"}`)) + "." + enc(body) + ".", assertionType, "invalid_client", 401},
		"alg HS256":            {k.assertion(t, gojose.HS256, w.goodAssertion(cl)), assertionType, "invalid_client", 401},
		"another key":          {newKey(t, "k1").assertion(t, gojose.ES256, w.goodAssertion(cl)), assertionType, "invalid_client", 401},
		"altered":              {strings.Replace(good, ".", ".e", 1), assertionType, "invalid_client", 401},
		"no JWT":               {"x", assertionType, "invalid_client", 401},
		"too large":            {strings.Repeat("x", 20000), assertionType, "invalid_client", 401},
		"left out":             {"", assertionType, "invalid_client", 401},
		"type left out":        {good, "", "invalid_request", 400},
		"type of another sort": {good, "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "invalid_request", 400},
	} {
		t.Run(name, func(t *testing.T) {
			call := w.call("client_assertion", c.a, "client_assertion_type", c.kind)
			for n, v := range call.Form {
				if v[0] == "" {
					delete(call.Form, n)
				}
			}
			wantError(t, w.authenticate(call), c.code, c.status)
		})
	}
}

// RFC 7523 §3 (7): an assertion works once, also under concurrency.
// A token that the client signed for another purpose does not authenticate it (RFC 8725 §3.11).
func TestPrivateKeyJWTType(t *testing.T) {
	w := newWorld(t)
	key := newKey(t, "k")
	cl := w.keyClient(key)
	for typ, ok := range map[string]bool{
		"": true, "JWT": true, "jwt": true, "client-authentication+jwt": true, "application/client-authentication+jwt": true,
		"at+jwt": false, "dpop+jwt": false, "oauth-authz-req+jwt": false, "logout+jwt": false, "JOSE": false,
	} {
		o := &gojose.SignerOptions{}
		if typ != "" {
			o.WithType(gojose.ContentType(typ))
		}
		s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: gojose.JSONWebKey{Key: key.key, KeyID: key.id}}, o)
		testkit.Must(t, err)
		raw, err := json.Marshal(w.goodAssertion(cl))
		testkit.Must(t, err)
		jws, err := s.Sign(raw)
		testkit.Must(t, err)
		token, err := jws.CompactSerialize()
		testkit.Must(t, err)
		err = w.authenticate(w.call("client_assertion_type", assertionType, "client_assertion", token))
		if ok {
			testkit.Must(t, err)
		} else {
			wantError(t, err, "invalid_client", 401)
		}
	}
}

func TestPrivateKeyJWTReplay(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	cl := w.keyClient(k)
	a := k.assertion(t, gojose.ES256, w.goodAssertion(cl))
	got := race(t, 20, func(int) error { return w.assert(a) })
	testkit.Equal(t, "successes", got[""], 1)
	testkit.Equal(t, "refusals", got["invalid_client"], 19)
	// It is still recorded within the clock skew after its expiry.
	w.advance(5*time.Minute + 30*time.Second)
	wantError(t, w.assert(a), "invalid_client", 401)
}

// Two clients may use the same jti.
func TestPrivateKeyJWTReplayIsPerClient(t *testing.T) {
	w := newWorld(t)
	k := newKey(t, "k1")
	for _, cl := range []*client.Client{w.keyClient(k), w.keyClient(k)} {
		a := w.goodAssertion(cl)
		a["jti"] = "same-" + string(w.user.ID)
		testkit.Must(t, w.assert(k.assertion(t, gojose.ES256, a)))
	}
}

// A client rotates its keys by publishing a new set; an unknown key id causes one more fetch.
func TestPrivateKeyJWTRotation(t *testing.T) {
	w := newWorld(t)
	former, next := newKey(t, "k1"), newKey(t, "k2")
	cl := w.client(func(c *client.Client) {
		c.AuthMethod, c.Secrets, c.JWKSURI = client.MethodPrivateKey, nil, "https://app.example/jwks"
	})
	w.fetch.cached, w.fetch.fresh = set(t, former), set(t, former, next)
	t.Run("known key: the cached copy is enough", func(t *testing.T) {
		w.fetch.requests = nil
		testkit.Must(t, w.assert(former.assertion(t, gojose.ES256, w.goodAssertion(cl))))
		if !slices.Equal(w.fetch.requests, []bool{false}) {
			t.Fatalf("requests %v", w.fetch.requests)
		}
	})
	t.Run("unknown key: a fresh copy", func(t *testing.T) {
		w.fetch.requests = nil
		testkit.Must(t, w.assert(next.assertion(t, gojose.ES256, w.goodAssertion(cl))))
		if !slices.Equal(w.fetch.requests, []bool{false, true}) {
			t.Fatalf("requests %v", w.fetch.requests)
		}
	})
	t.Run("wrong signature: no fresh copy", func(t *testing.T) {
		w.fetch.requests = nil
		wantError(t, w.assert(newKey(t, "k1").assertion(t, gojose.ES256, w.goodAssertion(cl))), "invalid_client", 401)
		if !slices.Equal(w.fetch.requests, []bool{false}) {
			t.Fatalf("requests %v: a stranger causes a fetch", w.fetch.requests)
		}
	})
	t.Run("key in neither", func(t *testing.T) {
		wantError(t, w.assert(newKey(t, "k9").assertion(t, gojose.ES256, w.goodAssertion(cl))), "invalid_client", 401)
	})
	t.Run("unusable set", func(t *testing.T) {
		w.fetch.cached = []byte("<html>")
		wantError(t, w.assert(next.assertion(t, gojose.ES256, w.goodAssertion(cl))), "invalid_client", 401)
	})
	t.Run("unreachable", func(t *testing.T) {
		w.fetch.broken = true
		wantError(t, w.assert(next.assertion(t, gojose.ES256, w.goodAssertion(cl))), "invalid_client", 401)
	})
}

// A client id that a stranger sends is truncated before it is stored.
func TestFailedAuthenticationStoresBoundedText(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 5000)
	wantError(t, w.authenticate(with(w.call(), basic(long, "x"))), "invalid_client", 401)
}
