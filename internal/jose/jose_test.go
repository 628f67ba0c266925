package jose_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// memoryStore is a key store in memory.
type memoryStore struct {
	mu   sync.Mutex
	keys []jose.StoredKey
	made int
	err  error
}

func (s *memoryStore) Keys(context.Context) ([]jose.StoredKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]jose.StoredKey(nil), s.keys...), s.err
}

func (s *memoryStore) FirstKey(_ context.Context, k jose.StoredKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.keys {
		if have.Alg == k.Alg && have.RetiredAt.IsZero() {
			return fault.New(fault.Conflict, "there is one")
		}
	}
	s.made++
	s.keys = append(s.keys, k)
	return nil
}

var now = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

func master(t testing.TB, text string) *secret.Keys {
	t.Helper()
	k, err := secret.NewKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const masterText = "a master key of at least 32 bytes"

func newRing(t testing.TB, st jose.Store) *jose.Ring {
	t.Helper()
	return jose.NewRing(st, master(t, masterText))
}

func sign(t testing.TB, r *jose.Ring, alg, typ, payload string, at time.Time) string {
	t.Helper()
	token, err := r.Sign(context.Background(), alg, typ, []byte(payload), at)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func published(t testing.TB, r *jose.Ring, at time.Time) *gojose.JSONWebKeySet {
	t.Helper()
	doc, err := r.JWKS(at)
	if err != nil {
		t.Fatal(err)
	}
	var set gojose.JSONWebKeySet
	if err := json.Unmarshal(doc, &set); err != nil {
		t.Fatal(err)
	}
	return &set
}

// go-jose verifies our tokens with the published keys, and so do we.
func TestSignAndVerify(t *testing.T) {
	r := newRing(t, &memoryStore{})
	const payload = `{"sub":"ada","n":1}`
	for _, alg := range jose.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			token := sign(t, r, alg, "at+jwt", payload, now)
			jws, err := gojose.ParseSignedCompact(token, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			h := jws.Signatures[0].Protected
			keys := published(t, r, now).Key(h.KeyID)
			if len(keys) != 1 || keys[0].Algorithm != alg || keys[0].Use != "sig" || !keys[0].IsPublic() {
				t.Fatalf("published %+v", keys)
			}
			got, err := jws.Verify(keys[0])
			if err != nil || string(got) != payload {
				t.Fatalf("go-jose says %q %v", got, err)
			}
			if h.ExtraHeaders["typ"] != "at+jwt" {
				t.Fatalf("typ %v", h.ExtraHeaders)
			}
			got, err = r.Verify(token, "at+jwt")
			if err != nil || string(got) != payload {
				t.Fatalf("we say %q %v", got, err)
			}
			print, err := keys[0].Thumbprint(crypto.SHA256) // RFC 7638
			if err != nil || base64.RawURLEncoding.EncodeToString(print) != h.KeyID {
				t.Fatalf("kid %s is not the thumbprint", h.KeyID)
			}
		})
	}
	t.Run("no typ", func(t *testing.T) {
		token := sign(t, r, jose.EdDSA, "", payload, now)
		if _, err := r.Verify(token, ""); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an algorithm that we do not sign with", func(t *testing.T) {
		for _, alg := range []string{"HS256", "none", "RS512", ""} {
			if _, err := r.Sign(t.Context(), alg, "", []byte("{}"), now); !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", alg, err)
			}
		}
	})
}

// Another last character of the signature does not make another spelling of the same token
// (RFC 4648 §3.5).
func TestOneSpelling(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := jose.NewRing(&memoryStore{}, master(t, "a master key of at least 32 bytes"))
	for _, alg := range jose.Algorithms() {
		token, err := r.Sign(t.Context(), alg, "JWT", []byte(`{"a":1}`), now)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := r.JWKS(now)
		if err != nil {
			t.Fatal(err)
		}
		set, err := jose.ParseKeySet(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range alphabet {
			altered := token[:len(token)-1] + string(c)
			want := altered == token
			_, ringErr := r.Verify(altered, "JWT")
			_, _, setErr := set.Verify(altered, []string{alg})
			if (ringErr == nil) != want || (setErr == nil) != want {
				t.Errorf("%s with %c: %v %v", alg, c, ringErr, setErr)
			}
		}
	}
}

// RFC 7638 §3.1.
func TestThumbprintVector(t *testing.T) {
	const doc = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	var k gojose.JSONWebKey
	if err := json.Unmarshal([]byte(doc), &k); err != nil {
		t.Fatal(err)
	}
	print, err := k.Thumbprint(crypto.SHA256)
	if err != nil || base64.RawURLEncoding.EncodeToString(print) != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Fatalf("%x %v", print, err)
	}
}

