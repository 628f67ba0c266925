package identity

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// NormalAddress returns an email address in the one spelling in which it is stored and messages are
// sent to it: the host in lower case with A-labels (RFC 5890 §2.3.2.1), the part before the @ in
// NFC, which keeps its capitals. It returns false if s is not an address that ValidEmail accepts.
func NormalAddress(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if invalidLogin(s) != "" || !emailForm(s) {
		return "", false
	}
	at := strings.LastIndexByte(s, '@')
	host, ok := asciiHost(s[at+1:])
	if !ok {
		return "", false
	}
	normal := norm.NFC.String(s[:at]) + "@" + host
	return normal, emailForm(normal) && emailForm(LoginKey(normal))
}

// asciiHost returns a host name in lower case with A-labels. It returns false for a name that
// UTS #46 rejects.
func asciiHost(host string) (string, bool) {
	lower := strings.ToLower(host)
	if ascii(lower) && !strings.Contains(lower, "xn--") {
		return lower, true
	}
	a, err := idna.Lookup.ToASCII(host)
	return a, err == nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// NormalizeEmail sets the email address to its normal form. It leaves invalid addresses unchanged,
// for Validate to reject.
func (u *User) NormalizeEmail() {
	if normal, ok := NormalAddress(u.Email); ok {
		u.Email = normal
	}
}
