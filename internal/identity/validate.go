package identity

import (
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of a user's fields, in characters where nothing else is said.
const (
	maxName       = 200
	maxAddress    = 400
	maxPostalCode = 32
	maxRole       = 64
	maxPicture    = 1024 // bytes
	maxWebPage    = 1024 // bytes
	maxGender     = 64
	maxZone       = 64
	maxEmail      = 254 // bytes (RFC 5321 §4.5.3.1.3, with the two brackets of the path)
	maxLocalPart  = 64  // bytes (RFC 5321 §4.5.3.1.1)
	maxLabel      = 63  // bytes (RFC 1035 §2.3.4)

	minBirthYear = 1800 // a lower one is a slip of the pen
)

// Validate returns what is wrong with the fields of a user, as one fault.Invalid (see fault.Join),
// or nil. It is the one rule for users on every way in.
func (u *User) Validate() error {
	if u.Email == "" && u.Username == "" {
		return fault.InvalidField("email", "Enter an email address or a username.")
	}
	var wrong []error
	for _, f := range userFields() {
		wrong = append(wrong, f.Validate(u))
	}
	return fault.Join(wrong...)
}

// ValidateChange validates the fields that differ from old, so that a value which was stored before
// the rule existed does not stand in the way of another change.
func (u *User) ValidateChange(old *User) error {
	if u.Email == "" && u.Username == "" && (old.Email != "" || old.Username != "") {
		return fault.InvalidField("email", "Enter an email address or a username.")
	}
	var wrong []error
	for _, f := range userFields() {
		if !f.Equal(u, old) {
			wrong = append(wrong, f.Validate(u))
		}
	}
	return fault.Join(wrong...)
}

// ValidEmail reports whether s has the form of an email address: a dot-atom (RFC 5322 §3.2.3, with
// the letters of RFC 6531) and a domain of host name labels. Quoted local parts and addresses of
// hosts by number are rejected, and characters that can be invisible. Its normal form and its
// LoginKey must have the same form. Whether the address works is known when a message has arrived.
func ValidEmail(s string) bool {
	_, ok := NormalAddress(s)
	return ok && s == strings.TrimSpace(s)
}

func emailForm(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 0 || len(s) > maxEmail || !utf8.ValidString(s) {
		return false
	}
	local, domain := s[:at], s[at+1:]
	if len(local) > maxLocalPart {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, notAtomText) {
			return false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, notLabelText) {
			return false
		}
	}
	return true
}

func notAtomText(r rune) bool {
	if r > unicode.MaxASCII {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r)
	}
	return !asciiAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func notLabelText(r rune) bool {
	if r > unicode.MaxASCII {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	}
	return !asciiAlphanumeric(r) && r != '-'
}

func asciiAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func checkEmail(f UserField, value string) error {
	if what := invalidLogin(value); what != "" {
		return f.invalid("An email address must not contain %s.", what)
	}
	if value != "" && !ValidEmail(value) {
		return f.invalid("%q is not an email address.", clip(value))
	}
	return nil
}

// checkUsername keeps usernames and email addresses apart, since a person signs in with either. The
// key counts as well, because a full-width @ is an @ there.
func checkUsername(f UserField, value string) error {
	key := LoginKey(value)
	if strings.ContainsRune(value+key, '@') {
		return f.invalid("A username must not contain @; enter an email address in its own field.")
	}
	if what := invalidLogin(value); what != "" {
		return f.invalid("A username must not contain %s.", what)
	}
	if utf8.RuneCountInString(value) > maxName || strings.ContainsFunc(value+key, unicode.IsSpace) {
		return f.invalid("A username has at most %d characters, without spaces.", maxName)
	}
	if ShapedLikeID(value) || ShapedLikeID(key) {
		return f.invalid("A username must not look like a technical ID.")
	}
	return nil
}

// ShapedLikeID reports whether a name has the form of an identifier. Such a name could be taken for
// the id of something else.
func ShapedLikeID(name string) bool {
	const form = "00000000-0000-0000-0000-000000000000"
	if len(name) != len(form) {
		return false
	}
	for i := range len(form) {
		if (form[i] == '-') != (name[i] == '-') ||
			form[i] != '-' && !strings.ContainsRune("0123456789abcdefABCDEF", rune(name[i])) {
			return false
		}
	}
	return true
}

// checkRole accepts a role that stands in a list and in a token without quoting.
func checkRole(f UserField, role string) error {
	if !ValidRoleName(role) {
		return f.invalid("The role %q must be one word of letters, digits and . _ : -", clip(role))
	}
	return nil
}