// OpenID Connect Core §3.1.3.6: half of the digest that belongs to the algorithm.
func TestAccessHash(t *testing.T) {
	sum := sha256.Sum256([]byte("dNZX1hEZ9wBCzNL40Upu646bdzQA"))
	want := base64.RawURLEncoding.EncodeToString(sum[:16])
	for _, alg := range []string{jose.RS256, jose.PS256, jose.ES256} {
		if got := jose.AccessHash(alg, "dNZX1hEZ9wBCzNL40Upu646bdzQA"); got != want || got != "wfgvmE9VxjAudsl9lc6TqA" {
			t.Errorf("%s: %s", alg, got)
		}
	}
	if got := jose.AccessHash(jose.EdDSA, "x"); len(got) != 43 { // half of SHA-512
		t.Errorf("EdDSA: %s", got)
	}
}

func denied(t *testing.T, r *jose.Ring, token, typ string) {
	t.Helper()
	if payload, err := r.Verify(token, typ); !fault.Is(err, fault.Denied) {
		t.Errorf("%.60s… as %s: %q %v", token, typ, payload, err)
	}
}

// RFC 8725 §3: no token passes for one of another kind.
func TestConfusion(t *testing.T) {
	r := newRing(t, &memoryStore{})
	access := sign(t, r, jose.ES256, "at+jwt", `{"sub":"ada"}`, now)
	id := sign(t, r, jose.ES256, "JWT", `{"sub":"ada"}`, now)
	foreign := sign(t, newRing(t, &memoryStore{}), jose.ES256, "at+jwt", `{"sub":"ada"}`, now)
	h, p, s := split(access)
	_, p2, _ := split(sign(t, r, jose.ES256, "at+jwt", `{"sub":"eve"}`, now))
	kid := kidOf(t, access)
	enc := base64.RawURLEncoding.EncodeToString

	denied(t, r, access, "JWT") // §3.11
	denied(t, r, id, "at+jwt")
	denied(t, r, id, "")
	denied(t, r, foreign, "at+jwt")
	denied(t, r, h+"."+p2+"."+s, "at+jwt")
	denied(t, r, h+"."+p+".", "at+jwt")
	denied(t, r, h+"."+p, "at+jwt")
	denied(t, r, access+"."+p, "at+jwt")
	denied(t, r, access+"=", "at+jwt")
	denied(t, r, access+"\n", "at+jwt")
	denied(t, r, "", "at+jwt")
	denied(t, r, strings.Repeat("a", jose.MaxToken+1), "at+jwt")
	for _, head := range []string{
		`{"alg":"none","kid":"` + kid + `","typ":"at+jwt"}`,
		`{"alg":"HS256","kid":"` + kid + `","typ":"at+jwt"}`,
		`{"alg":"RS256","kid":"` + kid + `","typ":"at+jwt"}`,
		`{"alg":"EdDSA","kid":"` + kid + `","typ":"at+jwt"}`,
		`{"alg":"ES256","typ":"at+jwt"}`,
		`{"alg":"ES256","kid":"../` + kid + `","typ":"at+jwt"}`,
		`{"alg":"ES256","alg":"none","kid":"` + kid + `","typ":"at+jwt"}`,
		`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt","crit":["x"],"x":1}`,
		`{"alg":"ES256","kid":"` + kid + `","typ":"AT+JWT"}`,
	} {
		denied(t, r, enc([]byte(head))+"."+p+"."+s, "at+jwt")
	}
	// The public key as a shared secret.
	pub, err := json.Marshal(published(t, r, now).Key(kid)[0])
	if err != nil {
		t.Fatal(err)
	}
	hs, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.HS256, Key: gojose.JSONWebKey{Key: pub, KeyID: kid}}, (&gojose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := hs.Sign([]byte(`{"sub":"eve"}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	denied(t, r, token, "at+jwt")
}

// A key in the token's header is not trusted (RFC 8725 §3.10).
func TestEmbeddedKey(t *testing.T) {
	r := newRing(t, &memoryStore{})
	kid := kidOf(t, sign(t, r, jose.ES256, "at+jwt", `{}`, now))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	opts := (&gojose.SignerOptions{EmbedJWK: true}).WithType("at+jwt").WithHeader("kid", kid)
	s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(`{"sub":"eve"}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	denied(t, r, token, "at+jwt")
}

func split(token string) (h, p, s string) {
	parts := strings.Split(token, ".")
	return parts[0], parts[1], parts[2]
}

func kidOf(t testing.TB, token string) string {
	t.Helper()
	h, _, _ := split(token)
	raw, err := base64.RawURLEncoding.DecodeString(h)
	if err != nil {
		t.Fatal(err)
	}
	var head struct{ Kid string }
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatal(err)
	}
	return head.Kid
}

// The next key is published before it signs; the previous one stays until its last token has
// expired.
func TestRotation(t *testing.T) {
	st := &memoryStore{}
	r := newRing(t, st)
	first := sign(t, r, jose.EdDSA, "JWT", `{}`, now)
	next, err := r.NewKey(jose.EdDSA, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	st.keys[0].RetiredAt, st.keys[0].ExpiresAt = now.Add(time.Hour), now.Add(3*time.Hour)
	st.keys = append(st.keys, next)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at        time.Duration
		signs     string
		published int
		states    string
	}{
		{0, kidOf(t, first), 2, "active next"},
		{time.Hour - time.Millisecond, kidOf(t, first), 2, "active next"},
		{time.Hour, next.ID, 2, "retired active"},
		{3*time.Hour - time.Millisecond, next.ID, 2, "retired active"},
		{3 * time.Hour, next.ID, 1, "expired active"},
	} {
		at := now.Add(c.at)
		token := sign(t, r, jose.EdDSA, "JWT", `{}`, at)
		if kidOf(t, token) != c.signs {
			t.Errorf("after %s %s signs", c.at, kidOf(t, token))
		}
		if n := len(published(t, r, at).Keys); n != c.published {
			t.Errorf("after %s %d keys are published", c.at, n)
		}
		states := r.Keys()[0].State(at) + " " + r.Keys()[1].State(at)
		if states != c.states {
			t.Errorf("after %s the keys are %s", c.at, states)
		}
		if _, err := r.Verify(first, "JWT"); err != nil {
			t.Errorf("after %s the former key's token: %v", c.at, err)
		}
	}
	// Removing the expired key from storage invalidates its tokens.
	st.keys = st.keys[1:]
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	denied(t, r, first, "JWT")
}

// An algorithm whose only key is not active yet signs with it, since it is published; no second
// key is created.
func TestOnlyAWaitingKey(t *testing.T) {
	st := &memoryStore{}
	r := newRing(t, st)
	k, err := r.NewKey(jose.ES256, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	st.keys = append(st.keys, k)
	err = r.Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sign(t, r, jose.ES256, "JWT", "{}", now) // published already: better than no token at all
	if st.made != 0 {
		t.Fatal("a key was made")
	}
	sign(t, r, jose.ES256, "JWT", "{}", now.Add(time.Hour))
}

// Of servers that start at once, one creates the key and the others read it.
func TestFirstKeyOfManyServers(t *testing.T) {
	st := &memoryStore{}
	ids := make(chan string, 16)
	var wg sync.WaitGroup
	for range 4 {
		r := newRing(t, st)
		for range 4 {
			wg.Go(func() {
				token, err := r.Sign(context.Background(), jose.EdDSA, "JWT", []byte("{}"), now)
				if err != nil {
					t.Error(err)
					return
				}
				ids <- kidOf(t, token)
			})
		}
	}
	wg.Wait()
	close(ids)
	for id := range ids {
		if id != st.keys[0].ID {
			t.Fatal("two keys sign")
		}
	}
	if st.made != 1 {
		t.Fatalf("%d keys were made", st.made)
	}
}

// Reading the keys with another master key fails, and does not change a running ring.
func TestWrongMasterKey(t *testing.T) {
	st := &memoryStore{}
	sign(t, newRing(t, st), jose.EdDSA, "JWT", "{}", now)
	err := jose.NewRing(st, master(t, "another master key, also 32 bytes.")).Reload(t.Context())
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), "SECRET_KEY") {
		t.Fatalf("%v", err)
	}
}

