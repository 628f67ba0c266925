// Package bearertest helps to test APIs that use package bearer, with an issuer of tokens in the
// same process, and implementations of its caches, with a suite that each must pass.
package bearertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
)

// Credentials of the client that may introspect tokens and follow revocations at an [Issuer].
const (
	ClientID     = "api"
	ClientSecret = "the secret of a test"
)

// Claims are the claims of a token. A nil value removes a claim that is set by default.
type Claims map[string]any

// An Issuer is the part of an authorization server that an API uses: discovery, keys, introspection
// and the revocation feed.
type Issuer struct {
	URL string // its issuer identifier

	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	keys     []signer // the newest last
	opaque   map[string]Claims
	log      []string // revocations
	requests map[string]int
	down     bool
	silent   bool
	count    int
}

type signer struct {
	id  string
	key *ecdsa.PrivateKey
}

// NewIssuer starts an issuer. It stops when the test ends.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t, opaque: map[string]Claims{}, requests: map[string]int{}}
	i.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /jwks", i.jwks)
	mux.HandleFunc("POST /introspect", i.introspect)
	mux.HandleFunc("GET /oauth/revocations", i.revocations)
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.requests[r.URL.Path]++
		down := i.down
		i.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	i.URL = i.server.URL
	t.Cleanup(func() {
		i.server.CloseClientConnections()
		i.server.Close()
	})
	return i
}

// Rotate makes the issuer sign with a new key. The old keys stay published until Forget.
func (i *Issuer) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	i.keys = append(i.keys, signer{fmt.Sprintf("key-%d", i.count), key})
}

// Forget publishes only the newest key.
func (i *Issuer) Forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[len(i.keys)-1:]
}

// Down makes the issuer respond 503 to every request, or ends that.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	i.down = down
	i.mu.Unlock()
	i.server.CloseClientConnections()
}

// Silence makes the revocation feed fail, or ends that.
func (i *Issuer) Silence(silent bool) {
	i.mu.Lock()
	i.silent = silent
	i.mu.Unlock()
	i.server.CloseClientConnections()
}

// Requests returns how many requests a path has received.
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// Token returns an access token (RFC 9068) of the user ada that is valid for an hour. The claims
// are added to the default ones, or replace them.
func (i *Issuer) Token(claims Claims) string {
	return i.Sign("at+jwt", i.complete(claims))
}

// complete adds the default claims.
func (i *Issuer) complete(claims Claims) Claims {
	i.mu.Lock()
	i.count++
	id := fmt.Sprintf("token-%d", i.count)
	i.mu.Unlock()
	now := time.Now()
	out := Claims{
		"iss":       i.URL,
		"sub":       "ada",
		"client_id": "app",
		"aud":       "https://api.example.com",
		"jti":       id,
		"gid":       "grant-of-" + id,
		"iat":       now.Unix(),
		"exp":       now.Add(time.Hour).Unix(),
	}
	maps.Copy(out, claims)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// Sign returns a JWT with the claims and the header typ, signed with the newest key.
func (i *Issuer) Sign(typ string, claims Claims) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	s := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	return s.sign(i.t, typ, payload)
}

func (s signer) sign(t testing.TB, typ string, payload []byte) string {
	o := &gojose.SignerOptions{}
	if typ != "" {
		o = o.WithType(gojose.ContentType(typ))
	}
	with, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: gojose.JSONWebKey{Key: s.key, KeyID: s.id}}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := with.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Opaque returns a token that can be checked only by introspection.
func (i *Issuer) Opaque(claims Claims) string {
	all := i.complete(claims)
	all["active"] = true
	token := "opaque-" + rand.Text()
	i.Answer(token, all)
	return token
}

// Answer sets the introspection response for a token; nil means that it is not active.
func (i *Issuer) Answer(token string, claims Claims) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.opaque[token] = claims
}

// Revoke adds a revocation to the feed. Kind is token, grant or session, and id is the value of the
// claim jti, gid or sid.
func (i *Issuer) Revoke(kind, id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seq := len(i.log) + 1
	i.log = append(i.log, fmt.Sprintf("event: revocation\nid: %d\ndata: {\"seq\":%d,\"kind\":%q,\"id\":%q,\"exp\":%d}\n\n",
		seq, seq, kind, id, time.Now().Add(2*time.Hour).Unix()))
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	respond(w, map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "introspection_endpoint": i.URL + "/introspect"})
}

func (i *Issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set gojose.JSONWebKeySet
	for _, s := range i.keys {
		set.Keys = append(set.Keys, gojose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Algorithm: "ES256", Use: "sig"})
	}
	respond(w, set)
}

func (i *Issuer) introspect(w http.ResponseWriter, r *http.Request) {
	if !i.authenticates(r) {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	i.mu.Lock()
	claims := i.opaque[r.PostFormValue("token")]
	i.mu.Unlock()
	if claims == nil {
		claims = Claims{"active": false}
	}
	respond(w, claims)
}

func (i *Issuer) authenticates(r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	return id == ClientID && strings.ReplaceAll(secret, "+", " ") == ClientSecret
}

// revocations streams the log, with a beat after the last entry.
func (i *Issuer) revocations(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	silent := i.silent
	i.mu.Unlock()
	if silent || !i.authenticates(r) {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for sent := 0; r.Context().Err() == nil; {
		i.mu.Lock()
		news := i.log[sent:]
		sent = len(i.log)
		i.mu.Unlock()
		for _, one := range news {
			fmt.Fprint(w, one)
		}
		fmt.Fprintf(w, "event: beat\ndata: {\"seq\":%d}\n\n", sent)
		w.(http.Flusher).Flush()
		select {
		case <-time.After(10 * time.Millisecond):
		case <-r.Context().Done():
		}
	}
}

func respond(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// A Holder has a key that tokens can be bound to (RFC 9449).
type Holder struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

// NewHolder returns a Holder of a new key.
func NewHolder(t testing.TB) *Holder {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Holder{t, key}
}

// Confirmation returns the claim cnf of a token that is bound to the key.
func (h *Holder) Confirmation() map[string]string {
	sum, err := (&gojose.JSONWebKey{Key: h.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		h.t.Fatal(err)
	}
	return map[string]string{"jkt": base64.RawURLEncoding.EncodeToString(sum)}
}

// Proof returns a DPoP proof for a request with a token. The claims are added to the default ones,
// or replace them.
func (h *Holder) Proof(method, url, token string, claims Claims) string {
	all := Claims{
		"jti": rand.Text(),
		"htm": method,
		"htu": url,
		"iat": time.Now().Unix(),
		"ath": dpop.TokenHash(token),
	}
	maps.Copy(all, claims)
	payload, err := json.Marshal(all)
	if err != nil {
		h.t.Fatal(err)
	}
	o := (&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	with, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: h.key}, o)
	if err != nil {
		h.t.Fatal(err)
	}
	jws, err := with.Sign(payload)
	if err != nil {
		h.t.Fatal(err)
	}
	proof, err := jws.CompactSerialize()
	if err != nil {
		h.t.Fatal(err)
	}
	return proof
}
