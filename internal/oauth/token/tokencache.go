package token

import (
	"crypto/sha256"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// maxCachedTokens bounds the cache, at some 700 bytes for each token.
const maxCachedTokens = 50_000

// tokenCache holds verified JWT access tokens by their hash, so that a signature is verified
// once and not at every request. An entry only says that a token is genuine: times and
// revocations are checked every time, and removing a key from the ring invalidates its tokens.
type tokenCache struct {
	tokens *otter.Cache[[sha256.Size]byte, *oauth.AccessToken]
}

func newTokenCache() *tokenCache {
	return &tokenCache{otter.Must(&otter.Options[[sha256.Size]byte, *oauth.AccessToken]{
		MaximumSize: maxCachedTokens,
	})}
}

// get returns the cached token, or verifies it and caches it if it is genuine.
func (c *tokenCache) get(
	raw string, ring *jose.Ring, verify func() (*oauth.AccessToken, error),
) (*oauth.AccessToken, error) {
	if len(raw) > jose.MaxToken {
		return verify()
	}
	key := sha256.Sum256([]byte(raw))
	if t, ok := c.tokens.GetIfPresent(key); ok {
		if ring.Has(t.KeyID) {
			return t, nil
		}
		c.tokens.Invalidate(key)
	}
	t, err := verify()
	if err == nil {
		c.tokens.Set(key, t)
	}
	return t, err
}
