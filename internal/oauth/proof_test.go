package oauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const (
	tokenURL    = issuer + "/oauth/token"
	userinfoURL = issuer + "/oauth/userinfo"
)

// holder signs DPoP proofs with a client's key (RFC 9449 §4).
type holder struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	jkt string
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(t, err)
	sum, err := (&gojose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	testkit.Must(t, err)
	return &holder{t: t, key: key, jkt: base64.RawURLEncoding.EncodeToString(sum)}
}

// proof signs a proof. Pairs add claims or replace them.
func (h *holder) proof(method, url string, at time.Time, pairs ...string) string {
	h.t.Helper()
	opts := (&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: h.key}, opts)
	testkit.Must(h.t, err)
	say := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": at.Unix()}
	for i := 0; i+1 < len(pairs); i += 2 {
		say[pairs[i]] = pairs[i+1]
	}
	raw, err := json.Marshal(say)
	testkit.Must(h.t, err)
	jws, err := signer.Sign(raw)
	testkit.Must(h.t, err)
	out, err := jws.CompactSerialize()
	testkit.Must(h.t, err)
	return out
}

// with sends a request to the token endpoint after a change to it.
func (w *world) with(cl *client.Client, change func(*oauth.Call), pairs ...string) (*token.Response, error) {
	c := w.from(cl, pairs...)
	c.URL = tokenURL
	change(c)
	return w.srv.Token(w.t.Context(), c)
}

// proving adds a valid proof to a request to the token endpoint.
func (w *world) proving(h *holder, pairs ...string) func(*oauth.Call) {
	return func(c *oauth.Call) { c.DPoP = []string{h.proof("POST", tokenURL, w.now, pairs...)} }
}

func nothing(*oauth.Call) {}

func redemption(code string) []string {
	return []string{
		"grant_type",
		"authorization_code",
		"code",
		code,
		"redirect_uri",
		callback,
		"code_verifier",
		verifier,
	}
}

func refreshing(token string) []string {
	return []string{"grant_type", "refresh_token", "refresh_token", token}
}

// at returns a request to the userinfo endpoint.
func (w *world) at(change ...func(*oauth.Call)) *oauth.Call {
	c := w.call()
	c.Method, c.URL = "GET", userinfoURL
	for _, f := range change {
		f(c)
	}
	return c
}

// holding presents a token with a valid proof.
func (w *world) holding(h *holder, token string, pairs ...string) func(*oauth.Call) {
	return func(c *oauth.Call) {
		c.Authorization = "DPoP " + token
		c.DPoP = []string{
			h.proof("GET", userinfoURL, w.now, append([]string{"ath", dpop.TokenHash(token)}, pairs...)...),
		}
	}
}

// RFC 9449 §5, §6, §7.1: from the proof to the bound token to its use.
func TestDPoPRFC9449(t *testing.T) {
	for _, format := range []string{oauth.FormatJWT, oauth.FormatOpaque} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			cl, h := w.client(public, func(c *client.Client) { c.TokenFormat = format }), newHolder(t)
			r, err := w.with(cl, w.proving(h), redemption(w.code(cl))...)
			testkit.Must(t, err)
			testkit.Equal(t, "token_type", r.TokenType, "DPoP")
			if format == oauth.FormatJWT {
				testkit.Equal(t, "jkt", claims(t, r.AccessToken)["cnf"].(map[string]any)["jkt"], any(h.jkt))
			}
			tok, err := w.access(r.AccessToken)
			testkit.Must(t, err)
			testkit.Equal(t, "binding", tok.Bound, "jkt:"+h.jkt)

			in, err := w.srv.Introspect(t.Context(), w.from(w.client(), "token", r.AccessToken))
			testkit.Must(t, err)
			testkit.Equal(t, "introspected type", in.TokenType, "DPoP")
			raw, err := json.Marshal(in)
			testkit.Must(t, err)
			if !strings.Contains(string(raw), `"cnf":{"jkt":"`+h.jkt+`"}`) {
				t.Errorf("introspection says %s", raw)
			}

			_, err = w.srv.UserInfo(t.Context(), w.at(w.holding(h, r.AccessToken)))
			testkit.Must(t, err)
			_, err = w.srv.TokenInfo(t.Context(), w.at(w.holding(h, r.AccessToken)))
			testkit.Must(t, err)
			e := wantError(t, second(w.srv.UserInfo(t.Context(), w.at(bearer(r.AccessToken)))), "invalid_token", 401)
			testkit.Equal(t, "challenge", e.Challenge, "DPoP")
		})
	}
}

