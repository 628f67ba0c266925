package realm_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/realm"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A command that adds or removes a realm leaves the rest of the file, comments included.
func TestEdit(t *testing.T) {
	raw := []byte("# ours\nrealms:\n  acme: # the first\n    base_url: https://acme.example\n")
	added, err := realm.Add(raw, "beta", []realm.Value{{Key: "base_url", Text: "https://beta.example"}})
	testkit.Must(t, err)
	f, err := realm.Parse(added)
	testkit.Must(t, err)
	testkit.Equal(t, "realms", len(f.Realms), 2)
	testkit.Equal(t, "the new one", f.Realms[1].Values[0].Text, "https://beta.example")
	if !strings.Contains(string(added), "# ours") || !strings.Contains(string(added), "# the first") {
		t.Errorf("comments are lost:\n%s", added)
	}
	removed, err := realm.Remove(added, "beta")
	testkit.Must(t, err)
	testkit.Equal(t, "without it", string(removed), string(raw))
	if _, err := realm.Add(raw, "acme", nil); err == nil {
		t.Error("a second realm of the name was added")
	}
	if _, err := realm.Remove(raw, "beta"); err == nil {
		t.Error("a realm that is not there was removed")
	}
	for _, start := range []string{"", "realms:\n", "hosts: [a.example]\n"} {
		made, err := realm.Add([]byte(start), "acme", []realm.Value{{Key: "app_name", Text: "*x: #"}})
		testkit.Must(t, err)
		f, err := realm.Parse(made)
		testkit.Must(t, err)
		testkit.Equal(t, "a value that YAML would read otherwise", f.Realms[0].Values[0].Text, "*x: #")
	}
}

// A realm is found by its host, whatever the port, the case and the dot at the end.
func TestRouter(t *testing.T) {
	r, err := realm.NewRouter([]realm.Site{
		{BaseURL: "https://login.example"},
		{Name: "b", BaseURL: "https://b.example", Hosts: []string{"*.b.example", "API.b.example."}},
		{Name: "six", BaseURL: "https://[2001:db8::1]:8443"},
	})
	testkit.Must(t, err)
	for host, want := range map[string]int{
		"login.example": 0, "LOGIN.example.:443": 0, "x.login.example": -1,
		"b.example": 1, "x.b.example:80": 1, "x.y.b.example": 1, "api.b.example": 1, ".b.example": -1, "xb.example": -1,
		"[2001:DB8:0::1]:8443": 2, "[2001:db8::2]": -1, "": -1, "a..b": -1, "b.example:x": -1, "b.example/realms/a": -1,
	} {
		site, ok := r.Find(host)
		if !ok {
			site = -1
		}
		testkit.Equal(t, host, site, want)
	}
	for _, hosts := range [][]string{{"b.example:80"}, {"*.*.example"}, {"*"}, {""}, {"login.example"}, {"a b"}} {
		if _, err := realm.NewRouter([]realm.Site{{BaseURL: "https://login.example"}, {Name: "a", BaseURL: "https://a.example", Hosts: hosts}}); err == nil {
			t.Errorf("%q was accepted", hosts)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("realms:\n  a:\n    base_url: x\n    hosts: [b]\n"))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := realm.Parse(raw)
		if err == nil && len(file.Realms) > 0 {
			if _, err := realm.Remove(raw, file.Realms[0].Name); err != nil {
				t.Error(err)
			}
		}
	})
}
