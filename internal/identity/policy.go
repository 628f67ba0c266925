package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxPassword is the longest password accepted, in bytes, before and after normalisation.
// It bounds the work that a stranger can ask for.
const MaxPassword = 1024

// minPersonal is the shortest name that a password must not contain; shorter ones occur by chance.
const minPersonal = 4

// minFresh is how many characters of a password must not merely continue a run or a keyboard row.
const minFresh = 6

// minDistinct is how many different characters a password needs.
const minDistinct = 5

// Policy says what a new password must be like.
type Policy struct {
	MinLength int  // in characters
	Upper     bool // must contain an upper-case letter
	Lower     bool // must contain a lower-case letter
	Number    bool // must contain a digit
	Special   bool // must contain a character that is neither letter nor digit
	Common    bool // must not be a common password, a regular pattern or built on the person's own names
}

// NormalizePassword is the form in which a password is hashed and compared: NFKC, so that keyboards which compose
// characters differently give the same password (NIST SP 800-63B §3.1.1.2).
func NormalizePassword(password string) string { return norm.NFKC.String(password) }

// Rules describes the policy in sentences, for the page that asks for a password.
func (p Policy) Rules() []string {
	out := []string{fmt.Sprintf("At least %d characters.", max(p.MinLength, 1))}
	for _, r := range p.classes() {
		if r.wanted {
			out = append(out, r.rule)
		}
	}
	if p.Common {
		out = append(out, "Not a common password, a simple pattern, or one with your name in it.")
	}
	return out
}

// Check tells everything that is wrong with a password, in sentences, or nothing. The personal words are the names
// that stand near the account: user name, e-mail address, product.
func (p Policy) Check(password string, personal ...string) []string {
	if len(password) > MaxPassword {
		return []string{fmt.Sprintf("Use at most %d bytes.", MaxPassword)}
	}
	if !utf8.ValidString(password) {
		return []string{"Use characters that can be read as text (UTF-8)."}
	}
	password = NormalizePassword(password)
	if len(password) > MaxPassword {
		return []string{fmt.Sprintf("Use at most %d bytes.", MaxPassword)}
	}
	var wrong []string
	if strings.ContainsFunc(password, unicode.IsControl) {
		wrong = append(wrong, "Leave out control characters.")
	}
	if n := utf8.RuneCountInString(password); n < max(p.MinLength, 1) {
		wrong = append(wrong, fmt.Sprintf("Use at least %d characters.", max(p.MinLength, 1)))
	}
	for _, r := range p.classes() {
		if r.wanted && !strings.ContainsFunc(password, r.in) {
			wrong = append(wrong, r.sentence)
		}
	}
	if p.Common {
		wrong = append(wrong, guessable(password, personal)...)
	}
	return wrong
}

type class struct {
	wanted         bool
	in             func(rune) bool
	rule, sentence string
}

func (p Policy) classes() []class {
	return []class{
		{p.Upper, unicode.IsUpper, "An upper-case letter.", "Add an upper-case letter."},
		{p.Lower, unicode.IsLower, "A lower-case letter.", "Add a lower-case letter."},
		{p.Number, unicode.IsDigit, "A number.", "Add a number."},
		{p.Special, isSpecial, "A special character, such as ! or a space.", "Add a special character, such as ! or a space."},
	}
}

func isSpecial(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
}

// guessable finds what an attacker tries first. At most one sentence about patterns is given: the person needs one reason.
func guessable(password string, personal []string) []string {
	var wrong []string
	lower := strings.ToLower(password)
	if w := containedName(lower, personal); w != "" {
		wrong = append(wrong, fmt.Sprintf("Leave out “%s”: it is easy to guess from your account.", w))
	}
	switch {
	case distinct(lower) < minDistinct:
		wrong = append(wrong, "Use more different characters.")
	case fresh(lower) < minFresh:
		wrong = append(wrong, "Avoid rows of characters such as “12345”, “abcde” or “qwertz”.")
	case repeated(lower):
		wrong = append(wrong, "Avoid repeating the same short piece.")
	case common(lower):
		wrong = append(wrong, "This is one of the passwords that are guessed first; choose another.")
	}
	return wrong
}

// containedName finds a personal word, or its part before @ or a first label of a host, within the password.
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

func distinct(s string) int {
	seen := make(map[rune]struct{}, len(s))
	for _, r := range s {
		seen[r] = struct{}{}
	}
	return len(seen)
}

// keyRows are the rows of the common keyboard layouts, in which neighbours are guessed as easily as in the alphabet.
const keyRows = "1234567890 qwertyuiop qwertzuiop azertyuiop asdfghjkl zxcvbnm yxcvbnm wxcvbn 1qaz 2wsx 3edc 4rfv 5tgb 6zhn 6yhn 7ujm"

// fresh counts the characters that do not follow from the one before: the same again, the next or previous in the
// alphabet, or the neighbour in a keyboard row.
func fresh(s string) int {
	n, prev := 0, rune(-2)
	for _, r := range s {
		if d := r - prev; (d < -1 || d > 1) && !neighbours(prev, r) {
			n++
		}
		prev = r
	}
	return n
}

func neighbours(a, b rune) bool {
	if a <= ' ' || a > unicode.MaxASCII || b <= ' ' || b > unicode.MaxASCII {
		return false
	}
	return strings.Contains(keyRows, string([]rune{a, b})) || strings.Contains(keyRows, string([]rune{b, a}))
}

// repeated reports whether the whole is one piece of fewer than eight characters, said over and over.
func repeated(s string) bool {
	r := []rune(s)
	for size := 1; size < 8 && size*2 <= len(r); size++ {
		same := true
		for i := size; i < len(r) && same; i++ {
			same = r[i] == r[i-size]
		}
		if same {
			return true
		}
	}
	return false
}

// common reports whether the password is one or two words of the list, dressed up with digits and signs.
// Where the dressing is itself hard to guess, the words do no harm.
func common(lower string) bool {
	if inList(lower) {
		return true
	}
	trimmed := strings.TrimFunc(lower, notLetter)
	for _, s := range []string{lower, unleet(lower), trimmed, unleet(trimmed)} {
		if letters := keep(s, unicode.IsLetter); listed(letters) && fresh(keep(lower, notLetter)) <= minFresh {
			return true
		}
	}
	return false
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

func keep(s string, in func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if in(r) {
			return r
		}
		return -1
	}, s)
}

// maxListed bounds the search: no two words of the list are longer together.
const maxListed = 64

func listed(s string) bool {
	if s == "" || len(s) > maxListed {
		return false
	}
	if inList(s) {
		return true
	}
	for i := range s {
		if i > 0 && inList(s[:i]) && inList(s[i:]) {
			return true
		}
	}
	return false
}

func inList(s string) bool {
	return !strings.ContainsRune(s, ' ') && strings.Contains(commonWords, " "+s+" ")
}

// unleet undoes the letter-for-sign swaps that fool nobody.
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
