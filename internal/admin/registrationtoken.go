package admin

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A registration access token consists, before prefix and checksum, of the id of its series (16
// bytes), a secret (32) and a tag (8).
//
// Every change of a registration is answered with the token's successor, whose secret derives from
// it with a key that only the server has. The token works until its successor is used, so a client
// that lost the answer asks again and gets the same successor. The tag is keyed: a token of the
// series that is neither the current one nor its successor was replaced, and somebody has a copy.
const (
	seriesSize             = 16
	registrationSecretSize = 32
	registrationTagSize    = 8
	registrationTokenSize  = seriesSize + registrationSecretSize + registrationTagSize
)

type registrationTokens struct {
	keys   *secret.Keys
	tagKey []byte
	next   []byte
}

func (r *Registrar) registrationTokens() registrationTokens {
	k := r.parts.Keys
	return registrationTokens{keys: k, tagKey: k.Derive("registration-tag"), next: k.Derive("registration-next")}
}

// first returns the first registration access token of a client, and its stored form.
func (t registrationTokens) first(id client.ID) (string, client.Registration) {
	raw := make([]byte, seriesSize+registrationSecretSize)
	rand.Read(raw)
	token := t.seal(id, raw)
	return token, client.Registration{
		Chain: secret.FormatID([16]byte(raw[:seriesSize])),
		Hash:  t.keys.Hash(token),
	}
}

func (t registrationTokens) seal(id client.ID, body []byte) string {
	tag := t.tag(id, body)
	return secret.Encode(secret.PrefixRegistrationAccess, append(body[:len(body):len(body)], tag...))
}

func (t registrationTokens) tag(id client.ID, body []byte) []byte {
	m := hmac.New(sha256.New, t.tagKey)
	m.Write(body)
	m.Write([]byte(id))
	return m.Sum(nil)[:registrationTagSize]
}

// open returns the series of a token, and the token that follows it. It returns false for a token
// that this server did not write for the client.
func (t registrationTokens) open(id client.ID, token string) (chain, successor string, ok bool) {
	raw, ok := secret.Decode(secret.PrefixRegistrationAccess, token, registrationTokenSize)
	if !ok {
		return "", "", false
	}
	body, tag := raw[:seriesSize+registrationSecretSize], raw[seriesSize+registrationSecretSize:]
	if !hmac.Equal(tag, t.tag(id, body)) {
		return "", "", false
	}
	m := hmac.New(sha256.New, t.next)
	m.Write(body)
	m.Write([]byte(id))
	next := m.Sum(append([]byte(nil), body[:seriesSize]...))
	return secret.FormatID([16]byte(body[:seriesSize])), t.seal(id, next), true
}

// registrationAccess is a client that has shown its registration access token.
type registrationAccess struct {
	actor     Actor
	token     string
	successor string
	state     *client.Registration
	client    *client.Client
}

// openRegistration returns what a registration access token gives access to. An unknown token, and
// a token for another or a deleted client, are the same error (RFC 7592 §2.1). A token that was
// replaced ends its series: one of two holders is not the client.
func (r *Registrar) openRegistration(
	ctx context.Context, g Registrant, id client.ID,
) (*registrationAccess, error) {
	tokens := r.registrationTokens()
	chain, successor, ok := tokens.open(id, g.Token)
	if !ok || !r.cfg.Registration.Enabled {
		return nil, invalidRegistrationToken()
	}
	in := &registrationAccess{actor: g.Actor, token: g.Token, successor: successor}
	in.actor.Client = id
	hash := r.parts.Keys.Hash(g.Token)
	state, err := r.store.Registration(ctx, id)
	if err == nil && state.Chain == chain && equalHash(state.Next, hash) {
		// First use of the successor. Another request may be first.
		if err := r.store.AdvanceRegistrationToken(ctx, id, hash); err != nil {
			return nil, err
		}
		state, err = r.store.Registration(ctx, id)
	}
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && state.Chain != chain:
		return nil, invalidRegistrationToken()
	case err != nil:
		return nil, err
	case !equalHash(state.Hash, hash):
		ev := clientEvent(in.actor, audit.RegistrationTokenReplayed, id, r.parts.Now())
		if err := r.store.EndRegistrationTokens(ctx, id, chain, ev); err != nil {
			return nil, err
		}
		return nil, invalidRegistrationToken()
	}
	in.state = state
	in.client, err = r.freshClient(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, invalidRegistrationToken()
	case err == nil && in.client.Disabled:
		return nil, oauth.AccessDenied("The client is disabled.")
	}
	return in, err
}

// offerSuccessor stores the successor of the token of a request, and returns it.
func (r *Registrar) offerSuccessor(ctx context.Context, id client.ID, in *registrationAccess) (string, error) {
	keys := r.parts.Keys
	return in.successor, r.store.OfferRegistrationToken(ctx, id, keys.Hash(in.token), keys.Hash(in.successor))
}

func equalHash(a, b secret.Hash) bool { return a != "" && secret.Equal(string(a), string(b)) }
