package identity

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTheEstimateIsBounded(t *testing.T) {
	for in, want := range map[string]string{
		"Tr4verse-the-Quiet-Valley":  "Tr4verse-the-Quiet-Valley",
		"p@$$w0rd!":                  "p@$$w0rd!",
		"1234567890":                 "1234567890",
		"@({[<!|$+%@([<":             "@({~~~~~~~@(~~",
		strings.Repeat("ä", 70):      strings.Repeat("ä", maxEstimated),
		strings.Repeat("@", 70):      strings.Repeat("@", maxEstimated),
		strings.Repeat("@!$%|<", 20): strings.Repeat("@!$~~~", 20)[:maxEstimated],
	} {
		got := estimated(in)
		if got != want || utf8.RuneCountInString(got) > maxEstimated {
			t.Errorf("%q is estimated by %q, want %q", in, got, want)
		}
	}
}
