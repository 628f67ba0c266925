package bearer

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

func TestProofCacheIsBounded(t *testing.T) {
	p, now := newProofCache(3), time.Unix(1_800_000_000, 0)
	id := func(n uint64) (out [sha256.Size]byte) {
		binary.BigEndian.PutUint64(out[:], n)
		return out
	}
	for n := range uint64(3) {
		if absent, room := p.add(id(n), now, now); !absent || !room {
			t.Fatalf("proof %d: %v %v", n, absent, room)
		}
	}
	if _, room := p.add(id(3), now, now); room {
		t.Error("a fourth found room")
	}
	if absent, room := p.add(id(1), now, now); absent || !room {
		t.Error("a full cache has evicted a proof")
	}
	// A proof is recorded as long as it could be used, then removed.
	if absent, _ := p.add(id(1), now, now.Add(proofWindow)); absent {
		t.Error("removed while it could be used")
	}
	later := now.Add(proofWindow + 15*time.Second)
	if absent, room := p.add(id(9), later, later); !absent || !room || p.size != 1 {
		t.Errorf("expired proofs are not removed: %d are left", p.size)
	}
}

func TestKeySets(t *testing.T) {
	const weak = `{"kty":"RSA","n":"` + "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw"
	ed := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"ed"}`
	for name, tc := range map[string]struct {
		set  string
		keys int // -1: rejected
	}{
		"one":                 {`{"keys":[` + ed + `]}`, 1},
		"none":                {`{"keys":[]}`, -1},
		"not a set":           {`[]`, -1},
		"symmetric":           {`{"keys":[{"kty":"oct","k":"AAAA"}]}`, -1},
		"symmetric beside":    {`{"keys":[{"kty":"oct","k":"AAAA"},` + ed + `]}`, 1},
		"unknown kind beside": {`{"keys":[{"kty":"PQ"},` + ed + `]}`, 1},
		"for encryption":      {`{"keys":[` + strings.Replace(ed, "{", `{"use":"enc",`, 1) + `]}`, -1},
		"private": {
			`{"keys":[` + strings.Replace(ed, "{", `{"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",`, 1) + `]}`, -1,
		},
		"RSA of 512 bits": {`{"keys":[` + weak[:90] + `","e":"AQAB"}]}`, -1},
		"too many":        {`{"keys":[` + strings.Repeat(ed+",", maxKeys) + ed + `]}`, -1},
		"endless id":      {`{"keys":[` + strings.Replace(ed, `"ed"`, `"`+strings.Repeat("x", maxKeyID+1)+`"`, 1) + `]}`, -1},
	} {
		set, err := parseKeys([]byte(tc.set))
		if got := len(keysOf(set)); (err != nil) != (tc.keys < 0) || (err == nil && got != tc.keys) {
			t.Errorf("%s: %d keys, %v", name, got, err)
		}
	}
}

func keysOf(s *keySet) []signingKey {
	if s == nil {
		return nil
	}
	return s.keys
}

func TestLifetime(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"": defaultLifetime, "max-age=600": 10 * time.Minute, "public, Max-Age=120": 2 * time.Minute, "max-age=1": minLifetime,
		"max-age=99999999": maxLifetime, "no-store": minLifetime, "max-age=x": defaultLifetime, "max-age=-5": minLifetime,
	} {
		if got := lifetime(map[string][]string{"Cache-Control": {line}}); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{"Bearer a", "dpop a.b.c", "Bearer  ", "Basic YTpi", "Bearer a, Basic b", "Bearer a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		c, ok := ParseAuthorization(header)
		if !ok || c.checkForm(defaultMaxToken) != nil {
			return
		}
		if c.Scheme != SchemeBearer && c.Scheme != SchemeDPoP {
			t.Errorf("scheme %q", c.Scheme)
		}
		if !strings.Contains(header, c.Token) || strings.ContainsAny(c.Token, " ,;\"\x00\r\n") || len(c.Token) > defaultMaxToken {
			t.Errorf("token %q of %q", c.Token, header)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"iss":"https://id.example","sub":"a","aud":["b"],"exp":1,"cnf":{"jkt":"x"},"realm_access":{"roles":["r"]},"scope":"a b"}`))
	f.Add([]byte(`{"active":true,"cnf":{},"scope":null,"aud":null,"exp":1e400}`))
	f.Add([]byte(`{"iss":1,"ISS":"x","iss":2}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseClaims(payload)
		if err != nil {
			return
		}
		got, err := c.token(Claims{Roles: "realm_access.roles", User: "a.b.c"})
		if err != nil {
			return
		}
		if got.Thumbprint == "" && got.Certificate == "" && c.raw("cnf") != nil {
			t.Errorf("a binding was ignored in %s", payload)
		}
		if got.Expires.Year() > 9999 {
			t.Errorf("expires %s", got.Expires)
		}
	})
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"issuer":"https://id.example","jwks_uri":"https://id.example/jwks"}`))
	f.Add([]byte(`{"active":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if set, err := parseKeys(body); err == nil && len(set.keys) == 0 {
			t.Error("an empty set was accepted")
		}
		if m, err := parseMetadata(body, "https://id.example"); err == nil && m.Issuer != "https://id.example" {
			t.Error("another issuer was accepted")
		}
		_, _ = parseActive(body)
	})
}

func FuzzNonce(f *testing.F) {
	n, now := newNonces(make([]byte, minNonceKey)), time.Unix(1_800_000_000, 0)
	own := n.issue(now)
	f.Add(own)
	f.Add("")
	f.Add(own[:10] + "\r" + own[10:])
	f.Fuzz(func(t *testing.T, nonce string) {
		if n.valid(nonce, now) && nonce != own {
			t.Errorf("%q was accepted", nonce)
		}
	})
}
