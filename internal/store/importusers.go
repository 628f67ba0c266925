package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Rows of one statement that inserts many. SQLite's driver looks each parameter up in a list of all
// of the statement, so that long statements cost more than they save.
const (
	rowsOfUsers = 5
	rowsOfTerms = 40
)

// KnownUsers returns which of the users that an import has are here already, by their ids, email
// addresses and user names, and which names cannot be taken.
func (d *DB) KnownUsers(ctx context.Context, users []*identity.User, now time.Time) (*admin.KnownUsers, error) {
	var ids, emails, usernames, hashes []any
	r := &knownReader{
		byHash: make(map[string]string),
		known: &admin.KnownUsers{
			ByID:       make(map[identity.UserID]*identity.User),
			ByEmail:    make(map[string]*identity.User),
			ByUsername: make(map[string]*identity.User),
			Taken:      make(map[string]bool),
		},
	}
	for _, u := range users {
		ids = append(ids, string(u.ID))
		if u.Email != "" {
			emails = append(emails, identity.LoginKey(u.Email))
		}
		if key := identity.LoginKey(u.Username); key != "" {
			usernames = append(usernames, key)
			hash := usernameHash(u.Username)
			hashes, r.byHash[hash] = append(hashes, hash), key
		}
	}
	for _, q := range []struct {
		text string // ends where the list of values follows
		end  string
		in   []any
		read func(sqldb.Row) error
	}{
		{selectUser + " WHERE id IN (", ")", ids, r.add},
		{selectUser + " WHERE email_key IN (", ")", emails, r.add},
		{selectUser + " WHERE username_key IN (", ")", usernames, r.add},
		{"SELECT email_key FROM email_claims WHERE email_key IN (", ")", emails, r.take},
		{"SELECT hash FROM former_usernames WHERE hash IN (", ")", hashes, r.take},
		{"SELECT username_key FROM held_usernames WHERE username_key IN (", ") AND until > ", usernames, r.take},
	} {
		if len(q.in) == 0 {
			continue
		}
		w := where{args: q.in}
		text := q.text + placeholders(1, len(q.in)) + q.end
		if strings.HasSuffix(text, "> ") {
			text += w.param(unixMilli(now))
		}
		if err := each(ctx, d.sql, q.read, text, w.args...); err != nil {
			return nil, err
		}
	}
	return r.known, nil
}

// knownReader reads what KnownUsers returns.
type knownReader struct {
	known  *admin.KnownUsers
	byHash map[string]string // the names of hashes of former user names
}

// add reads a user who is here.
func (k *knownReader) add(r sqldb.Row) error {
	u, err := userTable.scan(r)
	k.known.ByID[u.ID] = u
	if u.Email != "" {
		k.known.ByEmail[identity.LoginKey(u.Email)] = u
	}
	if u.Username != "" {
		k.known.ByUsername[identity.LoginKey(u.Username)] = u
	}
	return err
}

// take reads a name that cannot be taken.
func (k *knownReader) take(r sqldb.Row) error {
	var key string
	err := r.Scan(&key)
	if name, ok := k.byHash[key]; ok {
		key = name
	}
	k.known.Taken[key] = true
	return err
}

// ImportUsers stores new users with their events: all of them, or none. It returns Conflict for a
// name that has been taken meanwhile.
func (d *DB) ImportUsers(ctx context.Context, users []*identity.User, ev []audit.Event) error {
	super := slices.ContainsFunc(users, (*identity.User).SuperAdmin)
	var rows, claims, terms [][]any
	for _, u := range users {
		u.Version = max(u.Version, 1)
		rows = append(rows, userTable.args(u))
		if key := identity.LoginKey(u.Email); key != "" {
			claims = append(claims, []any{clean(key), string(u.ID)})
		}
		for _, t := range u.Terms() {
			terms = append(terms, []any{clean(t), string(u.ID)})
		}
	}
	// Sorted rows reach a page of the index together.
	slices.SortFunc(terms, func(a, b []any) int {
		return cmp.Or(strings.Compare(a[0].(string), b[0].(string)), strings.Compare(a[1].(string), b[1].(string)))
	})
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if super {
			if err := lockAdmins(ctx, tx); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM links WHERE kind = $1", login.LinkSetup); err != nil {
				return err
			}
		}
		if err := insertMany(ctx, tx, userTable.into(), "", rowsOfUsers, rows); err != nil {
			return nameTaken(err)
		}
		const intoClaims = "INSERT INTO email_claims (email_key, user_id)"
		if err := insertMany(ctx, tx, intoClaims, "", rowsOfTerms, claims); err != nil {
			return err
		}
		const intoTerms = "INSERT INTO user_terms (term, id)"
		if err := insertMany(ctx, tx, intoTerms, " ON CONFLICT (term, id) DO NOTHING", rowsOfTerms, terms); err != nil {
			return err
		}
		return d.addCount(ctx, tx, countUsers, len(users))
	})
}

// insertMany inserts rows, as many as most with each statement.
func insertMany(ctx context.Context, tx sqldb.Tx, into, end string, most int, rows [][]any) error {
	for part := range slices.Chunk(rows, most) {
		w := where{}
		all := make([]string, len(part))
		for i, row := range part {
			all[i] = "(" + placeholders(len(w.args)+1, len(row)) + ")"
			w.args = append(w.args, row...)
		}
		if _, err := tx.Exec(ctx, into+" VALUES "+strings.Join(all, ", ")+end, w.args...); err != nil {
			return err
		}
	}
	return nil
}

// ExportUsers calls f with the users that a query selects, in the order of their ids, and reads
// them page by page: a slow receiver holds no snapshot of the database.
func (d *DB) ExportUsers(ctx context.Context, q UserQuery, f func(*identity.User) error) error {
	q.Sort = admin.Sort{}
	q.Page = admin.Page{Limit: maxLimit}
	l := userListing(q)
	l.steady = true
	for after := (*admin.Position)(nil); ; {
		rows, err := l.next(ctx, d.sql, q.Page, after)
		if err != nil {
			return err
		}
		for i := range rows.Items {
			if err := f(&rows.Items[i]); err != nil {
				return err
			}
		}
		if after = rows.Next; after == nil {
			return nil
		}
	}
}
