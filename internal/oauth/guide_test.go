package oauth_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// claimRow is a row of the guide's table of claims.
type claimRow struct {
	claims []string
	scope  string            // or ""
	cells  map[string]string // by the place where claims are: "yes", "always" or "–"
}

// claimTable reads the table of claims in docs/guides/connect.md.
func claimTable(t *testing.T) (rows []claimRow, places []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/guides/connect.md")
	testkit.Must(t, err)
	_, table, _ := strings.Cut(string(text), "\n| claims | scope |")
	table, _, _ = strings.Cut(table, "\n\n")
	names := regexp.MustCompile("`([a-z_]+)`")
	for i, line := range strings.Split(table, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch i {
		case 0:
			places = cells
			continue
		case 1:
			continue
		}
		row := claimRow{cells: map[string]string{}}
		for _, m := range names.FindAllStringSubmatch(cells[0], -1) {
			row.claims = append(row.claims, m[1])
		}
		if m := names.FindStringSubmatch(cells[1]); m != nil {
			row.scope = m[1]
		}
		for j, place := range places {
			row.cells[place] = cells[j+2]
		}
		rows = append(rows, row)
	}
	if len(rows) < 10 || len(places) != 4 {
		t.Fatalf("the table has %d rows and the places %q", len(rows), places)
	}
	return rows, places
}

// The guide says which claim is where, and the server does it.
func TestClaimsAreWhereTheGuideSays(t *testing.T) {
	rows, _ := claimTable(t)
	w := newWorld(t)
	full := *w.user
	full.GivenName, full.FamilyName, full.Picture = "Ada", "Lovelace", "https://example.com/ada.png"
	full.PhoneVerified = true
	testkit.Must(t, w.db.UpdateUser(t.Context(), w.user, &full))
	cl := w.client(func(c *client.Client) { c.Scopes = append(c.Scopes, "roles", "groups") })

	for _, row := range rows {
		with := w.claimsBy(cl, strings.TrimSpace("openid "+row.scope))
		without := w.claimsBy(cl, "openid")
		for place, cell := range row.cells {
			for _, claim := range row.claims {
				_, got := with[place][claim]
				_, always := without[place][claim]
				said := cell == "yes" || cell == "always"
				if got != said {
					t.Errorf("%s in the %s with %q: %t, and the guide says %q",
						claim, place, row.scope, got, cell)
				}
				if row.scope != "" && always != (cell == "always") {
					t.Errorf("%s in the %s without %q: %t, and the guide says %q",
						claim, place, row.scope, always, cell)
				}
			}
		}
	}
	for place, claims := range w.claimsBy(cl, strings.Join(cl.Scopes, " ")) {
		for claim := range claims {
			if !slices.ContainsFunc(rows, func(r claimRow) bool {
				return slices.Contains(r.claims, claim)
			}) {
				t.Errorf("%s in the %s is not in the guide", claim, place)
			}
		}
	}
}

// claimsBy returns what a sign-in with a scope tells about a person, by the names of the guide's
// columns.
func (w *world) claimsBy(cl *client.Client, scope string) map[string]map[string]any {
	w.t.Helper()
	r := w.login(cl, "scope", scope, "nonce", "n")
	raw, err := json.Marshal(w.introspect(cl, r.AccessToken))
	testkit.Must(w.t, err)
	var introspection map[string]any
	testkit.Must(w.t, json.Unmarshal(raw, &introspection))
	return map[string]map[string]any{
		"ID token":      claims(w.t, r.IDToken),
		"user info":     w.userinfo(r.AccessToken),
		"access token":  claims(w.t, r.AccessToken),
		"introspection": introspection,
	}
}
