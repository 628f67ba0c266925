package identity

import (
	"fmt"
	"strings"
	"sync/atomic"
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

	// With Common: only lists and names count, and no estimate of the strength (NIST SP 800-63B-4
	// §3.1.1.2).
	ListsOnly bool

	List *PasswordList // with Common: passwords that the operator rejects besides; nil is none
}

// PasswordList is a set of passwords that an operator rejects. It is safe for concurrent use.
type PasswordList struct {
	words atomic.Pointer[map[string]struct{}]
}

// NewPasswordList returns the set of the lines of a text. Empty lines and lines that begin with #
// are ignored, and so are case and the space around a line.
func NewPasswordList(text string) *PasswordList {
	l := &PasswordList{}
	l.Replace(text)
	return l
}

// Replace makes the list that of another text.
func (l *PasswordList) Replace(text string) {
	words := map[string]struct{}{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			words[foldPassword(line)] = struct{}{}
		}
	}
	l.words.Store(&words)
}

// contains reports whether a password in lower case, or what remains of it without the digits and
// signs at its ends, is in the list. The nil list is empty.
func (l *PasswordList) contains(lower string) bool {
	if l == nil {
		return false
	}
	words := *l.words.Load()
	core := strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, s := range []string{lower, unleet(lower), core, unleet(core)} {
		if _, ok := words[s]; ok {
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

// The codes of rules, by which pages and programs name them.
const (
	RuleText     = "text" // no characters that cannot be used; it is not described
	RuleLength   = "length"
	RuleUpper    = "uppercase"
	RuleLower    = "lowercase"
	RuleNumber   = "number"
	RuleSpecial  = "special"
	RuleCommon   = "common"
	RuleBreached = "breached" // not in the list of a breach; the policy itself does not know it
	RuleFormer   = "former"   // not used before; the policy itself does not know it
)

// Rule is one requirement of a policy.
type Rule struct {
	Code  string
	Count int    // of RuleLength: how many characters
	Text  string // in English
}

// Rules describes the policy, for the page that asks for a password.
func (p Policy) Rules() []Rule {
	n := max(p.MinLength, 1)
	out := []Rule{{Code: RuleLength, Count: n, Text: fmt.Sprintf("At least %d characters.", n)}}
	for _, c := range p.classes() {
		if c.required {
			out = append(out, Rule{Code: c.code, Text: c.rule})
		}
	}
	if p.Common {
		text := "Not a common password, a simple pattern, or one with your name in it."
		out = append(out, Rule{Code: RuleCommon, Text: text})
	}
	return out
}

// Assessment is what a policy says about a password.
type Assessment struct {
	Wrong    []*fault.Error // what must be changed, each with the code of its rule as Reason
	Strength Strength       // Weak if anything is wrong
}

// Texts returns what must be changed in sentences, or nil.
func (a Assessment) Texts() []string {
	var out []string
	for _, w := range a.Wrong {
		out = append(out, w.Text)
	}
	return out
}

// At returns everything that must be changed as one error about an input, or nil.
func (a Assessment) At(field string) error {
	var all []error
	for _, w := range a.Wrong {
		at := *w
		at.Field = field
		all = append(all, &at)
	}
	return fault.Join(all...)
}

// AssessFor checks a user's new password. site holds the names of the site and of the company that
// runs it. The user's other names may be part of a password, but do not make it stronger.
func (p Policy) AssessFor(u *User, password string, site ...string) Assessment {
	return p.assess(password, words{
		personal:  append([]string{u.Username, u.Email}, site...),
		penalties: []string{u.Name, u.GivenName, u.MiddleName, u.FamilyName, u.Nickname},
	})
}

// CheckFor returns everything that is wrong with a user's new password in sentences, or nil.
func (p Policy) CheckFor(u *User, password string, site ...string) []string {
	return p.AssessFor(u, password, site...).Texts()
}

// Check returns everything that is wrong with a password, in sentences, or nil. The personal words
// are those near the account: username, email address, the names of the site.
func (p Policy) Check(password string, personal ...string) []string {
	return p.assess(password, words{personal: personal}).Texts()
}

// words are what a guesser knows of an account.
type words struct {
	personal  []string // must not be part of a password
	penalties []string // do not make it stronger
}

func (p Policy) assess(password string, known words) Assessment {
	out := Assessment{Strength: Weak}
	if text := unusable(password); text != nil {
		out.Wrong = append(out.Wrong, text)
		return out
	}
	password = NormalizePassword(password)
	if strings.ContainsFunc(password, unicode.IsControl) {
		out.add(RuleText, "Leave out control characters.")
	}
	if strings.ContainsFunc(password, func(r rune) bool { return !assigned(r) }) {
		out.add(RuleText, "Leave out characters that Unicode does not define.")
	}
	if n := max(p.MinLength, 1); utf8.RuneCountInString(password) < n {
		out.add(RuleLength, "Use at least %d characters.", n)
	}
	for _, c := range p.classes() {
		if c.required && !strings.ContainsFunc(password, c.in) {
			out.say(c.code, c.sentence)
		}
	}
	p.assessGuesses(&out, password, known)
	return out
}

func (a *Assessment) add(rule, format string, args ...any) {
	a.Wrong = append(a.Wrong, finding(rule, format, args...))
}

// say adds a sentence that is a constant.
func (a *Assessment) say(rule, text string) {
	a.Wrong = append(a.Wrong, &fault.Error{Kind: fault.Invalid, Reason: rule, Text: text})
}

func finding(rule, format string, args ...any) *fault.Error {
	e := fault.New(fault.Invalid, format, args...)
	e.Reason = rule
	return e
}

// unusable returns the fault of a password that the other rules cannot check, such as one that is
// not UTF-8, or nil.
func unusable(password string) *fault.Error {
	if len(password) <= MaxPassword && !utf8.ValidString(password) {
		return finding(RuleText, "Use characters that can be read as text (UTF-8).")
	}
	if len(password) > MaxPassword || len(NormalizePassword(password)) > MaxPassword {
		return finding(RuleText, "Use at most %d bytes.", MaxPassword)
	}
	return nil
}

// class is a kind of character that the policy may require.
type class struct {
	required             bool
	code, rule, sentence string
	in                   func(rune) bool
}

func (p Policy) classes() []class {
	return []class{
		{p.Upper, RuleUpper, "An upper-case letter.", "Add an upper-case letter.", unicode.IsUpper},
		{p.Lower, RuleLower, "A lower-case letter.", "Add a lower-case letter.", unicode.IsLower},
		{p.Number, RuleNumber, "A number.", "Add a number.", unicode.IsDigit},
		{
			p.Special, RuleSpecial,
			"A special character, such as ! or a space.",
			"Add a special character, such as ! or a space.",
			isSpecial,
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
