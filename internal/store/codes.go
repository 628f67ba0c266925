package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// grantData is the JSON form of a grant that is not stored yet: of a code or a device
// authorization. Its member names are in the database and outlive an upgrade.
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
	Actor       string          `json:"actor,omitempty"`
}

func dataOfGrant(g *oauth.Grant) grantData {
	return grantData{
		ID:          string(g.ID),
		Client:      string(g.Client),
		User:        string(g.User),
		Session:     string(g.Session),
		Kind:        g.Kind,
		Scopes:      g.Scopes,
		Resources:   g.Resources,
		Claims:      g.Claims,
		AuthTime:    unixMilli(g.AuthTime),
		AMR:         g.AMR,
		ACR:         g.ACR,
		Bound:       g.Bound,
		ExpiresAt:   unixMilli(g.ExpiresAt),
		AbsoluteEnd: unixMilli(g.AbsoluteEnd),
		IP:          clean(g.IP),
		Agent:       clean(g.Agent),
		CreatedAt:   unixMilli(g.CreatedAt),
		LastUsedAt:  unixMilli(g.LastUsedAt),
		Actor:       g.Impersonator.String(),
	}
}

func (g grantData) grant() (oauth.Grant, bool) {
	actor, ok := identity.ParseImpersonator(g.Actor)
	return oauth.Grant{
		ID:          oauth.GrantID(g.ID),
		Client:      client.ID(g.Client),
		User:        identity.UserID(g.User),
		Session:     identity.SessionID(g.Session),
		Kind:        g.Kind,
		Scopes:      g.Scopes,
		Resources:   g.Resources,
		Claims:      g.Claims,
		AuthTime:    fromMilli(g.AuthTime),
		AMR:         g.AMR,
		ACR:         g.ACR,
		Bound:       g.Bound,
		ExpiresAt:   fromMilli(g.ExpiresAt),
		AbsoluteEnd: fromMilli(g.AbsoluteEnd),
		IP:          g.IP,
		Agent:       g.Agent,
		CreatedAt:   fromMilli(g.CreatedAt),
		LastUsedAt:  fromMilli(g.LastUsedAt),

		Impersonator: actor,
	}, ok
}

// errActor returns the error of a grant that nobody knows in whose name it was made.
func errActor() error { return errors.New("store: a grant has an actor that cannot be read") }

// codeData is the JSON form of an authorization code.
type codeData struct {
	Grant           grantData `json:"grant"`
	RedirectURI     string    `json:"redirect_uri,omitempty"`
	Challenge       string    `json:"challenge,omitempty"`
	ChallengeMethod string    `json:"challenge_method,omitempty"`
	Nonce           string    `json:"nonce,omitempty"`
}

// codeJSON is what a code stands for, stored as a JSON object.
type codeJSON struct{ c *oauth.Code }

// Scan reads a JSON object. It sets all fields of the code but Hash and ExpiresAt, which have
// columns of their own.
func (j codeJSON) Scan(v any) error {
	text, _ := v.(string)
	var data codeData
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return err
	}
	c := j.c
	var ok bool
	if c.Grant, ok = data.Grant.grant(); !ok {
		return errActor()
	}
	c.RedirectURI, c.Nonce = data.RedirectURI, data.Nonce
	c.Challenge, c.ChallengeMethod = data.Challenge, data.ChallengeMethod
	return nil
}

func (j codeJSON) stored() any {
	c := j.c
	b, err := json.Marshal(codeData{
		Grant:           dataOfGrant(&c.Grant),
		RedirectURI:     c.RedirectURI,
		Challenge:       c.Challenge,
		ChallengeMethod: c.ChallengeMethod,
		Nonce:           c.Nonce,
	})
	if err != nil {
		return nil // claims that are not JSON: the column takes no NULL, so that the code is not stored
	}
	return string(b)
}

var codeTable = table[oauth.Code]{
	name: "codes",
	columns: []column[oauth.Code]{
		{"hash", func(c *oauth.Code) any { return (*string)(&c.Hash) }},
		{"data", func(c *oauth.Code) any { return codeJSON{c} }},
		{"expires_at", func(c *oauth.Code) any { return unixMillis{&c.ExpiresAt} }},
	},
	derived: []column[oauth.Code]{
		{"grant_id", func(c *oauth.Code) any { return string(c.Grant.ID) }},
		{"client_id", func(c *oauth.Code) any { return string(c.Grant.Client) }},
		{"created_at", func(c *oauth.Code) any { return unixMilli(c.Grant.CreatedAt) }},
	},
}

