package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// usedInterval is how precisely used_at of a client is known.
const usedInterval = time.Hour

// policyJSON is the policy of an initial access token, stored as JSON.
type policyJSON struct{ p *admin.RegistrationPolicy }

// Scan reads a JSON object.
func (j policyJSON) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: a policy cannot be read from %T", v)
	}
	return json.Unmarshal([]byte(text), j.p)
}

func (j policyJSON) stored() any {
	b, err := json.Marshal(j.p)
	if err != nil {
		return nil // lists of texts always encode
	}
	return string(b)
}

var initialTokenTable = table[admin.InitialToken]{
	name: "initial_tokens",
	columns: []column[admin.InitialToken]{
		{"id", func(t *admin.InitialToken) any { return &t.ID }},
		{"hash", func(t *admin.InitialToken) any { return (*string)(&t.Hash) }},
		{"description", func(t *admin.InitialToken) any { return &t.Description }},
		{"policy", func(t *admin.InitialToken) any { return policyJSON{&t.Policy} }},
		{"max_uses", func(t *admin.InitialToken) any { return &t.Count }},
		{"uses", func(t *admin.InitialToken) any { return &t.Used }},
		{"created_by", func(t *admin.InitialToken) any { return &t.CreatedBy }},
		{"created_at", func(t *admin.InitialToken) any { return unixMillis{&t.CreatedAt} }},
		{"expires_at", func(t *admin.InitialToken) any { return unixMillis{&t.ExpiresAt} }},
	},
}

var (
	insertInitialToken = initialTokenTable.insert()
	selectInitialToken = "SELECT " + initialTokenTable.list() + " FROM initial_tokens"
)

// CreateInitialToken stores a new initial access token.
func (d *DB) CreateInitialToken(
	ctx context.Context, t *admin.InitialToken, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, insertInitialToken, initialTokenTable.args(t)...)
		return err
	})
}

// InitialToken returns the initial access token with a hash, or NotFound.
func (d *DB) InitialToken(ctx context.Context, h secret.Hash) (*admin.InitialToken, error) {
	t, err := initialTokenTable.scan(d.sql.Row(ctx, selectInitialToken+" WHERE hash = $1", h))
	return t, asNotFound(err, "initial access token")
}

// ListInitialTokens returns a page of initial access tokens, newest first, and how many there are.
func (d *DB) ListInitialTokens(
	ctx context.Context, max, offset int,
) ([]admin.InitialToken, int, error) {
	var total int64
	if err := d.sql.Row(ctx, "SELECT COUNT(*) FROM initial_tokens").Scan(&total); err != nil {
		return nil, 0, err
	}
	found, err := list(ctx, d.sql, initialTokenTable.scan,
		selectInitialToken+" ORDER BY id DESC LIMIT $1 OFFSET $2", limit(max), int64(offset))
	return found, int(total), err
}

// ConsumeInitialToken counts one use of an initial access token. It returns Consumed if the token
// has no use left, or has expired.
func (d *DB) ConsumeInitialToken(ctx context.Context, id string, now time.Time) error {
	n, err := d.sql.Exec(ctx, "UPDATE initial_tokens SET uses = uses + 1"+
		" WHERE id = $1 AND uses < max_uses AND expires_at > $2", id, unixMilli(now))
	if err == nil && n == 0 {
		return consumed("initial access token")
	}
	return err
}

// RestoreInitialToken takes back one use of an initial access token.
func (d *DB) RestoreInitialToken(ctx context.Context, id string) error {
	_, err := d.sql.Exec(ctx, "UPDATE initial_tokens SET uses = uses - 1 WHERE id = $1 AND uses > 0", id)
	return err
}

// DeleteInitialToken deletes an initial access token, or returns NotFound.
func (d *DB) DeleteInitialToken(ctx context.Context, id string, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM initial_tokens WHERE id = $1", id)
		return requireOne(n, err, "initial access token")
	})
}

// Registration returns the state of a client's registration from the database, or NotFound.
func (d *DB) Registration(ctx context.Context, id client.ID) (*client.Registration, error) {
	r := new(client.Registration)
	err := d.sql.Row(ctx, "SELECT registered_by, registration_policy, registration_chain,"+
		" registration_hash, registration_next FROM clients WHERE id = $1", id).
		Scan(&r.By, jsonText{&r.Policy}, &r.Chain, (*string)(&r.Hash), (*string)(&r.Next))
	return r, asNotFound(err, "client")
}

// OfferRegistrationToken stores the successor of a registration access token, if that is the
// client's current one.
func (d *DB) OfferRegistrationToken(
	ctx context.Context, id client.ID, current, next secret.Hash,
) error {
	_, err := d.sql.Exec(ctx, "UPDATE clients SET registration_next = $1"+
		" WHERE id = $2 AND registration_hash = $3", next, id, current)
	return err
}

// AdvanceRegistrationToken makes the successor of a client's registration access token the current
// one, if it is that.
func (d *DB) AdvanceRegistrationToken(ctx context.Context, id client.ID, next secret.Hash) error {
	_, err := d.sql.Exec(ctx, "UPDATE clients SET registration_hash = registration_next,"+
		" registration_next = '' WHERE id = $1 AND registration_next = $2 AND registration_next <> ''", id, next)
	return err
}

// EndRegistrationTokens ends a series of registration access tokens of a client. Where it has ended
// before, nothing is recorded.
func (d *DB) EndRegistrationTokens(
	ctx context.Context, id client.ID, chain string, ev ...audit.Event,
) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE clients SET registration_chain = '', registration_hash = '',"+
			" registration_next = '' WHERE id = $1 AND registration_chain = $2", id, chain)
		if err != nil || n == 0 {
			return err
		}
		return d.record(ctx, tx, ev)
	})
}

// VerifiedNames returns the names of the clients that somebody has checked, from memory.
func (d *DB) VerifiedNames(context.Context) ([]string, error) {
	var names []string
	for _, c := range *d.memory.clients.Load() {
		if !c.Unverified() {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

// CountUnverified returns how many clients nobody has checked, from memory.
func (d *DB) CountUnverified(context.Context) (int, error) {
	n := 0
	for _, c := range *d.memory.clients.Load() {
		if c.Unverified() {
			n++
		}
	}
	return n, nil
}

// UnusedClients returns up to max clients that nobody has checked and that have no grant: those
// that nobody has signed in to since a time, and those registered before another one that nobody
// ever has signed in to.
func (d *DB) UnusedClients(
	ctx context.Context, since, registered time.Time, max int,
) ([]client.ID, error) {
	return listStrings[client.ID](ctx, d.sql, "SELECT id FROM clients WHERE registered_by = $1"+
		" AND (used_at = 0 AND created_at < $2 OR used_at <> 0 AND used_at < $3)"+
		" AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.client_id = clients.id)"+
		" ORDER BY created_at LIMIT $4",
		client.ByAnybody, unixMilli(registered), unixMilli(since), limit(max))
}

// noteUse records the time of a sign-in to a client that nobody has checked.
func (d *DB) noteUse(ctx context.Context, tx sqldb.Tx, id client.ID, now time.Time) error {
	if c := (*d.memory.clients.Load())[id]; c == nil || !c.Unverified() {
		return nil
	}
	_, err := tx.Exec(ctx, "UPDATE clients SET used_at = $1 WHERE id = $2 AND used_at < $3",
		unixMilli(now), id, unixMilli(now.Add(-usedInterval)))
	return err
}
