package ui

import (
	"html/template"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Every factor that a person can be asked for has a template, and every template a factor; each
// defines the parts of the pages on which it occurs, and no other.
func TestFactorsAndTemplatesMatch(t *testing.T) {
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	if err != nil {
		t.Fatal(err)
	}
	rp, err := passkey.New(passkey.Config{Name: "x", Origin: "https://id.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := login.New(login.Config{Passkeys: rp}, nil, keys, secret.NewPasswords(1, 1))
	kinds := s.Kinds(login.UseSecond | login.UseSubstitute)
	withTemplate, err := factorKinds()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, withTemplate) {
		t.Errorf("factors %q, templates %q", kinds, withTemplate)
	}
	frames := template.New("frame").Funcs(newPages(t).funcs())
	if err := addFactors(frames); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, kind := range kinds {
		parts := factorParts()[:4]
		if slices.Contains(s.EnrollableKinds(), kind) {
			parts = factorParts()
		}
		for _, part := range parts {
			want[part+"-"+kind] = true
			if frames.Lookup(part+"-"+kind) == nil {
				t.Errorf("the template of %s does not define %s-%s", kind, part, kind)
			}
		}
	}
	for _, defined := range frames.Templates() {
		name := defined.Name()
		dispatch := name == "frame" || strings.HasPrefix(name, "factor-") || strings.HasSuffix(name, ".html")
		if !want[name] && !dispatch {
			t.Errorf("%s is a part of no page", name)
		}
	}
}
