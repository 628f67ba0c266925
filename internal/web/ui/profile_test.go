package ui_test

import (
	"net/url"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Saving the profile stores every field that a person may change: one without an input on the page
// would be cleared.
func TestProfilePageHasEveryField(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get("/account/profile")
	values := map[string]string{
		"profile": "https://example.com/ada", "website": "http://ada.example",
		"birthdate": "1815-12-10", "phone_number": "+44 20 7946 0000", "locale": "en-GB", "zoneinfo": "Europe/London",
	}
	form := url.Values{}
	for _, f := range identity.ProfileFields() {
		if values[f.Input()] == "" {
			values[f.Input()] = "My " + f.Input()
		}
		b.shows(200, `name="`+f.Input()+`"`)
		form.Set(f.Input(), values[f.Input()])
	}
	b.post("/account/profile", form)
	b.shows(200, "Your changes were saved.")
	u, err := s.db.User(t.Context(), s.user.ID)
	testkit.Must(t, err)
	for _, f := range identity.ProfileFields() {
		testkit.Equal(t, f.Input(), f.String(u), values[f.Input()])
		b.shows(200, `name="`+f.Input()+`"`)
	}
	form.Set("birthdate", "10.12.1815")
	b.post("/account/profile", form)
	b.shows(400, "Write the date of birth as in 1990-12-31", `value="10.12.1815"`)
	form.Set("website", "javascript:alert(1)")
	b.post("/account/profile", form)
	b.shows(400, "The website must be an address that begins with https:// or http://.")
}
