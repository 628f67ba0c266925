package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// importText imports a text and returns the sum and a line for each result.
func (w *world) importText(t *testing.T, a admin.Actor, in admin.ImportOptions, text string) (admin.ImportSummary, []string) {
	t.Helper()
	var results []string
	sum, err := w.ops.ImportUsers(t.Context(), a, in, func() (io.Reader, error) { return strings.NewReader(text), nil },
		func(r admin.LineResult) error {
			results = append(results, strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Line, r.Result, r.Field)))
			return nil
		})
	testkit.Must(t, err)
	return sum, results
}

// An import with a bad line in the middle names it, stores the rest if asked, and can be repeated.
func TestImportNamesEachLine(t *testing.T) {
	const file = `{"email":"ada@example.com","name":"Ada"}
{"email":"not an address"}

{"email":"bob@example.com","username":"ada@example.com"}
{"email":"carl@example.com","nmae":"Carl"}
{"email":"dora@example.com","password_hash":"$2a$31$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"}
{"email":"ADA@example.com","name":"Another Ada"}
{"email":"ada@example.com","name":"Ada"}
{"email":"eve@example.com","disabled":"yes"}
[1]
{"email":"zoe@example.com","roles":["staff"],"email_verified":true}`
	w := newWorld(t)
	cli := admin.CommandLine()
	want := []string{
		"1 created", "2 error email", "4 error username", "5 error nmae", "6 error password_hash", "7 error name",
		"8 unchanged", "9 error disabled", "10 error", "11 created",
	}
	stop := admin.ImportOptions{Format: admin.FormatJSON, StopOnError: true}
	sum, results := w.importText(t, cli, stop, file)
	if !sum.Stopped || sum.Created != 0 || len(results) < 6 {
		t.Errorf("with stop: %+v %v", sum, results)
	}
	if page, err := w.ops.Users(t.Context(), cli, admin.UserQuery{}); err != nil || page.Total != 0 {
		t.Errorf("a stopped import stored %d accounts, %v", page.Total, err)
	}
	dry := admin.ImportOptions{Format: admin.FormatJSON, DryRun: true}
	sum, _ = w.importText(t, cli, dry, file)
	testkit.Equal(t, "a dry run", sum.Failed > 5 && sum.Stopped == false, true)
	if page, err := w.ops.Users(t.Context(), cli, admin.UserQuery{}); err != nil || page.Total != 0 {
		t.Errorf("a dry run stored %d accounts, %v", page.Total, err)
	}
	skip := admin.ImportOptions{Format: admin.FormatJSON}
	sum, results = w.importText(t, cli, skip, file)
	testkit.Equal(t, "results", strings.Join(results, "\n"), strings.Join(want, "\n"))
	testkit.Equal(t, "created", sum.Created, 2)
	sum, _ = w.importText(t, cli, skip, file)
	testkit.Equal(t, "created again", sum.Created, 0)
	testkit.Equal(t, "unchanged", sum.Unchanged, 3)
	page, err := w.ops.Users(t.Context(), cli, admin.UserQuery{Role: "staff"})
	testkit.Must(t, err)
	testkit.Equal(t, "users with the role", page.Total, 1)
}

// No line of an import confers more than the actor has, and of a file with such a line the others
// are stored.
func TestImportConfersNoMoreThanTheActorHas(t *testing.T) {
	w := newWorld(t)
	c, err := w.ops.CreateClient(t.Context(), admin.CommandLine(), admin.NewClient{
		ID: "app",
		Fields: patchOf(t, client.Fields(w.ops.Rules()), map[string][]string{
			"client_name": {"App"}, "grant_types": {"client_credentials"}, "scope": {"admin:users:write"},
		}),
	})
	testkit.Must(t, err)
	a := admin.Actor{Client: "app", Machine: true, Scopes: []admin.Scope{admin.ScopeUsersWrite}}
	var file strings.Builder
	for _, role := range []string{"staff", identity.RoleAdmin, identity.RoleSuperAdmin} {
		fmt.Fprintf(&file, `{"email":"%s@example.com","roles":["%s"]}`+"\n", role, role)
	}
	_, results := w.importText(t, a, admin.ImportOptions{Format: admin.FormatJSON}, file.String())
	testkit.Equal(t, "results", strings.Join(results, ", "), "1 created, 2 error, 3 error")

	// The right is taken away while the file is read.
	old := c.Client
	next := *old
	next.Scopes = []string{"openid"}
	testkit.Must(t, w.db.UpdateClient(t.Context(), old, &next))
	_, err = w.ops.ImportUsers(t.Context(), a, admin.ImportOptions{Format: admin.FormatJSON},
		func() (io.Reader, error) { return strings.NewReader(`{"email":"late@example.com"}`), nil },
		func(admin.LineResult) error { return nil })
	testkit.Equal(t, "reason", fault.Reason(err), admin.ReasonInsufficientScope)
}

