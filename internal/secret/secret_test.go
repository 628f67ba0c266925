package secret_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func newKeys(t testing.TB, master string) *secret.Keys {
	t.Helper()
	k, err := secret.NewKeys([]byte(master))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	oneMaster   = "a master key of at least 32 bytes"
	otherMaster = "another master key, also 32 bytes."
)

func TestMasterKeyLength(t *testing.T) {
	if _, err := secret.NewKeys(make([]byte, secret.MinMaster-1)); !fault.Is(err, fault.Invalid) {
		t.Fatalf("31 bytes: %v", err)
	}
	master := []byte(oneMaster)
	k, err := secret.NewKeys(master)
	if err != nil {
		t.Fatal(err)
	}
	before := k.Hash("x")
	clear(master) // the caller may wipe its copy
	if k.Hash("x") != before || !bytes.Equal(k.Derive("p"), newKeys(t, oneMaster).Derive("p")) {
		t.Fatal("the keys change with the caller's bytes")
	}
}

// HKDF-SHA-256 of the master key with the purpose as its info (RFC 5869): what is stored depends on
// these bytes.
func TestDerivationIsStable(t *testing.T) {
	k := newKeys(t, oneMaster)
	if got := base64.RawURLEncoding.EncodeToString(k.Derive("purpose")); got != "j6LYNLP0SqWWOBOM3GxEVzMBnrzy6a1HfGyZlHR0B1A" {
		t.Errorf("derived key %s", got)
	}
	if got := k.Hash("secret"); got != "qMhLaixvljB-e4puemULZtYm47rwzZIB1Y4Arou0cQk" {
		t.Errorf("hash %s", got)
	}
	if bytes.Equal(k.Derive("a"), k.Derive("b")) || bytes.Equal(k.Derive("a"), newKeys(t, otherMaster).Derive("a")) {
		t.Error("purposes or masters share a key")
	}
	if k.Hash("x") == newKeys(t, otherMaster).Hash("x") {
		t.Error("hashes are not keyed")
	}
}

func TestTokens(t *testing.T) {
	seen := map[string]bool{}
	for _, prefix := range []string{
		secret.PrefixClientSecret, secret.PrefixRefreshToken, secret.PrefixAccessToken, secret.PrefixCode, secret.PrefixDeviceCode, secret.PrefixLink,
		secret.PrefixSession, "",
	} {
		token := secret.NewToken(prefix)
		if !strings.HasPrefix(token, prefix) || len(token) != len(prefix)+48 || seen[token] {
			t.Fatalf("%q", token)
		}
		seen[token] = true
		if !secret.WellFormed(prefix, token) {
			t.Fatalf("%q is not recognised", token)
		}
	}
}

// A token with one character wrong is told apart without a look at storage.
func TestTokenChecksum(t *testing.T) {
	token := secret.NewToken(secret.PrefixCode)
	body := token[len(secret.PrefixCode):]
	for i := range body {
		other := byte('A')
		if body[i] == other {
			other = 'B'
		}
		bad := secret.PrefixCode + body[:i] + string(other) + body[i+1:]
		if secret.WellFormed(secret.PrefixCode, bad) {
			t.Fatalf("%s passes for %s", bad, token)
		}
	}
	for name, bad := range map[string]string{
		"another prefix":          secret.PrefixDeviceCode + body,
		"no prefix":               body,
		"shorter":                 token[:len(token)-1],
		"longer":                  token + "A",
		"padded":                  token + "=",
		"not the alphabet":        secret.PrefixCode + strings.Repeat("!", 48),
		"a line break within":     secret.PrefixCode + body[:10] + "\n" + body[11:],
		"a line break at the end": secret.PrefixCode + body[:47] + "\r",
		"line breaks only":        secret.PrefixCode + strings.Repeat("\n", 48),
		"empty":                   "",
	} {
		if secret.WellFormed(secret.PrefixCode, bad) {
			t.Errorf("%s is well formed", name)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "aa", false}, {"a", "", false}} {
		if secret.Equal(c.a, c.b) != c.want {
			t.Errorf("%q %q", c.a, c.b)
		}
	}
}

