package store_test

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// noDocument names the tables that configuration documents do not describe, and why.
var noDocument = map[string]string{
	"account_deletions":   "of people",
	"app_sessions":        "sessions",
	"audit_checkpoints":   "history",
	"audit_keys":          "keys",
	"audit_log":           "history",
	"audit_nodes":         "history",
	"audit_pages":         "history",
	"audit_pending":       "history",
	"audit_tree":          "history",
	"backup_codes":        "of people",
	"backups":             "history",
	"bulk_actions":        "work in progress",
	"bulk_items":          "work in progress",
	"certificate_files":   "made by the servers",
	"changes":             "of the servers",
	"client_terms":        "of the search",
	"codes":               "tokens",
	"config_documents":    "the documents themselves",
	"config_labels":       "the documents themselves",
	"confirmations":       "of people",
	"consents":            "of people",
	"counts":              "of rows",
	"credentials":         "of people",
	"devices":             "tokens",
	"distrusted_browsers": "of people",
	"email_claims":        "of people",
	"email_codes":         "tokens",
	"former_usernames":    "of people",
	"grants":              "tokens",
	"held_usernames":      "of people",
	"hourly_counts":       "statistics",
	"idempotent_requests": "requests",
	"impersonations":      "sessions",
	"initial_tokens":      "tokens, shown once and used up; a document has what they make",
	"keys":                "keys",
	"leases":              "of the servers",
	"links":               "tokens",
	"locks":               "of people",
	"login_states":        "sessions",
	"mail_failures":       "knowledge about addresses",
	"meta":                "of the servers: identities and marks",
	"once":                "what was used",
	"opaque_tokens":       "tokens",
	"outbox":              "messages",
	"passkey_handles":     "of people",
	"password_history":    "of people",
	"pictures":            "of people",
	"recoveries":          "of people",
	"refusals":            "history",
	"replaced_passwords":  "of people",
	"revocations":         "tokens",
	"servers":             "of the servers",
	"session_tokens":      "sessions",
	"sessions":            "sessions",
	"sink_gaps":           "history",
	"sinks":               "how far deliveries are",
	"trusted_browsers":    "of people",
	"user_emails":         "of people",
	"user_terms":          "of the search",
	"users":               "of people",
	"webhook_deliveries":  "history",
}

// described names the tables that configuration documents describe, by their lists, with the
// columns that are no member of the same name: by what they are called there, or "" with those that
// the server sets.
var described = map[string]struct {
	section string
	columns map[string]string
}{
	"scopes": {"scopes", map[string]string{"is_default": "default", "id": "", "is_system": "", "created_at": "", "version": ""}},
	"roles":  {"roles", map[string]string{"id": "", "is_system": "", "created_at": "", "updated_at": "", "version": ""}},
	"clients": {"clients", map[string]string{
		"id": "client_id", "name": "client_name", "uri": "client_uri", "auth_method": "token_endpoint_auth_method",
		"auth_signing_alg": "token_endpoint_auth_signing_alg", "strict_assertion_aud": "strict_assertion_audience",
		"request_object_alg": "request_object_signing_alg", "grants": "grant_types", "redirects": "redirect_uris",
		"post_logout": "post_logout_redirect_uris", "scopes": "scope", "plain_pkce": "allow_plain_pkce",
		"rotation": "refresh_rotation", "access_ttl": "access_token_ttl", "refresh_ttl": "refresh_token_ttl",
		"dpop_bound": "dpop_bound_access_tokens", "cert_bound": "tls_client_certificate_bound_access_tokens",
		"custom_schemes": "allow_custom_schemes",
		"name_key":       "", "created_at": "", "updated_at": "", "version": "", "registered_by": "", "registration_policy": "",
		"registration_chain": "", "registration_hash": "", "registration_next": "", "used_at": "",
	}},
	"client_secrets": {"clients", map[string]string{
		"hash": "client_secret", "id": "", "client_id": "", "created_at": "", "expires_at": "", "notice": "",
	}},
	"routes": {"routes", map[string]string{
		"definition": "name", "id": "", "created_at": "", "updated_at": "", "version": "",
	}},
	"webhooks": {"webhooks", map[string]string{
		"id": "", "ended": "", "previous": "", "previous_until": "", "version": "", "created_at": "", "updated_at": "",
	}},
}

// Every table is described by configuration documents with all that an administrator sets in it, or
// it is not described for a reason. So nothing that is stored is left out by accident.
func TestDocumentsKnowEveryTable(t *testing.T) {
	db, err := sqldb.Open(t.Context(), storetest.SQLite(t), sqldb.Options{})
	testkit.Must(t, err)
	defer func() { testkit.Must(t, db.Close()) }()
	_, err = sqldb.Migrate(t.Context(), db, store.Migrations())
	testkit.Must(t, err)
	steps, err := sqldb.ReadSteps(store.Migrations())
	testkit.Must(t, err)
	var texts []string
	for _, s := range steps {
		texts = append(texts, s.Text)
	}
	tables, err := sqldb.Tables(t.Context(), db, sqldb.SQLite, texts)
	testkit.Must(t, err)
	members := map[string][]string{}
	for _, s := range admin.ConfigSections(token.ClientRules()) {
		members[s.Name] = []string{s.Key}
		for _, m := range s.Members {
			members[s.Name] = append(members[s.Name], m.Name)
		}
	}
	for _, table := range tables {
		d, is := described[table.Name]
		if is == (noDocument[table.Name] != "") {
			t.Errorf("do documents describe table %s? Add it to one of the lists of this test", table.Name)
		}
		for _, c := range table.Columns {
			member, other := d.columns[c.Name]
			if !other {
				member = c.Name
			}
			if is && member != "" && !slices.Contains(members[d.section], member) {
				t.Errorf("documents have no member for %s.%s", table.Name, c.Name)
			}
		}
	}
}
