package config

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// What other programs write into the address of a database is translated, or ignored with a
// warning.
func TestDatabaseParameters(t *testing.T) {
	const at = "postgres://u:p%40@h:5432/db"
	for query, want := range map[string]struct{ query, statements, warning string }{
		"":                                  {"", "auto", ""},
		"?sslmode=require&pool_max_conns=9": {"?sslmode=require&pool_max_conns=9", "auto", ""},
		"?initial_pool_size=10&max_pool_size=50": {
			"?pool_max_conns=50&pool_min_conns=10", "auto", "",
		},
		"?initial_pool_size=60&max_pool_size=50&sslmode=require": {
			"?pool_max_conns=50&pool_min_conns=50&sslmode=require", "auto", "",
		},
		"?max_pool_size=0":                  {"", "auto", ""},
		"?max_pool_size=5&pool_max_conns=6": {"?pool_max_conns=6", "auto", ""},
		"?connection_limit=7&schema=auth&pgbouncer=true": {
			"?pool_max_conns=7&search_path=auth", "auto", "pgbouncer is ignored: a connection pooler is detected",
		},
		"?max_idle_pool_size=1": {"", "auto", "DATABASE_URL: the parameter max_idle_pool_size is ignored"},
		"?checkout_timeout=5.0": {"", "auto", "checkout_timeout is ignored: a request waits"},
		"?retry_attempts=3&retry_delay=0.2": {
			"", "auto", "retry_attempts is ignored: a lost connection is replaced with the next request; " +
				"DATABASE_URL: the parameter retry_delay",
		},
		"?prepared_statements=false": {"", "exec", "see DATABASE_STATEMENTS"},
		"?prepared_statements=true":  {"", "auto", "see DATABASE_STATEMENTS"},
	} {
		c := load(t, Source{Env: []string{"SECRET_KEY=" + key, "DATABASE_URL=" + at + query}})
		testkit.Equal(t, query, string(c.Storage.DatabaseURL), at+want.query)
		testkit.Equal(t, "statements with "+query, c.Storage.Statements, want.statements)
		got := strings.Join(c.Warnings(), "; ")
		if !strings.Contains(got, want.warning) || want.warning == "" && got != "" {
			t.Errorf("%s: %q; want %q", query, got, want.warning)
		}
	}
	for query, want := range map[string]string{
		"?max_pool_size=many":   "DATABASE_URL: the parameter max_pool_size must be a whole number",
		"?initial_pool_size=-1": "DATABASE_URL: the parameter initial_pool_size must be a whole number",
	} {
		_, err := Load(Source{Env: []string{"SECRET_KEY=" + key, "DATABASE_URL=" + at + query}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p%40") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// Addresses with several hosts are read.
func TestAddressesOfSeveralHosts(t *testing.T) {
	for _, kv := range []string{
		"DATABASE_URL=postgres://u:p@h1:5432,h2:5433/db?target_session_attrs=read-write",
		"REDIS_URL=redis://:p@s1:26379,s2:26379,s3:26379/main?sentinel_password=x",
		"REDIS_URL=rediss://n1:6379,n2:6379",
		"REDIS_URL=redis-sentinel://[::1]:1,[::2]:2/main",
	} {
		if _, err := Load(Source{Env: []string{"SECRET_KEY=" + key, kv}}); err != nil {
			t.Errorf("%s: %v", kv, err)
		}
	}
}

// The issuer has the host name that certificates, browsers and clients have.
func TestInternationalHost(t *testing.T) {
	for in, want := range map[string]string{
		"https://münchen.example":        "https://xn--mnchen-3ya.example",
		"https://MÜNCHEN.example:8443/":  "https://xn--mnchen-3ya.example:8443",
		"https://m%C3%BCnchen.example":   "https://xn--mnchen-3ya.example",
		"https://xn--mnchen-3ya.example": "https://xn--mnchen-3ya.example",
		"https://例え.テスト":                 "https://xn--r8jz45g.xn--zckzah",
		"https://ex_ämple.example":       "",
		"https://ü..example":             "",
	} {
		c, err := Load(Source{Env: []string{"BASE_URL=" + in}})
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "not a name that the DNS can have")):
			t.Errorf("%s: %v", in, err)
		case want != "" && err != nil:
			t.Errorf("%s: %v", in, err)
		case want != "":
			testkit.Equal(t, in, c.Server.BaseURL, want)
		}
	}
}
