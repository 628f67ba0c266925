package gateway

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

// credentials is what a request says of who makes it, read off its headers and not believed yet.
type credentials struct {
	scheme string // of the token: Bearer or DPoP
	token  string
	client client.ID // of Basic
	secret string
	basic  bool
	named  client.ID // X-Client-Id
}

// claims is the client that the request says it comes from, proven or not.
func (c *credentials) claims() client.ID {
	if c.basic {
		return c.client
	}
	return c.named
}

// credentialKey is a credential's hash, under which its caller is remembered.
type credentialKey [sha256.Size]byte

// keyOf hashes the parts of a credential. The parts cannot run into each other: a token is one word.
func keyOf(kind, value string, client client.ID) credentialKey {
	if kind == "" && client == "" {
		return sha256.Sum256([]byte(value))
	}
	return sha256.Sum256([]byte(kind + "\x00" + value + "\x00" + string(client)))
}

const maxClientID = 200 // bytes

// readCredentials reads the Authorization header, which may hold a client's credentials and a token side by side, and
// X-Client-Id. What is sent twice, or contradicts itself, is refused: of two programs that pick one of two, each may pick another.
func readCredentials(h http.Header) (credentials, *access.Denial) {
	var c credentials
	switch lines := h["Authorization"]; {
	case len(lines) > 1:
		return c, conflict("The Authorization header is sent more than once.")
	case len(lines) == 1:
		if denial := c.authorization(lines[0]); denial != nil {
			return c, denial
		}
	}
	switch names := h["X-Client-Id"]; {
	case len(names) > 1:
		return c, conflict("The X-Client-Id header is sent more than once.")
	case len(names) == 1:
		c.named = client.ID(names[0])
		if names[0] == "" || len(names[0]) > maxClientID || !word(names[0]) {
			return c, conflict("The X-Client-Id header holds no client id.")
		}
	}
	if c.basic && c.named != "" && c.named != c.client {
		return c, conflict("X-Client-Id and the client's credentials name two clients.")
	}
	return c, nil
}

// authorization reads one header line: one credential, or a client's and a token with a comma between (RFC 9110 §11.6.2 has one;
// a comma can stand in neither).
func (c *credentials) authorization(line string) *access.Denial {
	for more := true; more; {
		var part string
		part, line, more = strings.Cut(line, ",")
		scheme, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		value = strings.TrimSpace(value)
		var denial *access.Denial
		switch {
		case strings.EqualFold(scheme, schemeBearer):
			denial = c.bear(schemeBearer, value)
		case strings.EqualFold(scheme, schemeDPoP):
			denial = c.bear(schemeDPoP, value)
		case strings.EqualFold(scheme, schemeBasic):
			denial = c.prove(scheme + " " + value)
		default:
			return badCredential(schemeBearer, access.CodeInvalidRequest, "The Authorization header has a scheme that is not known here. Use Bearer, DPoP or Basic.",
				"The Authorization header has an unknown scheme.")
		}
		if denial != nil {
			return denial
		}
	}
	return nil
}

func (c *credentials) bear(scheme, token string) *access.Denial {
	switch {
	case c.token != "":
		return conflict("The Authorization header holds two tokens.")
	case token == "":
		return conflict("The Authorization header holds no token where one should stand.")
	case len(token) > jose.MaxToken:
		return badToken("The token is longer than any that is accepted.")
	}
	c.scheme, c.token = scheme, token
	return nil
}

func (c *credentials) prove(header string) *access.Denial {
	if c.basic {
		return conflict("The Authorization header holds two clients' credentials.")
	}
	id, pass, _, err := token.BasicSecret(header)
	if err != nil || len(id) > maxClientID {
		return badClient("The Authorization header is not valid HTTP Basic.")
	}
	c.client, c.secret, c.basic = id, pass, true
	return nil
}

func conflict(reason string) *access.Denial {
	return badRequest("credential", reason, "Send each credential once.")
}

// tokenWord reports whether s has the form of a token (RFC 6750 §2.1, b64token).
func tokenWord(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/' || c == '=':
		default:
			return false
		}
	}
	return true
}

// word reports whether s is visible ASCII without a space.
func word(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// denialDetail returns why a lookup ended in a Denied error, for the operator: its reason code, or
// its text.
func denialDetail(err error) string {
	if reason := fault.Reason(err); reason != "" {
		return reason
	}
	return fault.Text(err)
}
