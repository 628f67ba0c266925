package sqldb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	busyTimeout   = 5 * time.Second // of waiting for another process that writes the same file
	openRetry     = 5 * time.Millisecond
	watchInterval = 100 * time.Millisecond

	// writerCache is how much memory the writer may use for pages, in KiB. A transaction that
	// changes more of them, such as an import's, writes some twice.
	writerCache = 32 << 10

	// autoCheckpoint is how many pages the write-ahead log holds before they are copied: 16 MB.
	// The pages at the end of the indexes change in almost every transaction; the more
	// transactions a checkpoint covers, the fewer times they are copied.
	autoCheckpoint = 4000

	// maxIdleLog is the size in bytes to which the write-ahead log shrinks when it begins anew,
	// after a backup or another long reader has made it grow.
	maxIdleLog = 64 << 20
)

// sqliteDB is a SQLite database: one writer, many readers (WAL).
type sqliteDB struct {
	path    string
	tempDir string // to remove at Close, or ""
	sync    string // the pragma synchronous
	auto    int    // the pragma wal_autocheckpoint
	writer  *writer
	readers chan *liteConn // idle readers; nil for one that is not open yet
	closing chan struct{}
	once    sync.Once
}

func openSQLite(path string, o Options) (DB, error) {
	db := &sqliteDB{sync: "FULL", auto: autoCheckpoint, closing: make(chan struct{})}
	if o.ExternalCheckpoint {
		db.auto = 0
	}
	if err := db.createFile(path, o.Image); err != nil {
		return nil, err
	}
	first, err := db.openWriter()
	if err != nil {
		db.removeTemp()
		return nil, fault.Wrap(fault.KindOf(err), err, "the database file %s cannot be opened", db.path)
	}
	if o.Readers <= 0 {
		o.Readers = max(4, runtime.GOMAXPROCS(0))
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	db.readers = make(chan *liteConn, o.Readers)
	for range o.Readers {
		db.readers <- nil
	}
	db.writer = newWriter(first, db.openWriter, o.Queue, db.auto > 0, o.Seal)
	return db, nil
}

// createFile creates the file if it does not exist, and its directory. It never opens a file that
// exists: closing it again would release the POSIX locks that this process may have on it.
func (db *sqliteDB) createFile(path, image string) error {
	if path == ":memory:" {
		dir, err := os.MkdirTemp("", "gatehouse-")
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "a directory for a temporary database cannot be created")
		}
		db.tempDir, db.path, db.sync = dir, filepath.Join(dir, "memory.db"), "OFF"
		return copyImage(db.path, image)
	}
	if path == "" || strings.ContainsAny(path, "?\x00") {
		return fault.InvalidField("DATABASE_URL", "sqlite: must be followed by the path of a file, "+
			"without a question mark")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the path of the database cannot be resolved")
	}
	db.path = abs
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the directory of the database cannot be created")
	}
	if err := refuseLostFile(abs); err != nil {
		return err
	}
	f, err := os.OpenFile(abs, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the database file %s cannot be created", abs)
	}
	return f.Close()
}

// refuseLostFile returns an error if the file of a database is missing or empty, but its
// write-ahead log is not: SQLite would take it for a new database, and delete the log.
func refuseLostFile(path string) error {
	log, err := os.Stat(path + "-wal")
	if err != nil || log.Size() == 0 {
		return nil
	}
	state := "is empty"
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		state = "is missing"
	case err != nil || info.Size() > 0:
		return nil
	}
	return fault.New(fault.Conflict, "the database file %s %s, but the log beside it, %s-wal, has data: "+
		"put the file back that belongs to it, or restore a backup into another place; "+
		"nothing was changed", path, state, path)
}

// copyImage writes the database file that a temporary database begins as, if there is one.
func copyImage(path, image string) error {
	if image == "" {
		return nil
	}
	raw, err := os.ReadFile(image)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	return err
}

