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

// checkChallenge checks the PKCE parameters of an authorization request (RFC 7636 §4.3).
func (s *Server) checkChallenge(cl *client.Client, challenge, method string) error {
	if challenge == "" {
		if method != "" {
			return InvalidRequest("code_challenge_method needs code_challenge.")
		}
		if cl.Public || cl.RequirePKCE || s.cfg.RequirePKCE {
			return InvalidRequest("This client must use PKCE: " +
				"send code_challenge with code_challenge_method S256.")
		}
		return nil
	}
	switch method {
	case PKCES256:
		if len(challenge) != 43 || !unreserved(challenge) {
			return InvalidRequest("code_challenge must be the base64url of a SHA-256: " +
				"43 characters, no padding.")
		}
	case PKCEPlain, "":
		if !cl.PlainPKCE {
			return InvalidRequest("code_challenge_method must be S256.")
		}
		if !validVerifier(challenge) {
			return InvalidRequest("code_challenge must consist of 43 to 128 unreserved characters.")
		}
	default:
		return InvalidRequest("code_challenge_method must be S256.")
	}
	return nil
}

// CheckVerifier compares a code verifier with the challenge of its code (RFC 7636 §4.6). It
// rejects a verifier without a challenge, so that an attacker cannot strip the challenge from a
// request (RFC 9700 §4.8.2).
func CheckVerifier(challenge, method, verifier string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return InvalidGrant("code_verifier was sent, " +
			"but the authorization request had no code_challenge.")
	case verifier == "":
		return InvalidGrant("code_verifier is missing.")
	case !validVerifier(verifier):
		return InvalidGrant("code_verifier must consist of 43 to 128 unreserved characters.")
	}
	if method == PKCES256 {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if !secret.Equal(verifier, challenge) {
		return InvalidGrant("code_verifier does not match the code_challenge.")
	}
	return nil
}

// validVerifier reports whether a string has the form of a code verifier (RFC 7636 §4.1).
func validVerifier(s string) bool { return len(s) >= 43 && len(s) <= 128 && unreserved(s) }

// unreserved reports whether a string consists of unreserved characters (RFC 7636 §4.1).
func unreserved(s string) bool {
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
