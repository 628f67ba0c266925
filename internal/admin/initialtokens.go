package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Bounds of an initial access token.
const (
	maxInitialUses   = 1_000_000
	maxInitialTTL    = 365 * 24 * time.Hour
	initialTTL       = 24 * time.Hour // unless the request says otherwise
	maxInitialText   = 200            // bytes
	maxInitialTokens = 1000           // that may exist
)

// InitialToken is an initial access token: it registers clients within its policy (RFC 7591 §3).
type InitialToken struct {
	ID          string
	Hash        secret.Hash
	Description string
	Policy      RegistrationPolicy
	Count       int // how many clients it may register
	Used        int // how many it has registered
	CreatedBy   string
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// Usable reports whether the token can register a client.
func (t *InitialToken) Usable(now time.Time) bool {
	return t.Used < t.Count && t.ExpiresAt.After(now)
}

// NewInitialToken is an initial access token to create.
type NewInitialToken struct {
	Description string
	Count       int           // 0: 1
	ExpiresIn   time.Duration // 0: a day
	Policy      RegistrationPolicy
}

// CreateInitialToken creates an initial access token and returns it with its text, which is shown
// this once.
func (o *Operations) CreateInitialToken(
	ctx context.Context, a Actor, in NewInitialToken,
) (*InitialToken, string, error) {
	if err := o.authorize(a, ScopeRegistrationsWrite); err != nil {
		return nil, "", err
	}
	if in.Count == 0 {
		in.Count = 1
	}
	if in.ExpiresIn == 0 {
		in.ExpiresIn = initialTTL
	}
	switch what := identity.InvalidText(in.Description); {
	case what != "" || len(in.Description) > maxInitialText:
		return nil, "", fault.InvalidField("description", "a description has at most %d bytes of text", maxInitialText)
	case in.Count < 1 || in.Count > maxInitialUses:
		return nil, "", fault.InvalidField("count", "must be from 1 to %d", maxInitialUses)
	case in.ExpiresIn < time.Second || in.ExpiresIn > maxInitialTTL:
		return nil, "", fault.InvalidField("expires_in", "must be from 1 second to 365 days")
	}
	if err := o.validatePolicy(&in.Policy); err != nil {
		return nil, "", err
	}
	if _, n, err := o.store.ListInitialTokens(ctx, 1, 0); err != nil {
		return nil, "", err
	} else if n >= maxInitialTokens {
		return nil, "", fault.New(fault.Conflict, "there are %d initial access tokens; revoke one first", n)
	}
	now := o.parts.Now()
	text := secret.NewToken(secret.PrefixInitialAccess)
	t := &InitialToken{
		ID:          secret.NewID(now),
		Hash:        o.parts.Keys.Hash(text),
		Description: in.Description,
		Policy:      in.Policy,
		Count:       in.Count,
		CreatedBy:   a.Name(),
		CreatedAt:   now,
		ExpiresAt:   now.Add(in.ExpiresIn),
	}
	ev := a.event(audit.InitialTokenCreated, now)
	ev.TargetType, ev.TargetID = audit.TargetInitial, t.ID
	ev.Guard = o.covers(a, ScopeRegistrationsWrite)
	ev.Detail = map[string]string{
		"count":      strconv.Itoa(t.Count),
		"expires_at": t.ExpiresAt.UTC().Format(time.RFC3339),
	}
	return t, text, o.store.CreateInitialToken(ctx, t, ev)
}

// ListInitialTokens returns a page of initial access tokens, newest first, and how many there are.
// None of them holds its text.
func (o *Operations) ListInitialTokens(
	ctx context.Context, a Actor, limit, offset int,
) ([]InitialToken, int, error) {
	if err := o.authorize(a, ScopeRegistrationsRead); err != nil {
		return nil, 0, err
	}
	return o.store.ListInitialTokens(ctx, limit, offset)
}

// RevokeInitialToken deletes an initial access token. The clients that it registered stay.
func (o *Operations) RevokeInitialToken(ctx context.Context, a Actor, id string) error {
	if err := o.authorize(a, ScopeRegistrationsWrite); err != nil {
		return err
	}
	ev := a.event(audit.InitialTokenRevoked, o.parts.Now())
	ev.TargetType, ev.TargetID = audit.TargetInitial, id
	ev.Guard = o.covers(a, ScopeRegistrationsWrite)
	err := o.store.DeleteInitialToken(ctx, id, ev)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "there is no initial access token %.64q", id)
	}
	return err
}