func second[T any](_ T, err error) error { return err }

// Without a proof nothing changes.
func TestUnboundTokensRFC6750(t *testing.T) {
	w := newWorld(t)
	r := w.login(w.client())
	testkit.Equal(t, "token_type", r.TokenType, "Bearer")
	absent(t, claims(t, r.AccessToken), "cnf")
	_, err := w.srv.UserInfo(
		t.Context(),
		w.at(bearer(r.AccessToken), func(c *oauth.Call) { c.DPoP = []string{"not looked at"} }),
	)
	testkit.Must(t, err)
}

// RFC 9449 §4.3, §5: what is wrong with a proof costs the client nothing: the code still works.
func TestDPoPErrorsAtTheTokenEndpoint(t *testing.T) {
	w := newWorld(t)
	cl, h := w.client(public), newHolder(t)
	code := w.code(cl)
	for name, change := range map[string]func(*oauth.Call){
		"two headers": func(c *oauth.Call) {
			c.DPoP = []string{h.proof("POST", tokenURL, w.now), h.proof("POST", tokenURL, w.now)}
		},
		"garbage":         func(c *oauth.Call) { c.DPoP = []string{"x"} },
		"an empty header": func(c *oauth.Call) { c.DPoP = []string{""} },
		"another method":  func(c *oauth.Call) { c.DPoP = []string{h.proof("GET", tokenURL, w.now)} },
		"another address": func(c *oauth.Call) { c.DPoP = []string{h.proof("POST", "https://evil.example/oauth/token", w.now)} },
		"old":             func(c *oauth.Call) { c.DPoP = []string{h.proof("POST", tokenURL, w.now.Add(-2*time.Minute))} },
		"from the future": func(c *oauth.Call) { c.DPoP = []string{h.proof("POST", tokenURL, w.now.Add(2*time.Minute))} },
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, second(w.with(cl, change, redemption(code)...)), "invalid_dpop_proof", 400)
		})
	}
	testkit.Must(t, second(w.with(cl, w.proving(h), redemption(code)...)))
}

// RFC 9449 §11.1: of any number of requests with one proof, one gets a token; and the proof
// alone is used up, not what came with it.
func TestDPoPProofWorksOnce(t *testing.T) {
	w := newWorld(t)
	cl, h := w.client(), newHolder(t)
	proof := h.proof("POST", tokenURL, w.now)
	same := func(c *oauth.Call) { c.DPoP = []string{proof} }
	got := race(t, 16, func(int) error { return second(w.with(cl, same, "grant_type", "client_credentials")) })
	if got[""] != 1 || got["invalid_dpop_proof"] != 15 {
		t.Fatalf("%v", got)
	}
	code := w.code(cl)
	wantError(t, second(w.with(cl, same, redemption(code)...)), "invalid_dpop_proof", 400)
	testkit.Must(t, second(w.with(cl, w.proving(h), redemption(code)...)))
	other := newHolder(t) // the same jti by another key is another proof
	testkit.Must(t, second(w.with(cl, w.proving(other, "jti", "one"), "grant_type", "client_credentials")))
	testkit.Must(t, second(w.with(cl, w.proving(h, "jti", "one"), "grant_type", "client_credentials")))
}

// A request that gets no token leaves no entry: nobody fills the memory of proofs with refusals.
func TestRejectedRequestsDoNotConsumeTheirProof(t *testing.T) {
	w := newWorld(t)
	cl, h := w.client(), newHolder(t)
	proof := h.proof("POST", tokenURL, w.now)
	same := func(c *oauth.Call) { c.DPoP = []string{proof} }
	wantError(t, second(w.with(cl, same, "grant_type", "refresh_token", "refresh_token", "x")), "invalid_grant", 400)
	testkit.Must(t, second(w.with(cl, same, "grant_type", "client_credentials")))
}

