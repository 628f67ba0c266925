package jose

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Ring holds a server's signing keys in memory. Reload replaces the whole set at once, so a
// running server follows a rotation by any process. It is safe for concurrent use.
type Ring struct {
	store Store
	box   *secret.Box
	set   atomic.Pointer[set]
	algs  []gojose.SignatureAlgorithm
	slots chan struct{} // as many concurrent RSA signatures as there are cores
	make  sync.Mutex    // makes one key at a time
}

// NewRing returns an empty ring. Reload fills it.
func NewRing(st Store, keys *secret.Keys) *Ring {
	r := &Ring{store: st, box: keys.Box("keys"), slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
	for _, a := range Algorithms() {
		r.algs = append(r.algs, gojose.SignatureAlgorithm(a))
	}
	r.set.Store(&set{byID: map[string]*key{}})
	return r
}

// key is one key, ready to use.
type key struct {
	StoredKey
	signer  crypto.Signer
	public  crypto.PublicKey
	jwk     gojose.JSONWebKey
	headers sync.Map // typ → encoded protected header with its dot
}

// set is an immutable snapshot of the keys.
type set struct {
	keys []*key // oldest first
	byID map[string]*key
	algs []string // in the order of Algorithms, those of keys that sign or will sign
	jwks atomic.Pointer[publicKeys]
}

// publicKeys is a key set in JSON. It is valid until the next key of it expires.
type publicKeys struct {
	doc         []byte
	from, until time.Time
}

// Reload reads the keys from storage. If it fails, the ring does not change.
func (r *Ring) Reload(ctx context.Context) error {
	stored, err := r.store.Keys(ctx)
	if err != nil {
		return err
	}
	old, next := r.set.Load(), &set{byID: make(map[string]*key, len(stored))}
	for _, sk := range stored {
		k, err := r.open(sk, old.byID[sk.ID])
		if err != nil {
			return err
		}
		next.keys = append(next.keys, k)
		next.byID[k.ID] = k
	}
	for _, alg := range Algorithms() {
		signing := func(k *key) bool { return k.Alg == alg && k.RetiredAt.IsZero() }
		if slices.ContainsFunc(next.keys, signing) {
			next.algs = append(next.algs, alg)
		}
	}
	r.set.Store(next)
	return nil
}

// Algorithms returns the algorithms that the ring has a key for, one that signs or will sign. The
// list is shared.
func (r *Ring) Algorithms() []string { return r.set.Load().algs }

// Signs returns whether a key of an algorithm signs at now. If there are only keys that will sign
// later, it returns when the first of them does.
func (r *Ring) Signs(alg string, now time.Time) (signs bool, from time.Time) {
	k := r.set.Load().signer(alg, now)
	if k == nil {
		return false, time.Time{}
	}
	return !k.ActiveAt.After(now), k.ActiveAt
}

// open unseals a stored key, or reuses the key in memory if only its times have changed.
func (r *Ring) open(sk StoredKey, have *key) (*key, error) {
	if have != nil {
		return &key{StoredKey: sk, signer: have.signer, public: have.public, jwk: have.jwk}, nil
	}
	der, err := r.box.Open(sk.Sealed, sk.ID)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "signing key %s cannot be unsealed: "+
			"SECRET_KEY is not the one that it was sealed with", sk.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "signing key %s is damaged", sk.ID)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fault.New(fault.Invalid, "signing key %s cannot sign", sk.ID)
	}
	return &key{
		StoredKey: sk, signer: signer, public: signer.Public(),
		jwk: gojose.JSONWebKey{Key: signer.Public(), KeyID: sk.ID, Algorithm: sk.Alg, Use: "sig"},
	}, nil
}

// NewKey returns a new key for an algorithm, sealed for storage, that signs from activeAt on.
// Its id is its thumbprint (RFC 7638).
func (r *Ring) NewKey(alg string, now, activeAt time.Time) (StoredKey, error) {
	for {
		k, err := r.newKey(alg, now, activeAt)
		if err != nil || k.ID[0] != '-' { // a command line would mistake it for a flag
			return k, err
		}
	}
}

func (r *Ring) newKey(alg string, now, activeAt time.Time) (StoredKey, error) {
	signer, err := generate(alg)
	if err != nil {
		return StoredKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return StoredKey{}, err
	}
	jwk := gojose.JSONWebKey{Key: signer.Public(), Algorithm: alg, Use: "sig"}
	print, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return StoredKey{}, err
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(print)
	public, err := json.Marshal(jwk)
	if err != nil {
		return StoredKey{}, err
	}
	return StoredKey{
		ID: jwk.KeyID, Alg: alg, PublicJWK: string(public), Sealed: r.box.Seal(der, jwk.KeyID),
		CreatedAt: now, ActiveAt: activeAt,
	}, nil
}

// Ensure creates the first signing key for an algorithm if there is none. Of several servers that
// start at once, one creates it and the others read it.
func (r *Ring) Ensure(ctx context.Context, alg string, now time.Time) error {
	r.make.Lock()
	defer r.make.Unlock()
	if r.set.Load().signer(alg, now) != nil {
		return nil
	}
	if err := r.Reload(ctx); err != nil {
		return err
	}
	if r.set.Load().signer(alg, now) != nil {
		return nil
	}
	k, err := r.NewKey(alg, now, now)
	if err != nil {
		return err
	}
	if err := r.store.FirstKey(ctx, k); err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	return r.Reload(ctx)
}

