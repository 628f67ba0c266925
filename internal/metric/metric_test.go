package metric_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/metric"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite docs/METRICS.md")

// The reference page is that of the code.
func TestReferencePage(t *testing.T) {
	const page = "../../docs/METRICS.md"
	if *update {
		testkit.Must(t, os.WriteFile(page, []byte(metric.Markdown()), 0o644))
	}
	got, err := os.ReadFile(page)
	testkit.Must(t, err)
	if string(got) != metric.Markdown() {
		t.Error("docs/METRICS.md is out of date: go test ./internal/metric -update")
	}
}

// Names follow the conventions of Prometheus, and every metric says what it is.
func TestNames(t *testing.T) {
	form := regexp.MustCompile(`^gatehouse_[a-z_]+$`)
	for _, d := range metric.New(metric.Build{}).Docs() {
		if !form.MatchString(d.Name) || (d.Kind == "counter") != strings.HasSuffix(d.Name, "_total") {
			t.Errorf("%s: a %s cannot have this name", d.Name, d.Kind)
		}
		if d.Kind == "histogram" && !strings.HasSuffix(d.Name, "_seconds") {
			t.Errorf("%s has no unit", d.Name)
		}
		for _, word := range []string{"milli", "_ms", "minutes", "_kb", "percent"} {
			if strings.Contains(d.Name, word) {
				t.Errorf("%s is not in a base unit", d.Name)
			}
		}
		if !strings.HasSuffix(d.Help, ".") || strings.Contains(d.Help, "|") {
			t.Errorf("%s: the description %q", d.Name, d.Help)
		}
	}
}

// series returns how many series there are.
func series(t *testing.T, m *metric.Metrics) (n int) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	testkit.Must(t, err)
	for _, f := range families {
		for _, s := range f.Metric {
			n += 1 + len(s.GetHistogram().GetBucket())
		}
	}
	return n
}

// What callers choose makes no series, and those of deleted routes go.
func TestBounded(t *testing.T) {
	m := metric.New(metric.Build{})
	use := func(word string) {
		m.HTTP.Observe("GET /x", 200, time.Second, "", word)
		m.Tokens.Count(word, word)
		m.SignIns.Count(word, word)
		m.SignIns.Lock(word)
		m.Events.Count(word)
		m.Gateway.None().Deny(400+len(word), word)
	}
	use("first")
	before := series(t, m)
	for i := range 10_000 {
		use(fmt.Sprint("word", i))
	}
	for i := range 1000 {
		name := fmt.Sprint("route", i)
		r := m.Gateway.Route(name)
		again := m.Gateway.Route(name) // after a change of the route, before the old one ends
		r.Allow()
		m.Gateway.Release(name)
		again.Deny(500, "first")
		if i == 0 && series(t, m) == before {
			t.Fatal("the series of a route that is in force are gone")
		}
		m.Gateway.Release(name)
		r.Allow() // of a request that began before
	}
	testkit.Equal(t, "the series", series(t, m), before)
	for i := range 3000 {
		m.HTTP.Observe(fmt.Sprint("GET /", i), 200, time.Second, "", "")
	}
	if n := series(t, m); n > before+1001*20 {
		t.Errorf("%d series of routes", n-before)
	}
}

// Two servers in one process count for themselves.
func TestSeparate(t *testing.T) {
	a, b := metric.New(metric.Build{}), metric.New(metric.Build{})
	before := series(t, b)
	a.HTTP.Observe("GET /x", 200, time.Second, "", "server_error")
	testkit.Equal(t, "the other server's series", series(t, b), before)
}

// Measuring a request allocates nothing.
func TestNoAllocations(t *testing.T) {
	m := metric.New(metric.Build{})
	m.Events.Types([]string{"LOGIN_FAILED"})
	r := m.Gateway.Route("shop")
	for name, f := range map[string]func(){
		"request":  func() { m.HTTP.Begin(); m.HTTP.Observe("POST /oauth/token", 400, 1, "", "invalid_grant"); m.HTTP.End() },
		"tokens":   func() { m.Tokens.Count("refresh_token", "") },
		"sign-in":  func() { m.SignIns.Count("password", metric.OutcomeRejected) },
		"event":    func() { m.Events.Count("LOGIN_FAILED") },
		"route":    func() { r.Allow(); r.Deny(403, "scope") },
		"database": func() { m.Database.Observe(true, 1, metric.Done, "") },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