var (
	insertCode = codeTable.insert("spent_at")
	selectCode = "SELECT " + codeTable.list() + ", spent_at FROM codes" +
		" WHERE hash = $1 AND (expires_at > $2 OR spent_at <> 0)"
)

// PutCode stores an authorization code under its hash, with the events.
func (d *DB) PutCode(ctx context.Context, h secret.Hash, c *oauth.Code, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error { return d.putCode(ctx, tx, h, c) })
}

// PutFlowCode stores the code of a flow, with the events. It returns Consumed, and stores nothing,
// if the flow has had one.
func (d *DB) PutFlowCode(
	ctx context.Context, h secret.Hash, c *oauth.Code, use oauth.FlowUse, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		err := once(ctx, tx, "flow:"+use.ID, use.Until, c.Grant.CreatedAt)
		if err != nil {
			return err
		}
		return d.putCode(ctx, tx, h, c)
	})
}

func (d *DB) putCode(ctx context.Context, tx sqldb.Tx, h secret.Hash, c *oauth.Code) error {
	hashed := *c
	hashed.Hash = h
	if _, err := tx.Exec(ctx, insertCode, codeTable.args(&hashed, int64(0))...); err != nil {
		return err
	}
	return d.noteUse(ctx, tx, c.Grant.Client, c.Grant.CreatedAt)
}

// Code reads a code. It returns NotFound if there is none or it has expired, and Consumed if it
// was used before: together with the code, so that what was issued for it can be ended (RFC 6749
// §4.1.2).
func (d *DB) Code(ctx context.Context, h secret.Hash, now time.Time) (*oauth.Code, error) {
	var c oauth.Code
	var usedAt int64
	err := d.sql.Row(ctx, selectCode, h, unixMilli(now)).
		Scan(append(codeTable.dest(nil, &c), &usedAt)...)
	if err != nil {
		return nil, asNotFound(err, "code")
	}
	if usedAt != 0 {
		return &c, consumed("code")
	}
	return &c, nil
}

const consumeCode = "UPDATE codes SET spent_at = $1 WHERE hash = $2 AND spent_at = 0 AND expires_at > $1"

// ConsumeCode uses a code without redeeming it. It returns Consumed if the code was used before,
// and NotFound if there is none or it has expired.
func (d *DB) ConsumeCode(ctx context.Context, h secret.Hash, now time.Time) error {
	n, err := d.sql.Exec(ctx, consumeCode, unixMilli(now), h)
	if err != nil || n == 1 {
		return err
	}
	used, err := exists(ctx, d.sql, "SELECT 1 FROM codes WHERE hash = $1 AND spent_at <> 0", h)
	switch {
	case err != nil:
		return err
	case used:
		return consumed("code")
	}
	return notFound("code")
}

// RedeemCode uses a code and stores its grant, in one transaction. It returns Consumed if the
// code was used before or has expired, and stores nothing; Denied if what the grant depends on
// has been revoked, and the code is used.
func (d *DB) RedeemCode(
	ctx context.Context, h secret.Hash, g *oauth.Grant, now time.Time, ev ...audit.Event,
) error {
	return d.redeem(ctx, g, ev, func(tx sqldb.Tx) (bool, error) {
		n, err := tx.Exec(ctx, consumeCode, unixMilli(now), h)
		return n == 1, err
	})
}

// redeem consumes something, stores the grant that it stands for and writes the events, in one
// transaction.
func (d *DB) redeem(
	ctx context.Context, g *oauth.Grant, ev []audit.Event, consume func(sqldb.Tx) (bool, error),
) error {
	revoked := false
	err := d.sql.Write(ctx, func(tx sqldb.Tx) error {
		revoked = false
		ok, err := consume(tx)
		if err != nil {
			return err
		}
		if !ok {
			return consumed("code")
		}
		err = putGrant(ctx, tx, g)
		if fault.Is(err, fault.Consumed) { // commit all the same: the code must not work again
			revoked = true
			return nil
		}
		if err != nil {
			return err
		}
		return d.record(ctx, tx, ev)
	})
	if err == nil && revoked {
		return fault.New(fault.Denied, "this approval has been revoked")
	}
	return err
}
