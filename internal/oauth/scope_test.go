package oauth

import (
	"slices"
	"strings"
	"testing"
)

// RFC 6749 §3.3.
func TestParseScope(t *testing.T) {
	for in, want := range map[string][]string{
		"":                        nil,
		"openid":                  {"openid"},
		" openid  email ":         {"openid", "email"},
		"b a b":                   {"b", "a"},
		"api:read https://x/y.z!": {"api:read", "https://x/y.z!"},
	} {
		got, err := ParseScope(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`a"b`, `a\b`, "a\tb", "ä", "a\x7f", "a\x00", strings.Repeat("x", 129)} {
		if _, err := ParseScope(in); err == nil || Wire(err).Code != "invalid_scope" {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"openid email", "a  b", `x"y`, "ä", strings.Repeat("s ", 100), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseScope(s)
		if err != nil {
			return
		}
		if len(got) > maxScopes {
			t.Fatalf("%d scopes", len(got))
		}
		again, err := ParseScope(strings.Join(got, " "))
		if err != nil || !slices.Equal(got, again) {
			t.Fatalf("%q reads back as %q (%v)", got, again, err)
		}
		for i, name := range got {
			if !ValidScope(name) || slices.Contains(got[:i], name) {
				t.Fatalf("%q in %q", name, got)
			}
		}
	})
}
