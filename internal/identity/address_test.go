package identity

import (
	"strings"
	"testing"
)

// One spelling of an address is stored, and all spellings have one key.
func TestNormalAddress(t *testing.T) {
	for in, want := range map[string]string{
		"Ada@Example.ORG":                       "Ada@example.org",
		" ada@example.org ":                     "ada@example.org",
		"a@bücher.example":                      "a@xn--bcher-kva.example",
		"a@BÜCHER.example":                      "a@xn--bcher-kva.example",
		"a@bu\u0308cher.example":                "a@xn--bcher-kva.example",
		"a@XN--BCHER-KVA.example":               "a@xn--bcher-kva.example",
		"ju\u0308rgen@example.net":              "j\u00fcrgen@example.net",
		"a@xn--a.example":                       "", // not an A-label
		"a@example\u200b.org":                   "",
		"a\u00ad@example.org":                   "",
		"a@b@example.org":                       "",
		"\"a b\"@example.org":                   "",
		"a@-example.org":                        "",
		"a\r\nBcc: b@example.org":               "",
		strings.Repeat("a", 65) + "@x":          "",
		"a@" + strings.Repeat("b.", 126) + "cc": "", // 256 bytes
		"a@" + strings.Repeat("ü.", 40) + "de":  "", // longer than 254 with A-labels
	} {
		got, ok := NormalAddress(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, ok, want)
		}
		if ok && LoginKey(got) != LoginKey(in) {
			t.Errorf("%q: the keys %q and %q differ", in, LoginKey(got), LoginKey(in))
		}
	}
	same := []string{"a@bücher.example", "A@xn--bcher-kva.example", "a@BU\u0308CHER.example"}
	for _, s := range same {
		if LoginKey(s) != "a@xn--bcher-kva.example" {
			t.Errorf("the key of %q is %q", s, LoginKey(s))
		}
	}
	if key := LoginKey("bücher"); key != "bücher" { // a username
		t.Errorf("a username became %q", key)
	}
}
