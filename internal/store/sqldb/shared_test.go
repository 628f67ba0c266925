package sqldb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// inSchema returns an address of a schema that no other test has, and its name. Their application
// has a name of its own, by which the server counts its connections.
func inSchema(t *testing.T, address, application string) (schemaURL, name string) {
	t.Helper()
	u, err := url.Parse(address)
	testkit.Must(t, err)
	name = fmt.Sprintf("realm_%s_%d", application, rand.Uint64())
	q := u.Query()
	q.Set("search_path", name)
	q.Set("application_name", application)
	q.Set("pool_max_conns", "2")
	u.RawQuery = q.Encode()
	return u.String(), name
}

// Databases that share connections see their own schemas only, whatever way they read and write,
// and however many work at a time. They have no more connections than the pool has, and one that
// listens.
func TestSharedPool(t *testing.T) {
	t.Parallel()
	const size, schemas, workers = 4, 8, 3
	address := testkit.StartPostgres(t)
	observer := open(t, address, sqldb.Options{})
	application := fmt.Sprintf("shared%d", rand.Uint32())
	connections := func() (n int) {
		err := observer.Row(t.Context(), "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = $1", application).Scan(&n)
		testkit.Must(t, err)
		return n
	}
	pool := sqldb.NewSharedPool(size)
	var wg sync.WaitGroup
	dbs := make([]sqldb.DB, schemas)
	names := make([]string, schemas)
	for i := range dbs {
		at, name := inSchema(t, address, application)
		db, err := sqldb.Open(t.Context(), at, sqldb.Options{Schema: name, Shared: pool})
		testkit.Must(t, err)
		dbs[i], names[i] = db, name
		t.Cleanup(func() { _, _ = observer.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+name+" CASCADE") })
		mustExec(t, db, "CREATE TABLE own (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, n BIGINT NOT NULL)")
		mustExec(t, db, "INSERT INTO own (id, name, n) VALUES (1, $1, 0)", name)
		watch(t, db)
	}
	for i, db := range dbs {
		for range workers {
			wg.Go(func() {
				for range 10 {
					if err := everyWay(t.Context(), db, names[i]); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := connections(); n > size+1 {
		t.Errorf("%d connections for a pool of %d", n, size)
	}
	for i, db := range dbs {
		var n int
		testkit.Must(t, db.Row(t.Context(), "SELECT n FROM own WHERE name = $1", names[i]).Scan(&n))
		testkit.Equal(t, "changes of "+names[i], n, workers*10*4)
		testkit.Equal(t, "its part of the connections", db.Usage().Max, 2)
	}
	for _, db := range dbs {
		testkit.Must(t, db.Close())
		if err := db.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a closed database answers: %v", err)
		}
	}
}

// everyWay reads and changes the row of a schema in all ways that there are, and returns an error
// if it gets another schema's.
func everyWay(ctx context.Context, db sqldb.DB, own string) error {
	var is string
	check := func(way string, err error) error {
		if err == nil && is != own {
			err = fmt.Errorf("%s: %s got the row of %s", way, own, is)
		}
		is = ""
		return err
	}
	if err := check("row", db.Row(ctx, "SELECT name FROM own WHERE id = $1", 1).Scan(&is)); err != nil {
		return err
	}
	rows, err := db.Rows(ctx, "SELECT name FROM own")
	if err != nil {
		return err
	}
	for rows.Next() {
		err = rows.Scan(&is)
	}
	if err := check("rows", err); err != nil {
		return err
	}
	q := sqldb.NewRowQuery([]string{"name"}, "FROM own WHERE id = $1")
	if err := check("read", db.Read(ctx, []any{&is}, q, 1)); err != nil {
		return err
	}
	err = db.Write(ctx, func(tx sqldb.Tx) error {
		if err := tx.Row(ctx, "UPDATE own SET n = n + 1 WHERE id = 1 RETURNING name").Scan(&is); err != nil {
			return err
		}
		return tx.Notify(ctx)
	})
	if err := check("transaction", err); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, "UPDATE own SET n = n + 1 WHERE name = $1", own); err != nil {
		return err
	}
	args := [][]any{{own}, {own}}
	if err := db.ExecAll(ctx, "UPDATE own SET n = n + 1 WHERE name = $1", args); err != nil {
		return err
	}
	return sqldb.ReadSnapshot(ctx, db, sqldb.SnapshotOptions{}, func(s sqldb.Snapshot) error {
		return check("snapshot", s.Row(ctx, "SELECT name FROM own").Scan(&is))
	})
}

// A notification wakes those whose schema has changed, and one of an earlier program wakes all.
func TestSharedPoolWakes(t *testing.T) {
	t.Parallel()
	address := testkit.StartPostgres(t)
	pool := sqldb.NewSharedPool(4)
	var dbs [2]sqldb.DB
	for i := range dbs {
		at, name := inSchema(t, address, "wakes")
		dbs[i] = open(t, at, sqldb.Options{Schema: name, Shared: pool})
		t.Cleanup(func() { _, _ = dbs[i].Exec(context.Background(), "DROP SCHEMA "+name+" CASCADE") })
	}
	one, other := watch(t, dbs[0]), watch(t, dbs[1])
	testkit.Eventually(t, "both listen", func() bool {
		return dbs[0].Status().Changes == sqldb.ChangesListen && dbs[1].Status().Changes == sqldb.ChangesListen
	})
	before, quiet := one.Load(), other.Load()
	const notifications = 200
	for range notifications {
		testkit.Must(t, dbs[0].Write(t.Context(), func(tx sqldb.Tx) error { return tx.Notify(t.Context()) }))
	}
	testkit.Eventually(t, "a wake", func() bool { return one.Load() > before })
	if woken := other.Load() - quiet; woken > notifications/4 { // once a second by itself
		t.Errorf("the other one was woken %d times", woken)
	}
}

// Behind a pooler, which would mix them up, schemas do not share connections; and without a role of
// its own for each, a schema is refused.
func TestSharedPoolBehindPooler(t *testing.T) {
	t.Parallel()
	pooled, direct := testkit.StartPgBouncer(t, "transaction", 2).Database(t)
	at, name := inSchema(t, pooled, "gatehouse")
	u, err := url.Parse(at)
	testkit.Must(t, err)
	q := u.Query()
	q.Del("search_path")
	u.RawQuery = q.Encode()
	pool := sqldb.NewSharedPool(4)
	_, err = sqldb.Open(t.Context(), u.String(), sqldb.Options{Schema: name, Shared: pool})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "a pooler has left search_path out") {
		t.Errorf("%v; want that the schema is refused", err)
	}
	mustExec(t, open(t, direct, sqldb.Options{}), "DROP SCHEMA IF EXISTS "+name)
}

// Where a schema must be there already, it is not created, and nothing is read elsewhere.
func TestSchemaExists(t *testing.T) {
	t.Parallel()
	address := testkit.StartPostgres(t)
	observer := open(t, address, sqldb.Options{})
	at, name := inSchema(t, address, "exists")
	_, err := sqldb.Open(t.Context(), at, sqldb.Options{Schema: name, SchemaExists: true})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), name) {
		t.Errorf("%v; want that %s does not exist", err, name)
	}
	var n int
	testkit.Must(t, observer.Row(t.Context(), "SELECT COUNT(*) FROM pg_namespace WHERE nspname = $1", name).Scan(&n))
	testkit.Equal(t, "schemas after it", n, 0)
	mustExec(t, observer, "CREATE SCHEMA "+name)
	t.Cleanup(func() { _, _ = observer.Exec(context.Background(), "DROP SCHEMA "+name) })
	open(t, at, sqldb.Options{Schema: name, SchemaExists: true})
	elsewhere := strings.Replace(at, "search_path="+name, "search_path=public", 1)
	_, err = sqldb.Open(t.Context(), elsewhere, sqldb.Options{Schema: name, SchemaExists: true})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "a pooler has left search_path out") {
		t.Errorf("%v; want that another schema is used", err)
	}
}
