package oauth

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Code challenge methods (RFC 7636 §4.2).
const (
	PKCES256  = "S256"
	PKCEPlain = "plain"
)

// checkChallenge reads the PKCE parameters of an authorization request (RFC 7636 §4.3).
func (s *Server) checkChallenge(cl *client.Client, challenge, method string) error {
	if challenge == "" {
		if method != "" {
			return invalidRequest("code_challenge_method needs code_challenge.")
		}
		if cl.Public || cl.RequirePKCE || s.cfg.RequirePKCE {
			return invalidRequest("This client must use PKCE: send code_challenge with code_challenge_method S256.")
		}
		return nil
	}
	switch method {
	case PKCES256:
		if len(challenge) != 43 || !pkceText(challenge) {
			return invalidRequest("code_challenge must be the base64url of a SHA-256: 43 characters, no padding.")
		}
	case PKCEPlain, "":
		if !cl.PlainPKCE {
			return invalidRequest("code_challenge_method must be S256.")
		}
		if !verifierText(challenge) {
			return invalidRequest("code_challenge must have 43 to 128 unreserved characters.")
		}
	default:
		return invalidRequest("code_challenge_method must be S256.")
	}
	return nil
}

// checkVerifier compares a verifier with the challenge of the code (RFC 7636 §4.6). A verifier without a
// challenge is refused, so that nobody strips the challenge from a request (RFC 9700 §4.8.2).
func checkVerifier(challenge, method, verifier string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return invalidGrant("code_verifier was sent, but the authorization request had no code_challenge.")
	case verifier == "":
		return invalidGrant("code_verifier is missing.")
	case !verifierText(verifier):
		return invalidGrant("code_verifier must have 43 to 128 unreserved characters.")
	}
	if method == PKCES256 {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if !secret.Equal(verifier, challenge) {
		return invalidGrant("code_verifier does not match the code_challenge.")
	}
	return nil
}

func verifierText(s string) bool { return len(s) >= 43 && len(s) <= 128 && pkceText(s) }

// pkceText reports whether a string has unreserved characters only (RFC 7636 §4.1).
func pkceText(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}
