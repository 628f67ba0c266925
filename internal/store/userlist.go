package store

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// mostLocked is how many locked accounts are sorted for a page. Their locks have no common index.
const mostLocked = 10_000

// userListing returns what a query selects, for its list, its count, its export and actions on
// all of it.
func userListing(q UserQuery) *listing[identity.User] {
	l := &listing[identity.User]{
		table: &userTable,
		terms: "user_terms",
		count: countUsers,
		order: q.Sort.By,
		desc:  q.Sort.Desc,
		wide:  true,
	}
	switch q.Sort.By {
	case admin.OrderName:
		l.sort = "name_key"
		l.key = func(u *identity.User) admin.Position { return admin.Position{Text: u.NameKey(), ID: string(u.ID)} }
	case admin.OrderLastLogin:
		l.sort = "last_login_at"
		l.key = func(u *identity.User) admin.Position {
			return admin.Position{Number: unixMilli(u.LastLoginAt), ID: string(u.ID)}
		}
	default:
		l.sort, l.order = "created_at", admin.OrderCreated
		l.key = func(u *identity.User) admin.Position {
			return admin.Position{Number: unixMilli(u.CreatedAt), ID: string(u.ID)}
		}
	}
	l.search(q.Search)
	if q.Role != "" {
		l.postings = append(l.postings, exactTerm("user_terms", "users", identity.RoleTerm(clean(q.Role))))
	}
	l.inState(q)
	if q.Verified != nil {
		text := "users.email_verified = FALSE"
		if *q.Verified {
			text = "users.email_verified = TRUE"
		}
		l.postings = append(l.postings, indexed("users", text))
	}
	l.within("created_at", q.Created)
	l.within("last_login_at", q.LastLogin)
	return l
}

// within adds a range of times of a column that has an index.
func (l *listing[T]) within(column string, r admin.TimeRange) {
	var all []condition
	name := l.table.name + "." + column
	if !r.From.IsZero() {
		all = append(all, func(w *where) string { return name + " >= " + w.param(unixMilli(r.From)) })
	}
	if !r.Until.IsZero() {
		all = append(all, func(w *where) string { return name + " < " + w.param(unixMilli(r.Until)) })
	}
	switch {
	case column == l.sort:
		l.served = append(l.served, all...)
	case len(all) > 0:
		match := func(w *where) string {
			texts := make([]string, len(all))
			for i, f := range all {
				texts[i] = f(w)
			}
			return strings.Join(texts, " AND ")
		}
		l.postings = append(l.postings, posting{
			column: column,
			span:   true,
			match:  match,
			ids:    func(w *where) string { return "SELECT id FROM " + l.table.name + " WHERE " + match(w) },
		})
	}
}

// search adds the words of a search, or the id that it is.
func (l *listing[T]) search(text string) {
	if text = clean(strings.TrimSpace(text)); text == "" {
		return
	}
	if id := strings.ToLower(text); isID(id) {
		name := l.table.name + ".id"
		l.postings = append(l.postings, posting{
			ids: func(w *where) string {
				return "SELECT id FROM " + l.table.name + " WHERE id = " + w.param(id)
			},
			match: equal(name, id),
		})
		return
	}
	terms := identity.SearchTerms(text)
	if len(terms) == 0 {
		l.filters = append(l.filters, literal("1 = 0"))
	}
	for _, t := range terms {
		l.postings = append(l.postings, beginsTerm(l.terms, t))
	}
}

func isID(s string) bool {
	_, ok := secret.ParseID(s)
	return ok
}

// beginsTerm returns the posting of the things with a term that begins with a prefix.
func beginsTerm(terms, prefix string) posting {
	return posting{
		prefix: prefix,
		ids: func(w *where) string {
			return "SELECT id FROM " + terms + " WHERE term >= " + w.param(prefix) +
				" AND term < " + w.param(prefix+lastRune)
		},
		keep: func(v any) bool {
			for _, t := range v.(interface{ Terms() []string }).Terms() {
				if strings.HasPrefix(t, prefix) {
					return true
				}
			}
			return false
		},
	}
}

// exactTerm returns the posting of the things with a term.
func exactTerm(terms, table, term string) posting {
	return posting{
		prefix: term,
		exact:  true,
		ids:    func(w *where) string { return "SELECT id FROM " + terms + " WHERE term = " + w.param(term) },
		match: func(w *where) string {
			return "EXISTS (SELECT 1 FROM " + terms + " has WHERE has.term = " + w.param(term) +
				" AND has.id = " + table + ".id)"
		},
	}
}

// indexed returns the posting of the rows that an index on created_at has.
func indexed(table, predicate string) posting {
	return posting{
		column: "created_at",
		ids:    literal("SELECT id FROM " + table + " WHERE " + predicate),
		match:  literal(predicate),
	}
}

// inState adds the state of accounts that a query selects.
func (l *listing[T]) inState(q UserQuery) {
	prefix, now := login.LockKey(""), unixMilli(q.Now)
	failed := func(w *where) string {
		return "SELECT 1 FROM locks WHERE name = '" + prefix + "' || users.id AND locked_until > " + w.param(now)
	}
	switch q.Status {
	case admin.UserDisabled:
		l.postings = append(l.postings, indexed("users", "users.disabled = TRUE"))
	case admin.UserLocked:
		l.postings = append(l.postings, posting{
			most: mostLocked,
			ids: func(w *where) string {
				return "SELECT id FROM users WHERE users.locked_at > 0 UNION ALL SELECT substr(name, " +
					w.param(len(prefix)+1) + ") AS id FROM locks WHERE locked_until > 0 AND locked_until > " + w.param(now) +
					" AND length(name) = " + w.param(len(prefix)+idLength)
			},
			match: func(w *where) string { return "(users.locked_at > 0 OR EXISTS (" + failed(w) + "))" },
		})
	case admin.UserActive:
		l.filters = append(l.filters, func(w *where) string {
			return "users.disabled = FALSE AND users.locked_at = 0 AND NOT EXISTS (" + failed(w) + ")"
		})
	}
}

// idLength is the length of an identifier in its text form.
const idLength = 36

// ListUsers returns the page of users that follows a position, nil for the first page.
func (d *DB) ListUsers(
	ctx context.Context, q UserQuery, after *admin.Position,
) (admin.Rows[identity.User], error) {
	return userListing(q).read(ctx, d.sql, q.Page, after)
}
