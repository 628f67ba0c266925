package dpop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
)

// The examples of RFC 9449 §4.1 (token endpoint) and §7.1 (protected resource), with the token of
// §7.1 and the thumbprint of §6.1.
const (
	rfcHeader = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
	rfcToken  = rfcHeader + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcAPI    = rfcHeader + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcAccess = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcJKT    = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	rfcKey    = `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`
)

func TestVectorsRFC9449(t *testing.T) {
	p, err := Verify(rfcToken, Want{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Proof{ID: "-BwC3ESc6acc2lTc", Thumbprint: rfcJKT, IssuedAt: time.Unix(1562262616, 0).UTC()}); *p != want {
		t.Fatalf("§4.1 gives %+v, want %+v", *p, want)
	}
	p, err = Verify(rfcAPI, Want{
		Method: "GET", URL: "https://resource.example.org/protectedresource", AccessToken: rfcAccess, Thumbprint: rfcJKT, Now: time.Unix(1562262618, 0),
	})
	if err != nil || p.ID != "e1j3V_bKic8-LAEB" {
		t.Fatalf("§7.1 gives %+v, %v", p, err)
	}
	if TokenHash(rfcAccess) != "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" {
		t.Fatalf("ath is %s", TokenHash(rfcAccess))
	}
}

func TestThumbprintRFC7638(t *testing.T) {
	for name, jwk := range map[string]string{"as sent": rfcKey, "with more members": strings.Replace(rfcKey, "{", `{"use":"sig","kid":"a",`, 1)} {
		if got, err := Thumbprint([]byte(jwk)); err != nil || got != rfcJKT {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, jwk := range map[string]string{
		"symmetric": `{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, "not JSON": "x", "unknown kind": `{"kty":"QR"}`,
		"private":          jwkOf(t, keys(t).p256),
		"not on the curve": strings.Replace(rfcKey, "l8tF", "l8tE", 1),
	} {
		if got, err := Thumbprint([]byte(jwk)); err == nil {
			t.Errorf("%s: thumbprint %q", name, got)
		}
	}
}

// A keySet holds keys that all tests share. They are generated once, because RSA keys are slow to
// generate.
type keySet struct {
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
	rsa, weak        *rsa.PrivateKey
}

var keysOnce = sync.OnceValues(func() (*keySet, error) {
	var k keySet
	var errs [5]error
	k.p256, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, errs[1] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, errs[2] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	k.rsa, errs[3] = rsa.GenerateKey(rand.Reader, 2048)
	k.weak, errs[4] = rsa.GenerateKey(rand.Reader, 1024)
	k.ed = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return &k, errors.Join(errs[:]...)
})

func keys(t testing.TB) *keySet {
	t.Helper()
	k, err := keysOnce()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func jwkOf(t testing.TB, key any) string {
	t.Helper()
	raw, err := json.Marshal(gojose.JSONWebKey{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

const access = "an.access.token"

var now = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

func want() Want {
	return Want{Method: "GET", URL: "https://api.example/things", AccessToken: access, Now: now}
}

// draft is a proof that is still to be signed.
type draft struct {
	head, body map[string]any
	key        crypto.Signer
	alg        string
}

func good(t testing.TB) *draft {
	t.Helper()
	k := keys(t).p256
	var jwk any
	if err := json.Unmarshal([]byte(jwkOf(t, k.Public())), &jwk); err != nil {
		t.Fatal(err)
	}
	return &draft{
		head: map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk},
		body: map[string]any{"jti": "one", "htm": "GET", "htu": "https://api.example/things", "iat": now.Unix(), "ath": TokenHash(access)},
		key:  k, alg: "ES256",
	}
}

// by has the draft signed by another key, which it then carries.
func (d *draft) by(t testing.TB, key crypto.Signer, alg string) *draft {
	t.Helper()
	var jwk any
	if err := json.Unmarshal([]byte(jwkOf(t, key.Public())), &jwk); err != nil {
		t.Fatal(err)
	}
	d.key, d.alg = key, alg
	d.head["jwk"], d.head["alg"] = jwk, alg
	return d
}

func (d *draft) sign(t testing.TB) string {
	t.Helper()
	head, err := json.Marshal(d.head)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(d.body)
	if err != nil {
		t.Fatal(err)
	}
	return signRaw(t, string(head), string(body), d.key)
}

// signRaw signs a header and a payload as they stand, whatever they say.
func signRaw(t testing.TB, head, body string, key crypto.Signer) string {
	t.Helper()
	in := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(body))
	var h struct{ Alg string }
	_ = json.Unmarshal([]byte(head), &h) // a broken header is signed with the key's usual algorithm
	var sig []byte
	var err error
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		size, hash := (k.Curve.Params().BitSize+7)/8, map[int]crypto.Hash{256: crypto.SHA256, 384: crypto.SHA384, 521: crypto.SHA512}[k.Curve.Params().BitSize]
		r, s, e := ecdsa.Sign(rand.Reader, k, sum(hash, in))
		if err = e; err == nil {
			sig = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	case *rsa.PrivateKey:
		if h.Alg == "PS256" {
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum(crypto.SHA256, in), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum(crypto.SHA256, in))
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(in))
	}
	if err != nil {
		t.Fatal(err)
	}
	return in + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func sum(h crypto.Hash, s string) []byte {
	d := h.New()
	d.Write([]byte(s))
	return d.Sum(nil)
}

func TestAlgorithms(t *testing.T) {
	k := keys(t)
	tried := map[string]bool{}
	for _, row := range []struct {
		alg string
		key crypto.Signer
	}{{"ES256", k.p256}, {"ES384", k.p384}, {"EdDSA", k.ed}, {"Ed25519", k.ed}, {"RS256", k.rsa}, {"PS256", k.rsa}} {
		p, err := Verify(good(t).by(t, row.key, row.alg).sign(t), want())
		if err != nil {
			t.Errorf("%s: %v", row.alg, err)
			continue
		}
		if thumb, err := Thumbprint([]byte(jwkOf(t, row.key.Public()))); err != nil || p.Thumbprint != thumb {
			t.Errorf("%s: thumbprint %s, want %s, %v", row.alg, p.Thumbprint, thumb, err)
		}
		tried[row.alg] = true
	}
	for _, alg := range Algorithms() {
		if !tried[alg] {
			t.Errorf("%s is advertised, but not accepted", alg)
		}
	}
}

// TestRejectedProofs covers the checks of RFC 9449 §4.3 and forged proofs.
func TestRejectedProofs(t *testing.T) {
	k := keys(t)
	set := func(part func(*draft) map[string]any, name string, v any) func(*draft) {
		return func(d *draft) {
			if v == nil {
				delete(part(d), name)
				return
			}
			part(d)[name] = v
		}
	}
	head := func(d *draft) map[string]any { return d.head }
	body := func(d *draft) map[string]any { return d.body }
	for name, row := range map[string]struct {
		edit func(*draft)
		want error
	}{
		"typ JWT":                         {set(head, "typ", "JWT"), ErrMalformed},
		"typ of a number":                 {set(head, "typ", 7), ErrMalformed},
		"no typ":                          {set(head, "typ", nil), ErrMalformed},
		"no key":                          {set(head, "jwk", nil), ErrMalformed},
		"key by reference":                {func(d *draft) { delete(d.head, "jwk"); d.head["kid"] = "a" }, ErrMalformed},
		"a critical member":               {func(d *draft) { d.head["crit"] = []string{"b64"}; d.head["b64"] = false }, ErrMalformed},
		"alg none":                        {set(head, "alg", "none"), ErrMalformed},
		"alg HS256":                       {set(head, "alg", "HS256"), ErrMalformed},
		"no alg":                          {set(head, "alg", nil), ErrMalformed},
		"ES512":                           {func(d *draft) { d.by(t, k.p521, "ES512") }, ErrMalformed},
		"RSA of 1024 bits":                {func(d *draft) { d.by(t, k.weak, "RS256") }, ErrMalformed},
		"alg of another kind of key":      {set(head, "alg", "RS256"), ErrMalformed},
		"alg of another curve":            {set(head, "alg", "ES384"), ErrMalformed},
		"a key for encryption":            {func(d *draft) { d.head["jwk"].(map[string]any)["use"] = "enc" }, ErrMalformed},
		"a key for another alg":           {func(d *draft) { d.head["jwk"].(map[string]any)["alg"] = "ES384" }, ErrMalformed},
		"a private key":                   {func(d *draft) { d.head["jwk"].(map[string]any)["d"] = "AAAA" }, ErrMalformed},
		"a symmetric key":                 {set(head, "jwk", map[string]any{"kty": "oct", "k": "AAAA"}), ErrMalformed},
		"no jti":                          {set(body, "jti", nil), ErrMalformed},
		"an endless jti":                  {set(body, "jti", strings.Repeat("a", maxID+1)), ErrMalformed},
		"jti of a number":                 {set(body, "jti", 1), ErrMalformed},
		"no htm":                          {set(body, "htm", nil), ErrMalformed},
		"no htu":                          {set(body, "htu", nil), ErrMalformed},
		"no iat":                          {set(body, "iat", nil), ErrMalformed},
		"iat of text":                     {set(body, "iat", "now"), ErrMalformed},
		"iat before all time":             {set(body, "iat", -1), ErrMalformed},
		"iat after all time":              {set(body, "iat", 1e300), ErrMalformed},
		"an endless nonce":                {set(body, "nonce", strings.Repeat("a", maxNonce+1)), ErrMalformed},
		"another key than signed it":      {func(d *draft) { d.key = other(t) }, ErrWrong},
		"another method":                  {set(body, "htm", "POST"), ErrWrong},
		"the method in lower case":        {set(body, "htm", "get"), ErrWrong},
		"another address":                 {set(body, "htu", "https://api.example/other"), ErrWrong},
		"another host":                    {set(body, "htu", "https://api.example.net/things"), ErrWrong},
		"a path alone":                    {set(body, "htu", "/things"), ErrWrong},
		"no ath":                          {set(body, "ath", nil), ErrWrong},
		"ath of another token":            {set(body, "ath", TokenHash("another")), ErrWrong},
		"iat just over the window ago":    {set(body, "iat", now.Unix()-61), ErrExpired},
		"iat just over the window to go":  {set(body, "iat", now.Unix()+61), ErrExpired},
		"exp that has passed":             {set(body, "exp", now.Unix()), ErrExpired},
		"a member in another case counts": {func(d *draft) { delete(d.body, "htm"); d.body["HTM"] = "GET" }, ErrMalformed},
	} {
		d := good(t)
		row.edit(d)
		p, err := Verify(d.sign(t), want())
		if p != nil || !errors.Is(err, row.want) {
			t.Errorf("%s: %v, %v; want %v", name, p, err, row.want)
		}
	}
}

func other(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// otherSpellings returns texts that lenient decoders of base64url read as they read s.
func otherSpellings(s string) []string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	list := []string{s + "=", s + "\n", s[:2] + "\r\n" + s[2:], s + " "}
	want, _ := base64.RawURLEncoding.DecodeString(s)
	for i := range alphabet {
		other := s[:len(s)-1] + alphabet[i:i+1]
		if got, _ := base64.RawURLEncoding.DecodeString(other); other != s && bytes.Equal(got, want) {
			list = append(list, other)
		}
	}
	return list
}

// A proof that was signed over an odd spelling is rejected as well.
func TestSignedOddSpellings(t *testing.T) {
	proof := good(t).sign(t)
	parts := strings.Split(proof, ".")
	for i := range 2 {
		for _, other := range otherSpellings(parts[i]) {
			odd := slices.Clone(parts[:2])
			odd[i] = other
			signed := odd[0] + "." + odd[1]
			if _, err := Verify(signed+"."+signES256(t, signed, keys(t).p256), want()); !errors.Is(err, ErrMalformed) {
				t.Errorf("part %d as %q: %v", i, other, err)
			}
		}
	}
}

// signES256 returns a signature in base64url.
func signES256(t *testing.T, text string, key *ecdsa.PrivateKey) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return base64.RawURLEncoding.EncodeToString(sig)
}

// What is no draft: bytes that are broken as a whole.
func TestBrokenProofs(t *testing.T) {
	proof := good(t).sign(t)
	parts := strings.Split(proof, ".")
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	twice := strings.Replace(string(head), `"typ"`, `"typ":"dpop+jwt","typ"`, 1)
	for name, s := range map[string]string{
		"nothing": "", "two parts": parts[0] + "." + parts[1], "four parts": proof + ".a", "five parts": proof + ".a.b", "no signature": parts[0] + "." + parts[1] + ".",
		"two proofs in one header": proof + ", " + proof, "spaces around": " " + proof, "too long": proof + strings.Repeat("A", maxProof),
		"a repeated member": signRaw(t, twice, `{"jti":"one"}`, keys(t).p256), "a payload that is no object": signRaw(t, string(head), `[]`, keys(t).p256),
		"a payload that is no JSON":  signRaw(t, string(head), `{`, keys(t).p256),
		"a repeated claim":           signRaw(t, string(head), `{"jti":"a","jti":"b","htm":"GET","htu":"https://api.example/things","iat":1}`, keys(t).p256),
		"JSON serialization":         `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"a signature of another one": parts[0] + "." + parts[1] + "." + strings.Split(good(t).by(t, keys(t).ed, "EdDSA").sign(t), ".")[2],
	} {
		p, err := Verify(s, want())
		if p != nil || (!errors.Is(err, ErrMalformed) && !errors.Is(err, ErrWrong)) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	for i := range parts { // a decoder that is not strict reads the same bytes of these
		for _, other := range otherSpellings(parts[i]) {
			odd := slices.Clone(parts)
			odd[i] = other
			if _, err := Verify(strings.Join(odd, "."), want()); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrWrong) {
				t.Errorf("part %d as %q passes: %v", i, other, err)
			}
		}
	}
	for i := range len(parts[1]) { // no altered payload passes
		c := byte('A')
		if parts[1][i] == c {
			c = 'B'
		}
		if _, err := Verify(parts[0]+"."+parts[1][:i]+string(c)+parts[1][i+1:]+"."+parts[2], want()); err == nil {
			t.Fatalf("the payload altered at %d passes", i)
		}
	}
}

func TestWindow(t *testing.T) {
	for name, row := range map[string]struct {
		iat    float64
		window time.Duration
	}{
		"60 s ago": {float64(now.Unix() - 60), 0}, "in 60 s": {float64(now.Unix() + 60), 0}, "with a fraction": {float64(now.Unix()) + 0.5, 0},
		"five minutes ago, where that is allowed": {float64(now.Unix() - 300), 5 * time.Minute},
	} {
		d, w := good(t), want()
		d.body["iat"], w.Window = row.iat, row.window
		if _, err := Verify(d.sign(t), w); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBinding(t *testing.T) {
	thumb, err := Thumbprint([]byte(jwkOf(t, keys(t).p256.Public())))
	if err != nil {
		t.Fatal(err)
	}
	w := want()
	w.Thumbprint = thumb
	if _, err := Verify(good(t).sign(t), w); err != nil {
		t.Error(err)
	}
	w.Thumbprint = rfcJKT
	if _, err := Verify(good(t).sign(t), w); !errors.Is(err, ErrWrong) {
		t.Errorf("a token bound to another key: %v", err)
	}
	d := good(t)
	d.body["nonce"] = "given"
	if p, err := Verify(d.sign(t), want()); err != nil || p.Nonce != "given" {
		t.Errorf("nonce: %+v, %v", p, err)
	}
	w = want()
	w.AccessToken = ""
	if _, err := Verify(good(t).sign(t), w); err != nil {
		t.Errorf("ath where no token is looked at: %v", err)
	}
}

// RFC 9449 §4.3: htu is compared after the normalisation of RFC 3986 §6.2.2 and §6.2.3.
func TestAddresses(t *testing.T) {
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"https://a.example/x", "https://a.example/x", true},
		{"https://a.example/x?q=1#f", "https://a.example/x", true},
		{"https://a.example/x?q=1", "https://a.example/x?q=1", true},
		{"HTTPS://A.Example/x", "https://a.example/x", true},
		{"https://a.example:443/x", "https://a.example/x", true},
		{"http://a.example:80/x", "http://a.example/x", true},
		{"https://a.example:/x", "https://a.example/x", true},
		{"https://a.example", "https://a.example/", true},
		{"https://a.example/%7Eada/%e2%82%ac", "https://a.example/~ada/%E2%82%AC", true},
		{"https://a.example/b/../x/./", "https://a.example/x/", true},
		{"https://a.example/../x", "https://a.example/x", true},
		{"https://a.example/x/.", "https://a.example/x/", true},
		{"https://a.example/y/x/..", "https://a.example/y/", true},
		{"https://a.example/.x/..y", "https://a.example/.x/..y", true},
		{"https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x", true},
		{"https://a.example:8443/x", "https://a.example/x", false},
		{"https://a.example:80/x", "https://a.example/x", false},
		{"http://a.example/x", "https://a.example/x", false},
		{"https://a.example/X", "https://a.example/x", false},
		{"https://a.example/x/", "https://a.example/x", false},
		{"https://a.example//x", "https://a.example/x", false},
		{"https://a.example/a%2Fb", "https://a.example/a/b", false},
		{"https://a.example/a%2fb", "https://a.example/a%2Fb", true},
		{"https://u@a.example/x", "https://a.example/x", false},
		{"https://u@a.example/x", "https://u@a.example/x", false},
		{"/x", "/x", false},
		{"https:/x", "https:/x", false},
		{"", "", false},
		{"https://:443/x", "https://:443/x", false},
		{"https://a.example/%zz", "https://a.example/%zz", false},
		{"https://a.example/%", "https://a.example/%", false},
	} {
		if sameURL(row.a, row.b) != row.same || sameURL(row.b, row.a) != row.same {
			t.Errorf("%q and %q: same is %v, want %v", row.a, row.b, !row.same, row.same)
		}
	}
}

// The text of an error may be shown: it is plain, and holds nothing of what was sent.
func TestErrorsAreShowable(t *testing.T) {
	d := good(t)
	d.head["typ"], d.body["htm"] = "SECRET\x01\"", "SECRET"
	for _, s := range []string{d.sign(t), "SECRET.SECRET.SECRET", `{"SECRET":1}`} {
		_, err := Verify(s, want())
		if err == nil || strings.Contains(err.Error(), "SECRET") || strings.ContainsAny(err.Error(), "\"\\\x01") {
			t.Errorf("%v", err)
		}
	}
}

func BenchmarkVerifyES256(b *testing.B) {
	proof := good(b).sign(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(proof, want()); err != nil {
			b.Fatal(err)
		}
	}
}

// Whatever passes was signed, for this request, by the key that it names.
func FuzzVerify(f *testing.F) {
	proof := good(f).by(f, keys(f).ed, "EdDSA").sign(f) // of the one key that is the same in every process
	f.Add(proof, "GET", "https://api.example/things")
	f.Add(rfcToken, "POST", "https://server.example.com/token")
	f.Add(rfcAPI, "GET", "https://resource.example.org/protectedresource")
	f.Add("..", "", "")
	f.Add(strings.Replace(proof, ".", "..", 1), "GET", "https://api.example/%")
	signed := map[string]bool{}
	for _, p := range []string{proof, rfcToken, rfcAPI} {
		signed[p[:strings.LastIndexByte(p, '.')]] = true
	}
	f.Fuzz(func(t *testing.T, proof, method, url string) {
		for _, at := range []time.Time{now, time.Unix(1562262616, 0)} {
			p, err := Verify(proof, Want{Method: method, URL: url, Now: at})
			if err == nil && !signed[proof[:strings.LastIndexByte(proof, '.')]] {
				t.Fatalf("%q passes as %+v", proof, *p)
			}
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrWrong) && !errors.Is(err, ErrExpired) {
				t.Fatalf("the error %v is of no kind", err)
			}
		}
	})
}

// Normalising twice changes nothing more, and equality is symmetric.
func FuzzAddresses(f *testing.F) {
	f.Add("https://a.example/b/../x/./", "https://a.example/%7e%2f%2F")
	f.Fuzz(func(t *testing.T, a, b string) {
		if sameURL(a, b) != sameURL(b, a) {
			t.Fatalf("%q and %q depend on their order", a, b)
		}
		if n, ok := normalize(a); ok {
			if again, ok := normalize(n); !ok || again != n {
				t.Fatalf("%q becomes %q, then %q", a, n, again)
			}
		}
	})
}