// openWriter opens the connection of the writer. While several processes switch a new file to
// WAL, SQLite rejects all but one of them at once, whatever busy_timeout says, because two that
// waited for each other would never finish. So openWriter retries.
func (db *sqliteDB) openWriter() (*liteConn, error) {
	for end := time.Now().Add(busyTimeout); ; time.Sleep(openRetry) {
		limit := maxIdleLog
		if db.auto == 0 { // the log is somebody else's
			limit = -1
		}
		l, err := openLite(db.path, busyPragma(), "journal_mode = WAL", "synchronous = "+db.sync,
			fmt.Sprintf("wal_autocheckpoint = %d", db.auto), fmt.Sprintf("cache_size = -%d", writerCache),
			fmt.Sprintf("journal_size_limit = %d", limit),
			"foreign_keys = ON", "trusted_schema = OFF", "temp_store = MEMORY", "secure_delete = ON")
		if err == nil || !isBusy(err) || time.Now().After(end) {
			return l, err
		}
	}
}

func busyPragma() string { return fmt.Sprintf("busy_timeout = %d", busyTimeout.Milliseconds()) }

// Engine returns SQLite.
func (db *sqliteDB) Engine() Engine { return SQLite }

// isChange reports whether a statement must run on the writer, by its first word.
func isChange(text string) bool {
	for {
		text = strings.TrimLeft(text, " \t\r\n(")
		if !strings.HasPrefix(text, "--") {
			break
		}
		_, text, _ = strings.Cut(text, "\n")
	}
	end := strings.IndexAny(text, " \t\r\n(;")
	if end < 0 {
		end = len(text)
	}
	switch strings.ToUpper(text[:end]) {
	case "SELECT", "VALUES", "PRAGMA", "EXPLAIN":
		return false
	}
	return true
}

// Exec runs a change on the writer.
func (db *sqliteDB) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	op := &op{text: text, args: args}
	err := db.writer.do(ctx, op)
	return op.changed, err
}

// Row runs a read on a reader, or a change with RETURNING on the writer.
func (db *sqliteDB) Row(ctx context.Context, text string, args ...any) Row {
	t, err := db.table(ctx, context.Background(), 1, text, args)
	return tableRow{t, err}
}

// Rows runs a read on a reader, or a change with RETURNING on the writer.
func (db *sqliteDB) Rows(ctx context.Context, text string, args ...any) (Rows, error) {
	t, err := db.table(ctx, ctx, 0, text, args)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// table returns a result. ctx bounds the wait for a connection, and run the statement itself: the
// driver watches a context with a goroutine, for which a lookup by key is too short.
func (db *sqliteDB) table(
	ctx, run context.Context, limit int, text string, args []any,
) (*table, error) {
	if isChange(text) {
		op := &op{text: text, args: args, returning: true}
		err := db.writer.do(ctx, op)
		return op.result, err
	}
	l, err := db.reader(ctx)
	if err != nil {
		return nil, err
	}
	t, err := l.query(run, limit, text, args)
	if err != nil && endsBatch(err) { // the connection may be broken: open another one
		l.close()
		l = nil
	}
	db.readers <- l
	return t, sqliteError(err)
}

func (db *sqliteDB) reader(ctx context.Context) (*liteConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, cancelled(err)
	}
	select {
	case <-db.closing:
		return nil, unavailable(nil, "the database is closed")
	default:
	}
	select {
	case <-ctx.Done():
		return nil, cancelled(ctx.Err())
	case <-db.closing:
		return nil, unavailable(nil, "the database is closed")
	case l := <-db.readers:
		if l != nil {
			return l, nil
		}
		l, err := openLite(db.path, busyPragma(), "query_only = ON", "trusted_schema = OFF", "temp_store = MEMORY")
		if err != nil {
			db.readers <- nil
			return nil, err
		}
		return l, nil
	}
}

// Write runs f on the writer, in a savepoint of its own.
func (db *sqliteDB) Write(ctx context.Context, f func(Tx) error) error {
	return db.writer.do(ctx, &op{change: f})
}

// Read reads one row into dest.
func (db *sqliteDB) Read(ctx context.Context, dest []any, q *RowQuery, args ...any) error {
	var row string
	if err := db.Row(ctx, q.joined, args...).Scan(&row); err != nil {
		return err
	}
	if ok, err := scanJoined(dest, row, q.columns); ok {
		return err
	}
	return db.Row(ctx, q.text, args...).Scan(dest...)
}

