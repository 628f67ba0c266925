package identity

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn"
	"github.com/trustelem/zxcvbn/match"
)

const (
	// The shortest name that a password must not contain; shorter ones occur by chance.
	minPersonal = 4
	// The shortest part of a name that makes a password weaker where it occurs.
	minPenalty = 3
	// How many guesses a password must withstand, in the estimate of zxcvbn: between its scores 3
	// ("safely unguessable") and 4. A guess costs an attacker who has the database a hash of
	// argon2id.
	minGuesses = 1e9
	// The estimate takes time that grows faster than the length; a password is judged by its
	// beginning of so many characters.
	maxEstimated = 48
	// Each sign that may stand for a letter multiplies the readings of a password. No word needs
	// more different ones than this.
	maxLeetSigns = 3
)

// guessable returns what makes a password easy to guess, with what to do about it. It does not
// repeat any part of the password, since the sentences are logged.
func (p Policy) guessable(password string, personal, penalties []string) []string {
	var wrong []string
	lower := strings.ToLower(password)
	if w := containedName(lower, personal); w != "" {
		wrong = append(wrong,
			fmt.Sprintf("Leave out “%s”: it is easy to guess from your account.", w))
	}
	if p.List.contains(lower) {
		return append(wrong, "This password is on a list of passwords that are guessed first. "+advice)
	}
	words := penaltyWords(slices.Concat(personal, penalties))
	result := zxcvbn.PasswordStrength(estimated(password), words)
	if result.Guesses < minGuesses {
		wrong = append(wrong, weakness(result.Sequence)+" "+advice)
	}
	return wrong
}

const advice = "Use several unrelated words, or let a password manager choose."

// weakness returns a sentence about the longest guessable part of a password.
func weakness(parts []*match.Match) string {
	var longest *match.Match
	for _, m := range parts {
		if m.Pattern == "bruteforce" {
			continue
		}
		if longest == nil || len(m.Token) > len(longest.Token) {
			longest = m
		}
	}
	if longest == nil {
		return "This password is too short to withstand guessing."
	}
	switch longest.Pattern {
	case "repeat":
		return "Repeating the same characters makes a password easy to guess."
	case "sequence":
		return "Rows of characters such as “abcde” or “12345” are easy to guess."
	case "spatial":
		return "Rows of keys such as “qwerty” or “1qaz2wsx” are easy to guess."
	case "date", "regex":
		return "Dates and years are easy to guess."
	}
	switch longest.DictionaryName {
	case "passwords":
		return "This is built on one of the passwords that are guessed first."
	case "user_inputs":
		return "This is built on your name, your email address or the name of this site."
	case "male_names", "female_names", "surnames":
		return "Names are easy to guess, also with digits and signs around them."
	}
	return "A common word is easy to guess, also with digits and signs around it."
}

// estimated returns the part of a password that the estimate looks at, so that no password takes
// long: its beginning, in which further signs that may stand for letters are replaced by one that
// stands for none.
func estimated(password string) string {
	var signs []rune
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > maxEstimated {
			return -1
		}
		if !strings.ContainsRune("@({[<!|$+%", r) || slices.Contains(signs, r) {
			return r
		}
		if len(signs) == maxLeetSigns {
			return '~'
		}
		signs = append(signs, r)
		return r
	}, password)
}

// penaltyWords returns the words in names, addresses and host names, in lower case.
func penaltyWords(names []string) []string {
	var words []string
	for _, name := range names {
		name = strings.ToLower(NormalizePassword(strings.TrimSpace(name)))
		parts := strings.FieldsFunc(name, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		for _, w := range append(parts, name, strings.Join(parts, "")) {
			if utf8.RuneCountInString(w) >= minPenalty && !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	return words
}

// containedName returns a personal word, or its part before @, that the password contains, or "".
func containedName(lower string, personal []string) string {
	plain := unleet(lower)
	for _, w := range personal {
		w = strings.ToLower(NormalizePassword(strings.TrimSpace(w)))
		if at := strings.IndexByte(w, '@'); at >= 0 {
			w = w[:at]
		}
		if utf8.RuneCountInString(w) < minPersonal {
			continue
		}
		if strings.Contains(lower, w) || strings.Contains(plain, unleet(w)) {
			return w
		}
	}
	return ""
}

// unleet replaces the signs and digits that commonly stand for letters.
func unleet(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '0':
			return 'o'
		case '1', '!', '|':
			return 'i'
		case '3', '€':
			return 'e'
		case '4', '@':
			return 'a'
		case '5', '$':
			return 's'
		case '7', '+':
			return 't'
		case '8':
			return 'b'
		}
		return r
	}, s)
}
