package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// interrupted is a store on which something happens between a plan and its transaction.
type interrupted struct {
	*store.DB
	meanwhile []func()
}

func (s *interrupted) Together(ctx context.Context, f func(admin.Store, func() error) error) error {
	if len(s.meanwhile) > 0 {
		next := s.meanwhile[0]
		s.meanwhile = s.meanwhile[1:]
		next()
	}
	return s.DB.Together(ctx, f)
}

// appsOf is a document with clients and a scope that have its name.
func appsOf(name string) string {
	return "version: 1\nlabel: apps\nscopes:\n  - {name: all:read, description: see " + name + "}\nclients:\n" +
		"  - {client_id: " + name + "-1, client_name: App, grant_types: [client_credentials]}\n" +
		"  - {client_id: " + name + "-2, client_name: App, grant_types: [client_credentials]}\n" +
		"  - {client_id: shared, client_name: " + name + ", grant_types: [client_credentials]}\n"
}

// described returns the name of the document if exactly its clients and scope are stored, and
// otherwise a list of what is stored.
func (w *configured) described() string {
	w.t.Helper()
	testkit.Must(w.t, w.db.SyncCache(w.t.Context()))
	stored := strings.Join(slices.Sorted(func(yield func(string) bool) {
		for id, c := range w.db.Clients() {
			if !yield(string(id) + " " + c.Name) {
				return
			}
		}
	}), ", ")
	name := strings.TrimPrefix(w.db.Scopes()["all:read"].Description, "see ")
	if want := fmt.Sprintf("%s-1 App, %s-2 App, shared %s", name, name, name); stored != want {
		return stored + " with the scope of " + name
	}
	return name
}

// TestChangesBetweenPlanAndApplication: what another application has changed since the plan was
// made is planned anew, unless a plan was asked for, or it never ends.
func TestChangesBetweenPlanAndApplication(t *testing.T) {
	for _, c := range []struct {
		name     string
		between  int  // how many applications come between
		withPlan bool // this one asks for a plan
		stale    bool
		want     string
	}{
		{"one", 1, false, false, "own"},
		{"several", 3, false, false, "own"},
		{"one, with a plan", 1, true, true, "other1"},
		{"one after another", 100, false, true, "other5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newConfigured(t)
			whole := func(document string) admin.ConfigInput {
				in := w.input(document)
				in.Prune, in.AllowDelete = true, true
				return in
			}
			w.apply(whole(appsOf("before")))
			plain := w.ops
			db := &interrupted{DB: w.db}
			w.parts.Store = db
			w.ops = w.with(func(*admin.Config) {})
			for i := range c.between {
				db.meanwhile = append(db.meanwhile, func() {
					_, err := plain.ApplyConfig(t.Context(), admin.CommandLine(), whole(appsOf(fmt.Sprintf("other%d", i+1))))
					testkit.Must(t, err)
				})
			}
			in := whole(appsOf("own"))
			if c.withPlan {
				p, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), in)
				testkit.Must(t, err)
				in.Plan = p.ID
			}
			_, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), in)
			testkit.Equal(t, "the error", fault.Reason(err), map[bool]string{true: admin.ReasonStale}[c.stale])
			testkit.Equal(t, "what is stored", w.described(), c.want)
		})
	}
}

// TestApplicationsAtOnce applies several documents for the same things at once, on two servers with
// one database. Each is applied as a whole or rejected, and in the end one of them is stored.
func TestApplicationsAtOnce(t *testing.T) {
	for engine, newURL := range map[string]func(testing.TB) string{
		"sqlite": storetest.SQLite, "postgres": storetest.Postgres,
	} {
		t.Run(engine, func(t *testing.T) {
			url := newURL(t)
			var servers []*configured
			for range 2 {
				servers = append(servers, configuredIn(newWorldOn(t, store.Options{URL: url})))
			}
			var wg sync.WaitGroup
			start := make(chan struct{})
			applied := make(chan string, 8)
			for i := range cap(applied) {
				w := servers[i%2]
				in := w.input(appsOf(fmt.Sprintf("doc%d", i)))
				in.Prune, in.AllowDelete = true, true
				wg.Go(func() {
					<-start
					switch _, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), in); {
					case err == nil:
						applied <- fmt.Sprintf("doc%d", i)
					case fault.Reason(err) != admin.ReasonStale || !strings.Contains(err.Error(), "make a new plan"):
						t.Errorf("doc%d: %v", i, err)
					}
				})
			}
			close(start)
			wg.Wait()
			close(applied)
			var names []string
			for name := range applied {
				names = append(names, name)
			}
			if got := servers[0].described(); !slices.Contains(names, got) {
				t.Errorf("stored is %s; applied were %v", got, names)
			}
		})
	}
}