// RFC 9562 §5.7.
func TestIdentifiers(t *testing.T) {
	at := time.UnixMilli(0x017F22E279B0) // the RFC's example, appendix A.6
	id := secret.NewID(at)
	if !strings.HasPrefix(id, "017f22e2-79b0-7") || len(id) != 36 || !strings.ContainsRune("89ab", rune(id[19])) {
		t.Fatalf("%s", id)
	}
	u, ok := secret.ParseID(id)
	if !ok || secret.FormatID(u) != id {
		t.Fatalf("%s does not read back", id)
	}
	var ids []string
	for i := range 1000 {
		ids = append(ids, secret.NewID(at.Add(time.Duration(i)*time.Millisecond)))
	}
	if !slices.IsSorted(ids) {
		t.Fatal("identifiers do not sort by time")
	}
	for _, bad := range []string{"", id[:35], id + "0", strings.ToUpper(id), "{" + id[1:35] + "}", strings.ReplaceAll(id, "-", "0"), "g" + id[1:], id[:8] + "0" + id[9:]} {
		if _, ok := secret.ParseID(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestBox(t *testing.T) {
	k := newKeys(t, oneMaster)
	box := k.Box("flow")
	sealed := box.Seal([]byte("plain"), "login")
	if got, err := k.Box("flow").Open(sealed, "login"); err != nil || string(got) != "plain" {
		t.Fatalf("%q %v", got, err)
	}
	if strings.Contains(sealed, "plain") || sealed == box.Seal([]byte("plain"), "login") {
		t.Fatal("sealed without a nonce")
	}
	for name, open := range map[string]func() ([]byte, error){
		"another context": func() ([]byte, error) { return box.Open(sealed, "consent") },
		"another purpose": func() ([]byte, error) { return k.Box("totp").Open(sealed, "login") },
		"another server":  func() ([]byte, error) { return newKeys(t, otherMaster).Box("flow").Open(sealed, "login") },
		"cut":             func() ([]byte, error) { return box.Open(sealed[:len(sealed)-2], "login") },
		"longer":          func() ([]byte, error) { return box.Open(sealed+"AA", "login") },
		"a line break":    func() ([]byte, error) { return box.Open(sealed+"\n", "login") },
		"empty":           func() ([]byte, error) { return box.Open("", "login") },
		"no base64url":    func() ([]byte, error) { return box.Open("+/=", "login") },
	} {
		if got, err := open(); !errors.Is(err, secret.ErrUnsealed) || got != nil {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	raw, _ := base64.RawURLEncoding.DecodeString(sealed)
	for i := range raw {
		raw[i] ^= 1
		if _, err := box.Open(base64.RawURLEncoding.EncodeToString(raw), "login"); err == nil {
			t.Fatalf("byte %d altered and opened", i)
		}
		raw[i] ^= 1
	}
	if got, err := box.Open(box.Seal(nil, ""), ""); err != nil || len(got) != 0 {
		t.Fatalf("nothing sealed: %q %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(secret.NewToken(secret.PrefixCode), 32)
	f.Add(secret.PrefixCode+strings.Repeat("\n", 48), 32)
	f.Add(secret.PrefixCode, 0)
	f.Fuzz(func(t *testing.T, token string, size int) {
		if size < 0 || size > 1024 {
			return
		}
		raw, ok := secret.Decode(secret.PrefixCode, token, size)
		if ok && (len(raw) != size || secret.Encode(secret.PrefixCode, raw) != token) {
			t.Fatalf("%q decodes to %x", token, raw)
		}
	})
}

// Nobody who lacks the key makes something that opens.
func FuzzBoxOpen(f *testing.F) {
	box := newKeys(f, oneMaster).Box("x")
	f.Add(box.Seal([]byte("plain"), "c"))
	f.Add("")
	f.Fuzz(func(t *testing.T, sealed string) {
		plain, err := box.Open(sealed, "c")
		if err == nil && string(plain) != "plain" {
			t.Fatalf("%q opens as %q", sealed, plain)
		}
		if err != nil && !errors.Is(err, secret.ErrUnsealed) {
			t.Fatal(err)
		}
	})
}
