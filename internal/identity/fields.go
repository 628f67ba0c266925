package identity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A UserField is one field of a user that a person or an administrator sets. Exactly one of Text,
// Flag and List is set: it returns the place where a user holds the value.
type UserField struct {
	Name  string // the claim (OpenID Connect Core §5.1), or our name where there is no claim
	Alias string // the name on the command line and in its JSON where it differs from Name, or ""
	Label string // what messages call it, after "the"
	Help  string // what it is, for the help of the command line
	Own   bool   // the person may change it themselves

	Text func(u *User) *string
	Flag func(u *User) *bool
	List func(u *User) *[]string

	check func(f UserField, value string) error // nil: any value will do; for lists, of each item
}

// Short returns the name on the command line and in its JSON.
func (f UserField) Short() string {
	if f.Alias != "" {
		return f.Alias
	}
	return f.Name
}

// Get returns the value as text: "true" or "false" for flags, items separated by spaces for lists.
func (f UserField) Get(u *User) string {
	switch {
	case f.Flag != nil:
		return strconv.FormatBool(*f.Flag(u))
	case f.List != nil:
		return strings.Join(*f.List(u), " ")
	}
	return *f.Text(u)
}

// Set parses a value in the form that Get returns and stores it. It does not validate; see
// [User.Validate].
func (f UserField) Set(u *User, value string) error {
	switch {
	case f.Flag != nil:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fault.InvalidField(f.Name, "The %s must be true or false.", f.Label)
		}
		*f.Flag(u) = b
	case f.List != nil:
		*f.List(u) = strings.Fields(value)
	default:
		*f.Text(u) = value
	}
	return nil
}

// Clear stores the zero value.
func (f UserField) Clear(u *User) {
	switch {
	case f.Flag != nil:
		*f.Flag(u) = false
	case f.List != nil:
		*f.List(u) = nil
	default:
		*f.Text(u) = ""
	}
}

// Equal reports whether two users have the same value.
func (f UserField) Equal(a, b *User) bool {
	if f.List != nil {
		return slices.Equal(*f.List(a), *f.List(b))
	}
	return f.Get(a) == f.Get(b)
}

// Validate returns what is wrong with the value, as fault.Invalid with the field's name, or nil.
func (f UserField) Validate(u *User) error {
	switch {
	case f.check == nil:
		return nil
	case f.List != nil:
		for _, item := range *f.List(u) {
			if err := f.check(f, item); err != nil {
				return err
			}
		}
		return nil
	}
	return f.check(f, *f.Text(u))
}

// UserFields returns the fields of a user that can be set, in the order in which they are shown. The
// identifier, the password and the times belong to the operations that change them.
func UserFields() []UserField {
	return slices.Concat(accountFields(), profileFields(), addressFields())
}

// UserFieldNamed returns the field of a name or alias, or false.
func UserFieldNamed(name string) (UserField, bool) {
	for _, f := range UserFields() {
		if f.Name == name || f.Short() == name {
			return f, true
		}
	}
	return UserField{}, false
}

func accountFields() []UserField {
	return []UserField{
		{
			Name: "email", Label: "email address", Help: "The email address to sign in with.",
			Text: func(u *User) *string { return &u.Email }, check: checkEmail,
		},
		{
			Name: "email_verified", Label: "mark of a verified email address",
			Help: "Whether the email address is known to belong to the person.",
			Flag: func(u *User) *bool { return &u.EmailVerified },
		},
		{
			Name: "username", Label: "user name", Help: "A user name to sign in with.",
			Text: func(u *User) *string { return &u.Username }, check: checkUsername,
		},
		{
			Name: "roles", Label: "role", Help: "The roles, such as admin, who administers the server.",
			List: func(u *User) *[]string { return &u.Roles }, check: checkRole,
		},
		{
			Name: "disabled", Label: "mark of a disabled account",
			Help: "Whether the account is kept from signing in.",
			Flag: func(u *User) *bool { return &u.Disabled },
		},
		{
			Name: "must_change_password", Label: "demand for a new password",
			Help: "Whether the next sign-in must set a new password.",
			Flag: func(u *User) *bool { return &u.MustChange },
		},
	}
}

func profileFields() []UserField {
	return []UserField{
		{
			Name: "name", Label: "name", Help: "The person's full name.", Own: true,
			Text: func(u *User) *string { return &u.Name }, check: atMost(maxName),
		},
		{
			Name: "given_name", Label: "given name", Help: "The person's given name.", Own: true,
			Text: func(u *User) *string { return &u.GivenName }, check: atMost(maxName),
		},
		{
			Name: "family_name", Label: "family name", Help: "The person's family name.", Own: true,
			Text: func(u *User) *string { return &u.FamilyName }, check: atMost(maxName),
		},
		{
			Name: "picture", Label: "picture", Help: "The https address of a picture.", Own: true,
			Text: func(u *User) *string { return &u.Picture }, check: checkPicture,
		},
		{
			Name: "phone_number", Alias: "phone", Label: "telephone number", Own: true,
			Help: "The telephone number with its country, as in +49 30 123456.",
			Text: func(u *User) *string { return &u.Phone }, check: checkPhone,
		},
		{
			Name: "phone_number_verified", Alias: "phone_verified",
			Label: "mark of a verified telephone number",
			Help:  "Whether the telephone number is known to belong to the person.",
			Flag:  func(u *User) *bool { return &u.PhoneVerified },
		},
		{
			Name: "locale", Label: "language", Own: true,
			Help: "The person's language (BCP 47), as in en, de-CH or pt-BR.",
			Text: func(u *User) *string { return &u.Locale }, check: checkLocale,
		},
		{
			Name: "zoneinfo", Label: "time zone", Own: true,
			Help: "The person's time zone (IANA), as in Europe/Berlin.",
			Text: func(u *User) *string { return &u.Zoneinfo }, check: checkZone,
		},
	}
}

// addressFields are the parts of the address claim (OpenID Connect Core §5.1.1).
func addressFields() []UserField {
	return []UserField{
		{
			Name: "formatted", Label: "address", Help: "The whole postal address, as on a letter.",
			Text: func(u *User) *string { return &u.Address.Formatted }, check: lines(maxAddress),
		},
		{
			Name: "street_address", Label: "street", Help: "Street and house number.", Own: true,
			Text: func(u *User) *string { return &u.Address.StreetAddress }, check: lines(maxAddress),
		},
		{
			Name: "locality", Label: "city", Help: "City or town.", Own: true,
			Text: func(u *User) *string { return &u.Address.Locality }, check: atMost(maxName),
		},
		{
			Name: "region", Label: "region", Help: "State, province or region.", Own: true,
			Text: func(u *User) *string { return &u.Address.Region }, check: atMost(maxName),
		},
		{
			Name: "postal_code", Label: "postal code", Help: "Postal code.", Own: true,
			Text: func(u *User) *string { return &u.Address.PostalCode }, check: atMost(maxPostalCode),
		},
		{
			Name: "country", Label: "country", Help: "Country.", Own: true,
			Text: func(u *User) *string { return &u.Address.Country }, check: atMost(maxName),
		},
	}
}

// clip returns the start of a value for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s…", strings.ToValidUTF8(s[:most], ""))
}