// RFC 9449 §5: a public client's refresh token works with its key only, and who lacks the key
// can harm nobody with it.
func TestDPoPRefreshOfAPublicClient(t *testing.T) {
	w := newWorld(t)
	cl, h, thief := w.client(public), newHolder(t), newHolder(t)
	first, err := w.with(cl, w.proving(h), redemption(w.code(cl))...)
	testkit.Must(t, err)
	wantError(t, second(w.with(cl, w.proving(thief), refreshing(first.RefreshToken)...)), "invalid_grant", 400)
	wantError(t, second(w.with(cl, nothing, refreshing(first.RefreshToken)...)), "invalid_dpop_proof", 400)
	next, err := w.with(cl, w.proving(h), refreshing(first.RefreshToken)...)
	testkit.Must(t, err)
	testkit.Equal(t, "token_type", next.TokenType, "DPoP")
	testkit.Equal(t, "jkt", claims(t, next.AccessToken)["cnf"].(map[string]any)["jkt"], any(h.jkt))
	wantError(
		t, second(w.with(cl, w.proving(thief), refreshing(first.RefreshToken)...)), "invalid_grant",
		400,
	) // an old one: the family lives on
	testkit.Must(t, second(w.with(cl, w.proving(h), refreshing(next.RefreshToken)...)))
	wantError(
		t, second(w.with(cl, w.proving(h), refreshing(first.RefreshToken)...)), "invalid_grant",
		400,
	) // a replay with the key ends it
	w.wantRevoked(next.AccessToken)
}

// RFC 9449 §5: a confidential client proves itself, and may take a new key.
func TestDPoPRefreshOfAConfidentialClient(t *testing.T) {
	w := newWorld(t)
	cl, h, newer := w.client(), newHolder(t), newHolder(t)
	first, err := w.with(cl, w.proving(h), redemption(w.code(cl))...)
	testkit.Must(t, err)
	next, err := w.with(cl, w.proving(newer), refreshing(first.RefreshToken)...)
	testkit.Must(t, err)
	testkit.Equal(t, "jkt", claims(t, next.AccessToken)["cnf"].(map[string]any)["jkt"], any(newer.jkt))
	last, err := w.with(cl, nothing, refreshing(next.RefreshToken)...)
	testkit.Must(t, err)
	testkit.Equal(t, "token_type", last.TokenType, "Bearer")
}

// RFC 9449 §5.2: dpop_bound_access_tokens.
func TestDPoPBoundClient(t *testing.T) {
	w := newWorld(t)
	cl, h := w.client(func(c *client.Client) { c.DPoPBound = true }), newHolder(t)
	code := w.code(cl)
	wantError(t, second(w.redeem(cl, code)), "invalid_dpop_proof", 400)
	r, err := w.with(cl, w.proving(h), redemption(code)...)
	testkit.Must(t, err)
	wantError(t, second(w.refresh(cl, r.RefreshToken)), "invalid_dpop_proof", 400)
	testkit.Must(t, second(w.with(cl, w.proving(h), refreshing(r.RefreshToken)...)))
}

