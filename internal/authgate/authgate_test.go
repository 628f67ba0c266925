package authgate_test

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/authgate"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// schema is what AuthGate's migrations make of its models in SQLite.
const schema = `
CREATE TABLE users (id text PRIMARY KEY, username text NOT NULL, email text NOT NULL, password_hash text,
 role text NOT NULL DEFAULT 'user', full_name text, avatar_url text, is_active numeric NOT NULL DEFAULT true,
 email_verified numeric NOT NULL DEFAULT false, external_id text, auth_source text DEFAULT 'local',
 created_at datetime, updated_at datetime);
CREATE TABLE oauth_applications (id integer PRIMARY KEY AUTOINCREMENT, client_id text NOT NULL,
 client_secret text NOT NULL, client_name text NOT NULL, description text, user_id text NOT NULL,
 scopes text NOT NULL, grant_types text NOT NULL, redirect_uris json, client_type text NOT NULL,
 enable_device_flow numeric, enable_auth_code_flow numeric, enable_client_credentials_flow numeric,
 status text, token_profile text, project text, service_account text, created_by text,
 created_at datetime, updated_at datetime);
INSERT INTO users VALUES ('7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c11', 'ada', 'ada@example.com', '$2a$10$x', 'admin',
 'Ada <L>', '', 1, 1, '', 'local', '2026-01-02 03:04:05.678901+00:00', '2026-01-02 03:04:05+00:00');
INSERT INTO oauth_applications VALUES (1, 'cli', '$2a$10$y', 'CLI', NULL, 'u', 'read write', 'device_code',
 CAST('["https://a.example/cb"]' AS BLOB), 'public', 1, 0, 0, 'active', 'standard', '', '', '', NULL, NULL);`

// The rows of both tables are written as lines of JSON; another database or file is an error.
func TestRows(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "o?uth #1.db")
	open := func(path, text string) {
		db, err := sql.Open("sqlite", path)
		testkit.Must(t, err)
		_, err = db.ExecContext(t.Context(), text)
		testkit.Must(t, err)
		testkit.Must(t, db.Close())
	}
	open("file:"+strings.NewReplacer("?", "%3f", "#", "%23", " ", "%20").Replace(path), schema)
	is, err := authgate.IsDatabase(path)
	testkit.Must(t, err)
	testkit.Equal(t, "is a database", is, true)
	var out bytes.Buffer
	testkit.Must(t, authgate.Rows(t.Context(), path, &out))
	for _, want := range []string{
		`"username":"ada"`, `"full_name":"Ada <L>"`, `"created_at":"2026-01-02T03:04:05.678901Z"`,
		`"is_active":1`, `"client_id":"cli"`, `"redirect_uris":"[\"https://a.example/cb\"]"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %s", want, &out)
		}
	}
	testkit.Equal(t, "lines", strings.Count(out.String(), "\n"), 2)

	other := filepath.Join(dir, "other.db")
	open(other, "CREATE TABLE t (x)")
	if err := authgate.Rows(t.Context(), other, &out); err == nil {
		t.Error("another database was read")
	}
	if _, err := authgate.IsDatabase(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing file was read")
	}
}