// ValidRoleName reports whether a role can have a name: one word of letters, digits and . _ : -
func ValidRoleName(role string) bool {
	outside := func(r rune) bool { return !asciiAlphanumeric(r) && !strings.ContainsRune("._:-", r) }
	return role != "" && len(role) <= maxRole && !strings.ContainsFunc(role, outside)
}

// name returns the check of a name, or of what is shown like one.
func name(n int) func(UserField, string) error { return checkText(InvalidName, n) }

// line returns the check of a line of text.
func line(n int) func(UserField, string) error { return checkText(InvalidText, n) }

// lines returns the check of a text that may have several lines.
func lines(n int) func(UserField, string) error {
	ends := strings.NewReplacer("\r", "", "\n", "")
	return checkText(func(s string) string { return InvalidText(ends.Replace(s)) }, n)
}

// checkText returns the check of a text with at most n characters. The function invalid returns
// what the text may not hold.
func checkText(invalid func(string) string, n int) func(UserField, string) error {
	return func(f UserField, value string) error {
		if what := invalid(value); what != "" {
			return f.invalid("The %s contains %s. Remove it, or type the text again.", f.label, what)
		}
		return checkLength(f, value, n)
	}
}

func checkLength(f UserField, value string, n int) error {
	if utf8.RuneCountInString(value) > n {
		return f.invalid("The %s may have at most %d characters.", f.label, n)
	}
	return nil
}

func checkPicture(f UserField, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(value) > maxPicture {
		return f.invalid("The picture must be an address that begins with https://.")
	}
	return nil
}

// checkWebPage accepts an http or https address. Applications make links of it, so that no other
// scheme may pass.
func checkWebPage(f UserField, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil ||
		len(value) > maxWebPage || InvalidText(value) != "" || strings.ContainsFunc(value, unicode.IsSpace) {
		return f.invalid("The %s must be an address that begins with https:// or http://.", f.label)
	}
	return nil
}

// checkBirthdate accepts the forms of the birthdate claim (OpenID Connect Core §5.1): YYYY-MM-DD,
// 0000-MM-DD where the year is not told, and YYYY.
func checkBirthdate(f UserField, value string) error {
	if value == "" {
		return nil
	}
	full := value
	switch {
	case len(value) == len("2006"):
		full += "-01-01"
	case strings.HasPrefix(value, "0000-"):
		full = "2000" + value[4:] // a leap year
	}
	t, err := time.Parse(time.DateOnly, full)
	if err != nil || t.Year() < minBirthYear {
		return f.invalid("Write the date of birth as in 1990-12-31, 0000-12-31 without the year, or 1990.")
	}
	return nil
}

// checkPhone accepts a plus sign, a digit, and 4 to 30 digits with the usual signs between them.
func checkPhone(f UserField, value string) error {
	if value == "" {
		return nil
	}
	number, plus := strings.CutPrefix(value, "+")
	other := func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune(" ().-", r) }
	if !plus || len(number) < 5 || len(number) > 31 || number[0] < '0' || number[0] > '9' ||
		strings.ContainsFunc(number, other) {
		return f.invalid("Write the telephone number with its country, as in +49 30 123456.")
	}
	return nil
}

// checkLocale accepts the shape of a language tag (RFC 5646 §2.1): a language of 2 to 8 letters
// and at most four subtags of 1 to 8 letters and digits.
func checkLocale(f UserField, value string) error {
	if value == "" {
		return nil
	}
	tags := strings.Split(value, "-")
	valid := len(tags) <= 5 && len(tags[0]) >= 2 &&
		!strings.ContainsFunc(tags[0], func(r rune) bool { return r >= '0' && r <= '9' })
	for _, tag := range tags {
		valid = valid && len(tag) >= 1 && len(tag) <= 8 &&
			!strings.ContainsFunc(tag, func(r rune) bool { return !asciiAlphanumeric(r) })
	}
	if !valid {
		return f.invalid("Write the language as in en, de-CH or pt-BR.")
	}
	return nil
}

func checkZone(f UserField, value string) error {
	if value == "" {
		return nil
	}
	valid := len(value) <= maxZone && !strings.Contains(value, "..") && value != "Local"
	if valid {
		_, err := time.LoadLocation(value)
		valid = err == nil
	}
	if !valid {
		return f.invalid("Write the time zone as in Europe/Berlin.")
	}
	return nil
}
