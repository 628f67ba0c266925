package identity

import (
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of what a person tells about themselves, in characters.
const (
	maxNameLen    = 200
	maxAddressLen = 400
	maxPictureLen = 1024
)

// CheckProfile says what is wrong with the parts of an account that its person may change.
func (u *User) CheckProfile() error {
	for _, f := range []struct {
		field, value, label string
		max                 int
	}{
		{"name", u.Name, "name", maxNameLen},
		{"given_name", u.GivenName, "given name", maxNameLen},
		{"family_name", u.FamilyName, "family name", maxNameLen},
		{"street_address", u.Address.StreetAddress, "street", maxAddressLen},
		{"locality", u.Address.Locality, "city", maxNameLen},
		{"region", u.Address.Region, "region", maxNameLen},
		{"postal_code", u.Address.PostalCode, "postal code", 32},
		{"country", u.Address.Country, "country", maxNameLen},
	} {
		if utf8.RuneCountInString(f.value) > f.max {
			return fault.InvalidField(f.field, "The %s may have at most %d characters.", f.label, f.max)
		}
		if strings.ContainsFunc(f.value, func(r rune) bool {
			return unicode.IsControl(r) && (r != '\n' && r != '\r' || f.field != "street_address")
		}) {
			return fault.InvalidField(f.field, "The %s holds a character that cannot be shown.", f.label)
		}
	}
	return u.checkForms()
}

// checkForms checks what must have a certain form.
func (u *User) checkForms() error {
	if p := u.Picture; p != "" {
		if pu, err := url.Parse(p); err != nil || pu.Scheme != "https" || pu.Host == "" || pu.User != nil || len(p) > maxPictureLen {
			return fault.InvalidField("picture", "The picture must be an address that begins with https://.")
		}
	}
	if u.Phone != "" && !regexp.MustCompile(`^\+[0-9][0-9 ().-]{4,30}$`).MatchString(u.Phone) {
		return fault.InvalidField("phone_number", "Write the telephone number with its country, as in +49 30 123456.")
	}
	if u.Locale != "" && !regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$`).MatchString(u.Locale) {
		return fault.InvalidField("locale", "Write the language as in en, de-CH or pt-BR.")
	}
	if u.Zoneinfo != "" {
		if len(u.Zoneinfo) > 64 || strings.Contains(u.Zoneinfo, "..") || u.Zoneinfo == "Local" {
			return fault.InvalidField("zoneinfo", "Write the time zone as in Europe/Berlin.")
		}
		if _, err := time.LoadLocation(u.Zoneinfo); err != nil {
			return fault.InvalidField("zoneinfo", "Write the time zone as in Europe/Berlin.")
		}
	}
	return nil
}
