// Package spell finds the word that a misspelled one was probably meant to be.
package spell

import "strings"

// longest is the most bytes that a word may have to be compared: no name is longer, and the work
// grows with the product of the lengths.
const longest = 64

// Nearest returns the known word that is fewest edits away from word, without regard to case, or ""
// if none is close: at most a third of the word's length plus one edit. Of several equally near
// words it returns the first.
func Nearest(word string, known []string) string {
	if len(word) > longest {
		return ""
	}
	word = strings.ToLower(word)
	best, least := "", len(word)/3+2
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		if d := Distance(word, strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// Distance counts the bytes to insert, delete, replace or swap with their neighbor that make one
// word of the other (the optimal string alignment distance).
func Distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