// ExecAll runs a statement for each list of arguments.
func (db *sqliteDB) ExecAll(ctx context.Context, text string, args [][]any, attach ...any) error {
	if len(args) == 1 {
		return db.writer.do(ctx, &op{text: text, args: args[0], attached: attach})
	}
	return db.Write(ctx, func(tx Tx) error {
		for _, a := range args {
			if _, err := tx.Exec(ctx, text, a...); err != nil {
				return err
			}
		}
		for _, v := range attach {
			tx.Attach(v)
		}
		return nil
	})
}

// ExecIfChanged runs the change, and the other statement if a row was changed.
func (db *sqliteDB) ExecIfChanged(ctx context.Context, c Conditional) (n int64, err error) {
	err = db.Write(ctx, func(tx Tx) error {
		if n, err = tx.Exec(ctx, c.Change, c.ChangeArgs...); err != nil || n == 0 {
			return err
		}
		if c.Attach != nil {
			tx.Attach(c.Attach)
		}
		_, err = tx.Exec(ctx, c.Then, c.ThenArgs...)
		return err
	})
	return n, err
}

// Scrub has the write-ahead log emptied at the next checkpoint.
func (db *sqliteDB) Scrub() { db.writer.scrub.Store(true) }

// Ping returns an error unless a value can be read.
func (db *sqliteDB) Ping(ctx context.Context) error {
	var n int
	return db.Row(ctx, "SELECT 1").Scan(&n)
}

// Writable does not try to write: a full disk ends changes, and nothing else.
func (db *sqliteDB) Writable(ctx context.Context) error { return db.Ping(ctx) }

// Status returns that changes are polled.
func (db *sqliteDB) Status() Status { return Status{Changes: ChangesPoll} }

// Usage returns how much is in use now.
func (db *sqliteDB) Usage() Usage {
	readers, idle := cap(db.readers), len(db.readers)
	return Usage{
		InUse: readers - idle,
		Idle:  idle,
		Max:   readers,
		Queue: len(db.writer.queue),
	}
}

// Size asks the file system: it must not open a file that SQLite has locked.
func (db *sqliteDB) Size(context.Context) (main, wal int64, err error) {
	info, err := os.Stat(db.path)
	if err != nil {
		return 0, 0, fault.Wrap(fault.Unavailable, err, "the size of the database file is unknown")
	}
	if log, err := os.Stat(db.path + "-wal"); err == nil { // missing until the first change
		wal = log.Size()
	}
	return info.Size(), wal, nil
}

// Watch polls data_version, which SQLite changes at every commit by another connection, in any
// process.
func (db *sqliteDB) Watch(ctx context.Context, wake func()) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	var l *liteConn
	defer func() {
		if l != nil {
			l.close()
		}
	}()
	last := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.closing:
			return
		case <-tick.C:
		}
		var v int64
		if l, v = db.version(l); v != last {
			last = v
			wake()
		}
	}
}

// version reads data_version on the watcher's connection, which it opens if necessary. It returns
// the connection and the version, or nil and 0 on failure.
func (db *sqliteDB) version(l *liteConn) (*liteConn, int64) {
	if l == nil {
		var err error
		if l, err = openLite(db.path, busyPragma(), "query_only = ON"); err != nil {
			return nil, 0
		}
	}
	t, err := l.query(context.Background(), 1, "PRAGMA data_version", nil)
	var v int64
	if err == nil {
		err = tableRow{t, nil}.Scan(&v)
	}
	if err != nil {
		l.close()
		return nil, 0
	}
	return l, v
}

// Close runs the changes that wait, then closes all connections.
func (db *sqliteDB) Close() error {
	db.once.Do(func() {
		close(db.closing)
		for range cap(db.readers) {
			if l := <-db.readers; l != nil {
				l.close()
			}
		}
		db.writer.stop()
		db.removeTemp()
	})
	return nil
}

func (db *sqliteDB) removeTemp() {
	if db.tempDir != "" {
		_ = os.RemoveAll(db.tempDir)
	}
}
