package admin_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An export job of Auth0, with the hashes that its support sends; the third line is torn.
const auth0Users = `{"_id":{"$oid":"5f7c"},"user_id":"auth0|5f7c","email":"Ada@Example.com","email_verified":true,"name":"Ada Lovelace","given_name":"Ada","family_name":"Lovelace","nickname":"ada","picture":"https://s.gravatar.com/a.png","created_at":"2020-10-06T08:00:00.123Z","passwordHash":"$2b$10$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe","identities":[{"connection":"Username-Password-Authentication"}]}
{"user_id":"google-oauth2|1","email":"bob@example.com","email_verified":true,"name":"bob@example.com","blocked":true}
{"user_id":"auth0|torn","email":"torn@exam
{"user_id":"auth0|3","email":"eve@example.com","custom_password_hash":{"algorithm":"md5","hash":{"value":"5f4dcc3b","encoding":"hex"}}}
{"user_id":"auth0|4","email":"zoe@example.com"}
`

const auth0Clients = `[
 {"client_id":"all","global":true,"name":"All Applications"},
 {"client_id":"web1","name":"Shop","app_type":"regular_web","is_first_party":true,"token_endpoint_auth_method":"client_secret_post",
  "client_secret":"AbCdEfGhIjKlMnOpQrStUvWxYz0123456789","callbacks":["https://shop.example/cb"],"allowed_logout_urls":["https://shop.example/"],
  "grant_types":["authorization_code","implicit","refresh_token","client_credentials","http://auth0.com/oauth/grant-type/mfa-otp"],"custom_login_page_on":true},
 {"client_id":"spa1","name":"Board","app_type":"spa","callbacks":["https://board.example/cb"],"grant_types":["authorization_code","refresh_token"]},
 {"client_id":"wild","name":"Wild","app_type":"regular_web","callbacks":["https://*.example/cb"],"grant_types":["authorization_code"]},
 {"client_id":"m2m","name":"Job","app_type":"non_interactive","client_secret":"short","grant_types":["client_credentials"]}
]`

const authGateRows = `{"id":"7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c11","username":"ada","email":"ada@example.com","password_hash":"$2a$10$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe","role":"admin","full_name":"Ada","is_active":1,"email_verified":0,"auth_source":"local","created_at":"2026-01-02T03:04:05Z"}
{"id":"7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c12","username":"ext","email":"ext@example.com","password_hash":"","role":"user","is_active":0,"auth_source":"http_api"}
{"id":1,"client_id":"7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c99","client_secret":"$2a$10$x","client_name":"CLI","scopes":"openid profile","grant_types":"device_code","redirect_uris":"[]","client_type":"public","enable_device_flow":1,"enable_auth_code_flow":0,"enable_client_credentials_flow":0,"status":"active"}
{"id":2,"client_id":"svc","client_secret":"$2a$10$y","client_name":"Service","scopes":"","redirect_uris":null,"client_type":"confidential","enable_device_flow":false,"enable_auth_code_flow":false,"enable_client_credentials_flow":true,"status":"inactive"}
`

// importClients imports a text and returns a line for each result.
func (w *world) importClients(t *testing.T, in admin.ClientImport, text string) []string {
	t.Helper()
	var results []string
	_, err := w.ops.ImportClients(t.Context(), admin.CommandLine(), in,
		func() (io.Reader, error) { return strings.NewReader(text), nil },
		func(r admin.ClientResult) error {
			secret := map[bool]string{true: "secret"}[r.Secret != ""]
			line := fmt.Sprintf("%d %s %s %s %s", r.Line, r.ID, r.Result, r.Field, secret)
			results = append(results, strings.Join(strings.Fields(line), " "))
			return nil
		})
	testkit.Must(t, err)
	return results
}

// People of Auth0 come with their passwords; a torn line in the middle is named, and a second run
// changes nothing.
func TestImportOfAuth0Users(t *testing.T) {
	w := newWorld(t)
	in := admin.ImportOptions{Format: admin.FormatAuth0}
	_, results := w.importText(t, admin.CommandLine(), in, auth0Users)
	testkit.Equal(t, "results", strings.Join(results, ", "),
		"1 created, 2 created, 3 error, 4 error custom_password_hash, 5 created")
	ada, err := w.ops.User(t.Context(), admin.CommandLine(), "ada@example.com")
	testkit.Must(t, err)
	testkit.Equal(t, "name, verified, created, hash", fmt.Sprint(ada.Name, ada.EmailVerified,
		ada.CreatedAt.Format("2006-01-02"), ada.PasswordHash != ""), "Ada Lovelacetrue2020-10-06true")
	bob, err := w.ops.User(t.Context(), admin.CommandLine(), "bob@example.com")
	testkit.Must(t, err)
	testkit.Equal(t, "blocked, without a name", fmt.Sprint(bob.Disabled, bob.Name == ""), "true true")
	sum, _ := w.importText(t, admin.CommandLine(), in, auth0Users)
	testkit.Equal(t, "created and unchanged again", fmt.Sprint(sum.Created, sum.Unchanged), "0 3")
	// The same people as the management API answers: a document with a list.
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(auth0Users), "\n") {
		if strings.HasSuffix(line, "}") {
			list = append(list, line)
		}
	}
	for _, text := range []string{
		"{\"start\": 0,\n \"users\": [" + strings.Join(list, ",\n") + "]}", `{"users":[` + strings.Join(list, ",") + `],"total":4}`,
		"[" + strings.Join(list, ",") + "]",
	} {
		sum, _ := w.importText(t, admin.CommandLine(), in, text)
		testkit.Equal(t, "unchanged", fmt.Sprint(sum.Lines, sum.Unchanged), "4 3")
	}
}

