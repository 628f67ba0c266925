package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Values in meta that concern backups.
const (
	metaDatabase  = "database_id"
	metaLog       = "revocation_log_id"
	metaRestoring = "restoring" // a restore has begun and not ended: the database is not complete
	metaCopy      = "copy"      // the database is a copy for trying things out
	metaCheck     = "master_key_check"
)

// MasterKeyCheck is the name in meta of the keyed hash that belongs to SECRET_KEY.
const MasterKeyCheck = metaCheck

// notBackedUp are tables of no use elsewhere.
var notBackedUp = map[string]bool{"leases": true}

// BackupOptions configures WriteBackup.
type BackupOptions struct {
	Rest   time.Duration // see sqldb.SnapshotOptions
	MaxLog int64
	Begin  func(*backup.Header) (*backup.Writer, error) // begins the file; the header is complete
	// ReadOnly writes nothing to the database, not even its identity if it has none yet.
	ReadOnly bool
}

// identify stores random identities of the database and of its log of revocations, once.
func (d *DB) identify(ctx context.Context) error {
	for _, name := range []string{metaDatabase, metaLog} {
		_, err := d.Meta(ctx, name)
		if fault.Is(err, fault.NotFound) {
			_, err = d.InitMeta(ctx, name, secret.NewID(time.Now()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DatabaseID returns the identity of the database, which its copies share.
func (d *DB) DatabaseID(ctx context.Context) (string, error) { return d.Meta(ctx, metaDatabase) }

// RevocationLog returns the identity of the log of revocations, which a recovery changes.
func (d *DB) RevocationLog(ctx context.Context) (string, error) { return d.Meta(ctx, metaLog) }

// IsCopy reports whether the database is a copy for trying things out, whose server must do nothing
// that others notice.
func (d *DB) IsCopy(ctx context.Context) (bool, error) {
	_, err := d.Meta(ctx, metaCopy)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// Restoring returns an error while the database is the rest of a restore that did not end.
func (d *DB) Restoring(ctx context.Context) error {
	what, err := d.Meta(ctx, metaRestoring)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "this database was being restored (%s) and is not complete; "+
		"run gatehouse restore again with the same file", what)
}

// WriteBackup writes the rows of all tables as they are at one moment, while others read and write.
// It completes the header with what the database says about itself.
func (d *DB) WriteBackup(ctx context.Context, h *backup.Header, o BackupOptions) (*backup.Writer, error) {
	if !o.ReadOnly {
		if err := d.identify(ctx); err != nil {
			return nil, err
		}
	}
	var w *backup.Writer
	err := sqldb.ReadSnapshot(ctx, d.sql, sqldb.SnapshotOptions{Rest: o.Rest, MaxLog: o.MaxLog},
		func(s sqldb.Snapshot) error {
			tables, err := d.describe(ctx, s, h, o.ReadOnly)
			if err != nil {
				return err
			}
			if w, err = o.Begin(h); err != nil {
				return err
			}
			for _, t := range tables {
				if notBackedUp[t.Name] {
					continue
				}
				if err := w.Table(&t); err != nil {
					return err
				}
				text := "SELECT " + strings.Join(t.ColumnNames(), ", ") + " FROM " + t.Name
				if err := s.Scan(ctx, text, w.Row); err != nil {
					return fmt.Errorf("table %s: %w", t.Name, err)
				}
			}
			return w.Close()
		})
	return w, err
}

// describe completes the header, and returns the tables. With nameless, the database need not have
// an identity.
func (d *DB) describe(
	ctx context.Context, s sqldb.Snapshot, h *backup.Header, nameless bool,
) ([]backup.Table, error) {
	h.Engine = string(d.Engine())
	for name, to := range map[string]*string{metaDatabase: &h.Database, metaLog: &h.Log} {
		err := s.Row(ctx, "SELECT value FROM meta WHERE name = $1", name).Scan(to)
		if err != nil && (!nameless || !fault.Is(err, fault.NotFound)) {
			return nil, err
		}
	}
	rows, err := s.Rows(ctx, "SELECT name, checksum FROM migrations ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m backup.Migration
		if err := rows.Scan(&m.Name, &m.Checksum); err != nil {
			return nil, err
		}
		h.Schema = append(h.Schema, m)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return schemaOf(ctx, s, d.Engine())
}

// reader reads the tables of a database.
type reader interface {
	Rows(ctx context.Context, sql string, args ...any) (sqldb.Rows, error)
}

// schemaOf returns the tables of a database as a backup describes them.
func schemaOf(ctx context.Context, c reader, e sqldb.Engine) ([]backup.Table, error) {
	_, texts, err := steps()
	if err != nil {
		return nil, err
	}
	tables, err := sqldb.Tables(ctx, c, e, texts)
	if err != nil {
		return nil, err
	}
	types := map[string]string{"TEXT": backup.TypeText, "BIGINT": backup.TypeInt, "BOOLEAN": backup.TypeBool}
	out := make([]backup.Table, len(tables))
	for i, t := range tables {
		out[i].Name = t.Name
		for _, c := range t.Columns {
			typ := types[c.Type]
			if typ == "" {
				return nil, fmt.Errorf("column %s.%s has the type %s, which backups do not know", t.Name, c.Name, c.Type)
			}
			out[i].Columns = append(out[i].Columns, backup.Column{Name: c.Name, Type: typ})
		}
	}
	return out, nil
}

// steps returns the migrations, and their texts.
func steps() ([]sqldb.Step, []string, error) {
	all, err := sqldb.ReadSteps(Migrations())
	if err != nil {
		return nil, nil, err
	}
	texts := make([]string, 0, len(all))
	for _, m := range all {
		texts = append(texts, m.Text)
	}
	return all, texts, nil
}

// CheckSchema returns an error if this program cannot read a backup.
func CheckSchema(h *backup.Header) error {
	all, _, err := steps()
	if err != nil {
		return err
	}
	ours := make(map[string]string, len(all))
	for _, m := range all {
		ours[m.Name] = m.Checksum
	}
	if len(h.Schema) == 0 {
		return fault.New(fault.Invalid, "the backup does not say which schema it has")
	}
	for _, m := range h.Schema {
		switch sum, ok := ours[m.Name]; {
		case !ok:
			return fault.New(fault.Conflict, "the backup was made by a newer release, with the migration %s; "+
				"restore it with that release", m.Name)
		case sum != m.Checksum:
			return fault.New(fault.Conflict, "the backup was made by another build, whose migration %s differs; "+
				"restore it with that release", m.Name)
		}
	}
	return nil
}

// LoadOptions says what LoadBackup loads, and into what.
type LoadOptions struct {
	Options // of the database. SQLite: the file must not exist
	Mark    string
	Key     []byte         // of the HMAC
	IDs     []age.Identity // open an encrypted backup
}

// LoadBackup fills an empty database with the rows of a backup: all of them, after the file has
// been read to its end and is whole, or none. The database is marked until FinishRestore.
func LoadBackup(ctx context.Context, o LoadOptions, r *backup.Reader) error {
	if err := CheckSchema(r.Header); err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(o.URL, "sqlite:"); ok {
		err := sqldb.CreateFile(path, func(tx sqldb.Tx) error { return load(ctx, tx, sqldb.SQLite, o, r) })
		if err != nil {
			return errors.Join(err, os.Remove(path))
		}
		return nil
	}
	db, err := sqldb.Open(ctx, o.URL, sqldb.Options{
		Readers:    2,
		Statements: o.Statements,
		Schema:     o.Schema,
		Notice:     o.Notice,
	})
	if err != nil {
		return err
	}
	defer db.Close()
	begun := false
	return db.Write(ctx, func(tx sqldb.Tx) error {
		if begun {
			return fault.New(fault.Unavailable, "the database was busy; run the restore again")
		}
		begun = true
		if err := clearTarget(ctx, tx, db.Engine()); err != nil {
			return err
		}
		return load(ctx, tx, db.Engine(), o, r)
	})
}

// CheckTarget returns an error unless a PostgreSQL database is empty, or is the rest of a restore.
func CheckTarget(ctx context.Context, o Options) error {
	db, err := sqldb.Open(ctx, o.URL, sqldb.Options{
		Readers:    2,
		Statements: o.Statements,
		Schema:     o.Schema,
		Notice:     o.Notice,
	})
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = leftovers(ctx, db, db.Engine())
	return err
}

// leftovers returns the tables of a restore that did not end. It returns an error if there are
// tables of a database in use, or a table of migrations, which may be that of another application.
func leftovers(ctx context.Context, c sqldb.Conn, e sqldb.Engine) ([]backup.Table, error) {
	tables, err := schemaOf(ctx, c, e)
	if err != nil {
		return nil, err
	}
	if len(tables) == 0 {
		var others bool
		err := c.Row(ctx, "SELECT to_regclass(quote_ident(current_schema()) || '.migrations') IS NOT NULL").Scan(&others)
		if err == nil && others {
			err = fault.New(fault.Conflict, "the database that DATABASE_URL names has a table \"migrations\" that is not "+
				"Gatehouse's, or is all that is left of it, and a restore never replaces data: name an empty database or schema")
		}
		return nil, err
	}
	var mark string
	for _, t := range tables {
		if t.Name == "meta" {
			err = c.Row(ctx, "SELECT value FROM meta WHERE name = $1", metaRestoring).Scan(&mark)
		}
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if mark == "" {
		return nil, fault.New(fault.Conflict, "the database that DATABASE_URL names is not empty, and a restore never "+
			"replaces data: name an empty database or schema, or drop the tables of this one if you are sure")
	}
	return tables, nil
}

// clearTarget drops what a restore that did not end has left.
func clearTarget(ctx context.Context, tx sqldb.Tx, e sqldb.Engine) error {
	tables, err := leftovers(ctx, tx, e)
	if err != nil || len(tables) == 0 {
		return err
	}
	for i := len(tables) - 1; i >= 0; i-- {
		if _, err := tx.Exec(ctx, "DROP TABLE "+tables[i].Name); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, "DROP TABLE migrations")
	return err
}

// load makes the schema that the backup was made with, and copies its rows.
func load(ctx context.Context, tx sqldb.Tx, e sqldb.Engine, o LoadOptions, r *backup.Reader) error {
	if err := r.Begin(o.IDs); err != nil {
		return err
	}
	all, texts, err := steps()
	if err != nil {
		return err
	}
	var applied []sqldb.Step
	for _, m := range all {
		for _, have := range r.Header.Schema {
			if m.Name == have.Name {
				applied = append(applied, m)
			}
		}
	}
	if err := sqldb.ApplySteps(ctx, tx, e, applied); err != nil {
		return err
	}
	tables, err := sqldb.Tables(ctx, tx, e, texts)
	if err != nil {
		return err
	}
	described, err := schemaOf(ctx, tx, e)
	if err != nil {
		return err
	}
	return sqldb.WithoutIndexes(ctx, tx, e, tables, func() error {
		for i := len(tables) - 1; i >= 0; i-- { // migrations have filled some
			if _, err := tx.Exec(ctx, "DELETE FROM "+tables[i].Name); err != nil {
				return err
			}
		}
		if err := loadTables(ctx, tx, r, described); err != nil {
			return err
		}
		if err := r.Close(o.Key); err != nil {
			return err
		}
		return setMeta(ctx, tx, metaRestoring, o.Mark)
	})
}

// loadTables copies the rows of all tables, and counts them.
func loadTables(ctx context.Context, tx sqldb.Tx, r *backup.Reader, schema []backup.Table) error {
	known := make(map[string]*backup.Table, len(schema))
	for i := range schema {
		known[schema[i].Name] = &schema[i]
	}
	for {
		t, err := r.NextTable()
		if err != nil || t == nil {
			return err
		}
		if err := fits(t, known[t.Name]); err != nil {
			return err
		}
		delete(known, t.Name) // no table comes twice
		n, err := sqldb.Copy(ctx, tx, t.Name, t.ColumnNames(), func() ([]any, error) {
			values, err := r.Row()
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			if wrong := t.Check(values); len(wrong) > 0 {
				return nil, fault.New(fault.Invalid, "table %s, row %q, column %s: %s; gatehouse backup --verify lists "+
					"all such values", t.Name, wrong[0].Row, wrong[0].Column, wrong[0].Text)
			}
			return values, nil
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		var have int64
		if err := tx.Row(ctx, "SELECT COUNT(*) FROM "+t.Name).Scan(&have); err != nil {
			return err
		}
		counts := r.Counts()
		if c := counts[len(counts)-1]; c.Rows != n || have != n {
			return fault.New(fault.Internal, "table %s has %d rows and not the %d of the backup", t.Name, have, c.Rows)
		}
	}
}

// fits returns an error unless a table of a backup is one of the schema.
func fits(t, ours *backup.Table) error {
	if ours == nil || len(ours.Columns) != len(t.Columns) {
		return fault.New(fault.Invalid, "the backup has a table %.40q that its schema does not have", t.Name)
	}
	columns := make(map[string]string, len(ours.Columns))
	for _, c := range ours.Columns {
		columns[c.Name] = c.Type
	}
	for _, c := range t.Columns {
		if columns[c.Name] != c.Type {
			return fault.New(fault.Invalid, "the backup has a column %.40q that its schema does not have", c.Name)
		}
		delete(columns, c.Name)
	}
	return nil
}
