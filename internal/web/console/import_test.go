package console_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// upload sends a form with a file.
func (s *site) upload(file, name string, pairs ...string) page {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(pairs); i += 2 {
		testkit.Must(s.t, form.WriteField(pairs[i], pairs[i+1]))
	}
	w, err := form.CreateFormFile("file", name)
	testkit.Must(s.t, err)
	_, err = w.Write([]byte(file))
	testkit.Must(s.t, err)
	testkit.Must(s.t, form.Close())
	r := httptest.NewRequest("POST", origin+"/admin/users/import", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	p := s.send(r)
	if p.Code != http.StatusSeeOther {
		return p
	}
	// The import goes on after the answer; its page says when it has ended.
	to := p.Header().Get("Location")
	testkit.Eventually(s.t, "the import has ended", func() bool {
		if p = s.get(to); strings.Contains(p.Body.String(), "Running") {
			p.shows(200, `http-equiv="refresh"`, "Show how far it is now", ">Stop<")
			return false
		}
		return true
	})
	return p.hides(`http-equiv="refresh"`)
}

// A file is checked, imported with its wrong lines named, and can be sent again. What strangers
// wrote in it is text.
func TestImportPage(t *testing.T) {
	s := newSite(t)
	users := func() int {
		page, err := s.ops.Users(t.Context(), s.actor(), admin.UserQuery{})
		testkit.Must(t, err)
		return page.Total
	}
	before := users()
	const file = `{"email":"imported@example.com"}
{"email":"<img src=x>"}
{"email":"second@example.com"}
`
	s.get("/admin/users").shows(200, "/admin/users/import")
	s.get("/admin/users/import").shows(200, `enctype="multipart/form-data"`, "gatehouse user import").wellFormed()
	s.upload(file, "a.jsonl", "format", "", "check", "on", "skip", "on").
		shows(200, "A check: nothing is stored", "Refused lines", "2 users would be created", "1 refused").hides("<img src=x>").wellFormed()
	testkit.Equal(t, "users after a check", users(), before)
	s.upload(file, "a.jsonl", "format", "").shows(200, "Nothing was stored").wellFormed()
	testkit.Equal(t, "users after a stopped import", users(), before)
	s.upload(file, "a.jsonl", "format", "json", "skip", "on").shows(200, "2 users created, 0 here already, 1 refused")
	s.upload(file, "a.jsonl", "skip", "on").shows(200, "0 users created, 2 here already")
	testkit.Equal(t, "users", users(), before+2)
	s.upload("email,name\nthird@example.com,Third\n", "B.CSV", "format", "").shows(200, "1 user created")
	s.upload(`[{"client_id":"job","name":"Job","grant_types":["client_credentials"]}]`, "c.json", "format", "auth0").
		shows(200, "New secrets", "<bdi>job</bdi>", "gth_cs_", "1 client created")
	s.upload("{", "a.json", "format", "keycloak").shows(200, "The import has ended: ")
	p := s.upload(file, "a.jsonl", "skip", "on", "check", "on")
	s.get(p.path+"/refused").shows(200, "line,error", "2,").hides("<html")
	s.post(p.path + "/stop").leads(p.path)
	s.get("/admin/imports/none").shows(404, "Import the file again")
	s.get("/admin/users/import").shows(200, "The last import", p.path)
	s.post("/admin/users/import", "x", "y").shows(400, "The form has no file")

	_, err := s.ops.CreateRole(t.Context(), s.actor(), "importer", admin.RolePatch{
		Names: []string{"scopes"}, Values: identity.Role{Scopes: []string{string(admin.ScopeUsersRead), string(admin.ScopeUsersWrite)}},
	})
	testkit.Must(t, err)
	s.signIn(s.newUser("Importer", "importer"))
	s.get("/admin/users/import").shows(200).hides("The last import") // somebody else's
	s.get(p.path).shows(404)
	s.get(p.path + "/refused").shows(404)
	s.post(p.path + "/stop").shows(404)
	s.upload(`[{"client_id":"other","name":"Other","grant_types":["client_credentials"]}]`, "c.json", "format", "auth0").
		shows(200, "Clients of the file were left out")

	s.signIn(s.newUser("Helper", "staff"))
	s.upload(file, "a.jsonl").shows(403)
	s.get(p.path).shows(403)
	s.post(p.path + "/stop").shows(403)
}
