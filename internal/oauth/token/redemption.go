package token

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Redemption is what a grant entitles a client to: a *NewGrant, a *Rotation or a *Stateless.
type Redemption interface {
	access() *Access
}

// Access says what the access token of a redemption is for.
type Access struct {
	Grant    *oauth.Grant
	User     *identity.User // nil if the client acts for itself
	Scopes   []string       // the grant's, or fewer
	Audience []string
}

func (a *Access) access() *Access { return a }

// NewGrant is a new approval. It is stored before anything is issued.
type NewGrant struct {
	Access
	Consumes  Credential // redeemed in the transaction that stores the grant; nil: nothing
	Refreshes bool       // the client may refresh: it gets a refresh token, or what replaces one
	Nonce     string     // for the ID token
}

// Credential is what is exchanged for a grant: a single-use credential, or a proof that holds only
// while the account stays as it is.
type Credential interface {
	// Redeem consumes or checks the credential and stores the grant with the event, in one
	// transaction.
	Redeem(ctx context.Context, g *oauth.Grant, ev audit.Event) error
}

// Rotation continues an approval: the credential that the request presents is replaced by its
// successor.
type Rotation struct {
	Access
	Rotate       *oauth.RefreshRotation // nil: a lost response is repeated, and nothing changes
	RefreshToken string                 // to respond with, or ""
	TokenID      string                 // of the access token where it is the successor; "" is random
	IssuedType   string                 // issued_token_type (RFC 8693 §2.2.1), or ""
}

// Stateless is an approval that is not stored: the client acts for itself.
type Stateless struct {
	Access
	Event audit.Type // records the issuance
}
