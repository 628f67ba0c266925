package token

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// assertionType is the client_assertion_type of a JWT (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Bounds of an assertion's times. The longest TTL bounds how long its id is recorded.
const (
	assertionSkew   = 60 * time.Second
	assertionMaxTTL = time.Hour
)

// privateKeyAuth is private_key_jwt (RFC 7523 §2.2, OpenID Connect Core §9).
type privateKeyAuth struct {
	once       onceStore
	keys       *secret.Keys
	clientKeys oauth.ClientKeys
	issuer     string // audiences that an assertion may have
	aud        string
}

// onceStore records keys that work once.
type onceStore interface {
	// Once records a key until a time. Consumed: it is recorded already.
	Once(ctx context.Context, key string, until, now time.Time) error
}

// assertion is the payload of a client assertion.
type assertion struct {
	Issuer    string             `json:"iss"`
	Subject   string             `json:"sub"`
	Audience  assertionAudience  `json:"aud"`
	ID        string             `json:"jti"`
	Expires   *oauth.NumericDate `json:"exp"`
	NotBefore *oauth.NumericDate `json:"nbf"`
	IssuedAt  *oauth.NumericDate `json:"iat"`
}

// assertionAudience is an aud claim, which may be one text or a list of them (RFC 7519 §4.1.3).
type assertionAudience struct {
	names oauth.Audience
	text  bool // one text, not a list
}

// UnmarshalJSON reads either form.
func (a *assertionAudience) UnmarshalJSON(raw []byte) error {
	a.text = len(raw) > 0 && raw[0] == '"'
	return a.names.UnmarshalJSON(raw)
}

// is reports whether a name is the whole audience, as one text.
func (a assertionAudience) is(name string) bool { return a.text && a.names[0] == name }

func (privateKeyAuth) Describe() client.AuthMethod {
	return client.AuthMethod{
		Name:    client.MethodPrivateKey,
		Summary: "The client signs a JWT with a private key of its own.",
		Keys:    true,
	}
}

func (privateKeyAuth) Claim(c *oauth.Call) (client.ID, bool, error) {
	if c.Get("client_assertion") == "" && c.Get("client_assertion_type") == "" {
		return "", false, nil
	}
	if c.Get("client_assertion_type") != assertionType {
		return "", false, oauth.InvalidRequest("client_assertion_type must be %s.", assertionType)
	}
	raw, err := jose.Peek(c.Get("client_assertion"), jose.AssertionAlgorithms())
	if err != nil {
		return "", false, oauth.InvalidClient("",
			"The client assertion is not a JWT signed with an accepted algorithm.")
	}
	var a assertion
	if json.Unmarshal(raw, &a) != nil || a.Subject == "" {
		return "", false, oauth.InvalidClient("", "The client assertion names no client in sub.")
	}
	return client.ID(a.Subject), true, nil
}

func (p privateKeyAuth) Prove(ctx context.Context, cl *client.Client, c *oauth.Call) error {
	raw, err := p.verify(ctx, cl, c.Get("client_assertion"))
	if err != nil {
		return err
	}
	var a assertion
	if json.Unmarshal(raw, &a) != nil {
		return denied(audit.ReasonAssertionMalformed)
	}
	if err := p.check(cl, &a, c.Now); err != nil {
		return err
	}
	key := "assertion:" + string(p.keys.Hash(string(cl.ID)+"\x00"+a.ID))
	err = p.once.Once(ctx, key, a.Expires.Time().Add(assertionSkew), c.Now)
	if fault.Is(err, fault.Consumed) {
		return denied(audit.ReasonAssertionReplayed)
	}
	return err
}

// check checks the claims of an assertion, clause by clause (RFC 7523 §3).
func (p privateKeyAuth) check(cl *client.Client, a *assertion, now time.Time) error {
	foreign := func(aud string) bool { return aud != p.issuer && aud != p.aud }
	switch {
	case a.Issuer != string(cl.ID) || a.Subject != string(cl.ID):
		return denied(audit.ReasonAssertionWrongIssuer)
	case len(a.Audience.names) == 0 || slices.ContainsFunc(a.Audience.names, foreign):
		// All audiences must be ours: another one could replay the assertion here.
		return denied(audit.ReasonAssertionWrongAudience)
	case cl.StrictAudience && !a.Audience.is(p.issuer): // FAPI 2.0 §5.3.2.1
		return denied(audit.ReasonAssertionWrongAudience)
	case a.ID == "" || len(a.ID) > 256:
		return denied(audit.ReasonAssertionWithoutID)
	case a.Expires == nil || !a.Expires.Time().Add(assertionSkew).After(now):
		return denied(audit.ReasonAssertionExpired)
	case a.Expires.Time().After(now.Add(assertionMaxTTL + assertionSkew)):
		return denied(audit.ReasonAssertionTooLong)
	case a.NotBefore != nil && a.NotBefore.Time().After(now.Add(assertionSkew)):
		return denied(audit.ReasonAssertionNotYetValid)
	case a.IssuedAt != nil && a.IssuedAt.Time().After(now.Add(assertionSkew)):
		return denied(audit.ReasonAssertionFromFuture)
	}
	return nil
}

// assertionKind reports whether a typ header may be one of a client assertion. A token that the
// client signed for another purpose must not authenticate it (RFC 8725 §3.11).
func assertionKind(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "" || typ == "jwt" || typ == "client-authentication+jwt"
}

// verify checks the signature of an assertion with the client's registered keys and returns the
// payload.
func (p privateKeyAuth) verify(
	ctx context.Context, cl *client.Client, token string,
) ([]byte, error) {
	payload, head, err := p.clientKeys.Verify(ctx, cl, token)
	switch {
	case err == nil && (!assertionKind(head.Type) || (cl.AuthAlg != "" && head.Alg != cl.AuthAlg)):
		return nil, denied(audit.ReasonAssertionMalformed)
	case err == nil:
		return payload, nil
	case fault.Reason(err) != "":
		return nil, err
	}
	return nil, denied(audit.ReasonAssertionSignature)
}
