package jose

import (
	"context"
	"time"
)

// StoredKey is a signing key in its stored form. It is published from CreatedAt on, signs from
// ActiveAt on until a newer key of its algorithm signs, and is published until ExpiresAt (zero:
// no end is set yet).
type StoredKey struct {
	ID        string // kid
	Alg       string // RS256, PS256, ES256 or EdDSA
	PublicJWK string // JSON
	Sealed    string // PKCS #8, sealed
	CreatedAt time.Time
	ActiveAt  time.Time
	RetiredAt time.Time // zero while it signs or waits to sign
	ExpiresAt time.Time // zero while it signs or waits to sign
}

// Store is the storage of a key ring.
type Store interface {
	// Keys reads all keys that have not expired, oldest first.
	Keys(ctx context.Context) ([]StoredKey, error)
	// FirstKey stores a key if no unretired key of its algorithm exists; Conflict if there is
	// one (two servers starting at once).
	FirstKey(ctx context.Context, k StoredKey) error
}