// RFC 9449 §10: the authorization request says which key will redeem its code.
func TestDPoPAuthorizationCodeBinding(t *testing.T) {
	w := newWorld(t)
	h, other := newHolder(t), newHolder(t)
	for name, cl := range map[string]*client.Client{"public": w.client(public), "confidential": w.client()} {
		t.Run(name, func(t *testing.T) {
			testkit.Must(t, second(w.with(cl, w.proving(h), redemption(w.code(cl, "dpop_jkt", h.jkt))...)))
			code := w.code(cl, "dpop_jkt", h.jkt)
			wantError(t, second(w.with(cl, w.proving(other), redemption(code)...)), "invalid_grant", 400)
			wantError(
				t, second(w.with(cl, w.proving(h), redemption(code)...)), "invalid_grant", 400,
			) // it was shown to the wrong hands
			wantError(
				t, second(w.with(cl, nothing, redemption(w.code(cl, "dpop_jkt", h.jkt))...)),
				"invalid_dpop_proof", 400,
			)
		})
	}
	for _, bad := range []string{"x", h.jkt + "=", h.jkt[:42], strings.Repeat("A", 44), "jkt:" + h.jkt} {
		st, err := w.srv.Authorize(t.Context(), w.authorizationRequest(w.client(), "dpop_jkt", bad))
		wantReply(t, st, err, "invalid_request")
	}
	confidential := w.client()
	r, err := w.with(confidential, w.proving(h), redemption(w.code(confidential, "dpop_jkt", h.jkt))...)
	testkit.Must(t, err)
	testkit.Must(t, second(w.with(confidential, w.proving(other), refreshing(r.RefreshToken)...))) // the code was bound, the refresh token is not
}

// RFC 9449 §8, §9.
func TestDPoPNonce(t *testing.T) {
	w := newWorld(t, func(c *oauth.Config) { c.DPoPNonce = true })
	cl, h := w.client(), newHolder(t)
	machine := []string{"grant_type", "client_credentials"}
	nonce := w.srv.Nonce(w.now)
	for name, wrong := range map[string][]string{"none": nil, "empty": {"nonce", ""}, "made up": {"nonce", nonce[1:] + "A"}} {
		t.Run(name, func(t *testing.T) {
			wantError(t, second(w.with(cl, w.proving(h, wrong...), machine...)), "use_dpop_nonce", 400)
		})
	}
	testkit.Must(t, second(w.with(cl, w.proving(h, "nonce", nonce), machine...)))
	r, err := w.with(cl, w.proving(h, "nonce", nonce), redemption(w.code(cl))...)
	testkit.Must(t, err)
	e := wantError(t, second(w.srv.UserInfo(t.Context(), w.at(w.holding(h, r.AccessToken)))), "use_dpop_nonce", 401)
	testkit.Equal(t, "challenge", e.Challenge, "DPoP")
	_, err = w.srv.UserInfo(t.Context(), w.at(w.holding(h, r.AccessToken, "nonce", nonce)))
	testkit.Must(t, err)
	testkit.Must(t, second(w.token(cl, machine...))) // without a proof there is no nonce to ask for

	w.advance(2 * time.Minute)
	if w.srv.Nonce(w.now) == nonce {
		t.Error("the nonce does not change")
	}
	testkit.Must(t, second(w.with(cl, w.proving(h, "nonce", nonce), machine...))) // the last one still counts
	testkit.Must(t, second(w.with(cl, w.proving(h, "nonce", w.srv.Nonce(w.now.Add(2*time.Minute))), machine...)))
	w.advance(2 * time.Minute)
	wantError(t, second(w.with(cl, w.proving(h, "nonce", nonce), machine...)), "use_dpop_nonce", 400)
	if n := newWorld(t).srv.Nonce(w.now); n != "" {
		t.Errorf("nonce %q where none is asked for", n)
	}
	theirs := worldWithKey(t)
	theirs.restart(oauth.Config{Issuer: issuer, DPoPNonce: true})
	if theirs.srv.Nonce(w.now) == w.srv.Nonce(w.now) {
		t.Error("the nonce does not depend on the server's key")
	}
}

func certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}}
	raw, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	testkit.Must(t, err)
	c, err := x509.ParseCertificate(raw)
	testkit.Must(t, err)
	return c
}

func over(cert *x509.Certificate) func(*oauth.Call) { return func(c *oauth.Call) { c.Cert = cert } }

