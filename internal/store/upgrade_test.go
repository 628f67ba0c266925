package store_test

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A confidential client from before tokens were shown by their audience may be the client of an API
// that relies on seeing all of them, above all their revocations. It goes on.
func TestClientsBeforeTheUpgradeSeeAllTokens(t *testing.T) {
	url, ctx := storetest.SQLite(t), t.Context()
	before, err := sqldb.Open(ctx, url, sqldb.Options{})
	testkit.Must(t, err)
	_, err = sqldb.Migrate(ctx, before, migrationsUpTo(t, "0003"))
	testkit.Must(t, err)
	const columns = "description, uri, logo_uri, auth_method, jwks, jwks_uri, grants, redirects, post_logout, scopes, " +
		"resources, token_format, alg, rotation"
	for id, public := range map[string]string{"api": "FALSE", "spa": "TRUE"} {
		_, err := before.Exec(ctx, fmt.Sprintf("INSERT INTO clients (id, name, public, %s, first_party, plain_pkce, require_pkce, "+
			"access_ttl, id_token_ttl, refresh_ttl, disabled, created_at, updated_at) VALUES ('%s', 'A', %s%s, "+
			"FALSE, FALSE, FALSE, 0, 0, 0, FALSE, 1, 1)", columns, id, public, strings.Repeat(", ''", strings.Count(columns, ",")+1)))
		testkit.Must(t, err)
	}
	testkit.Must(t, before.Close())

	db := storetest.Open(t, store.Options{URL: url})
	testkit.Must(t, db.CreateClient(ctx, &client.Client{ID: "new", Name: "New"}))
	for id, all := range map[client.ID]bool{"api": true, "spa": false, "new": false} {
		c, err := db.Client(ctx, id)
		testkit.Must(t, err)
		testkit.Equal(t, string(id)+" sees every token", c.IntrospectAny, all)
	}
}

// Names from before their keys had a compatibility form are found by any spelling. Where two of
// them are one now, both accounts stay, the first keeps being found by the name, and both are
// reported.
func TestLoginKeysBeforeTheUpgradeAreRenewed(t *testing.T) {
	for engine, newURL := range map[string]func(testing.TB) string{
		"sqlite": storetest.SQLite, "postgres": storetest.Postgres,
	} {
		t.Run(engine, func(t *testing.T) {
			url, ctx := newURL(t), t.Context()
			var reported []string
			db := storetest.Open(t, store.Options{URL: url, Report: func(err error) {
				reported = append(reported, err.Error())
			}})
			for id, name := range map[identity.UserID]string{"wide": "ｂｏｂ", "first": "ada", "second": "adaa", "umlaut": "jo\u0308rg", "label": "eve", "host": "evee"} {
				testkit.Must(t, db.CreateUser(ctx, &identity.User{ID: id, Username: name, Email: name + "@example.com"}))
			}
			before, err := sqldb.Open(ctx, url, sqldb.Options{})
			testkit.Must(t, err)
			for _, sql := range []string{ // as the earlier release stored them
				"DELETE FROM meta WHERE name = 'login_keys'",
				"UPDATE users SET username = 'ａda', email = 'ａda@example.com' WHERE id = 'second'",
				"UPDATE users SET email = 'eve@xn--bcher-kva.example' WHERE id = 'label'",
				"UPDATE users SET email = 'eve@bücher.example' WHERE id = 'host'",
				"UPDATE users SET username_key = username, email_key = email",
			} {
				_, err := before.Exec(ctx, sql)
				testkit.Must(t, err)
			}
			testkit.Must(t, before.Close())

			_, err = db.Migrate(ctx)
			testkit.Must(t, err)
			for ref, id := range map[string]identity.UserID{
				"bob": "wide", "ｂｏｂ": "wide", "bob@example.com": "wide", "jörg": "umlaut", "JÖRG@example.com": "umlaut",
				"ada": "first", "ａda@example.com": "first", "second": "second",
				"eve@bücher.example": "label", "host": "host", "evee": "host",
			} {
				u, err := db.UserByRef(ctx, ref)
				testkit.Must(t, err)
				testkit.Equal(t, "user by "+ref, u.ID, id)
			}
			for _, want := range []string{
				"first and second have two spellings of one username",
				"first and second have two spellings of one email address",
				"label and host have two spellings of one email address",
			} {
				if !slices.ContainsFunc(reported, func(s string) bool { return strings.Contains(s, want) }) {
					t.Errorf("not reported: %s\n%q", want, reported)
				}
			}
			testkit.Equal(t, "reports", len(reported), 3)
			for id, email := range map[identity.UserID]string{"second": "ａda@example.com", "host": "eve@bücher.example"} {
				u, err := db.User(ctx, id)
				testkit.Must(t, err)
				testkit.Equal(t, "address", u.Email, email)
			}
			_, err = db.Migrate(ctx)
			testkit.Must(t, err)
			testkit.Equal(t, "reports after another migration", len(reported), 3)
		})
	}
}

// migrationsUpTo returns the migrations of an earlier release.
func migrationsUpTo(t *testing.T, last string) fs.FS {
	t.Helper()
	all, err := os.ReadDir("migrations")
	testkit.Must(t, err)
	out := fstest.MapFS{}
	for _, f := range all {
		if f.Name()[:len(last)] <= last {
			text, err := os.ReadFile("migrations/" + f.Name())
			testkit.Must(t, err)
			out[f.Name()] = &fstest.MapFile{Data: text}
		}
	}
	return out
}
