package cli

import (
	"slices"
	"strings"
)

// known checks one word against those there are, and names the one that was probably meant.
func known(what, given string, words []string) error {
	if slices.Contains(words, given) {
		return nil
	}
	if near := nearest(given, words); near != "" {
		return wrong("there is no %s %q; did you mean %s?", what, given, near)
	}
	return wrong("there is no %s %q; use one of %s", what, given, strings.Join(words, ", "))
}

// nearest finds the word that s was probably meant to be, or "".
func nearest(s string, words []string) string {
	best, least := "", min(len(s), 32)/3+2
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace between two words.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a) // no word of ours is this long; do not measure
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(row[j]+1, row[j-1]+1, cost)
		}
	}
	return row[len(b)]
}
