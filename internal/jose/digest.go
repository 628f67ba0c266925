package jose

import (
	"crypto/sha256"
	"crypto/sha512"
)

// digest is the hash that belongs to a signature algorithm.
func digest(alg, s string) []byte {
	if alg == EdDSA {
		sum := sha512.Sum512([]byte(s))
		return sum[:]
	}
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}
