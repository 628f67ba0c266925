package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// prover returns a function that signs DPoP proofs with one key. Pairs add claims or replace them
// (RFC 9449 §4.2).
func (s *site) prover() func(method, url string, pairs ...string) string {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testkit.Must(s.t, err)
	signer, err := gojose.NewSigner(
		gojose.SigningKey{Algorithm: gojose.ES256, Key: key},
		(&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"),
	)
	testkit.Must(s.t, err)
	return func(method, url string, pairs ...string) string {
		s.t.Helper()
		say := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": s.now.Unix()}
		for i := 0; i+1 < len(pairs); i += 2 {
			say[pairs[i]] = pairs[i+1]
		}
		raw, err := json.Marshal(say)
		testkit.Must(s.t, err)
		jws, err := signer.Sign(raw)
		testkit.Must(s.t, err)
		out, err := jws.CompactSerialize()
		testkit.Must(s.t, err)
		return out
	}
}

const machineGrant = "grant_type=client_credentials"

// RFC 9449 §5, §7.1 over HTTP: the proof names the address that the client used, which may be an
// older one.
func TestDPoPOverHTTP(t *testing.T) {
	s := newSite(t)
	prove, auth := s.prover(), basic("app", testSecret)
	for _, path := range []string{"/oauth/token", "/api/v1/token"} {
		m := object(t, s.do("POST", path, formType, machineGrant, "Authorization", auth, "DPoP", prove("POST", issuer+path)))
		if m["token_type"] != "DPoP" {
			t.Fatalf("%s: %v", path, m)
		}
		failed(t, s.do("POST", path, formType, machineGrant, "Authorization", auth, "DPoP", prove("POST", "http://example.com"+path)), 400, "invalid_dpop_proof")
	}
	proof := prove("POST", issuer+"/oauth/token")
	w := s.do("POST", "/oauth/token", formType, machineGrant, "Authorization", auth, "DPoP", proof, "DPoP", prove("POST", issuer+"/oauth/token"))
	if m := failed(t, w, 400, "invalid_dpop_proof"); !strings.Contains(m["error_description"].(string), "more than one") {
		t.Errorf("%v", m)
	}
	token := object(t, s.do("POST", "/oauth/token", formType, machineGrant, "Authorization", auth, "DPoP", proof))["access_token"].(string)
	if w := s.do("POST", "/oauth/token", formType, machineGrant, "Authorization", auth, "DPoP", proof); w.Header().Get("DPoP-Nonce") != "" {
		t.Error("a nonce is given where none is asked for")
	} else {
		failed(t, w, 400, "invalid_dpop_proof")
	}

	at := issuer + "/oauth/tokeninfo"
	w = s.do(
		"GET", "/oauth/tokeninfo?x=y", "", "", "Authorization", "DPoP "+token, "DPoP",
		prove("GET", at, "ath", dpop.TokenHash(token)),
	)
	if w.Code != 200 || object(t, w)["active"] != true {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	// The revocation feed accepts such a token as well, with a proof of its own.
	failed(t, s.do("GET", "/oauth/revocations", "", "", "Authorization", "DPoP "+token, "DPoP", prove("GET", at, "ath", dpop.TokenHash(token))), 401, "invalid_dpop_proof")
}

// RFC 9449 §7.1: an error of a DPoP request comes with a DPoP challenge.
func TestDPoPChallenges(t *testing.T) {
	s := newSite(t)
	prove := s.prover()
	token := object(t, s.do("POST", "/oauth/token", formType, machineGrant, "Authorization", basic("app", testSecret), "DPoP", prove("POST", issuer+"/oauth/token")))["access_token"].(string)
	proof := func() string { return prove("GET", issuer+"/oauth/userinfo", "ath", dpop.TokenHash(token)) }
	head := `DPoP realm="` + issuer + `", algs="` + strings.Join(dpop.Algorithms(), " ") + `", error=`
	for name, c := range map[string]struct {
		authorization, proof string
		code                 int
		error                string
	}{
		"as Bearer":       {"Bearer " + token, "", 401, "invalid_token"},
		"without a proof": {"DPoP " + token, "", 401, "invalid_dpop_proof"},
		"garbage":         {"DPoP x", proof(), 401, "invalid_token"},
		"bad proof":       {"DPoP " + token, "x", 401, "invalid_dpop_proof"},
		"scope":           {"DPoP " + token, proof(), 403, "insufficient_scope"},
	} {
		heads := []string{"Authorization", c.authorization}
		if c.proof != "" {
			heads = append(heads, "DPoP", c.proof)
		}
		w := s.do("GET", "/oauth/userinfo", "", "", heads...)
		failed(t, w, c.code, c.error)
		if got := w.Header().Values("WWW-Authenticate"); len(got) != 1 ||
			!strings.HasPrefix(got[0], head+`"`+c.error+`"`) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// RFC 9449 §8: the client learns the nonce from the error, and the next one from every response;
// scripts may read it.
func TestDPoPNonceOverHTTP(t *testing.T) {
	s := newSite(t, func(c *oauth.Config) { c.DPoPNonce = true })
	prove, auth := s.prover(), basic("app", testSecret)
	w := s.do(
		"POST", "/oauth/token", formType, machineGrant, "Authorization", auth, "DPoP",
		prove("POST", issuer+"/oauth/token"),
	)
	failed(t, w, 400, "use_dpop_nonce")
	nonce := w.Header().Get("DPoP-Nonce")
	if nonce == "" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Fatalf("%v", w.Header())
	}
	w = s.do(
		"POST", "/oauth/token", formType, machineGrant, "Authorization", auth, "DPoP",
		prove("POST", issuer+"/oauth/token", "nonce", nonce),
	)
	token := object(t, w)["access_token"].(string)
	if w.Header().Get("DPoP-Nonce") != nonce {
		t.Errorf("%v", w.Header())
	}
	for _, path := range []string{"/oauth/userinfo", "/oauth/revocations"} {
		w = s.do(
			"GET", path, "", "", "Authorization", "DPoP "+token, "DPoP",
			prove("GET", issuer+path, "ath", dpop.TokenHash(token)),
		)
		failed(t, w, 401, "use_dpop_nonce")
		if w.Header().Get("DPoP-Nonce") != nonce {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	if w := s.do("POST", "/oauth/token", formType, machineGrant, "Authorization", auth); w.Code != 200 ||
		w.Header().Get("DPoP-Nonce") != "" {
		t.Errorf("without DPoP: %d %v", w.Code, w.Header())
	}
}
