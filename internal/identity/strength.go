package identity

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/match"

	"github.com/gatehouse-id/gatehouse/internal/guess"
)

const (
	// The shortest name that a password must not contain; shorter ones occur by chance.
	minPersonal = 4
	// The shortest part of a name that makes a password weaker where it occurs.
	minPenalty = 3
	// The fewest guesses, in the estimate of zxcvbn, that a password must withstand. It lies
	// between zxcvbn's scores 3 ("safely unguessable") and 4. To test one guess, an attacker with a
	// copy of the database has to compute one argon2id hash.
	minGuesses = 1e9
	// The guesses from which a password counts as strong: years of a thousand processors.
	strongGuesses = 1e12
	// The number of characters at the start of a password that the estimate reads. Its time grows
	// faster than the length.
	maxEstimated = 48
	// The most different symbols in a password that the estimate may read as letters. Each one
	// multiplies the number of readings, and real words use no more than these.
	maxLeetSymbols = 3
)

// Strength is how well a password withstands guessing, in three steps.
type Strength string

// The steps of strength. Weak is rejected, or would be if the policy checked it.
const (
	Weak   Strength = "weak"
	Fair   Strength = "fair"
	Strong Strength = "strong"
)

// assessGuesses sets the strength of a password and, with p.Common, adds what makes it easy to
// guess. It does not repeat any part of the password, since the sentences are logged.
func (p Policy) assessGuesses(out *Assessment, password string, known words) {
	all := penaltyWords(slices.Concat(known.personal, known.penalties))
	guesses, parts := guess.Estimate(estimated(password), all)
	if p.Common {
		lower := foldPassword(password)
		if w := containedName(lower, known.personal); w != "" {
			out.add(RuleCommon, "Leave out “%s”: it is easy to guess from your account.", w)
		}
		switch {
		case p.List.contains(lower), foldPassword(password) != strings.ToLower(password) && listed(lower):
			out.say(RuleCommon, textListed)
		case p.ListsOnly:
			if len(parts) == 1 && guesses < minGuesses {
				out.say(RuleCommon, weakness(parts))
			}
		case guesses < minGuesses:
			out.say(RuleCommon, weakness(parts))
		}
	}
	switch {
	case len(out.Wrong) > 0 || guesses < minGuesses:
		out.Strength = Weak
	case guesses < strongGuesses:
		out.Strength = Fair
	default:
		out.Strength = Strong
	}
}

// listed reports whether the estimate knows a password, in the form of foldPassword, as a common
// one.
func listed(folded string) bool {
	guesses, _ := guess.Estimate(estimated(folded), nil)
	return guesses < minGuesses
}

// Sentences about passwords that are easy to guess, with what to do about it.
const (
	advice = "Use several unrelated words, or let a password manager choose."

	textListed   = "This password is on a list of common passwords. " + advice
	textShort    = "This password is too short to withstand guessing. " + advice
	textRepeat   = "Repeating the same characters makes a password easy to guess. " + advice
	textSequence = "Sequences such as “abcde” or “12345” are easy to guess. " + advice
	textKeyboard = "Keyboard patterns such as “qwerty” or “1qaz2wsx” are easy to guess. " + advice
	textDate     = "Dates and years are easy to guess. " + advice
	textCommon   = "This password contains a common password. " + advice
	textPersonal = "This password contains your name, your email address or the name of this site. " + advice
	textName     = "Names are easy to guess, even with digits and symbols added. " + advice
	textWord     = "A common word is easy to guess, even with digits and symbols added. " + advice
)

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
		return textShort
	}
	switch longest.Pattern {
	case "repeat":
		return textRepeat
	case "sequence":
		return textSequence
	case "spatial":
		return textKeyboard
	case "date", "regex":
		return textDate
	}
	switch longest.DictionaryName {
	case "passwords":
		return textCommon
	case "user_inputs":
		return textPersonal
	case "male_names", "female_names", "surnames":
		return textName
	}
	return textWord
}

// estimated returns the part of a password that is passed to the estimate, so that its time is
// bounded: the first maxEstimated characters. After maxLeetSymbols different symbols that may stand
// for letters, it replaces any other such symbol by "~", which stands for no letter.
func estimated(password string) string {
	var symbols []rune
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > maxEstimated {
			return -1
		}
		if !strings.ContainsRune("@({[<!|$+%", r) || slices.Contains(symbols, r) {
			return r
		}
		if len(symbols) == maxLeetSymbols {
			return '~'
		}
		symbols = append(symbols, r)
		return r
	}, password)
}

// penaltyWords returns the words in names, addresses and host names, in lower case.
func penaltyWords(names []string) []string {
	var words []string
	for _, name := range names {
		name = foldPassword(strings.TrimSpace(name))
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
		w = foldPassword(strings.TrimSpace(w))
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

// unleet replaces the symbols and digits that commonly stand for letters.
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