// An account does not get the id of a client, nor a client that of an account: tokens of both would
// have the same subject.
func TestPeopleAndClientsShareNoID(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	const id = "01900000-0000-7000-8000-000000000001"
	named := patchOf(t, client.Fields(w.ops.Rules()), map[string][]string{
		"client_name": {"App"}, "grant_types": {"client_credentials"},
	})
	_, err := w.ops.CreateClient(t.Context(), cli, admin.NewClient{ID: id, Fields: named})
	testkit.Must(t, err)
	_, results := w.importText(t, cli, admin.ImportOptions{Format: admin.FormatJSON},
		`{"id":"`+id+`","email":"ada@example.com"}`)
	testkit.Equal(t, "account with a client's id", strings.Join(results, ", "), "1 error id")

	made, err := w.ops.CreateUser(t.Context(), cli, admin.NewUser{
		Fields: patchOf(t, identity.UserFields(), map[string][]string{"email": {"bob@example.com"}}),
	})
	testkit.Must(t, err)
	u := made.User
	_, err = w.ops.CreateClient(t.Context(), cli, admin.NewClient{ID: client.ID(u.ID), Fields: named})
	testkit.Equal(t, "client with an account's id", fault.Is(err, fault.Conflict), true)
	editor := admin.Actor{Client: id, Machine: true, Scopes: []admin.Scope{admin.ScopeClientsWrite}}
	for _, chosen := range []client.ID{"01900000-0000-7000-8000-000000000002", "cli", "system", ".."} {
		_, err = w.ops.CreateClient(t.Context(), editor, admin.NewClient{ID: chosen, Fields: named})
		testkit.Equal(t, string(chosen), fault.Is(err, fault.Invalid), true)
	}
}

// What is exported comes back unchanged, in both forms, whatever the names are.
func TestExportComesBackUnchanged(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	names := []string{
		"=1+1", "+1", "-1", "@a", "＝1", "'=1", "''=1", "'quoted'", `comma, "quote"`, "semi;colon", "O'Hara", "Zoë", " =2", "a\u00a0b",
	}
	for i, name := range names {
		p := admin.UserPatch{
			Values: identity.User{
				Email: fmt.Sprintf("u%d@example.com", i), Name: name, Roles: []string{"b", "a"}, EmailVerified: i%2 == 0,
				Address: identity.Address{Formatted: "1 Main St\r\nTown\n"},
			},
			Names: []string{"email", "name", "roles", "email_verified", "formatted"},
		}
		if _, err := w.ops.CreateUser(t.Context(), cli, admin.NewUser{Fields: p}); err != nil {
			t.Fatal(name, err)
		}
	}
	for _, format := range []admin.UserFormat{admin.FormatJSON, admin.FormatCSV} {
		var out bytes.Buffer
		n, err := w.ops.ExportUsers(t.Context(), cli, admin.ExportOptions{Format: format}, &out)
		testkit.Must(t, err)
		testkit.Equal(t, "exported", n, len(names))
		sum, results := w.importText(t, cli, admin.ImportOptions{Format: format}, out.String())
		if sum.Unchanged != len(names) || sum.Failed > 0 {
			t.Errorf("%s: %+v %v", format, sum, results)
		}
		fresh := newWorld(t)
		sum, results = fresh.importText(t, cli, admin.ImportOptions{Format: format, StopOnError: true}, out.String())
		if sum.Created != len(names) {
			t.Fatalf("%s, elsewhere: %+v %v", format, sum, results)
		}
		var again bytes.Buffer
		_, err = fresh.ops.ExportUsers(t.Context(), cli, admin.ExportOptions{Format: format}, &again)
		testkit.Must(t, err)
		if again.String() != out.String() {
			t.Errorf("%s: exported\n%s\nthen\n%s", format, out.String(), again.String())
		}
		if format == admin.FormatCSV && slices.ContainsFunc(strings.Split(out.String(), `","`), func(cell string) bool {
			return strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "+")
		}) {
			t.Errorf("a spreadsheet would evaluate a cell of\n%s", out.String())
		}
	}
}

