package spell

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "abd", 1},
		{"abc", "ab", 1},
		{"ab", "abc", 1},
		{"port", "prot", 1},
		{"kitten", "sitting", 3},
		{"ca", "abc", 3},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d; want %d", c.a, c.b, got, c.want)
		}
		if got := Distance(c.b, c.a); got != c.want {
			t.Errorf("Distance(%q, %q) = %d; want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"DATABASE_URL", "BASE_URL", "PORT", "authorization_code", strings.Repeat("x", 70)}
	for word, want := range map[string]string{
		"DATABSE_URL": "DATABASE_URL", "base_url": "BASE_URL", "PROT": "PORT", "authorisation_code": "authorization_code",
		"something else": "", strings.Repeat("x", 70): "", "": "", "p": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q; want %q", word, got, want)
		}
	}
	if got := Nearest("abd", []string{"abe", "abc"}); got != "abe" {
		t.Errorf("of two equally near words %q was taken", got)
	}
	if Nearest("word", nil) != "" {
		t.Error("a word was found among none")
	}
}