// RFC 8705 §3: tokens of a client that is set so are bound to its certificate, and used as
// Bearer.
func TestCertificateBoundRFC8705s3(t *testing.T) {
	w := newWorld(t)
	cl, cert, other := w.client(func(c *client.Client) { c.CertBound = true }), certificate(t), certificate(t)
	code := w.code(cl)
	wantError(t, second(w.redeem(cl, code)), "invalid_request", 400)
	wantError(t, second(w.with(cl, func(c *oauth.Call) { over(cert)(c); w.proving(newHolder(t))(c) }, redemption(code)...)), "invalid_request", 400)
	r, err := w.with(cl, over(cert), redemption(code)...)
	testkit.Must(t, err)
	testkit.Equal(t, "token_type", r.TokenType, "Bearer")
	sum := sha256.Sum256(cert.Raw)
	testkit.Equal(
		t, "x5t#S256", claims(t, r.AccessToken)["cnf"].(map[string]any)["x5t#S256"],
		any(base64.RawURLEncoding.EncodeToString(sum[:])),
	)

	_, err = w.srv.UserInfo(t.Context(), w.at(bearer(r.AccessToken), over(cert)))
	testkit.Must(t, err)
	for name, change := range map[string]func(*oauth.Call){"none": nothing, "another": over(other)} {
		e := wantError(
			t, second(w.srv.UserInfo(t.Context(), w.at(bearer(r.AccessToken), change))),
			"invalid_token", 401,
		)
		testkit.Equal(t, "challenge with certificate "+name, e.Challenge, "Bearer")
	}
	wantError(t, second(w.srv.UserInfo(t.Context(), w.at(w.holding(newHolder(t), r.AccessToken), over(cert)))), "invalid_token", 401)

	testkit.Must(t, second(w.with(cl, over(other), refreshing(r.RefreshToken)...))) // a confidential client may renew its certificate (§6.3)
	both := w.client(func(c *client.Client) { c.CertBound, c.DPoPBound = true, true })
	wantError(t, second(w.with(both, over(cert), "grant_type", "client_credentials")), "invalid_request", 400)
	plain, err := w.with(w.client(), over(cert), "grant_type", "client_credentials")
	testkit.Must(t, err)
	absent(t, claims(t, plain.AccessToken), "cnf")
}

// RFC 8705 §4: refresh tokens of public clients are bound to the certificate.
func TestCertificateBoundRefreshRFC8705s4(t *testing.T) {
	w := newWorld(t)
	cl, cert := w.client(public, func(c *client.Client) { c.CertBound = true }), certificate(t)
	r, err := w.with(cl, over(cert), redemption(w.code(cl))...)
	testkit.Must(t, err)
	wantError(t, second(w.with(cl, over(certificate(t)), refreshing(r.RefreshToken)...)), "invalid_grant", 400)
	testkit.Must(t, second(w.with(cl, over(cert), refreshing(r.RefreshToken)...)))
}