// statements counts the statements on a database by their texts.
type statements struct {
	mu sync.Mutex
	n  map[string]int
}

func (s *statements) Begin(ctx context.Context, _ bool, text string) (context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[text]++
	return ctx, true
}

// taken returns the counts of statements since the last call, and resets them.
func (s *statements) taken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.n
	s.n = map[string]int{}
	return n
}

func (s *statements) End(context.Context, sqldb.Operation) {}

// TestApplicationGrowsWithTheDocument: of the statements of an application, those that read a whole
// list, or write a row that all changes share, are as many for a large document as for a small one.
// So its time grows with the document and not with its square.
func TestApplicationGrowsWithTheDocument(t *testing.T) {
	s := &statements{n: map[string]int{}}
	w := newWorldOn(t, store.Options{URL: "sqlite::memory:", Observer: s})
	h := newHierarchyIn(w)
	document := func(round, n int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "version: 1\nlabel: doc%d\nclients:\n", round)
		for i := range n {
			fmt.Fprintf(&b, "  - {client_id: r%d-%d, client_name: App %d, grant_types: [client_credentials], scope: openid}\n", round, i, n)
		}
		return b.String()
	}
	for name, a := range map[string]admin.Actor{"the command line": admin.CommandLine(), "a person": h.actor("super_admin")} {
		for action, in := range map[string]func(round, n int) admin.ConfigInput{
			"create": func(round, n int) admin.ConfigInput { return admin.ConfigInput{Document: []byte(document(round, n))} },
			"update": func(round, n int) admin.ConfigInput {
				text := document(round, n)
				_, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), admin.ConfigInput{Document: []byte(text)})
				testkit.Must(t, err)
				return admin.ConfigInput{Document: []byte(strings.ReplaceAll(text, "App ", "Application "))}
			},
			"delete": func(round, n int) admin.ConfigInput {
				_, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), admin.ConfigInput{Document: []byte(document(round, n))})
				testkit.Must(t, err)
				return admin.ConfigInput{Document: []byte(document(round, 0) + "  []\n"), Prune: true, AllowDelete: true}
			},
		} {
			var counts []map[string]int
			for i, n := range []int{10, 30} {
				input := in(s.round(name, action, i), n)
				s.taken()
				_, err := w.ops.ApplyConfig(t.Context(), a, input)
				testkit.Must(t, err)
				counts = append(counts, s.taken())
			}
			for text, n := range counts[1] {
				if few := counts[0][text]; n != few && shared(text) {
					t.Errorf("%s, %s: %d times for 10 clients and %d times for 30: %s", name, action, few, n, text)
				}
			}
		}
	}
}

// round returns a number that no other call with other arguments returns.
func (s *statements) round(texts ...any) int {
	n := 0
	for _, b := range fmt.Sprint(texts...) {
		n = n*31 + int(b)
	}
	return n & 0xffffff
}

// shared reports whether a statement reads a whole list, or writes a row that many changes share.
func shared(text string) bool {
	for _, table := range []string{"changes", "counts", "meta"} {
		if strings.HasPrefix(text, "UPDATE "+table+" ") || strings.HasPrefix(text, "INSERT INTO "+table+" ") {
			return true
		}
	}
	for _, list := range []string{"clients", "client_secrets", "scopes", "roles", "routes", "webhooks", "config_labels", "config_documents"} {
		if _, after, ok := strings.Cut(text, " FROM "+list); ok && !strings.Contains(after, "WHERE") && strings.HasPrefix(text, "SELECT ") {
			return true
		}
	}
	return false
}
