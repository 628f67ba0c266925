package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/management"
)

// withToken adds an access token to requests.
type withToken string

func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(t))
	return http.DefaultTransport.RoundTrip(r)
}

func TestTypedClient(t *testing.T) {
	h := newHarness(t)
	server := httptest.NewServer(h.serve)
	defer server.Close()
	ctx := t.Context()
	api, err := management.New(server.URL+"/", &http.Client{Transport: withToken("admin")})
	h.must(err)
	for i := range 3 {
		email := nullable.NewNullableWithValue(fmt.Sprintf("ann%d@example.com", i))
		made, err := api.CreateUserWithResponse(ctx, nil, management.NewUser{Email: email})
		h.must(err)
		if made.JSON201 == nil || made.JSON201.Link == nil || made.HTTPResponse.Header.Get("Location") != "/api/v1/users/"+made.JSON201.ID {
			t.Errorf("%s", made.Body)
		}
	}
	two, n := 2, 0
	for u, err := range api.AllUsers(ctx, &management.UsersParams{Limit: &two}) {
		h.must(err)
		if u.ID == "" {
			t.Error(u)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d users", n)
	}
	u, err := api.UserDetailWithResponse(ctx, "ann1@example.com")
	h.must(err)
	tag := u.HTTPResponse.Header.Get("ETag")
	change := management.UserPatch{Nickname: nullable.NewNullableWithValue("Ann"), Gender: nullable.NewNullNullable[string]()}
	for _, want := range []string{"", "precondition_failed"} {
		if _, err := api.UpdateUserWithResponse(ctx, u.JSON200.ID, &management.UpdateUserParams{IfMatch: &tag}, change); management.Code(err) != want {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if _, err := api.UserDetailWithResponse(ctx, "nobody"); management.Code(err) != "not_found" {
		t.Error(err)
	}
	other, err := management.New(server.URL, nil)
	h.must(err)
	for _, err := range other.AllClients(ctx, nil) {
		if management.Code(err) != "authentication_required" {
			t.Error(err)
		}
	}
}
