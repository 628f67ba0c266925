package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// grantData is a grant that waits to be stored, within a code or a device authorization. Its member names are those
// in the database: they outlive an upgrade.
type grantData struct {
	ID          string          `json:"id"`
	Client      string          `json:"client"`
	User        string          `json:"user,omitempty"`
	Session     string          `json:"session,omitempty"`
	Kind        string          `json:"kind"`
	Scopes      []string        `json:"scopes,omitempty"`
	Resources   []string        `json:"resources,omitempty"`
	Claims      json.RawMessage `json:"claims,omitempty"`
	AuthTime    int64           `json:"auth_time,omitempty"`
	AMR         []string        `json:"amr,omitempty"`
	ACR         string          `json:"acr,omitempty"`
	Bound       string          `json:"bound,omitempty"`
	ExpiresAt   int64           `json:"expires_at,omitempty"`
	AbsoluteEnd int64           `json:"absolute_end,omitempty"`
	IP          string          `json:"ip,omitempty"`
	Agent       string          `json:"agent,omitempty"`
	CreatedAt   int64           `json:"created_at"`
	LastUsedAt  int64           `json:"last_used_at,omitempty"`
}

func dataOfGrant(g *oauth.Grant) grantData {
	return grantData{
		ID: string(g.ID), Client: string(g.Client), User: string(g.User), Session: string(g.Session), Kind: g.Kind,
		Scopes: g.Scopes, Resources: g.Resources, Claims: g.Claims, AuthTime: ms(g.AuthTime), AMR: g.AMR, ACR: g.ACR, Bound: g.Bound,
		ExpiresAt: ms(g.ExpiresAt), AbsoluteEnd: ms(g.AbsoluteEnd), IP: clean(g.IP), Agent: clean(g.Agent),
		CreatedAt: ms(g.CreatedAt), LastUsedAt: ms(g.LastUsedAt),
	}
}

func (g grantData) grant() oauth.Grant {
	return oauth.Grant{
		ID: oauth.GrantID(g.ID), Client: client.ID(g.Client), User: identity.UserID(g.User), Session: identity.SessionID(g.Session),
		Kind: g.Kind, Scopes: g.Scopes, Resources: g.Resources, Claims: g.Claims, AuthTime: at(g.AuthTime), AMR: g.AMR, ACR: g.ACR, Bound: g.Bound,
		ExpiresAt: at(g.ExpiresAt), AbsoluteEnd: at(g.AbsoluteEnd), IP: g.IP, Agent: g.Agent,
		CreatedAt: at(g.CreatedAt), LastUsedAt: at(g.LastUsedAt),
	}
}

// codeData is what a code stands for, as it is stored.
type codeData struct {
	Grant           grantData `json:"grant"`
	RedirectURI     string    `json:"redirect_uri,omitempty"`
	Challenge       string    `json:"challenge,omitempty"`
	ChallengeMethod string    `json:"challenge_method,omitempty"`
	Nonce           string    `json:"nonce,omitempty"`
}

// PutCode stores an authorization code under its hash, with the events.
func (d *DB) PutCode(ctx context.Context, h secret.Hash, c *oauth.Code, ev ...audit.Event) error {
	data, err := json.Marshal(codeData{dataOfGrant(&c.Grant), c.RedirectURI, c.Challenge, c.ChallengeMethod, c.Nonce})
	if err != nil {
		return err
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO codes (hash, grant_id, client_id, data, created_at, expires_at, spent_at) VALUES ($1, $2, $3, $4, $5, $6, 0)",
			h, c.Grant.ID, c.Grant.Client, string(data), ms(c.Grant.CreatedAt), ms(c.ExpiresAt))
		return err
	})
}

// Code reads a code: NotFound if there is none or it has expired; Consumed if it was used before, together with the
// code, so that what it gave can be ended (RFC 6749 §4.1.2).
func (d *DB) Code(ctx context.Context, h secret.Hash, now time.Time) (*oauth.Code, error) {
	var used time.Time
	c, err := scanCode(d.sql.Row(ctx, "SELECT data, expires_at, spent_at FROM codes WHERE hash = $1 AND (expires_at > $2 OR spent_at <> 0)", h, ms(now)), &used)
	if err != nil {
		return nil, named(err, "code")
	}
	c.Hash = h
	if !used.IsZero() {
		return c, spent("code")
	}
	return c, nil
}

const spendCode = "UPDATE codes SET spent_at = $1 WHERE hash = $2 AND spent_at = 0 AND expires_at > $1"

// ConsumeCode uses a code up for nothing: Consumed if it was used before, NotFound if there is none or it has expired.
func (d *DB) ConsumeCode(ctx context.Context, h secret.Hash, now time.Time) error {
	n, err := d.sql.Exec(ctx, spendCode, ms(now), h)
	if err != nil || n == 1 {
		return err
	}
	if used, err := exists(ctx, d.sql, "SELECT 1 FROM codes WHERE hash = $1 AND spent_at <> 0", h); err != nil || used {
		return either(err, spent("code"))
	}
	return notFound("code")
}

// RedeemCode uses a code up and stores the grant that it gives, in one transaction. Consumed: the code was used before or
// has expired, and nothing is stored. Denied: what the grant hangs on has been revoked; the code is used up.
func (d *DB) RedeemCode(ctx context.Context, h secret.Hash, g *oauth.Grant, now time.Time, ev ...audit.Event) error {
	return d.redeem(ctx, g, ev, func(tx sqldb.Tx) (bool, error) {
		n, err := tx.Exec(ctx, spendCode, ms(now), h)
		return n == 1, err
	})
}

// redeem uses something up, stores the grant that it gives, and writes the events, in one transaction.
func (d *DB) redeem(ctx context.Context, g *oauth.Grant, ev []audit.Event, spend func(sqldb.Tx) (bool, error)) error {
	revoked := false
	err := d.sql.Write(ctx, func(tx sqldb.Tx) error {
		revoked = false
		won, err := spend(tx)
		if err != nil {
			return err
		}
		if !won {
			return spent("code")
		}
		err = insertGrant(ctx, tx, g)
		if fault.Is(err, fault.Consumed) { // what was used up stays so
			revoked = true
			return nil
		}
		if err != nil {
			return err
		}
		return record(ctx, tx, ev)
	})
	if err == nil && revoked {
		return fault.New(fault.Denied, "this approval has been revoked")
	}
	return err
}

func either(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func scanCode(r sqldb.Row, used *time.Time) (*oauth.Code, error) {
	var text string
	var expires time.Time
	if err := r.Scan(&text, stamp{&expires}, stamp{used}); err != nil {
		return nil, err
	}
	var data codeData
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return nil, err
	}
	return &oauth.Code{
		Grant: data.Grant.grant(), RedirectURI: data.RedirectURI, Challenge: data.Challenge,
		ChallengeMethod: data.ChallengeMethod, Nonce: data.Nonce, ExpiresAt: expires,
	}, nil
}
