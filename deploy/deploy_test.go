// Package deploy_test checks that the numbers of the files fit one another and the settings.
package deploy_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	testkit.Must(t, err)
	return string(raw)
}

// Whoever stops the server waits longer than it drains and finishes requests.
func TestGracePeriods(t *testing.T) {
	c, err := config.Load(config.Source{})
	testkit.Must(t, err)
	needs := c.Server.DrainDelay + c.Server.ShutdownTimeout
	for file, pattern := range map[string]string{
		"systemd/gatehouse.service":  `(?m)^TimeoutStopSec=(\d+)s$`,
		"compose/sqlite.yaml":        `stop_grace_period: (\d+)s`,
		"compose/postgres.yaml":      `stop_grace_period: (\d+)s`,
		"kubernetes/gatehouse.yaml":  `terminationGracePeriodSeconds: (\d+)`,
		"helm/gatehouse/values.yaml": `(?m)^terminationGracePeriodSeconds: (\d+)$`,
	} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
		if m == nil {
			t.Errorf("%s does not say how long a stop may take", file)
			continue
		}
		n, err := strconv.Atoi(m[1])
		testkit.Must(t, err)
		if got := time.Duration(n) * time.Second; got < needs+5*time.Second {
			t.Errorf("%s stops after %s; the server may need %s", file, got, needs)
		}
	}
}

// Probes that restart the server ask whether the process lives, never whether the database does.
func TestLiveness(t *testing.T) {
	for file, pattern := range map[string]string{
		"kubernetes/gatehouse.yaml":              `livenessProbe:\s+httpGet:\s+path: (\S+)`,
		"Dockerfile":                             `HEALTHCHECK .* CMD \["/gatehouse", "(healthcheck)"\]`,
		"helm/gatehouse/templates/workload.yaml": `livenessProbe:\s+httpGet:\s+path: (\S+)`,
	} {
		m := regexp.MustCompile(pattern).FindStringSubmatch(read(t, file))
		if m == nil || m[1] != "/livez" && m[1] != "healthcheck" {
			t.Errorf("%s: liveness asks %v", file, m)
		}
	}
}
