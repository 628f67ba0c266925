package cli

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// checkWord returns wrong usage for a word that is not among those known, with the nearest one.
func checkWord(what, given string, words []string) error {
	if slices.Contains(words, given) {
		return nil
	}
	if near := spell.Nearest(given, words); near != "" {
		return wrong("there is no %s %q; did you mean %s?", what, given, near)
	}
	return wrong("there is no %s %q; use one of %s", what, given, strings.Join(words, ", "))
}
