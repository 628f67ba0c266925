package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Paths of the endpoints that are measured.
const (
	pathDiscovery  = "/.well-known/openid-configuration"
	pathKeys       = "/.well-known/jwks.json"
	pathToken      = "/oauth/token"
	pathIntrospect = "/oauth/introspect"
	pathTokenInfo  = "/oauth/tokeninfo"
	pathUserInfo   = "/oauth/userinfo"
	pathLogin      = "/login"
	pathPasskey    = "/login/passkey"
	pathAuthorize  = "/oauth/authorize"
	pathAccount    = "/account"
)

// Settings that a server may not have yet.
const (
	settingIssuance = "AUDIT_ISSUANCE"
	settingPprof    = "PPROF_PORT"
)

// A server is a running program that answers HTTP on a loopback address.
type server struct {
	*process
	address string
	public  string        // the address that people see: passkeys need a name
	pprof   string        // address of its profiles, or ""
	started time.Duration // from the start of the process to the first good answer
}

// hasSetting reports whether the program has a setting.
func hasSetting(name string) bool {
	for _, s := range config.Settings() {
		if s.Name == name {
			return true
		}
	}
	return false
}

// buildBinary builds the program as it is shipped.
func buildBinary(ctx context.Context, dir string) (string, error) {
	out := filepath.Join(dir, "gatehouse")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, "github.com/gatehouse-id/gatehouse/cmd/gatehouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the server cannot be built: %w\n%s", err, text)
	}
	return out, nil
}

// startServer starts the program on a database, with the settings of production where they cost
// something: it logs each request as JSON to a file. Only the rate limits are off, which would be
// all that is measured.
func (b *bench) startServer(ctx context.Context, url string, settings ...string) (*server, error) {
	port, err := testkit.UnusedPort()
	if err != nil {
		return nil, err
	}
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", port), public: fmt.Sprintf("localhost:%d", port)}
	cmd := exec.Command(b.binary, "serve")
	cmd.Dir = b.dir
	cmd.Env = append(plainEnviron(), "HOST=127.0.0.1", fmt.Sprintf("PORT=%d", port), "BASE_URL=http://"+s.public,
		"DATABASE_URL="+url, "SECRET_KEY="+b.secretKey, "RATE_LIMIT_ENABLED=false", "LOG_LEVEL=info", "LOG_FORMAT=json",
		"DRAIN_DELAY=0")
	cmd.Env = append(cmd.Env, settings...)
	if hasSetting(settingPprof) {
		port, err := testkit.UnusedPort()
		if err != nil {
			return nil, err
		}
		s.pprof = fmt.Sprintf("127.0.0.1:%d", port)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", settingPprof, port))
	}
	begin := time.Now()
	if s.process, err = startProcess(cmd, filepath.Join(b.dir, "server.log"), syscall.SIGTERM); err != nil {
		return nil, err
	}
	err = s.await(60*time.Second, time.Millisecond, func() error {
		_, err := get(pathDiscovery).expect(ctx, s.address, 200)
		return err
	})
	s.started = time.Since(begin)
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// end stops the server.
func (s *server) end() error {
	if s == nil || s.process == nil {
		return nil
	}
	return s.stop(syscall.SIGTERM, 30*time.Second)
}

// emptyLog throws away what the server has logged; it appends, so the file starts anew.
func (s *server) emptyLog() { _ = os.Truncate(s.log, 0) }

// engine names a database engine in a report.
type engine string

const (
	sqlite   engine = "SQLite"
	postgres engine = "PostgreSQL"
)

// parseEngines reads a comma-separated list of engines.
func parseEngines(list string) ([]engine, error) {
	var out []engine
	for name := range strings.SplitSeq(strings.ToLower(list), ",") {
		switch strings.TrimSpace(name) {
		case "sqlite":
			out = append(out, sqlite)
		case "postgres", "postgresql":
			out = append(out, postgres)
		default:
			return nil, fmt.Errorf("there is no engine %q; choose from sqlite, postgres", name)
		}
	}
	return out, nil
}
