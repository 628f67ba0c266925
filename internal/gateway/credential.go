package gateway

import (
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

// credentials are what the headers of a request say about its caller. Nothing of it is verified.
type credentials struct {
	scheme  string // of the token: Bearer or DPoP
	token   string
	session string    // a session token of the accounts API, in the place of token
	client  client.ID // of Basic
	secret  string    // of Basic
	basic   bool
	claimed client.ID // X-Client-Id
}

// clientID returns the client that the request claims to come from, with or without proof.
func (c *credentials) clientID() client.ID {
	if c.basic {
		return c.client
	}
	return c.claimed
}

// credentialKey is a credential's hash, under which its caller is cached.
type credentialKey [sha256.Size]byte

// keyOf returns the hash of the parts of a credential. The parts cannot run into each other,
// because a token contains no NUL.
func keyOf(kind, value string, client client.ID) credentialKey {
	if kind == "" && client == "" {
		return sha256.Sum256([]byte(value))
	}
	return sha256.Sum256([]byte(kind + "\x00" + value + "\x00" + string(client)))
}

const maxClientID = 200 // bytes

// readCredentials reads the Authorization header, which may contain a client's credentials beside a
// token, and X-Client-Id. Headers that are repeated or contradict each other are rejected: of two
// programs that read one of two values, each may read another. HTTP Basic that the route passes on
// is none of these credentials.
func readCredentials(h http.Header, route *Route) (credentials, error) {
	var c credentials
	switch lines := h["Authorization"]; {
	case len(lines) > 1:
		return c, ambiguous("The Authorization header is sent more than once.")
	case route.passesBasic(h):
	case len(lines) == 1:
		if err := c.readAuthorization(lines[0]); err != nil {
			return c, err
		}
	}
	switch ids := h["X-Client-Id"]; {
	case len(ids) > 1:
		return c, ambiguous("The X-Client-Id header is sent more than once.")
	case len(ids) == 1:
		if ids[0] == "" || len(ids[0]) > maxClientID || !visibleASCII(ids[0]) {
			return c, ambiguous("The X-Client-Id header does not contain a client id.")
		}
		c.claimed = client.ID(ids[0])
	}
	if c.basic && c.claimed != "" && c.claimed != c.client {
		return c, ambiguous("X-Client-Id and the client's credentials name two clients.")
	}
	return c, nil
}

// passesBasic reports whether a request's Authorization header is the upstream's own: HTTP Basic,
// and nothing beside it, on a route that passes it on.
func (rt *Route) passesBasic(h http.Header) bool {
	lines := h["Authorization"]
	if !rt.source.PassBasic || len(lines) != 1 || strings.Contains(lines[0], ",") {
		return false
	}
	scheme, _, _ := strings.Cut(lines[0], " ")
	return strings.EqualFold(scheme, schemeBasic)
}

// readAuthorization reads one header line: one credential, or a client's and a token separated by a
// comma. RFC 9110 §11.6.2 allows one; neither can contain a comma.
func (c *credentials) readAuthorization(line string) error {
	for more := true; more; {
		var part string
		part, line, more = strings.Cut(line, ",")
		scheme, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		value = strings.TrimSpace(value)
		var err error
		switch {
		case strings.EqualFold(scheme, schemeBearer):
			err = c.addToken(schemeBearer, value)
		case strings.EqualFold(scheme, schemeDPoP):
			err = c.addToken(schemeDPoP, value)
		case strings.EqualFold(scheme, schemeBasic):
			err = c.addSecret(scheme + " " + value)
		default:
			err = badCredential(schemeBearer, access.CodeInvalidRequest,
				"The Authorization header has an unknown scheme. Use Bearer, DPoP or Basic.",
				"The Authorization header has an unknown scheme.")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *credentials) addToken(scheme, token string) error {
	session, isSession := strings.CutPrefix(token, SessionTokenMark)
	switch {
	case c.token != "" || c.session != "":
		return ambiguous("The Authorization header contains two tokens.")
	case token == "":
		return ambiguous("The Authorization header contains a scheme without a token.")
	case len(token) > jose.MaxToken:
		return badToken("The token is longer than any that is accepted.")
	}
	if isSession && scheme == schemeBearer {
		c.session = session
		if session == "" {
			return badToken("The session token is empty.")
		}
		return nil
	}
	c.scheme, c.token = scheme, token
	return nil
}

func (c *credentials) addSecret(header string) error {
	if c.basic {
		return ambiguous("The Authorization header contains two clients' credentials.")
	}
	id, pass, _, err := token.BasicSecret(header)
	if err != nil || len(id) > maxClientID {
		return badClient("The Authorization header is not valid HTTP Basic.")
	}
	c.client, c.secret, c.basic = id, pass, true
	return nil
}

// ambiguous returns the denial of a request whose credentials could be read in more than one way.
func ambiguous(reason string) *access.Denial {
	return badRequest("credential", reason, "Send each credential once.")
}

// tokenLike reports whether s has the form of a token (RFC 6750 §2.1, b64token).
func tokenLike(s string) bool {
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

// visibleASCII reports whether s consists of visible ASCII characters, without spaces.
func visibleASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// SessionTokenMark begins a token of the Bearer scheme that is a session token.
const SessionTokenMark = "session:"

// Authorization is what an Authorization header contains. Nothing of it is verified.
type Authorization struct {
	Scheme, Token string // Bearer or DPoP, and a token; or ""
	Session       string // a session token in its place, or ""
	Basic         bool   // a client's credentials
	Client        client.ID
	Secret        string
}

// ParseAuthorization reads an Authorization header: one credential, or a client's and a token
// separated by a comma. The error is a Denial.
func ParseAuthorization(line string) (Authorization, error) {
	var c credentials
	if err := c.readAuthorization(line); err != nil {
		return Authorization{}, err
	}
	return Authorization{
		Scheme:  c.scheme,
		Token:   c.token,
		Session: c.session,
		Basic:   c.basic,
		Client:  c.client,
		Secret:  c.secret,
	}, nil
}
