package sqldb

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// retryAfter is how long callers should wait when the database cannot serve them now.
const retryAfter = time.Second

// violation is the cause of a Conflict or NotFound that a constraint raised.
type violation struct {
	name  string
	cause error
}

func (v *violation) Error() string { return v.cause.Error() }
func (v *violation) Unwrap() error { return v.cause }

// Violated returns the name of the unique constraint that err violated, as table_column of its
// first column, or "".
func Violated(err error) string {
	var v *violation
	if errors.As(err, &v) {
		return v.name
	}
	return ""
}

func noRow() error { return fault.New(fault.NotFound, "there is no such entry") }

func unavailable(cause error, text string) error {
	return &fault.Error{Kind: fault.Unavailable, Text: text, After: retryAfter, Cause: cause}
}

func cancelled(cause error) error {
	return unavailable(cause, "the request ended before the database answered")
}

func conflict(name string, cause error) error {
	return fault.Wrap(fault.Conflict, &violation{name, cause}, "it exists already")
}

func missingParent(cause error) error {
	return fault.Wrap(fault.NotFound, cause, "the record that this belongs to does not exist (any more)")
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// sqliteError returns an error of the SQLite driver with its kind.
func sqliteError(err error) error {
	if err == nil {
		return nil
	}
	if fe := (*fault.Error)(nil); errors.As(err, &fe) {
		return err
	}
	if isContext(err) {
		return cancelled(err)
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return conflict(sqliteConstraint(se.Error()), err)
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return missingParent(err)
	}
	switch se.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return unavailable(err, "the database is busy; try again in a moment")
	case lib.SQLITE_FULL:
		return unavailable(err, "the disk of the database is full")
	case lib.SQLITE_INTERRUPT:
		return cancelled(err)
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_NOMEM, lib.SQLITE_READONLY:
		return unavailable(err, "the database file cannot be read or written")
	}
	return err
}

// endsBatch reports whether SQLite may have rolled back the whole transaction, and not only the
// statement. Errors of the statement itself (syntax, types, constraints) leave the transaction as
// it was.
func endsBatch(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code() & 0xff {
	case lib.SQLITE_ERROR, lib.SQLITE_CONSTRAINT, lib.SQLITE_MISMATCH,
		lib.SQLITE_TOOBIG, lib.SQLITE_RANGE, lib.SQLITE_MISUSE:
		return false
	}
	return true
}

// isBusy reports whether another connection has a lock.
func isBusy(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && se.Code()&0xff == lib.SQLITE_BUSY
}

// sqliteConstraint returns users_email_key for "… UNIQUE constraint failed: users.email_key
// (2067)".
func sqliteConstraint(msg string) string {
	_, rest, ok := strings.Cut(msg, "UNIQUE constraint failed: ")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, ", ("); i >= 0 {
		rest = rest[:i]
	}
	return strings.ReplaceAll(rest, ".", "_")
}

// postgresError returns an error of the PostgreSQL driver with its kind.
func postgresError(err error) error {
	if err == nil {
		return nil
	}
	if fe := (*fault.Error)(nil); errors.As(err, &fe) {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return noRow()
	}
	if errors.As(err, new(*unknownOutcome)) {
		return unavailable(err, "it is not known whether the change was stored; try again in a moment")
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return postgresCode(pe, err)
	}
	if isContext(err) {
		return cancelled(err)
	}
	var ne net.Error
	var ce *pgconn.ConnectError
	lost := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
	// Closed connections and pools have no exported error.
	closed := strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool")
	if lost || closed || errors.As(err, &ne) || errors.As(err, &ce) || pgconn.SafeToRetry(err) {
		return unavailable(err, "the database cannot be reached; try again in a moment")
	}
	return err
}

// postgresCode returns an error with the kind of its SQLSTATE (PostgreSQL manual, appendix A).
func postgresCode(pe *pgconn.PgError, err error) error {
	switch pe.Code {
	case "23505": // unique_violation
		return conflict(pe.ConstraintName, err)
	case "23503": // foreign_key_violation
		return missingParent(err)
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return unavailable(err, "the database is busy; try again in a moment")
	case "22021", "22P05": // character_not_in_repertoire, untranslatable_character
		return fault.Wrap(fault.Invalid, err, "the text has characters that cannot be stored")
	case "57014": // query_canceled
		return cancelled(err)
	case "25006": // read_only_sql_transaction: a standby, or a server that has been demoted
		return unavailable(err, "the database does not accept changes now")
	}
	switch {
	case strings.HasPrefix(pe.Code, "08"), // connection lost
		strings.HasPrefix(pe.Code, "57P"): // server shutting down or starting
		return unavailable(err, "the database cannot be reached; try again in a moment")
	case strings.HasPrefix(pe.Code, "53"), // out of connections, memory or disk
		strings.HasPrefix(pe.Code, "58"): // system error
		return unavailable(err, "the database is out of resources; try again in a moment")
	}
	return err
}

// unknownOutcome is the error of a COMMIT that may have been executed: it was cancelled while it
// waited for a standby, the connection broke, or a pooler reported its end in place of PostgreSQL.
// Such a transaction is neither reported as undone nor sent again.
type unknownOutcome struct{ cause error }

func (u *unknownOutcome) Error() string {
	return "it is not known whether the change was stored: " + u.cause.Error()
}
func (u *unknownOutcome) Unwrap() error { return u.cause }

// errCommittedAlone is the cause when PostgreSQL has committed without its synchronous standby.
var errCommittedAlone = errors.New("the synchronous standby has not confirmed it")

// undone reports whether PostgreSQL has undone the transaction for which it, and not a pooler,
// reported an error. FATAL errors end the connection, whatever has become of the transaction.
func undone(err error) bool {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || len(pe.Code) != 5 || severity(pe) != "ERROR" || pe.Code == "40003" {
		return false // 40003: statement_completion_unknown
	}
	switch pe.Code[:2] { // connection, resources, intervention, system, internal
	case "08", "53", "57", "58", "XX":
		return false
	}
	return true
}

// severity returns the severity of an error in English. Servers before PostgreSQL 9.6, and some
// poolers, send it in the language of the server only.
func severity(pe *pgconn.PgError) string {
	if pe.SeverityUnlocalized != "" {
		return pe.SeverityUnlocalized
	}
	return pe.Severity
}

// warningKey is where a connection has the number of warnings that the server has sent.
const warningKey = "gatehouse warnings"

// countWarnings counts the warnings of a connection.
func countWarnings(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized != "WARNING" && n.Severity != "WARNING" {
		return
	}
	if count, ok := conn.CustomData()[warningKey].(*int); ok {
		*count++
	}
}

// warningsOf returns the counter of warnings of a connection, set to zero.
func warningsOf(conn *pgconn.PgConn) *int {
	count, ok := conn.CustomData()[warningKey].(*int)
	if !ok {
		count = new(int)
		conn.CustomData()[warningKey] = count
	}
	*count = 0
	return count
}

// lockTimedOut reports whether a statement waited for a lock for longer than it may.
func lockTimedOut(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "55P03" // lock_not_available
}

// retriable reports whether PostgreSQL aborted a transaction so that another could finish.
func retriable(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01")
}

func isUnavailable(err error) bool { return fault.Is(err, fault.Unavailable) }
