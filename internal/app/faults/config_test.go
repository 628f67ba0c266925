package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A process that is killed in the middle of an application of a document changes nothing, and the
// document can be applied then.
func TestKilledWhileApplying(t *testing.T) {
	onEngines(t, func(t *testing.T, h *host) {
		const clients = 50
		var doc strings.Builder
		doc.WriteString("version: 1\nlabel: shop\nscopes:\n  - {name: orders:read, description: view your orders}\nclients:\n")
		for i := range clients {
			fmt.Fprintf(&doc, "  - {client_id: app-%d, client_name: App, grant_types: [client_credentials], scope: orders:read}\n", i)
		}
		doc.WriteString("webhooks:\n  - {url: 'https://hooks.example/x', events: [user.*]}\n")
		file := filepath.Join(h.dir, "shop.yaml")
		testkit.Must(t, os.WriteFile(file, []byte(doc.String()), 0o600))
		h.web() // makes the schema
		db, err := sqldb.Open(t.Context(), h.env["DATABASE_URL"], sqldb.Options{Readers: 4})
		testkit.Must(t, err)
		defer db.Close()
		arrived, release := holdWebhooks(t, db)
		bin, err := program()
		testkit.Must(t, err)
		apply := exec.Command(bin, "apply", file)
		apply.Env, apply.Dir = h.environment(nil), h.dir
		testkit.Must(t, apply.Start())
		t.Cleanup(func() { _ = apply.Process.Kill() })
		arrived()
		testkit.Must(t, apply.Process.Kill())
		if err := apply.Wait(); err == nil {
			t.Error("the command ended before it was killed")
		}
		release()

		var list struct {
			Data []struct {
				ID string `json:"client_id"`
			}
		}
		h.run(&list, "", "client", "list")
		if len(list.Data) != 1 || list.Data[0].ID != "web" {
			t.Errorf("clients after the kill: %v", list.Data)
		}
		var plan struct {
			Changes []struct{ Action string }
			Labeled int
		}
		h.run(&plan, "", "plan", file)
		testkit.Equal(t, "changes of the plan", len(plan.Changes), clients+2)
		testkit.Equal(t, "things with the label", plan.Labeled, 0)
		h.run(nil, "", "apply", file)
		h.run(&plan, "", "plan", file)
		testkit.Equal(t, "changes of the plan afterwards", len(plan.Changes), 0)
	})
}

// holdWebhooks stops whoever inserts a webhook, which is the last that the document has. arrived
// returns once somebody has stopped there, or on SQLite is on the way in a transaction.
func holdWebhooks(t *testing.T, db sqldb.DB) (arrived, release func()) {
	t.Helper()
	ctx := t.Context()
	exec := func(text string) error {
		_, err := db.Exec(ctx, text)
		return err
	}
	if db.Engine() == sqldb.SQLite {
		testkit.Must(t, exec("CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"))
		testkit.Must(t, exec("CREATE TRIGGER hold BEFORE INSERT ON webhooks BEGIN SELECT COUNT(*) FROM endless; END"))
		return func() {
				testkit.Eventually(t, "the database is locked", func() bool {
					err := exec("UPDATE meta SET value = value WHERE name = 'none'")
					if err != nil && !fault.Is(err, fault.Unavailable) {
						t.Fatal(err)
					}
					return err != nil
				})
			}, func() {
				testkit.Must(t, exec("DROP TRIGGER hold"))
				testkit.Must(t, exec("DROP VIEW endless"))
			}
	}
	held, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = db.Write(ctx, func(tx sqldb.Tx) error {
			_, err := tx.Exec(ctx, "LOCK TABLE webhooks IN SHARE MODE")
			if err != nil {
				t.Error(err)
			}
			close(held)
			<-end
			return errors.New("roll back")
		})
	})
	testkit.Receive(t, "the lock", held)
	return func() {
		testkit.Eventually(t, "the command waits for the lock", func() bool {
			var n int
			err := db.Row(context.WithoutCancel(ctx), "SELECT COUNT(*) FROM pg_locks WHERE relation = to_regclass('webhooks')"+
				" AND NOT granted").Scan(&n)
			testkit.Must(t, err)
			return n > 0
		})
	}, func() { close(end); wg.Wait() }
}
