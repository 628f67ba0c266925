package faults_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// witness installs triggers that record which server requests the lease of the cleanup job, which
// one gets it and which one runs the job.
const witness = `
CREATE TABLE witness (n BIGINT GENERATED ALWAYS AS IDENTITY, who TEXT DEFAULT current_setting('application_name'), what TEXT);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO witness (what) VALUES (TG_ARGV[0]); RETURN NEW; END $$;
CREATE TRIGGER asks BEFORE INSERT ON leases FOR EACH ROW WHEN (NEW.name = 'sweep') EXECUTE FUNCTION note('asks');
CREATE TRIGGER gets AFTER INSERT OR UPDATE OF holder ON leases FOR EACH ROW WHEN (NEW.name = 'sweep') EXECUTE FUNCTION note('gets');
CREATE TRIGGER sweeps AFTER DELETE ON devices FOR EACH STATEMENT EXECUTE FUNCTION note('sweeps');
`

// The server that runs the cleanup job is killed. No other server runs the job until the lease
// expires; then exactly one does.
func TestLeaseTakenOver(t *testing.T) {
	t.Parallel()
	h := newHost(t, testkit.StartPostgres(t), nil)
	h.run(nil, "", "client", "list") // makes the tables
	conn, err := pgx.Connect(t.Context(), h.env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), witness); err != nil {
		t.Fatal(err)
	}
	who := func(what string) (names []string) {
		rows, err := conn.Query(t.Context(), "SELECT who FROM witness WHERE what = $1 ORDER BY n", what)
		if err == nil {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	// A server requests the lease within ten seconds of its start, and then once a minute. The long
	// time limit covers the rare case that all of them tried before the lease expired.
	await := func(test string, until func() bool) {
		t.Helper()
		eventually(t, test, func() error {
			return want(until(), "%q asked, %q got it, %q swept", who("asks"), who("gets"), who("sweeps"))
		})
	}
	servers := map[string]*server{}
	for i := range 4 {
		name := fmt.Sprintf("server-%d", i+1)
		servers[name] = h.serveOn(testkit.FreePort(t), map[string]string{"DATABASE_URL": h.env["DATABASE_URL"] + "&application_name=" + name})
	}

	await("one sweeps", func() bool { return len(who("sweeps")) > 0 })
	first := who("sweeps")[0]
	servers[first].kill()
	requests := len(who("asks"))
	await("another one asks", func() bool { return len(who("asks")) > requests })
	if got := who("gets"); len(got) != 1 {
		t.Fatalf("%q got the lease while it lasted", got)
	}
	// Expire the lease instead of waiting for it.
	if _, err := conn.Exec(t.Context(), "UPDATE leases SET until = 1 WHERE name = 'sweep'"); err != nil {
		t.Fatal(err)
	}
	await("another one sweeps", func() bool { return len(who("sweeps")) > 1 })
	await("all have asked", func() bool {
		names := who("asks")
		slices.Sort(names)
		return len(slices.Compact(names)) == len(servers)
	})
	if got, swept := who("gets"), who("sweeps"); len(got) != 2 || !slices.Equal(got, swept) || got[0] != first || got[1] == first {
		t.Errorf("%q got the lease and %q swept; want %s, which was killed, and one other, once each", got, swept, first)
	}
}
