// Package authgate reads the SQLite database of an AuthGate server.
package authgate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver
)

// magic is how a SQLite database begins.
const magic = "SQLite format 3\x00"

// IsDatabase reports whether a file is a SQLite database.
func IsDatabase(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		return false, err
	}
	return string(head) == magic, nil
}

// Rows writes the people and applications of a database as JSON: a row a line, with the columns as
// names. It only reads the database.
func Rows(ctx context.Context, path string, w io.Writer) error {
	name := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return err
	}
	defer db.Close()
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, text := range []string{
		"SELECT * FROM users ORDER BY created_at, id", "SELECT * FROM oauth_applications ORDER BY id",
	} {
		if err := table(ctx, db, text, enc); err != nil {
			return fmt.Errorf("this is not the database of an AuthGate server: %w", err)
		}
	}
	return nil
}

func table(ctx context.Context, db *sql.DB, text string, enc *json.Encoder) error {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values, to := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		row := make(map[string]any, len(names))
		for i, name := range names {
			if b, ok := values[i].([]byte); ok {
				row[name] = string(b)
			} else if values[i] != nil {
				row[name] = values[i]
			}
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return rows.Err()
}
