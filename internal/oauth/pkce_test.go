package oauth

import (
	"strings"
	"testing"
)

// RFC 7636 appendix B.
func TestPKCEVector(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if err := CheckVerifier(challenge, PKCES256, verifier); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]string{
		"S256 compared as plain":           {challenge, PKCES256, challenge},
		"plain compared as S256":           {challenge, PKCEPlain, verifier},
		"too long":                         {challenge, PKCES256, strings.Repeat("a", 129)},
		"characters that are not reserved": {strings.Repeat("ä", 22), PKCEPlain, strings.Repeat("ä", 22)},
	} {
		if err := CheckVerifier(c[0], c[1], c[2]); err == nil || Wire(err).Code != "invalid_grant" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
