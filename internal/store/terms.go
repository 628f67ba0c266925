package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Names of the counters of rows.
const (
	countUsers   = "users"
	countClients = "clients"
)

// updateTerms writes the terms in which a thing differs from what it was.
func updateTerms(ctx context.Context, tx sqldb.Tx, table, id string, old, new []string) error {
	gone := slices.DeleteFunc(slices.Clone(old), func(t string) bool { return slices.Contains(new, t) })
	for _, t := range gone {
		if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE term = $1 AND id = $2", t, id); err != nil {
			return err
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(new), func(t string) bool { return slices.Contains(old, t) })
	return insertTerms(ctx, tx, table, id, fresh)
}

// insertTerms adds terms of one thing in one statement.
func insertTerms(ctx context.Context, tx sqldb.Tx, table, id string, terms []string) error {
	if len(terms) == 0 {
		return nil
	}
	w := where{}
	rows := make([]string, len(terms))
	for i, t := range terms {
		rows[i] = "(" + w.param(clean(t)) + ", " + w.param(id) + ")"
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+table+" (term, id) VALUES "+strings.Join(rows, ", ")+
		" ON CONFLICT (term, id) DO NOTHING", w.args...)
	return err
}

// saveUser writes the columns in which two states of a user differ, with what follows from them,
// and raises the version where an administrator sees a difference.
func saveUser(ctx context.Context, tx sqldb.Tx, old, new *identity.User) error {
	new.Version = old.Version
	markVerified(old, new)
	if len(userTable.differences(old, new, "id", "password_hash", "password_changed_at", "must_change", "created_at",
		"updated_at", "last_login_at", "invited_at", "version")) > 0 {
		new.Version++
	}
	if _, err := userTable.update(ctx, tx, old, new); err != nil {
		return nameTaken(err)
	}
	return updateTerms(ctx, tx, "user_terms", string(new.ID), old.Terms(), new.Terms())
}

// markVerified sets when the address of a changed user was verified: with the change, unless that
// says when, or the address was verified before.
func markVerified(old, next *identity.User) {
	same := identity.LoginKey(old.Email) == identity.LoginKey(next.Email)
	switch {
	case !next.EmailVerified:
		next.EmailVerifiedAt = time.Time{}
	case old.EmailVerified && same:
	case next.EmailVerifiedAt.IsZero() || next.EmailVerifiedAt.Equal(old.EmailVerifiedAt):
		next.EmailVerifiedAt = next.UpdatedAt
	}
}

// deleteUserTerms removes what finds a user, and counts the user out. The row must be there yet.
func (d *DB) deleteUserTerms(ctx context.Context, tx sqldb.Tx, id identity.UserID) error {
	u, err := userTable.scan(tx.Row(ctx, selectUser+" WHERE id = $1", id))
	if err != nil {
		return asNotFound(err, "user")
	}
	if err := updateTerms(ctx, tx, "user_terms", string(id), u.Terms(), nil); err != nil {
		return err
	}
	return d.addCount(ctx, tx, countUsers, -1)
}

// addCount changes this process's row of a counter, in the transaction of the change.
func (d *DB) addCount(ctx context.Context, tx sqldb.Conn, name string, by int) error {
	if t, ok := tx.(*togetherTx); ok {
		t.counts[name] += by
		return nil
	}
	_, err := tx.Exec(ctx, "INSERT INTO counts (name, writer, n, at) VALUES ($1, $2, $3, $4)"+
		" ON CONFLICT (name, writer) DO UPDATE SET n = counts.n + excluded.n, at = excluded.at",
		name, d.writer, by, unixMilli(time.Now()))
	return err
}

// countOf returns the number of rows of a table.
func countOf(ctx context.Context, c sqldb.Conn, name string) (n int, err error) {
	err = c.Row(ctx, "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM counts WHERE name = $1", name).Scan(&n)
	return n, err
}

// idleWriter is how long a process has not changed a counter whose row another one takes over.
const idleWriter = 24 * time.Hour

// CorrectCounts compares the counters with the tables, corrects them, and joins the rows of
// processes that have ended. It returns by how much they were wrong.
func (d *DB) CorrectCounts(ctx context.Context, now time.Time) (wrong int, err error) {
	for _, name := range []string{countUsers, countClients} {
		// One statement sees the table and its counter at one moment.
		var off int
		err := d.sql.Row(ctx, "SELECT (SELECT COUNT(*) FROM "+name+") -"+
			" (SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM counts WHERE name = $1)", name).Scan(&off)
		if err != nil {
			return wrong, err
		}
		wrong += max(off, -off)
		err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
			sum := off
			err := each(ctx, tx, func(r sqldb.Row) error {
				var n int
				err := r.Scan(&n)
				sum += n
				return err
			}, "DELETE FROM counts WHERE name = $1 AND writer <> $2 AND at < $3 RETURNING n",
				name, d.writer, unixMilli(now.Add(-idleWriter)))
			if err != nil {
				return err
			}
			return d.addCount(ctx, tx, name, sum)
		})
		if err != nil {
			return wrong, err
		}
	}
	return wrong, nil
}

// The entry of meta that says how far the terms of existing rows are written: an id, or termsForm.
const (
	metaTerms = "terms"
	termsForm = "done,words-1"
	termsStep = 500 // rows a transaction
)

