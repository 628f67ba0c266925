package console_test

import (
	"bytes"
	"mime/multipart"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
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
	return s.send(r)
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
		shows(200, `<ol class="progress"><li`, "Line 2: ", "2 users would be created", "1 wrong").hides("<img src=x>").wellFormed()
	testkit.Equal(t, "users after a check", users(), before)
	s.upload(file, "a.jsonl", "format", "").shows(200, "Nothing was stored").wellFormed()
	testkit.Equal(t, "users after a stopped import", users(), before)
	s.upload(file, "a.jsonl", "format", "json", "skip", "on").shows(200, "2 users created, 0 are here already, 1 wrong")
	s.upload(file, "a.jsonl", "skip", "on").shows(200, "0 users created, 2 are here already")
	testkit.Equal(t, "users", users(), before+2)
	s.upload("email,name\nthird@example.com,Third\n", "B.CSV", "format", "").shows(200, "1 user created")
	s.upload(`[{"client_id":"job","name":"Job","grant_types":["client_credentials"]}]`, "c.json", "format", "auth0").
		shows(200, "New secret of <bdi>job</bdi>", "1 client created")
	s.upload("{", "a.json", "format", "keycloak").shows(200, "The import has ended: ")
	s.post("/admin/users/import", "x", "y").shows(400, "The form has no file")

	s.signIn(s.newUser("Helper", "staff"))
	s.upload(file, "a.jsonl").shows(403)
}
