package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var emailCodeTable = table[login.EmailCode]{
	name: "email_codes",
	columns: []column[login.EmailCode]{
		{"attempt", func(c *login.EmailCode) any { return (*string)(&c.Attempt) }},
		{"user_id", func(c *login.EmailCode) any { return (*string)(&c.User) }},
		{"code", func(c *login.EmailCode) any { return (*string)(&c.Code) }},
		{"created_at", func(c *login.EmailCode) any { return unixMillis{&c.CreatedAt} }},
		{"expires_at", func(c *login.EmailCode) any { return unixMillis{&c.ExpiresAt} }},
	},
}

var (
	// A request whose delivery is repeated after a crash has its code already.
	insertEmailCode = emailCodeTable.insert("used_at") + " ON CONFLICT (attempt) DO NOTHING"
	selectEmailCode = "SELECT " + emailCodeTable.list() + " FROM email_codes" +
		" WHERE attempt = $1 AND used_at = 0 AND expires_at > $2"

	// The code that answers a request: its own, or else the newest of the user.
	answeredBy = "COALESCE((SELECT attempt FROM email_codes WHERE attempt = $2 AND user_id = $3)," +
		" (SELECT attempt FROM email_codes WHERE user_id = $3 AND expires_at > $1" +
		" ORDER BY created_at DESC, attempt LIMIT 1))"
	consumeEmailCode = "UPDATE email_codes SET used_at = $1 WHERE attempt = " + answeredBy +
		" AND user_id = $3 AND code = $4 AND used_at = 0 AND expires_at > $1"
	usedEmailCode = "SELECT 1 FROM email_codes WHERE attempt = " + answeredBy +
		" AND user_id = $3 AND code = $4 AND used_at <> 0 AND expires_at > $1"
	endEmailCodes = "UPDATE email_codes SET used_at = $1 WHERE user_id = $2 AND used_at = 0"
)

// PutEmailCode stores a code that is sent to sign in with.
func (d *DB) PutEmailCode(ctx context.Context, c *login.EmailCode, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, insertEmailCode, emailCodeTable.args(c, int64(0))...)
		return err
	})
}

// EmailCode reads the code of a request that can still be used, or NotFound.
func (d *DB) EmailCode(
	ctx context.Context, attempt secret.Hash, now time.Time,
) (*login.EmailCode, error) {
	c, err := emailCodeTable.scan(d.sql.Row(ctx, selectEmailCode, attempt, unixMilli(now)))
	return c, asNotFound(err, "code")
}

// ConsumeEmailCode uses a code, once, and ends the user's others. It returns Consumed if the code
// was used before, and NotFound if it is another one or has expired.
func (d *DB) ConsumeEmailCode(ctx context.Context, use login.EmailCodeUse) error {
	now := unixMilli(use.Now)
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, consumeEmailCode, now, use.Attempt, use.User, use.Code)
		if err != nil {
			return err
		}
		if n > 0 {
			_, err = tx.Exec(ctx, endEmailCodes, now, use.User)
			return err
		}
		used, err := exists(ctx, tx, usedEmailCode, now, use.Attempt, use.User, use.Code)
		switch {
		case err != nil:
			return err
		case used:
			return consumed("code")
		}
		return notFound("code")
	})
}
