package identity

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of search terms: what a stranger enters decides neither how many rows an account has nor
// how long they are.
const (
	maxTermBytes = 64
	maxTerms     = 24
)

// Marks that begin terms other than words.
const (
	TermAddress = "@" // and the folded email address
	TermRole    = "#" // and a role as it is
)

// plainLetters are letters with a stroke and ligatures, which have no decomposition.
var plainLetters = strings.NewReplacer("ß", "ss", "ø", "o", "đ", "d", "ð", "d", "ħ", "h", "ı", "i", "ł", "l",
	"æ", "ae", "œ", "oe", "þ", "th", "ŧ", "t", "ς", "σ")

// Fold returns the form in which words are searched and sorted: the compatibility form of Unicode,
// in lower case, without accents and other marks.
func Fold(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	folded := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(s, "")))))
	return plainLetters.Replace(folded)
}

// Words returns the words of texts, folded, without repeats. A character that is neither a letter
// nor a digit separates words.
func Words(texts ...string) []string {
	var out []string
	for _, text := range texts {
		for _, w := range strings.FieldsFunc(Fold(text), notOfWord) {
			if w = clipTerm(w); !slices.Contains(out, w) {
				out = append(out, w)
			}
			if len(out) == maxTerms {
				return out
			}
		}
	}
	return out
}

func notOfWord(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// clipTerm returns at most maxTermBytes bytes of a term, which end with a whole character.
func clipTerm(s string) string {
	if len(s) <= maxTermBytes {
		return s
	}
	end := maxTermBytes
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Terms returns what a user is found by: the words of the user name, the address and the name, the
// whole address, and the roles.
func (u *User) Terms() []string {
	out := Words(u.Username, u.Email, u.Name)
	if u.Email != "" {
		out = append(out, clipTerm(TermAddress+Fold(u.Email)))
	}
	for _, role := range u.Roles {
		out = append(out, RoleTerm(role))
	}
	return out
}

// RoleTerm returns the term of users with a role.
func RoleTerm(role string) string { return TermRole + role }

// SearchTerms returns the beginnings of terms that all have to match for a text to be found. Parts
// of the text with an @ are beginnings of addresses, or of a domain.
func SearchTerms(text string) []string {
	var out []string
	for _, part := range strings.Fields(text) {
		if at := strings.IndexByte(part, '@'); at > 0 {
			out = append(out, clipTerm(TermAddress+Fold(part)))
			continue
		}
		out = append(out, Words(part)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// NameKey returns the text by which a user is sorted: the folded label.
func (u *User) NameKey() string {
	for _, s := range []string{u.Name, u.Username, u.Email} {
		if s != "" {
			return SortKey(s)
		}
	}
	return ""
}

// SortKey returns the text by which a thing with that name is sorted: the folded name, cut to a
// length that an index takes.
func SortKey(name string) string { return clipTerm(strings.TrimSpace(Fold(name))) }
