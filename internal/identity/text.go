package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// InvalidText returns what a line of text may not hold, such as "a control character (U+0007)", or
// "". It rejects characters that leave the line or change the order of the text around them.
func InvalidText(s string) string { return firstInvalid(s, invalidInText) }

// InvalidName returns what a name that people read may not hold, or "". Beside what InvalidText
// rejects, it rejects characters without a width, by which two names could look the same. The
// joiners and marks U+200C to U+200F stay, because several scripts and emoji need them.
func InvalidName(s string) string { return firstInvalid(s, invalidInName) }

// invalidLogin returns what a name that people sign in with may not hold, or "": all that
// InvalidName rejects, and every character that can be invisible.
func invalidLogin(s string) string { return firstInvalid(s, invalidInLogin) }

// firstInvalid returns what is wrong with the first character of s that has a fault.
func firstInvalid(s string, fault func(rune) string) string {
	if !utf8.ValidString(s) {
		return "bytes that are not UTF-8"
	}
	for _, r := range s {
		if what := fault(r); what != "" {
			return fmt.Sprintf("%s (U+%04X)", what, r)
		}
	}
	return ""
}

func invalidInText(r rune) string {
	switch {
	case unicode.IsControl(r):
		return "a control character"
	case unicode.In(r, unicode.Zl, unicode.Zp):
		return "a line separator"
	case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return "a character that reorders text"
	}
	return ""
}

func invalidInName(r rune) string {
	switch {
	case r == 0x00AD, r == 0x200B, r == 0xFEFF, // soft hyphen, space and no-break space without a width
		r >= 0x2060 && r <= 0x2065, r >= 0x206A && r <= 0x206F, r >= 0xFFF0 && r <= 0xFFFB:
		return "an invisible character"
	}
	return invalidInText(r)
}

func invalidInLogin(r rune) string {
	if what := invalidInName(r); what != "" {
		return what
	}
	const emptyBraille = 0x2800 // a symbol without a dot
	if r == emptyBraille || unicode.In(r, unicode.Cf, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point) {
		return "an invisible character"
	}
	return ""
}

// LoginKey returns the form in which usernames and email addresses are looked up and unique:
// without white space around it, in the compatibility form of Unicode (NFKC), in lower case, and
// the host of an address with A-labels. So full-width, half-width and decomposed letters,
// ligatures, capitals and the two spellings of an internationalized host make no second account.
// It keeps invisible characters, which Validate rejects in new names, and the letters of different
// scripts that look alike.
func LoginKey(s string) string {
	key := strings.ToLower(norm.NFKC.String(strings.TrimSpace(s)))
	at := strings.LastIndexByte(key, '@')
	if at < 0 || ascii(key[at+1:]) {
		return key
	}
	if host, ok := asciiHost(key[at+1:]); ok {
		return key[:at+1] + host
	}
	return key
}