// Clients of Auth0 keep their ids and secrets; one with a wildcard is named and left out.
func TestImportOfAuth0Clients(t *testing.T) {
	w := newWorld(t)
	want := "2 web1 created, 3 spa1 created, 4 wild error redirect_uris, 5 m2m created"
	dry := w.importClients(t, admin.ClientImport{Format: admin.FormatAuth0, DryRun: true}, auth0Clients)
	testkit.Equal(t, "dry run", strings.Join(dry, ", "), want)
	testkit.Equal(t, "clients after it", len(w.db.Clients()), 0)
	in := admin.ClientImport{Format: admin.FormatAuth0}
	got := w.importClients(t, in, auth0Clients)
	testkit.Equal(t, "results", strings.Join(got, ", "), want+" secret")
	shop, err := w.ops.Client(t.Context(), admin.CommandLine(), "web1")
	testkit.Must(t, err)
	testkit.Equal(t, "grants", strings.Join(shop.Grants, " "), "authorization_code refresh_token client_credentials")
	testkit.Equal(t, "first party, method", fmt.Sprint(shop.FirstParty, shop.AuthMethod), "trueclient_secret_post")
	testkit.Equal(t, "secrets", len(shop.Secrets), 1)
	board, err := w.ops.Client(t.Context(), admin.CommandLine(), "spa1")
	testkit.Must(t, err)
	testkit.Equal(t, "public", board.Public, true)
	again := w.importClients(t, in, auth0Clients)
	testkit.Equal(t, "again", strings.Join(again, ", "), strings.ReplaceAll(want, "created", "unchanged"))
	_, err = w.ops.UpdateClient(t.Context(), admin.CommandLine(), "spa1", patchOf(t, client.Fields(w.ops.Rules()),
		map[string][]string{"client_name": {"Other"}}))
	testkit.Must(t, err)
	changed := w.importClients(t, in, auth0Clients)
	testkit.Equal(t, "changed here meanwhile", changed[1], "3 spa1 error client_name")
}

// Rows of AuthGate have people and applications side by side.
func TestImportOfAuthGate(t *testing.T) {
	w := newWorld(t)
	_, results := w.importText(t, admin.CommandLine(), admin.ImportOptions{Format: admin.FormatAuthGate}, authGateRows)
	testkit.Equal(t, "users", strings.Join(results, ", "), "1 created, 2 created")
	ada, err := w.ops.User(t.Context(), admin.CommandLine(), "7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c11")
	testkit.Must(t, err)
	testkit.Equal(t, "user", fmt.Sprint(ada.Username, ada.Roles, ada.Disabled, ada.EmailVerified), "ada[admin] false false")
	got := w.importClients(t, admin.ClientImport{Format: admin.FormatAuthGate}, authGateRows)
	testkit.Equal(t, "clients", strings.Join(got, ", "),
		"3 7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c99 created, 4 svc created secret")
	svc, err := w.ops.Client(t.Context(), admin.CommandLine(), "svc")
	testkit.Must(t, err)
	testkit.Equal(t, "disabled", svc.Disabled, true)
	// A realm of Keycloak has clients beside its users.
	got = w.importClients(t, admin.ClientImport{Format: admin.FormatKeycloak}, `{"realm":"x","roles":{"a":[{}]},"users":[{"username":"u"}],
		"clients":[{"clientId":"account","publicClient":true},{"clientId":"saml","protocol":"saml"},
		{"clientId":"kc","secret":"**********","redirectUris":["https://kc.example/cb"],"attributes":{"post.logout.redirect.uris":"https://kc.example/a##https://kc.example/b"}}]}`)
	testkit.Equal(t, "clients of Keycloak", strings.Join(got, ", "), "2 error, 3 kc created secret")
}

// A machine without the rights of a client's scopes cannot bring it in by a file.
func TestImportOfClientsConfersNoMoreThanTheActorHas(t *testing.T) {
	w := newWorld(t)
	_, err := w.ops.CreateClient(t.Context(), admin.CommandLine(), admin.NewClient{
		ID: "app",
		Fields: patchOf(t, client.Fields(w.ops.Rules()), map[string][]string{
			"client_name": {"App"}, "grant_types": {"client_credentials"}, "scope": {"admin:clients:write"},
		}),
	})
	testkit.Must(t, err)
	a := admin.Actor{Client: "app", Machine: true, Scopes: []admin.Scope{admin.ScopeClientsWrite}}
	const file = `{"client_id":"evil","client_name":"Evil","scopes":"admin:keys:write","client_type":"confidential","enable_client_credentials_flow":true}
{"client_id":"7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c99","client_name":"Id","client_type":"confidential","enable_client_credentials_flow":true}
{"client_id":"fine","client_name":"Fine","client_type":"confidential","enable_client_credentials_flow":true}`
	var results []string
	_, err = w.ops.ImportClients(t.Context(), a, admin.ClientImport{Format: admin.FormatAuthGate},
		func() (io.Reader, error) { return strings.NewReader(file), nil }, func(r admin.ClientResult) error {
			results = append(results, string(r.ID)+" "+r.Result)
			return nil
		})
	testkit.Must(t, err)
	testkit.Equal(t, "results", strings.Join(results, ", "),
		"evil error, 7a1f3c7e-5f63-4c1a-9d2e-0b8f4f3a1c99 error, fine created")
}
