// Package bearertest is for tests: of APIs that use bearer, an issuer of tokens in the same process; of caches, the suite that each must pass.
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

// The client that an Issuer lets introspect and follow revocations.
const (
	ClientID     = "api"
	ClientSecret = "the secret of a test"
)

// Claims of a token. A nil value takes a claim away that would otherwise be there.
type Claims map[string]any

// Issuer is an authorization server with nothing but what an API sees of one: discovery, keys, introspection and revocations.
type Issuer struct {
	URL string // its name

	t      testing.TB
	server *httptest.Server

	mu     sync.Mutex
	keys   []signer // the newest last
	opaque map[string]Claims
	log    []string // revocations
	asked  map[string]int
	down   bool
	silent bool
	made   int
}

type signer struct {
	id  string
	key *ecdsa.PrivateKey
}

// NewIssuer starts an issuer that ends with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t, opaque: map[string]Claims{}, asked: map[string]int{}}
	i.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /jwks", i.jwks)
	mux.HandleFunc("POST /introspect", i.introspect)
	mux.HandleFunc("GET /oauth/revocations", i.revocations)
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.asked[r.URL.Path]++
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

// Rotate signs with a new key from now on. The old ones stay published until Forget.
func (i *Issuer) Rotate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	i.keys = append(i.keys, signer{fmt.Sprintf("key-%d", i.made), key})
}

// Forget takes all keys but the newest out of publication.
func (i *Issuer) Forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[len(i.keys)-1:]
}

// Down makes the issuer answer everything with 503, or no longer.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	i.down = down
	i.mu.Unlock()
	i.server.CloseClientConnections()
}

// Silence ends the stream of revocations and answers it no more, or again.
func (i *Issuer) Silence(silent bool) {
	i.mu.Lock()
	i.silent = silent
	i.mu.Unlock()
	i.server.CloseClientConnections()
}

// Asked is how often a path has been asked for.
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// Token gives an access token (RFC 9068) of the user ada with an hour to live, and with what is in claims.
func (i *Issuer) Token(claims Claims) string {
	return i.Sign("at+jwt", i.complete(claims))
}

// complete fills in what an access token must have.
func (i *Issuer) complete(claims Claims) Claims {
	i.mu.Lock()
	i.made++
	id := fmt.Sprintf("token-%d", i.made)
	i.mu.Unlock()
	now := time.Now()
	out := Claims{
		"iss": i.URL, "sub": "ada", "client_id": "app", "aud": "https://api.example.com", "jti": id, "gid": "grant-of-" + id,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(out, claims)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// Sign signs any claims as a token of a type, with the newest key.
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

// Opaque gives a token that only introspection can tell about.
func (i *Issuer) Opaque(claims Claims) string {
	all := i.complete(claims)
	all["active"] = true
	token := "opaque-" + rand.Text()
	i.Answer(token, all)
	return token
}

// Answer sets what introspection says of a token, nil that it is not active.
func (i *Issuer) Answer(token string, claims Claims) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.opaque[token] = claims
}

// Revoke tells the followers of the feed: kind is token, grant or session and id the claim jti, gid or sid.
func (i *Issuer) Revoke(kind, id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seq := len(i.log) + 1
	i.log = append(i.log, fmt.Sprintf("event: revocation\nid: %d\ndata: {\"seq\":%d,\"kind\":%q,\"id\":%q,\"exp\":%d}\n\n",
		seq, seq, kind, id, time.Now().Add(2*time.Hour).Unix()))
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "introspection_endpoint": i.URL + "/introspect"})
}

func (i *Issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set gojose.JSONWebKeySet
	for _, s := range i.keys {
		set.Keys = append(set.Keys, gojose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Algorithm: "ES256", Use: "sig"})
	}
	answer(w, set)
}

func (i *Issuer) introspect(w http.ResponseWriter, r *http.Request) {
	if !i.knows(r) {
		http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		return
	}
	i.mu.Lock()
	claims := i.opaque[r.PostFormValue("token")]
	i.mu.Unlock()
	if claims == nil {
		claims = Claims{"active": false}
	}
	answer(w, claims)
}

func (i *Issuer) knows(r *http.Request) bool {
	id, secret, _ := r.BasicAuth()
	return id == ClientID && strings.ReplaceAll(secret, "+", " ") == ClientSecret
}

// revocations streams the log, with a beat when there is no more.
func (i *Issuer) revocations(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	silent := i.silent
	i.mu.Unlock()
	if silent || !i.knows(r) {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for told := 0; r.Context().Err() == nil; {
		i.mu.Lock()
		news := i.log[told:]
		told = len(i.log)
		i.mu.Unlock()
		for _, one := range news {
			fmt.Fprint(w, one)
		}
		fmt.Fprintf(w, "event: beat\ndata: {\"seq\":%d}\n\n", told)
		w.(http.Flusher).Flush()
		select {
		case <-time.After(10 * time.Millisecond):
		case <-r.Context().Done():
		}
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// Holder holds a key that tokens can be bound to (RFC 9449).
type Holder struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

// NewHolder makes a key.
func NewHolder(t testing.TB) *Holder {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Holder{t, key}
}

// Confirmation is the claim cnf of a token that is bound to the key.
func (h *Holder) Confirmation() map[string]string {
	sum, err := (&gojose.JSONWebKey{Key: h.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		h.t.Fatal(err)
	}
	return map[string]string{"jkt": base64.RawURLEncoding.EncodeToString(sum)}
}

// Proof is one for a request with a token. Claims add to what it says, or replace it.
func (h *Holder) Proof(method, url, token string, claims Claims) string {
	all := Claims{
		"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": dpop.TokenHash(token),
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
