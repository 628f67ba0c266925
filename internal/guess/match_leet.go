package guess

import (
	"maps"
	"slices"
	"strings"

	"github.com/trustelem/zxcvbn/match"
)

// A letter is a letter with the signs that people write in its place.
type letter struct {
	letter rune
	signs  string
}

// leet returns the letters that have such signs, in the order of the alphabet.
func leet() []letter {
	return []letter{
		{'a', "4@"},
		{'b', "8"},
		{'c', "({[<"},
		{'e', "3"},
		{'g', "69"},
		{'i', "1!|"},
		{'l', "1|7"},
		{'o', "0"},
		{'s', "$5"},
		{'t', "+7"},
		{'x', "%"},
		{'z', "2"},
	}
}

// leetMatches returns the parts of a text that are words where some letters are replaced by signs.
func leetMatches(chars []rune, own map[string]int) []*match.Match {
	var out []*match.Match
	for _, reading := range readings(string(chars)) {
		read := slices.Clone(chars)
		for i, r := range chars {
			if l, ok := reading[r]; ok {
				read[i] = l
			}
		}
		for _, m := range dictionaryMatches(read, own) {
			token := string(chars[m.I : m.J+1])
			if m.I == m.J || strings.ToLower(token) == m.MatchedWord {
				continue // a sign alone stands for itself, and this part contains none
			}
			m.Token = token
			m.L33t = true
			m.Sub = map[string]string{}
			for sign, l := range reading {
				if strings.ContainsRune(token, sign) {
					m.Sub[string(sign)] = string(l)
				}
			}
			out = append(out, m)
		}
	}
	match.Sort(out)
	return out
}

// readings returns what the signs in a text may stand for. In one reading, a letter is replaced by
// one sign only, and a sign stands for one letter.
func readings(text string) []map[rune]rune {
	all := []map[rune]rune{{}}
	for _, l := range leet() {
		var next []map[rune]rune
		for _, sign := range l.signs {
			if !strings.ContainsRune(text, sign) {
				continue
			}
			for _, reading := range all {
				if _, taken := reading[sign]; taken {
					next = append(next, reading)
				}
				other := maps.Clone(reading)
				other[sign] = l.letter
				next = append(next, other)
			}
		}
		if next != nil {
			all = distinct(next)
		}
	}
	if len(all[0]) == 0 {
		return nil
	}
	return all
}

// distinct returns the readings without those that occurred before.
func distinct(all []map[rune]rune) []map[rune]rune {
	var out []map[rune]rune
	for _, reading := range all {
		if !slices.ContainsFunc(out, func(o map[rune]rune) bool { return maps.Equal(o, reading) }) {
			out = append(out, reading)
		}
	}
	return out
}
