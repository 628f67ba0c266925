package token

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

func testRefreshTokens(t testing.TB, key string) *refreshTokens {
	t.Helper()
	keys, err := secret.NewKeys([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return newRefreshTokens(oauth.Config{}, nil, keys)
}

// A refresh token reads back, and is no other server's.
func TestRefreshTokenForm(t *testing.T) {
	s := testRefreshTokens(t, "a master key of at least 32 bytes")
	id := oauth.GrantID("0190a0a0-0000-7000-8000-000000000001")
	token := s.seal(id, make([]byte, refreshSecretSize))
	got, sec, ok := s.open(token)
	if !ok || got != id || s.seal(id, sec) != token {
		t.Fatalf("%v %v", got, ok)
	}
	if a, b := s.nextSecret(id, sec), s.nextSecret(id, sec); string(a) != string(b) || string(a) == string(sec) {
		t.Fatal("the successor is not derived")
	}
	other := testRefreshTokens(t, "another master key, also 32 bytes.")
	if _, _, ok := other.open(token); ok {
		t.Fatal("another server opens it")
	}
}

// Only what this server sealed opens, and it is sealed in one way only.
func FuzzOpenRefresh(f *testing.F) {
	s := testRefreshTokens(f, "a master key of at least 32 bytes")
	f.Add(s.seal("0190a0a0-0000-7000-8000-000000000001", make([]byte, refreshSecretSize)))
	f.Add(secret.Encode(secret.PrefixRefreshToken, make([]byte, refreshSize)))
	f.Add("gth_rt_")
	f.Fuzz(func(t *testing.T, token string) {
		if id, sec, ok := s.open(token); ok && s.seal(id, sec) != token {
			t.Fatalf("%q opens as %s", token, id)
		}
	})
}