func TestReloadKeepsWhatItHas(t *testing.T) {
	st := &memoryStore{}
	r := newRing(t, st)
	token := sign(t, r, jose.EdDSA, "JWT", "{}", now)
	st.err = fault.New(fault.Unavailable, "down")
	if err := r.Reload(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
	st.err = nil
	good := st.keys[0]
	st.keys = append(st.keys, jose.StoredKey{ID: "damaged", Alg: jose.EdDSA, Sealed: good.Sealed, ActiveAt: now})
	if err := r.Reload(t.Context()); err == nil { // sealed under another id
		t.Fatal("a key passes under another's name")
	}
	if _, err := r.Verify(token, "JWT"); err != nil {
		t.Fatal(err)
	}
	sign(t, r, jose.EdDSA, "JWT", "{}", now)
}

// A signature that waits for a core ends with its request.
func TestSignGivesUpWithItsRequest(t *testing.T) {
	r := newRing(t, &memoryStore{})
	sign(t, r, jose.RS256, "JWT", "{}", now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 200 { // the queue is chosen at random where there is room
		if _, err := r.Sign(ctx, jose.RS256, "JWT", []byte("{}"), now); fault.Is(err, fault.Unavailable) {
			return
		}
	}
	t.Fatal("a request that has ended still signs")
}

// jwks writes a key set.
func jwks(t testing.TB, keys ...gojose.JSONWebKey) []byte {
	t.Helper()
	raw, err := json.Marshal(gojose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A key set must contain public, strong signing keys only.
func TestParseKeySet(t *testing.T) {
	ec := ecKey(t)
	edPub, edPriv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weak := `{"keys":[{"kty":"RSA","kid":"w","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 127)...)) + `"}]}`
	huge := `{"keys":[{"kty":"RSA","kid":"h","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(append([]byte{0x80}, make([]byte, 1100)...)) + `"}]}`
	good := gojose.JSONWebKey{Key: ec.Public(), KeyID: "ec"}
	for name, c := range map[string]struct {
		doc string
		ok  bool
	}{
		"EC":                   {string(jwks(t, good)), true},
		"Ed25519":              {string(jwks(t, gojose.JSONWebKey{Key: edPub, KeyID: "ed"})), true},
		"RSA 2048":             {string(jwks(t, gojose.JSONWebKey{Key: rsaKey.Public(), KeyID: "rsa"})), true},
		"one among unknown":    {`{"keys":[{"kty":"XYZ"},` + one(t, good) + `]}`, true},
		"one for encryption":   {`{"keys":[` + one(t, gojose.JSONWebKey{Key: ec.Public(), Use: "enc"}) + `,` + one(t, good) + `]}`, true},
		"further members":      {`{"x":1,"keys":[` + one(t, good) + `]}`, true},
		"EC private":           {string(jwks(t, gojose.JSONWebKey{Key: ec})), false},
		"Ed25519 private":      {string(jwks(t, gojose.JSONWebKey{Key: edPriv})), false},
		"RSA private":          {string(jwks(t, gojose.JSONWebKey{Key: rsaKey})), false},
		"private among public": {string(jwks(t, good, gojose.JSONWebKey{Key: ec})), false},
		"symmetric":            {`{"keys":[{"kty":"oct","k":"AAAA"}]}`, false},
		"RSA weak":             {weak, false},
		"RSA of absurd size":   {huge, false},
		"none":                 {`{"keys":[]}`, false},
		"only for encryption":  {`{"keys":[` + one(t, gojose.JSONWebKey{Key: ec.Public(), Use: "enc"}) + `]}`, false},
		"no JSON":              {`<html>`, false},
		"a list":               {`[]`, false},
		"empty":                {``, false},
		"too large":            {`{"keys":[` + strings.Repeat(" ", jose.MaxKeySet) + `]}`, false},
		"too many":             {`{"keys":[` + strings.Repeat(one(t, good)+",", 32) + one(t, good) + `]}`, false},
		"a point off the curve": {
			`{"keys":[{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jose.ParseKeySet([]byte(c.doc))
			if (err == nil) != c.ok {
				t.Fatalf("%v", err)
			}
			if err != nil && !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v is not of kind Invalid", err)
			}
		})
	}
}

func one(t testing.TB, k gojose.JSONWebKey) string {
	t.Helper()
	raw, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func foreign(t testing.TB, alg gojose.SignatureAlgorithm, key any, kid string) string {
	t.Helper()
	s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: alg, Key: gojose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(`{"sub":"app"}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestForeignVerify(t *testing.T) {
	k1, k2 := ecKey(t), ecKey(t)
	set, err := jose.ParseKeySet(jwks(t, gojose.JSONWebKey{Key: k1.Public(), KeyID: "1"}, gojose.JSONWebKey{Key: k2.Public(), KeyID: "2", Algorithm: "ES256"}))
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	algs := jose.AssertionAlgorithms()
	h, p, s := split(foreign(t, gojose.ES256, k1, "1"))
	for name, c := range map[string]struct {
		token string
		algs  []string
		kind  fault.Kind
		ok    bool
	}{
		"by its key id":               {token: foreign(t, gojose.ES256, k1, "1"), algs: algs, ok: true},
		"without a key id":            {token: foreign(t, gojose.ES256, k2, ""), algs: algs, ok: true},
		"another's key id":            {token: foreign(t, gojose.ES256, k1, "2"), algs: algs, kind: fault.Denied},
		"key id not there":            {token: foreign(t, gojose.ES256, k1, "3"), algs: algs, kind: fault.NotFound},
		"algorithm not accepted":      {token: foreign(t, gojose.ES256, k1, "1"), algs: []string{"RS256"}, kind: fault.Denied},
		"algorithm of another family": {token: foreign(t, gojose.RS256, rsaKey, "1"), algs: algs, kind: fault.Denied},
		"HS256":                       {token: foreign(t, gojose.HS256, make([]byte, 32), "1"), algs: algs, kind: fault.Denied},
		"altered":                     {token: h + "." + p + "A." + s, algs: algs, kind: fault.Denied},
		"garbage":                     {token: "x", algs: algs, kind: fault.Denied},
		"too large":                   {token: strings.Repeat("x", jose.MaxToken+1), algs: algs, kind: fault.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			payload, head, err := set.Verify(c.token, c.algs)
			if c.ok {
				if err != nil || string(payload) != `{"sub":"app"}` || head.Alg != "ES256" {
					t.Fatalf("%q %+v %v", payload, head, err)
				}
				return
			}
			if !fault.Is(err, c.kind) || payload != nil {
				t.Fatalf("%q %v", payload, err)
			}
		})
	}
}

func TestPeek(t *testing.T) {
	k := ecKey(t)
	if got, err := jose.Peek(foreign(t, gojose.ES256, k, "1"), jose.AssertionAlgorithms()); err != nil || string(got) != `{"sub":"app"}` {
		t.Fatalf("%q %v", got, err)
	}
	for _, token := range []string{"", "x", "a.b.c", strings.Repeat("x", jose.MaxToken+1), foreign(t, gojose.HS256, make([]byte, 32), "")} {
		if _, err := jose.Peek(token, jose.AssertionAlgorithms()); !fault.Is(err, fault.Denied) {
			t.Errorf("%.20s: %v", token, err)
		}
	}
	if _, err := jose.Peek("x", []string{"none"}); err == nil {
		t.Error("alg none is accepted")
	}
}

func FuzzVerify(f *testing.F) {
	st := &memoryStore{}
	r := newRing(f, st)
	for _, alg := range []string{jose.ES256, jose.EdDSA} {
		f.Add(sign(f, r, alg, "JWT", `{"a":1}`, now))
	}
	f.Add("a.b.c")
	f.Add(`eyJhbGciOiJub25lIn0.e30.`)
	f.Fuzz(func(t *testing.T, token string) {
		payload, err := r.Verify(token, "JWT")
		if err == nil && string(payload) != `{"a":1}` {
			t.Fatalf("forged: %q", token)
		}
		if err != nil && !fault.Is(err, fault.Denied) {
			t.Fatal(err)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	k := ecKey(f)
	f.Add(string(jwks(f, gojose.JSONWebKey{Key: k.Public(), KeyID: "1"})))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`)
	token := foreign(f, gojose.ES256, k, "")
	f.Fuzz(func(t *testing.T, doc string) {
		set, err := jose.ParseKeySet([]byte(doc))
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if _, _, err := set.Verify(token, jose.AssertionAlgorithms()); err != nil && fault.KindOf(err) == fault.Internal {
			t.Fatal(fmt.Errorf("%s: %w", doc, err))
		}
	})
}

// A key signs with one algorithm: a signature with another one of the same family is rejected
// (RFC 8725 §3.1).
func TestOneAlgorithmAKey(t *testing.T) {
	st := &memoryStore{}
	r := newRing(t, st)
	sign(t, r, jose.RS256, "JWT", "{}", now)
	der, err := master(t, masterText).Box("keys").Open(st.keys[0].Sealed, st.keys[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	s, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.PS256, Key: gojose.JSONWebKey{Key: key, KeyID: st.keys[0].ID}}, (&gojose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	denied(t, r, token, "JWT")
}
