package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"golang.org/x/text/unicode/norm"
)

// MaxPassword is the longest password accepted, in bytes, before and after normalization. It bounds
// the work that a stranger can cause.
const MaxPassword = 1024

// Policy is what a new password must be like.
type Policy struct {
	MinLength int  // in characters
	Upper     bool // must contain an upper-case letter
	Lower     bool // must contain a lower-case letter
	Number    bool // must contain a digit
	Special   bool // must contain a character that is neither letter nor digit
	Common    bool // must not be a common password, a simple pattern or built on the person's names

	List *PasswordList // with Common: passwords that the operator rejects besides; nil is none
}

// PasswordList is a set of passwords that an operator rejects.
type PasswordList struct{ words map[string]struct{} }

// NewPasswordList returns the set of the lines of a text. Empty lines and lines that begin with #
// are ignored, and so are case and the space around a line.
func NewPasswordList(text string) *PasswordList {
	l := &PasswordList{words: map[string]struct{}{}}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			l.words[foldPassword(line)] = struct{}{}
		}
	}
	return l
}

// contains reports whether a password in lower case, or what remains of it without the digits and
// signs at its ends, is in the list. The nil list is empty.
func (l *PasswordList) contains(lower string) bool {
	if l == nil {
		return false
	}
	core := strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, s := range []string{lower, unleet(lower), core, unleet(core)} {
		if _, ok := l.words[s]; ok {
			return true
		}
	}
	return false
}

// NormalizePassword returns the form in which a password is hashed and compared (RFC 8265 §4.2), so
// that keyboards which compose characters differently give the same password.
func NormalizePassword(password string) string { return secret.NormalPassword(password) }

// foldPassword returns the form in which passwords are looked for in lists and compared with names:
// full-width letters and ligatures are as easy to guess as the ordinary letters.
func foldPassword(s string) string { return strings.ToLower(norm.NFKC.String(s)) }

// assigned reports whether Unicode defines the character, as far as this program knows. The normal
// form of others may change (Unicode Standard Annex #15 §3), so a password may not have them (RFC
// 8264 §9.10).
func assigned(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z,
		unicode.Cc, unicode.Cf)
}

// Rules describes the policy in sentences, for the page that asks for a password.
func (p Policy) Rules() []string {
	out := []string{fmt.Sprintf("At least %d characters.", max(p.MinLength, 1))}
	for _, r := range p.classes() {
		if r.required {
			out = append(out, r.rule)
		}
	}
	if p.Common {
		out = append(out, "Not a common password, a simple pattern, or one with your name in it.")
	}
	return out
}

// CheckFor returns everything that is wrong with a user's new password, as Check does. site holds
// the names of the site and of the company that runs it.
func (p Policy) CheckFor(u *User, password string, site ...string) []string {
	personal := append([]string{u.Username, u.Email}, site...)
	return p.check(password, personal, []string{u.Name, u.GivenName, u.MiddleName, u.FamilyName, u.Nickname})
}

// Check returns everything that is wrong with a password, in sentences, or nil. The personal words
// are those near the account: username, email address, the names of the site.
func (p Policy) Check(password string, personal ...string) []string {
	return p.check(password, personal, nil)
}

// check does what Check does, with further words that may be part of a password, but do not make it
// stronger.
func (p Policy) check(password string, personal, penalties []string) []string {
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
	if strings.ContainsFunc(password, func(r rune) bool { return !assigned(r) }) {
		wrong = append(wrong, "Leave out characters that Unicode does not define.")
	}
	if n := utf8.RuneCountInString(password); n < max(p.MinLength, 1) {
		wrong = append(wrong, fmt.Sprintf("Use at least %d characters.", max(p.MinLength, 1)))
	}
	for _, r := range p.classes() {
		if r.required && !strings.ContainsFunc(password, r.in) {
			wrong = append(wrong, r.sentence)
		}
	}
	if p.Common {
		wrong = append(wrong, p.guessable(password, personal, penalties)...)
	}
	return wrong
}

// class is a kind of character that the policy may require.
type class struct {
	required       bool
	in             func(rune) bool
	rule, sentence string
}

func (p Policy) classes() []class {
	return []class{
		{p.Upper, unicode.IsUpper, "An upper-case letter.", "Add an upper-case letter."},
		{p.Lower, unicode.IsLower, "A lower-case letter.", "Add a lower-case letter."},
		{p.Number, unicode.IsDigit, "A number.", "Add a number."},
		{
			p.Special, isSpecial,
			"A special character, such as ! or a space.",
			"Add a special character, such as ! or a space.",
		},
	}
}

func isSpecial(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
}

// CheckRepeated returns an error at the field confirm_password if a person typed two different
// passwords.
func CheckRepeated(password, repeated string) error {
	if password != repeated {
		return fault.InvalidField("confirm_password", "The two passwords do not match.")
	}
	return nil
}