// CSV of people: a mark of the byte order, semicolons, a header in capitals, line ends of Windows.
func TestImportCSVOfPeople(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	in := admin.ImportOptions{Format: admin.FormatCSV}
	sum, results := w.importText(t, cli, in, "\uFEFFEmail;NAME;roles\r\nada@example.com;\"Lovelace; Ada\";a b\r\n\r\nbob@example.com;Bob;\r\nx;y\r\n")
	testkit.Equal(t, "results", strings.Join(results, ", "), "2 created, 4 created, 5 error")
	testkit.Equal(t, "created", sum.Created, 2)
	testkit.Equal(t, "failed", sum.Failed, 1)
	u, err := w.ops.User(t.Context(), cli, "ada@example.com")
	testkit.Must(t, err)
	testkit.Equal(t, "name", u.Name, "Lovelace; Ada")
	testkit.Equal(t, "roles", strings.Join(u.Roles, " "), "a b")
	_, err = w.ops.ImportUsers(t.Context(), cli, in, func() (io.Reader, error) { return strings.NewReader("email,nmae\na,b\n"), nil },
		func(admin.LineResult) error { return nil })
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "nmae") {
		t.Errorf("an unknown field in the header: %v", err)
	}
}

// Exports of Keycloak and Firebase: people sign in with their passwords, which are hashed anew.
func TestImportOfOtherPrograms(t *testing.T) {
	const keycloak = `{"realm":"r","clients":[{"a":[1,{"users":[]}]}],"users":[{"id":"5DA9F1C6-5F6B-4A3C-8E1B-0F6D2B8C9A10",
		"createdTimestamp":1700000000000,"username":"ada","enabled":true,"email":"ada@example.com","emailVerified":true,
		"firstName":"Ada","lastName":"Lovelace","credentials":[{"type":"otp"},{"type":"password",
		"secretData":"{\"value\":\"xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o=\",\"salt\":\"c2FsdA==\",\"additionalParameters\":{}}",
		"credentialData":"{\"hashIterations\":4096,\"algorithm\":\"pbkdf2-sha256\",\"additionalParameters\":{}}"}]},
		{"username":"service-account-x","serviceAccountClientId":"x"},
		{"username":"bob@example.com","enabled":false,"credentials":[{"type":"password","secretData":"{}",
		"credentialData":"{\"hashIterations\":2000000000,\"algorithm\":\"pbkdf2-sha256\"}"}]}]}`
	const firebase = `{"users":[{"localId":"l1","email":"fred@example.com","emailVerified":true,"displayName":"Fred",
		"passwordHash":"lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
		"salt":"42xEC+ixf3L2lw==","createdAt":"1700000000000"}]}`
	w, cli := newWorld(t), admin.CommandLine()
	_, results := w.importText(t, cli, admin.ImportOptions{Format: admin.FormatKeycloak}, keycloak)
	testkit.Equal(t, "keycloak", strings.Join(results, ", "), "1 created, 2 error, 3 error credentials")
	u, err := w.ops.User(t.Context(), cli, "ada")
	testkit.Must(t, err)
	testkit.Equal(t, "id", u.ID, "5da9f1c6-5f6b-4a3c-8e1b-0f6d2b8c9a10")
	testkit.Equal(t, "name", u.Name, "Ada Lovelace")
	testkit.Equal(t, "created", u.CreatedAt.Unix(), 1700000000)
	w.signsIn(t, u, "password")

	in := admin.ImportOptions{Format: admin.FormatFirebase, Firebase: &admin.FirebaseParameters{
		SignerKey:     "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
		SaltSeparator: "Bw==", Rounds: 8, MemCost: 14,
	}}
	_, results = w.importText(t, cli, in, firebase)
	testkit.Equal(t, "firebase", strings.Join(results, ", "), "1 created")
	u, err = w.ops.User(t.Context(), cli, "fred@example.com")
	testkit.Must(t, err)
	w.signsIn(t, u, "user1password")
}

// signsIn fails unless the stored hash accepts a password.
func (w *world) signsIn(t *testing.T, u *identity.User, password string) {
	t.Helper()
	v, ok := w.parts.Passwords.(interface {
		Verify(ctx context.Context, typed, stored string) (bool, error)
		Outdated(stored string) bool
	})
	if !ok {
		t.Fatal("the hasher of the test verifies nothing")
	}
	if right, err := v.Verify(t.Context(), password, u.PasswordHash); !right || err != nil {
		t.Errorf("the password of %s: %v, %v", u.LoginName(), right, err)
	}
	if !v.Outdated(u.PasswordHash) {
		t.Error("the hash is not replaced")
	}
}
