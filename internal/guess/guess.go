// Package guess estimates how many guesses a password withstands, by the method of zxcvbn.
//
// The word lists, the keyboards and the arithmetic are those of the library
// github.com/trustelem/zxcvbn. Its package matching is replaced here, because it builds 11 MB of
// tables and compiles regular expressions when a program starts, whether or not the program ever
// sees a password. This one builds an index of 1 MB when it is first needed. A test compares the
// two.
package guess

import (
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/match"
	"github.com/trustelem/zxcvbn/scoring"
)

// Estimate returns the guesses that a password withstands, and the parts that the estimate consists
// of. An attacker is assumed to know the given words, which are in lower case. A text that is not
// UTF-8 withstands none.
func Estimate(password string, known []string) (guesses float64, parts []*match.Match) {
	if !utf8.ValidString(password) {
		return 0, nil
	}
	return mostGuessable(password, known)
}

// mostGuessable returns the cheapest sequence of guessable parts that makes up a text.
func mostGuessable(text string, known []string) (guesses float64, parts []*match.Match) {
	chars := []rune(text)
	result := scoring.MostGuessableMatchSequence(plain(chars), matches(chars, known), false)
	return result.Guesses, result.Sequence
}

// matches returns every part of a text that follows a pattern, in the order of their places. Places
// are numbers of characters.
func matches(chars []rune, known []string) []*match.Match {
	own, text := ranks(known), plain(chars)
	out := dictionaryMatches(chars, own)
	out = append(out, reversedMatches(chars, own)...)
	out = append(out, leetMatches(chars, own)...)
	out = append(out, spatialMatches(text)...)
	out = append(out, repeatMatches(chars)...)
	out = append(out, sequenceMatches(text)...)
	out = append(out, yearMatches(text)...)
	out = append(out, dateMatches(text)...)
	match.Sort(out)
	return out
}

// plain returns a text where a character that is not in ASCII is replaced by one that belongs to no
// pattern. Package scoring and most patterns take bytes for characters.
func plain(chars []rune) string {
	out := make([]byte, len(chars))
	for i, r := range chars {
		out[i] = 0x7f
		if r < 0x7f {
			out[i] = byte(r)
		}
	}
	return string(out)
}
