package sqldb

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	listenInterval = time.Second            // of polling beside listening, for what a lost connection has missed
	pollInterval   = 300 * time.Millisecond // of polling where notifications do not arrive
	probeTimeout   = 2 * time.Second        // of a notification to ourselves, and of a check
	listenPing     = 5                      // intervals after which the listening connection is checked
	listenAgain    = 30 * time.Second       // before notifications are tried again
)

// errDeaf is the error of a connection that notifications do not reach.
var errDeaf = errors.New("notifications do not arrive through the connection pooler")

// listenConfig parses DATABASE_LISTEN_URL. It returns nil if that is not set.
func listenConfig(url string) (*pgx.ConnConfig, error) {
	if url == "" {
		return nil, nil
	}
	c, err := pgx.ParseConfig(url)
	if err != nil { // the message may quote a password
		return nil, fault.InvalidField("DATABASE_LISTEN_URL", "the postgres:// URL cannot be read")
	}
	setConnectDefaults(c)
	return c, nil
}

// Watch listens on a connection of its own, and polls as well. Where notifications do not arrive,
// as through a pooler in transaction mode, it polls more often.
func (db *postgresDB) Watch(ctx context.Context, wake func()) {
	if own, ok := db.pool.(*schemaConns); ok {
		own.shared.watch(ctx, db, wake)
		return
	}
	db.watch(ctx, func(payload string) {
		if concerns(payload, db.schema) {
			wake()
		}
	})
}

// watch calls wake with the payload of each notification, and with "" when it may have missed one.
func (db *postgresDB) watch(ctx context.Context, wake func(payload string)) {
	deaf := false
	for ctx.Err() == nil {
		err := db.listen(ctx, wake, func() {
			if deaf {
				db.notice("notifications of the database arrive again")
			}
			deaf = false
			db.listening.Store(true)
		})
		db.listening.Store(false)
		if ctx.Err() != nil {
			return
		}
		// Without a listen URL, a connection that fails has failed the pool as well, which says so.
		if known := deaf || db.listener == nil && !errors.Is(err, errDeaf); !known {
			deaf = true
			db.noticeDeaf(err)
		}
		pause := listenInterval
		if errors.Is(err, errDeaf) {
			pause = listenAgain
		}
		poll(ctx, pause, wake)
	}
}

func (db *postgresDB) noticeDeaf(err error) {
	text := "; set DATABASE_LISTEN_URL to an address of PostgreSQL without a pooler"
	if db.listener != nil {
		text = "; check DATABASE_LISTEN_URL"
	}
	db.notice("changes by other servers are polled every " + pollInterval.String() + ": " + err.Error() + text)
}

// poll calls wake at the interval of polling until the time is over.
func poll(ctx context.Context, d time.Duration, wake func(payload string)) {
	over := time.NewTimer(d)
	defer over.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			wake("")
			return
		case <-tick.C:
			wake("")
		}
	}
}

// listen calls hearing once notifications are known to arrive. It returns an error when they do
// not, or when the connection breaks; its error means nothing when ctx has ended.
func (db *postgresDB) listen(ctx context.Context, wake func(payload string), hearing func()) error {
	cfg := db.listener
	if cfg == nil {
		cfg = db.pool.Config().ConnConfig
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(end)
	}()
	if db.listener == nil {
		// A listening connection that the pooler gives to others would disturb them.
		if pooler, err := behindPooler(ctx, conn); err != nil || pooler {
			return errors.Join(err, errDeaf)
		}
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	if err := db.probe(ctx, conn, wake); err != nil {
		return err
	}
	hearing()
	payload := ""
	for n := 1; ; n++ {
		wake(payload)
		if payload, err = notification(ctx, conn, listenInterval); err != nil {
			return err
		}
		if n%listenPing == 0 {
			if err := stillHears(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// probe returns errDeaf unless a notification that the pool sends reaches the connection.
func (db *postgresDB) probe(ctx context.Context, conn *pgx.Conn, wake func(payload string)) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	payload := rand.Text()
	if _, err := db.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload); err != nil {
		return err
	}
	for ctx.Err() == nil {
		got, err := notification(ctx, conn, pollInterval)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if got == payload {
			return nil
		}
		wake(got)
	}
	return errDeaf
}

// notification returns the payload of the next notification, or "" when none came in time.
func notification(ctx context.Context, conn *pgx.Conn, within time.Duration) (string, error) {
	wait, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	n, err := conn.WaitForNotification(wait)
	switch {
	case err == nil:
		return n.Payload, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case wait.Err() != nil && !conn.IsClosed():
		return "", nil
	}
	return "", err
}

// errReplaced is the error of a server where nothing is changed any more.
var errReplaced = errors.New("the server of the database has become a standby, or read-only")

// stillHears returns an error when the server does not answer on the connection in time, as after a
// failure of the network that closed nothing, and when it is one that nobody changes any more.
func stillHears(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var readOnly bool
	err := conn.QueryRow(ctx, selectReadOnly).Scan(&readOnly)
	if err == nil && readOnly {
		err = errReplaced
	}
	return err
}