// signer returns the newest key of an algorithm that signs at now, or nil. If none signs yet,
// the clock was set back after the first key was made, or only future keys are left: then it
// returns the one that is due first, since all of them are published already.
func (s *set) signer(alg string, now time.Time) *key {
	var best, soonest *key
	for _, k := range s.keys {
		if k.Alg != alg || (!k.RetiredAt.IsZero() && !k.RetiredAt.After(now)) {
			continue
		}
		if k.ActiveAt.After(now) {
			if soonest == nil || k.ActiveAt.Before(soonest.ActiveAt) {
				soonest = k
			}
			continue
		}
		if best == nil || !k.ActiveAt.Before(best.ActiveAt) {
			best = k
		}
	}
	if best == nil {
		return soonest
	}
	return best
}

// Sign returns a compact JWS of a JSON payload, with typ in its header unless it is "".
func (r *Ring) Sign(
	ctx context.Context, alg, typ string, payload []byte, now time.Time,
) (string, error) {
	k := r.set.Load().signer(alg, now)
	if k == nil {
		if err := r.Ensure(ctx, alg, now); err != nil {
			return "", err
		}
		if k = r.set.Load().signer(alg, now); k == nil {
			return "", fault.New(fault.Unavailable, "there is no key to sign with %s yet", alg)
		}
	}
	head := k.header(typ)
	e := base64.RawURLEncoding
	size := len(head) + e.EncodedLen(len(payload))
	buf := make([]byte, size, size+1+e.EncodedLen(512))
	copy(buf, head)
	e.Encode(buf[len(head):], payload)
	sig, err := signature(ctx, alg, k.signer, r.slots, buf)
	if err != nil {
		return "", err
	}
	buf = append(buf, '.')
	buf = e.AppendEncode(buf, sig)
	return string(buf), nil
}

// header returns the encoded protected header of a key for a typ, with the dot after it. It
// caches the header, since there are only a few types.
func (k *key) header(typ string) string {
	if h, ok := k.headers.Load(typ); ok {
		return h.(string)
	}
	head := struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ,omitempty"`
	}{k.Alg, k.ID, typ}
	raw, err := json.Marshal(head)
	if err != nil {
		panic(err) // three strings always marshal
	}
	h := base64.RawURLEncoding.EncodeToString(raw) + "."
	k.headers.Store(typ, h)
	return h
}

// MaxToken bounds a token that is read, in bytes.
const MaxToken = 16 << 10

// Verify checks the signature and the typ of a token of ours and returns its payload. Every
// failure is Denied, without details: they would only help to forge a token.
func (r *Ring) Verify(token, typ string) ([]byte, error) {
	payload, _, err := r.VerifyKind(token, typ)
	return payload, err
}

// VerifyKind does what Verify does for a token with one of several typ headers, and also returns
// the header.
func (r *Ring) VerifyKind(token string, typs ...string) (payload []byte, head Header, err error) {
	denied := fault.New(fault.Denied, "the token is not one of ours, or has been altered")
	if len(token) > MaxToken || !canonical(token) {
		return nil, Header{}, denied
	}
	jws, err := gojose.ParseSignedCompact(token, r.algs)
	if err != nil {
		return nil, Header{}, denied
	}
	p := jws.Signatures[0].Protected
	head = Header{Alg: p.Algorithm, KeyID: p.KeyID}
	head.Type, _ = p.ExtraHeaders["typ"].(string)
	k := r.set.Load().byID[head.KeyID]
	if k == nil || head.Alg != k.Alg {
		return nil, Header{}, denied
	}
	if !slices.Contains(typs, head.Type) {
		return nil, Header{}, denied
	}
	if payload, err = jws.Verify(k.public); err != nil {
		return nil, Header{}, denied
	}
	return payload, head, nil
}

// Has reports whether a key is in the ring. A token whose key has been removed is not trusted any
// more.
func (r *Ring) Has(kid string) bool { return r.set.Load().byID[kid] != nil }

// JWKS returns the key set to publish at now (RFC 7517 §5): the keys that sign, will sign, or
// have signed tokens that may still be valid.
func (r *Ring) JWKS(now time.Time) ([]byte, error) {
	cur := r.set.Load()
	if p := cur.jwks.Load(); p != nil && !now.Before(p.from) && now.Before(p.until) {
		return p.doc, nil
	}
	p := &publicKeys{from: now, until: now.Add(time.Hour)}
	out := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: []json.RawMessage{}}
	for _, k := range cur.keys {
		if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
			continue
		}
		if !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(p.until) {
			p.until = k.ExpiresAt
		}
		out.Keys = append(out.Keys, json.RawMessage(k.PublicJWK))
	}
	var err error
	if p.doc, err = json.Marshal(out); err != nil {
		return nil, err
	}
	cur.jwks.Store(p)
	return p.doc, nil
}

// Keys returns the ring's keys, oldest first.
func (r *Ring) Keys() []StoredKey {
	s := r.set.Load()
	out := make([]StoredKey, 0, len(s.keys))
	for _, k := range s.keys {
		out = append(out, k.StoredKey)
	}
	return out
}

// State returns the state of a key at now: next, active, retired or expired.
func (k StoredKey) State(now time.Time) string {
	switch {
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now):
		return "expired"
	case !k.RetiredAt.IsZero() && !k.RetiredAt.After(now):
		return "retired"
	case k.ActiveAt.After(now):
		return "next"
	}
	return "active"
}

// Try returns how many keys the ring has, or an error unless the private half of each belongs to
// the published one.
func (r *Ring) Try() (int, error) {
	keys := r.set.Load().keys
	for _, k := range keys {
		var published gojose.JSONWebKey
		if err := json.Unmarshal([]byte(k.PublicJWK), &published); err != nil {
			return 0, fault.Wrap(fault.Invalid, err, "signing key %s is damaged", k.ID)
		}
		same, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !same.Equal(published.Key) {
			return 0, fault.New(fault.Invalid, "signing key %s is not the one that is published", k.ID)
		}
	}
	return len(keys), nil
}