// RFC 9449 §7.1, §7.2, RFC 8705 §3: everything that can be wrong with how a token is presented
// to a resource.
func TestBoundAtAResource(t *testing.T) {
	w := newWorld(t)
	h, other, cert := newHolder(t), newHolder(t), certificate(t)
	const api = "https://api.example/things"
	sum := sha256.Sum256(cert.Raw)
	unbound, keyed, certed := &oauth.AccessToken{}, &oauth.AccessToken{
		Bound: "jkt:" + h.jkt,
	}, &oauth.AccessToken{
		Bound: "x5t:" + base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	by := func(h *holder, pairs ...string) []string {
		return []string{h.proof("GET", api, w.now, append([]string{"ath", dpop.TokenHash("token")}, pairs...)...)}
	}
	for name, c := range map[string]struct {
		t         *oauth.AccessToken
		p         token.Presentation
		code      string // "": it may pass
		challenge string
	}{
		"unbound as Bearer":                {unbound, token.Presentation{Scheme: "bearer"}, "", ""},
		"unbound as DPoP":                  {unbound, token.Presentation{Scheme: "DPoP", Proofs: by(h)}, "invalid_token", "DPoP"},
		"bound to a key":                   {keyed, token.Presentation{Scheme: "dpop", Proofs: by(h)}, "", ""},
		"bound to a key, as Bearer":        {keyed, token.Presentation{Scheme: "Bearer", Proofs: by(h)}, "invalid_token", "DPoP"},
		"without a proof":                  {keyed, token.Presentation{Scheme: "DPoP"}, "invalid_dpop_proof", "DPoP"},
		"with two proofs":                  {keyed, token.Presentation{Scheme: "DPoP", Proofs: append(by(h), by(h)...)}, "invalid_dpop_proof", "DPoP"},
		"with another key's proof":         {keyed, token.Presentation{Scheme: "DPoP", Proofs: by(other)}, "invalid_token", "DPoP"},
		"with another request's proof":     {keyed, token.Presentation{Scheme: "DPoP", Proofs: by(h, "htm", "POST")}, "invalid_dpop_proof", "DPoP"},
		"with another address's proof":     {keyed, token.Presentation{Scheme: "DPoP", Proofs: by(h, "htu", api+"/1")}, "invalid_dpop_proof", "DPoP"},
		"with another token's proof":       {keyed, token.Presentation{Scheme: "DPoP", Proofs: by(h, "ath", dpop.TokenHash("other"))}, "invalid_dpop_proof", "DPoP"},
		"with a token endpoint's proof":    {keyed, token.Presentation{Scheme: "DPoP", Proofs: by(h, "ath", "")}, "invalid_dpop_proof", "DPoP"},
		"bound to a certificate":           {certed, token.Presentation{Scheme: "Bearer", Cert: cert}, "", ""},
		"without the certificate":          {certed, token.Presentation{Scheme: "Bearer"}, "invalid_token", "Bearer"},
		"with another certificate":         {certed, token.Presentation{Scheme: "Bearer", Cert: certificate(t)}, "invalid_token", "Bearer"},
		"with a proof for the certificate": {certed, token.Presentation{Scheme: "DPoP", Cert: cert, Proofs: by(h)}, "invalid_token", "DPoP"},
	} {
		t.Run(name, func(t *testing.T) {
			c.p.Token, c.p.Method, c.p.URL, c.p.Now = "token", "GET", api, w.now
			proof, err := w.srv.VerifyBinding(c.t, &c.p)
			if c.code != "" {
				e := wantError(t, err, c.code, 401)
				testkit.Equal(t, "challenge", e.Challenge, c.challenge)
				return
			}
			testkit.Must(t, err)
			testkit.Equal(t, "proof given", proof != nil, c.t == keyed)
		})
	}
}

// RFC 9449 §11.1 at our own resources.
func TestDPoPProofWorksOnceAtAResource(t *testing.T) {
	w := newWorld(t)
	cl, h := w.client(), newHolder(t)
	r, err := w.with(cl, w.proving(h), redemption(w.code(cl))...)
	testkit.Must(t, err)
	present := w.holding(h, r.AccessToken, "jti", "the same")
	got := race(t, 8, func(int) error { return second(w.srv.UserInfo(t.Context(), w.at(present))) })
	if got[""] != 1 || got["invalid_dpop_proof"] != 7 {
		t.Fatalf("%v", got)
	}
	testkit.Must(t, second(w.srv.UserInfo(t.Context(), w.at(w.holding(h, r.AccessToken)))))
	testkit.Must(t, w.srv.CheckReplay(t.Context(), nil, w.now))
}

// A token whose user consented in a browser keeps nothing of the key in the address that the
// browser saw but its thumbprint.
func TestDPoPThumbprintSurvivesTheFlow(t *testing.T) {
	w := newWorld(t)
	h := newHolder(t)
	cl := w.client(public, func(c *client.Client) { c.FirstParty = false })
	code := w.code(cl, "dpop_jkt", h.jkt) // by way of the consent page
	wantError(t, second(w.with(cl, w.proving(newHolder(t)), redemption(code)...)), "invalid_grant", 400)
	q := url.Values{"dpop_jkt": {h.jkt}}
	c := w.authorizationRequest(cl, "dpop_jkt", h.jkt)
	c.Session = nil
	st, err := w.srv.Authorize(t.Context(), c)
	testkit.Must(t, err)
	if !strings.Contains(st.Login.Query, q.Encode()) {
		t.Fatalf("the flow is %s", st.Login.Query)
	}
}