// writeTerms writes the terms and sort keys of rows that an earlier release stored, once per
// database. It goes on where it was interrupted.
func (d *DB) writeTerms(ctx context.Context) error {
	at, err := d.Meta(ctx, metaTerms)
	if at == termsForm || err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	for {
		last, err := d.writeUserTerms(ctx, at)
		if err != nil {
			return err
		}
		if last == "" {
			break
		}
		at = last
	}
	if err := d.writeClientTerms(ctx); err != nil {
		return err
	}
	return d.SetMeta(ctx, metaTerms, termsForm)
}

// writeUserTerms writes the terms of the users after an id, and returns the last one's id, or "".
func (d *DB) writeUserTerms(ctx context.Context, after string) (last string, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		last = ""
		users, err := list(ctx, tx, userTable.scan, selectUser+" WHERE id > $1 ORDER BY id LIMIT $2",
			after, int64(termsStep))
		if err != nil || len(users) == 0 {
			return err
		}
		for i := range users {
			u := &users[i]
			_, err := tx.Exec(ctx, "UPDATE users SET name_key = $1 WHERE id = $2", u.NameKey(), u.ID)
			if err != nil {
				return err
			}
			if err := insertTerms(ctx, tx, "user_terms", string(u.ID), u.Terms()); err != nil {
				return err
			}
		}
		last = string(users[len(users)-1].ID)
		return setMeta(ctx, tx, metaTerms, last)
	})
	return last, err
}

func (d *DB) writeClientTerms(ctx context.Context) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		all, err := list(ctx, tx, clientRowTable.scan, "SELECT "+clientRowTable.list()+" FROM clients")
		if err != nil {
			return err
		}
		for i := range all {
			c := &all[i]
			_, err := tx.Exec(ctx, "UPDATE clients SET name_key = $1 WHERE id = $2", identity.SortKey(c.Name), c.ID)
			if err != nil {
				return err
			}
			if err := insertTerms(ctx, tx, "client_terms", string(c.ID), c.Terms()); err != nil {
				return err
			}
		}
		return nil
	})
}

// indexNewClient stores what a new client is found by, and counts it.
func (d *DB) indexNewClient(ctx context.Context, tx sqldb.Tx, c *client.Client) error {
	if err := insertTerms(ctx, tx, "client_terms", string(c.ID), clientTerms(c.Name, c.ID)); err != nil {
		return err
	}
	return d.addCount(ctx, tx, countClients, 1)
}

// clientRow is what the list of clients needs of one.
type clientRow struct {
	ID        client.ID
	Name      string
	CreatedAt time.Time
}

// Terms returns what a client is found by: the words of its name and id.
func (c *clientRow) Terms() []string { return clientTerms(c.Name, c.ID) }

func clientTerms(name string, id client.ID) []string { return identity.Words(name, string(id)) }

var clientRowTable = table[clientRow]{
	name: "clients",
	columns: []column[clientRow]{
		{"id", func(c *clientRow) any { return (*string)(&c.ID) }},
		{"name", func(c *clientRow) any { return &c.Name }},
		{"created_at", func(c *clientRow) any { return unixMillis{&c.CreatedAt} }},
	},
}

// clientListing returns what a query selects.
func clientListing(q ClientQuery) *listing[clientRow] {
	l := &listing[clientRow]{
		table: &clientRowTable,
		terms: "client_terms",
		count: countClients,
		order: admin.OrderName,
		sort:  "name_key",
		desc:  q.Sort.Desc,
		key: func(c *clientRow) admin.Position {
			return admin.Position{Text: identity.SortKey(c.Name), ID: string(c.ID)}
		},
	}
	if q.Sort.By == admin.OrderCreated {
		l.sort, l.order = "created_at", admin.OrderCreated
		l.key = func(c *clientRow) admin.Position {
			return admin.Position{Number: unixMilli(c.CreatedAt), ID: string(c.ID)}
		}
	}
	l.search(q.Search)
	if q.Type != "" {
		l.filters = append(l.filters, equal("public", q.Type == admin.ClientPublic))
	}
	if !q.SecretExpiresBefore.IsZero() {
		before := unixMilli(q.SecretExpiresBefore)
		l.postings = append(l.postings, posting{
			most: mostLocked,
			ids: func(w *where) string {
				return "SELECT client_id AS id FROM client_secrets WHERE expires_at > 0 AND expires_at < " + w.param(before)
			},
			match: func(w *where) string {
				return "EXISTS (SELECT 1 FROM client_secrets WHERE client_id = clients.id AND expires_at > 0" +
					" AND expires_at < " + w.param(before) + ")"
			},
		})
	}
	return l
}

// ListClients returns the page of clients that follows a position, nil for the first page. The
// values are shared and must not be changed.
func (d *DB) ListClients(
	ctx context.Context, q ClientQuery, after *admin.Position,
) (out admin.Rows[*client.Client], err error) {
	rows, err := clientListing(q).read(ctx, d.sql, q.Page, after)
	if err != nil {
		return out, err
	}
	all := *d.memory.clients.Load()
	out.Total, out.AtLeast, out.Next, out.Order = rows.Total, rows.AtLeast, rows.Next, rows.Order
	for i := range rows.Items {
		if c := all[rows.Items[i].ID]; c != nil { // nil: created a moment ago by another process
			out.Items = append(out.Items, c)
		}
	}
	return out, nil
}

// Clients returns all clients, from memory. The map and the values are shared and must not be
// changed.
func (d *DB) Clients() map[client.ID]*client.Client { return *d.memory.clients.Load() }
