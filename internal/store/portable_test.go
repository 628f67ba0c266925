package store_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// forbidden is what one of the engines does not know, or interprets differently.
var forbidden = map[string]*regexp.Regexp{
	"a clock of the database":    regexp.MustCompile(`(?i)\b(now\s*\(|current_(timestamp|date)|datetime\s*\(|strftime)`),
	"a PostgreSQL cast":          regexp.MustCompile(`::`),
	"ILIKE":                      regexp.MustCompile(`(?i)\bilike\b`),
	"an array comparison":        regexp.MustCompile(`(?i)=\s*(any|all)\b`),
	"a locking read":             regexp.MustCompile(`(?i)\bfor\s+(update|share|no key)\b`),
	"a JSON operator":            regexp.MustCompile(`->|#>|@>|(?i)\bjson_`),
	"an SQLite-only insertion":   regexp.MustCompile(`(?i)\binsert\s+or\b|\breplace\s+into\b`),
	"a function of one engine":   regexp.MustCompile(`(?i)\b(ifnull|greatest|least|strpos|instr|iif|nextval|last_insert_rowid|random)\s*\(`),
	"LIKE on a parameter as is":  regexp.MustCompile(`(?i)\blike\s+\$\d+($|[^ ]| [^E])`),
	"a placeholder of SQLite":    regexp.MustCompile(`[=(,]\s*\?`),
	"a type that is not our own": regexp.MustCompile(`(?i)\b(integer|int|smallint|bytea|blob|varchar|timestamp|timestamptz|serial|jsonb?|uuid|real|numeric)\b[ ,\n]+(not null|null|primary|default|references)`),
}

// isSQL matches a statement, or a part of one, and no other text.
var isSQL = regexp.MustCompile(`\b(SELECT .* FROM|SELECT \$1|INSERT INTO|UPDATE \w+ SET|DELETE FROM|ON CONFLICT|CREATE (UNIQUE )?(TABLE|INDEX)|NOT EXISTS|CASE WHEN)\b`)

func TestSQLIsPortable(t *testing.T) {
	texts := statements(t)
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(text)
	}
	if len(texts) < 80 {
		t.Fatalf("only %d statements found: the search is broken", len(texts))
	}
	for at, text := range texts {
		for what, re := range forbidden {
			if m := re.FindString(text); m != "" {
				t.Errorf("%s: %s: %q in\n%s", at, what, m, text)
			}
		}
		inOrder(t, at, text)
	}
}

// inOrder checks that parameters appear for the first time in the order of their numbers.
func inOrder(t *testing.T, at, text string) {
	t.Helper()
	seen := 0
	for _, m := range regexp.MustCompile(`\$(\d+)`).FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		if n > seen+1 {
			if seen == 0 {
				return // a part of a statement that begins elsewhere
			}
			t.Errorf("%s: $%d comes before $%d in\n%s", at, n, seen+1, text)
			return
		}
		seen = max(seen, n)
	}
}

// statements returns the SQL in this package's source by its position, with constants joined.
func statements(t *testing.T) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	consts := make(map[string]ast.Expr)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
				for i, id := range v.Names {
					consts[id.Name] = v.Values[i]
				}
			}
			return true
		})
	}
	out := make(map[string]string)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, isText := fold(e, consts)
			if isText && isSQL.MatchString(text) {
				out[fset.Position(e.Pos()).String()] = text
			}
			return !isText
		})
	}
	return out
}

// fold evaluates a text that is joined with +; a part that is not constant becomes an ellipsis.
func fold(e ast.Expr, consts map[string]ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		a, okA := fold(e.X, consts)
		b, okB := fold(e.Y, consts)
		if !okA {
			a = "…"
		}
		if !okB {
			b = "…"
		}
		return a + b, okA || okB
	case *ast.Ident:
		if v := consts[e.Name]; v != nil {
			return fold(v, consts)
		}
	}
	return "", false
}

// Both engines create the same tables from the one text.
func TestSchemaParity(t *testing.T) {
	lite := schema(t, storetest.SQLite(t), sqldb.SQLite)
	pg := schema(t, storetest.Postgres(t), sqldb.Postgres)
	for _, name := range slices.Sorted(maps.Keys(lite)) {
		if lite[name] != pg[name] {
			t.Errorf("%s is %q on SQLite and %q on PostgreSQL", name, lite[name], pg[name])
		}
		delete(pg, name)
	}
	for name := range pg {
		t.Errorf("%s is on PostgreSQL only", name)
	}
	if len(lite) < 150 {
		t.Errorf("only %d columns and indexes found: the search is broken", len(lite))
	}
}

// schema returns a description of each column and index by name.
func schema(t *testing.T, url string, engine sqldb.Engine) map[string]string {
	t.Helper()
	storetest.Open(t, store.Options{URL: url})
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	columns := `SELECT m.name, c.name, upper(c.type), c."notnull" <> 0` +
		" FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
	indexes := "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
	if engine == sqldb.Postgres {
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		of := "'" + cfg.RuntimeParams["search_path"] + "'"
		columns = "SELECT table_name, column_name, upper(data_type), is_nullable = 'NO'" +
			" FROM information_schema.columns WHERE table_schema = " + of
		indexes = "SELECT tablename, indexname FROM pg_indexes WHERE indexname NOT LIKE '%_pkey' AND schemaname = " + of
	}
	out := make(map[string]string)
	read(t, db, columns, func(r sqldb.Rows) error {
		var table, column, kind string
		var notNull bool
		err := r.Scan(&table, &column, &kind, &notNull)
		out["column "+table+"."+column] = fmt.Sprint(kind, " not null: ", notNull)
		return err
	})
	read(t, db, indexes, func(r sqldb.Rows) error {
		var table, name string
		err := r.Scan(&table, &name)
		out["index "+name] = "on " + table
		return err
	})
	return out
}

func read(t *testing.T, db sqldb.DB, sql string, f func(sqldb.Rows) error) {
	t.Helper()
	rows, err := db.Rows(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
