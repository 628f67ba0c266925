package metric_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/metric"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// monitoring is the directory of the dashboard and the alert rules.
const monitoring = "../../deploy/monitoring"

// Every metric that the dashboard, an alert rule or a guide names exists.
func TestNamedMetricsExist(t *testing.T) {
	m := metric.New(metric.Build{})
	known := map[string]bool{}
	for _, d := range m.Docs() {
		known[d.Name] = true
		if d.Kind == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[d.Name+part] = true
			}
		}
	}
	families, err := m.Gatherer().Gather()
	testkit.Must(t, err)
	for _, f := range families {
		known[f.GetName()] = true
	}
	files, err := filepath.Glob(monitoring + "/*")
	testkit.Must(t, err)
	names := regexp.MustCompile(`\b(gatehouse|go|process)_[a-z_]+\b`)
	found := 0
	for _, file := range append(files, "../../docs/guides/monitor.md") {
		raw, err := os.ReadFile(file)
		testkit.Must(t, err)
		for _, name := range names.FindAllString(string(raw), -1) {
			found++
			if !known[name] {
				t.Errorf("%s: there is no metric %s", filepath.Base(file), name)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d names found", found)
	}
}

// Every alert is raised by a test.
func TestAlertsAreTested(t *testing.T) {
	rules, err := os.ReadFile(monitoring + "/gatehouse.rules.yml")
	testkit.Must(t, err)
	tests, err := os.ReadFile(monitoring + "/gatehouse.rules.test.yml")
	testkit.Must(t, err)
	alerts := regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 20 {
		t.Errorf("only %d alerts found", len(alerts))
	}
	for _, a := range alerts {
		raised := regexp.MustCompile(`alertname: ` + a[1] + `\n\s+eval_time: \w+\n\s+exp_alerts:\n`)
		if !raised.Match(tests) {
			t.Errorf("no test raises %s", a[1])
		}
	}
}

// Prometheus accepts the alert rules and the dashboard's questions, and the rules raise their
// alerts.
func TestMonitoring(t *testing.T) {
	promtool := testkit.Need(t, "promtool")
	run := func(args ...string) {
		t.Helper()
		out, err := exec.Command(promtool, args...).CombinedOutput()
		if err != nil || strings.Contains(string(out), "FAILED") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", monitoring+"/gatehouse.rules.yml")
	run("test", "rules", monitoring+"/gatehouse.rules.test.yml")

	raw, err := os.ReadFile(monitoring + "/gatehouse.dashboard.json")
	testkit.Must(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	testkit.Must(t, json.Unmarshal(raw, &dashboard))
	rules := strings.Builder{}
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	n := 0
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$job", "gatehouse", "$instance", ".*").Replace(q.Expr)
			text, _ := json.Marshal(expr)
			fmt.Fprintf(&rules, "{record: 'panel:%d', expr: %s},\n", n, text)
			n++
		}
	}
	rules.WriteString("]}]\n")
	if n < 40 {
		t.Errorf("only %d questions found", n)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	testkit.Must(t, os.WriteFile(file, []byte(rules.String()), 0o600))
	run("check", "rules", file)
}
