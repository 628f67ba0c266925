package sqldb_test

import (
	"errors"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// word is a text with a type of its own.
type word string

// length is a scanner of a text, and double one of an integer.
type (
	length struct{ n *int }
	double struct{ n *int64 }
)

func (c length) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	*c.n = len(s)
	return nil
}

func (c double) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return errors.New("not an integer")
	}
	*c.n = 2 * n
	return nil
}

func (c double) ScansInteger() {}

// A query of one row returns what was stored: also values that contain the
// separator of a joined row.
func TestRowQuery(t *testing.T) {
	on(t, func(t *testing.T, _ string, db sqldb.DB) {
		mustExec(t, db, "CREATE TABLE wide (id BIGINT NOT NULL PRIMARY KEY, a TEXT NOT NULL, n BIGINT NOT NULL,"+
			" b TEXT NOT NULL, ok BOOLEAN NOT NULL, c TEXT NOT NULL)")
		all := []string{"a", "n", "b", "ok", "c", "n", "c"}
		query := sqldb.NewRowQuery(all, "FROM wide WHERE id = $1")
		for id, want := range []struct {
			a, b, c string
			n       int64
			ok      bool
		}{
			{"", "", "", 0, false},
			{"a", "b", "c", -7, true},
			{"it's \"quoted\"", "ünï\ncode 日本", "0", 1 << 62, true},
			{"one\x1fseparator", "", "", 1, false},
			{"\x1f\x1f\x1f\x1f\x1f\x1f", "\x1f", "\x1f", 2, true},
		} {
			mustExec(t, db, "INSERT INTO wide (id, a, n, b, ok, c) VALUES ($1, $2, $3, $4, $5, $6)",
				int64(id), want.a, want.n, want.b, want.ok, want.c)
			var a string
			var n, twice int64
			var b word
			var ok bool
			var c string
			var size int
			dest := []any{&a, &n, &b, &ok, &c, double{&twice}, length{&size}}
			testkit.Must(t, db.Read(t.Context(), dest, query, int64(id)))
			if a != want.a || n != want.n || string(b) != want.b || ok != want.ok || c != want.c ||
				twice != 2*want.n || size != len(want.c) {
				t.Errorf("read %q %d %q %v %q %d %d; want %+v", a, n, b, ok, c, twice, size, want)
			}
		}
		wantKind(t, db.Read(t.Context(), make([]any, len(all)), query, int64(99)), fault.NotFound)
		var a string
		if err := db.Read(t.Context(), []any{&a}, query, int64(1)); err == nil {
			t.Error("a row of seven columns fits one destination")
		}
		var n int64
		text := sqldb.NewRowQuery([]string{"a"}, "FROM wide WHERE id = $1")
		if err := db.Read(t.Context(), []any{&n}, text, int64(1)); err == nil {
			t.Error("the text a was read as an integer")
		}
	})
}
