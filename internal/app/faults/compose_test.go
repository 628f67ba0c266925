package faults_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// composed returns the environment in which a file of deploy/compose runs the server: that of the
// image, and above it that of the file, whose variables have the values of an .env file.
func composed(t testing.TB, file string, env map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	image, err := os.ReadFile("../../../deploy/Dockerfile")
	testkit.Must(t, err)
	for _, kv := range strings.Fields(regexp.MustCompile(`(?m)^ENV (.*)$`).FindStringSubmatch(string(image))[1]) {
		name, value, _ := strings.Cut(kv, "=")
		out[name] = value
	}
	raw, err := os.ReadFile(file)
	testkit.Must(t, err)
	var doc struct {
		Services map[string]struct {
			Environment map[string]string
			ReadOnly    bool `yaml:"read_only"`
		}
	}
	testkit.Must(t, yaml.Unmarshal(raw, &doc))
	if !doc.Services["gatehouse"].ReadOnly {
		t.Errorf("%s: the image's file system can be written", file)
	}
	for name, text := range doc.Services["gatehouse"].Environment {
		out[name] = regexp.MustCompile(`\$\{(\w+):([-?])([^}]*)\}`).ReplaceAllStringFunc(text, func(use string) string {
			m := regexp.MustCompile(`\$\{(\w+):([-?])([^}]*)\}`).FindStringSubmatch(use)
			switch {
			case env[m[1]] != "":
				return env[m[1]]
			case m[2] == "?":
				t.Errorf("%s: %s", file, m[3])
			}
			return m[3]
		})
	}
	return out
}

// dotEnv follows the guide: it copies the example, and sets what has no default.
func dotEnv(t testing.TB) map[string]string {
	t.Helper()
	block := readGuide(t, "production").block("docker compose --env-file .env")
	for _, file := range []string{"deploy/.env.example", "deploy/compose/sqlite.yaml"} {
		if !strings.Contains(block, file) {
			t.Errorf("the guide does not name %s:\n%s", file, block)
		}
	}
	raw, err := os.ReadFile("../../../deploy/.env.example")
	testkit.Must(t, err)
	out := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name[0] != '#' {
			out[name] = value
		}
	}
	testkit.Equal(t, "the names to set", len(out), 4)
	out["SECRET_KEY"] = "0b53f8c11a2b4e6d8f90a1b2c3d4e5f60718293a4b5c6d7e8f9012a3b4c5d6e7"
	out["POSTGRES_PASSWORD"], out["REDIS_PASSWORD"] = "postgres-secret", "redis-secret"
	return out
}

// The files for Docker start a server that answers: with SQLite alone, and with PostgreSQL and
// Redis. Their hosts and the folder /data are those of the test.
func TestCompose(t *testing.T) {
	t.Parallel()
	env := dotEnv(t)
	dir := t.TempDir()
	alone := composed(t, "../../../deploy/compose/sqlite.yaml", env)
	testkit.Equal(t, "the database", alone["DATABASE_URL"], "sqlite:/data/gatehouse.db")
	alone["DATABASE_URL"] = "sqlite:" + filepath.Join(dir, "gatehouse.db")

	both := composed(t, "../../../deploy/compose/postgres.yaml", env)
	database, err := url.Parse(both["DATABASE_URL"])
	testkit.Must(t, err)
	password, _ := database.User.Password()
	testkit.Equal(t, "host, user, password", database.Host+" "+database.User.Username()+" "+password, "postgres:5432 gatehouse postgres-secret")
	both["DATABASE_URL"] = testkit.StartPostgres(t)
	redis := testkit.StartRedis(t)
	redis.Ask("CONFIG SET requirepass redis-secret\r\n", "+OK")
	both["REDIS_URL"] = strings.Replace(both["REDIS_URL"], "redis:6379", redis.Addr(), 1)

	for name, settings := range map[string]map[string]string{"sqlite": alone, "postgres": both} {
		h := newHost(t, settings["DATABASE_URL"], nil)
		testkit.Equal(t, name+": the mode", settings["ENVIRONMENT"], "production")
		settings["HOST"], settings["BASE_URL"] = "127.0.0.1", "http://localhost:"+strconv.Itoa(h.port)
		h.env = settings
		s := h.serve()
		if status, text := h.try(t.Context(), "setup-link"); status != 0 || !strings.Contains(text, "/setup?token=") {
			t.Errorf("%s: setup-link: %d %s", name, status, text)
		}
		if !h.up(s.url) {
			t.Errorf("%s is not ready", name)
		}
	}
}
