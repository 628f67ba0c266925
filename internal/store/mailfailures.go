package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// An address that no account has is not marked: strangers choose those.
const (
	markFailure = "INSERT INTO mail_failures (address, user_id, failed_at, error)" +
		" SELECT email_key, user_id, $2, $3 FROM email_claims WHERE email_key = $1" +
		" ON CONFLICT (address) DO UPDATE SET user_id = excluded.user_id," +
		" failed_at = excluded.failed_at, error = excluded.error"
	clearFailure = "DELETE FROM mail_failures WHERE address = $1"
)

// MarkAddress marks the address of a message that a mail server rejected for good.
func (d *DB) MarkAddress(ctx context.Context, x *outbox.Delivery) error {
	_, err := d.sql.Exec(ctx, markFailure, identity.LoginKey(clean(x.To)), unixMilli(x.FinishedAt), clean(x.LastError))
	return err
}

// clearAddresses clears the marks of addresses that messages were sent to.
func (d *DB) clearAddresses(ctx context.Context, all []outbox.Delivery) error {
	var sent [][]any
	for i := range all {
		if all[i].Kind == outbox.KindMail && all[i].State == outbox.Sent {
			sent = append(sent, []any{identity.LoginKey(clean(all[i].To))})
		}
	}
	if len(sent) == 0 {
		return nil
	}
	marked, err := exists(ctx, d.sql, "SELECT 1 FROM mail_failures LIMIT 1")
	if err != nil || !marked { // almost always: sending stays as fast as it was
		return err
	}
	return d.sql.ExecAll(ctx, clearFailure, sent)
}

// RejectedEmails returns which addresses of a user, by their identity.LoginKey, rejected mail for
// good.
func (d *DB) RejectedEmails(ctx context.Context, id identity.UserID) ([]string, error) {
	return listStrings[string](ctx, d.sql, "SELECT address FROM mail_failures WHERE user_id = $1", id)
}

// MailFailure returns when mail to a user's present address was rejected for good, and what the
// server said; zero and "" if it was not.
func (d *DB) MailFailure(ctx context.Context, u *identity.User) (at time.Time, answer string, err error) {
	if u.Email == "" {
		return at, "", nil
	}
	err = each(ctx, d.sql, func(r sqldb.Row) error { return r.Scan(unixMillis{&at}, &answer) },
		"SELECT failed_at, error FROM mail_failures WHERE address = $1 AND user_id = $2",
		identity.LoginKey(u.Email), u.ID)
	return at, answer, err
}
