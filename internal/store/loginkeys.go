package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// The entry of meta that names the form of the stored login keys.
const (
	metaLoginKeys = "login_keys"
	loginKeysForm = "nfkc,a-labels"
)

// The users whose keys can differ from those of an earlier form: a key of ASCII alone is the same.
const selectLoginKeys = "SELECT id, username, COALESCE(username_key, ''), email, COALESCE(email_key, '')" +
	" FROM users WHERE octet_length(username) > length(username) OR octet_length(email) > length(email)"

// staleKey is the stored key of a name that is not its LoginKey.
type staleKey struct {
	column string
	user   identity.UserID
	key    string // the key it should have
}

// renewLoginKeys brings the stored keys of names into the form of identity.LoginKey, once per
// database. A name keeps its former key where another account has the new one, and is reported: it
// is found by its former spelling, or by its identifier, until an administrator changes it.
func (d *DB) renewLoginKeys(ctx context.Context) error {
	form, err := d.Meta(ctx, metaLoginKeys)
	if form == loginKeysForm || err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	stale, err := d.staleLoginKeys(ctx)
	if err != nil {
		return err
	}
	for _, s := range stale {
		n, err := d.sql.Exec(ctx, "UPDATE users SET "+s.column+" = $1 WHERE id = $2"+
			" AND NOT EXISTS (SELECT 1 FROM users WHERE "+s.column+" = $1)", s.key, s.user)
		if err != nil {
			return err
		}
		if n == 0 {
			if err := d.reportCollision(ctx, s); err != nil {
				return err
			}
		}
	}
	if err := d.renewClaims(ctx); err != nil {
		return err
	}
	return d.SetMeta(ctx, metaLoginKeys, loginKeysForm)
}

// renewClaims makes the claims of addresses those of the stored keys.
func (d *DB) renewClaims(ctx context.Context) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		for _, text := range []string{
			"DELETE FROM email_claims WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.email_key = email_claims.email_key)" +
				" AND NOT EXISTS (SELECT 1 FROM user_emails e WHERE e.email_key = email_claims.email_key)",
			"INSERT INTO email_claims (email_key, user_id) SELECT email_key, id FROM users WHERE email_key IS NOT NULL" +
				" AND NOT EXISTS (SELECT 1 FROM email_claims c WHERE c.email_key = users.email_key)",
		} {
			if _, err := tx.Exec(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// reportCollision reports two accounts whose names are spellings of one.
func (d *DB) reportCollision(ctx context.Context, s staleKey) error {
	var other string
	err := d.sql.Row(ctx, "SELECT id FROM users WHERE "+s.column+" = $1", s.key).Scan(&other)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	what := "username"
	if s.column == "email_key" {
		what = "email address"
	}
	d.o.Report(fault.New(fault.Conflict, "the accounts %s and %s have two spellings of one %s; both stay as they are: "+
		"change one of them with gatehouse user update", other, s.user, what))
	return nil
}

func (d *DB) staleLoginKeys(ctx context.Context) (stale []staleKey, err error) {
	err = each(ctx, d.sql, func(r sqldb.Row) error {
		var id identity.UserID
		var username, usernameKey, email, emailKey string
		if err := r.Scan(&id, &username, &usernameKey, &email, &emailKey); err != nil {
			return err
		}
		if key := identity.LoginKey(username); key != usernameKey {
			stale = append(stale, staleKey{"username_key", id, key})
		}
		if key := identity.LoginKey(email); key != emailKey {
			stale = append(stale, staleKey{"email_key", id, key})
		}
		return nil
	}, selectLoginKeys)
	return stale, err
}
