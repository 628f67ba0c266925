package identity

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// A UserField is one field of a user that a person or an administrator sets, with the rule for it.
type UserField struct {
	field.Field[User]
	Claim string // the claim (OpenID Connect Core §5.1), also the input of a page; Name if ""
	Own   bool   // the person may change it themselves

	label string                                // what messages call it, after "the"
	check func(f UserField, value string) error // of a text or of each item of a list; nil: any
}

// Input returns the name of the field in pages and their errors, which is the claim's.
func (f UserField) Input() string {
	if f.Claim != "" {
		return f.Claim
	}
	return f.Name
}

// Validate returns what is wrong with the user's value, as fault.Invalid with the name that Input
// returns, or nil.
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

func (f UserField) invalid(format string, args ...any) error {
	return fault.InvalidField(f.Input(), format, args...)
}

// UserFields returns the fields of a user that can be set, in the order in which they are shown.
// The identifier, the password and the times belong to the operations that change them.
func UserFields() []field.Field[User] {
	rules := userFields()
	out := make([]field.Field[User], len(rules))
	for i, f := range rules {
		out[i] = f.Field
	}
	return field.Audit(out, auditedFields()...)
}

// auditedFields returns the names of the fields whose values the audit log shows. They leave the
// log when the person is erased.
func auditedFields() []string {
	return []string{
		"email",
		"email_verified",
		"must_verify_email",
		"username",
		"roles",
		"disabled",
		"must_change_password",
		"name",
		"given_name",
		"middle_name",
		"family_name",
		"nickname",
		"picture",
		"profile",
		"website",
		"gender",
		"birthdate",
		"phone",
		"phone_verified",
		"locale",
		"zoneinfo",
		"formatted",
		"street_address",
		"locality",
		"region",
		"postal_code",
		"country",
	}
}

// ProfileFields returns the fields that a person may change themselves.
func ProfileFields() []UserField {
	return slices.DeleteFunc(userFields(), func(f UserField) bool { return !f.Own })
}

func userFields() []UserField {
	return slices.Concat(accountFields(), stateFields(), nameFields(), personalFields(),
		contactFields(), addressFields(), localityFields())
}

// accountFields returns the fields that identify an account and the roles it has.
func accountFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name: "email",
				Flag: "email",
				Help: "The email address to sign in with.",
				Text: func(u *User) *string { return &u.Email },
			},
			label: "email address",
			check: checkEmail,
		},
		{
			Field: field.Field[User]{
				Name:   "email_verified",
				Flag:   "email-verified",
				Help:   "Whether the email address is known to belong to the person.",
				Switch: func(u *User) *bool { return &u.EmailVerified },
				Show: func(u *User) string {
					switch {
					case u.Email == "":
						return ""
					case u.EmailVerified:
						return "yes"
					}
					return "no"
				},
			},
		},
		{
			Field: field.Field[User]{
				Name: "must_verify_email",
				Flag: "must-verify-email",
				Help: "Whether the person must confirm the email address before applications get anything. " +
					"EMAIL_VERIFICATION_REQUIRED must be on.",
				Switch: func(u *User) *bool { return &u.MustVerify },
			},
		},
		{
			Field: field.Field[User]{
				Name: "username",
				Flag: "username",
				Help: "A username to sign in with.",
				Text: func(u *User) *string { return &u.Username },
			},
			label: "username",
			check: checkUsername,
		},
		{
			Field: field.Field[User]{
				Name: "roles",
				Flag: "role",
				Help: "A role. The role super_admin may do everything. May be repeated.",
				List: func(u *User) *[]string { return &u.Roles },
			},
			label: "role",
			check: checkRole,
		},
	}
}

// stateFields returns the fields that restrict signing in.
func stateFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name:   "disabled",
				Help:   "Whether the account cannot sign in.",
				Switch: func(u *User) *bool { return &u.Disabled },
				Show:   func(*User) string { return "" }, // tables show the state of the account
			},
		},
		{
			Field: field.Field[User]{
				Name:   "must_change_password",
				Flag:   "must-change-password",
				Help:   "Whether the next sign-in must set a new password.",
				Switch: func(u *User) *bool { return &u.MustChange },
			},
		},
	}
}

func nameFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name: "name",
				Flag: "name",
				Help: "The person's full name.",
				Text: func(u *User) *string { return &u.Name },
			},
			Own:   true,
			label: "name",
			check: name(maxName),
		},
		{
			Field: field.Field[User]{
				Name: "given_name",
				Flag: "given-name",
				Help: "The person's given name.",
				Text: func(u *User) *string { return &u.GivenName },
			},
			Own:   true,
			label: "given name",
			check: name(maxName),
		},
		{
			Field: field.Field[User]{
				Name: "middle_name",
				Flag: "middle-name",
				Help: "The person's middle names.",
				Text: func(u *User) *string { return &u.MiddleName },
			},
			Own:   true,
			label: "middle name",
			check: name(maxName),
		},
		{
			Field: field.Field[User]{
				Name: "family_name",
				Flag: "family-name",
				Help: "The person's family name.",
				Text: func(u *User) *string { return &u.FamilyName },
			},
			Own:   true,
			label: "family name",
			check: name(maxName),
		},
		{
			Field: field.Field[User]{
				Name: "nickname",
				Flag: "nickname",
				Help: "What the person is called by others.",
				Text: func(u *User) *string { return &u.Nickname },
			},
			Own:   true,
			label: "nickname",
			check: name(maxName),
		},
	}
}

// personalFields returns what else a person may tell about themselves.
func personalFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name: "picture",
				Flag: "picture",
				Help: "The https address of a picture.",
				Text: func(u *User) *string { return &u.Picture },
			},
			label: "picture",
			check: checkPicture,
		},
		{
			Field: field.Field[User]{
				Name: "profile",
				Flag: "profile",
				Help: "The web address of a page about the person.",
				Text: func(u *User) *string { return &u.Profile },
			},
			Own:   true,
			label: "profile page",
			check: checkWebPage,
		},
		{
			Field: field.Field[User]{
				Name: "website",
				Flag: "website",
				Help: "The web address of the person's own site.",
				Text: func(u *User) *string { return &u.Website },
			},
			Own:   true,
			label: "website",
			check: checkWebPage,
		},
		{
			Field: field.Field[User]{
				Name: "gender",
				Flag: "gender",
				Help: "The person's gender, in their own words.",
				Text: func(u *User) *string { return &u.Gender },
			},
			Own:   true,
			label: "gender",
			check: line(maxGender),
		},
		{
			Field: field.Field[User]{
				Name: "birthdate",
				Flag: "birthdate",
				Help: "The date of birth as YYYY-MM-DD, 0000-MM-DD without the year, or YYYY alone.",
				Text: func(u *User) *string { return &u.Birthdate },
			},
			Own:   true,
			label: "date of birth",
			check: checkBirthdate,
		},
	}
}

func contactFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name: "phone",
				Flag: "phone",
				Help: "The telephone number with its country, as in +49 30 123456.",
				Text: func(u *User) *string { return &u.Phone },
			},
			Claim: "phone_number",
			Own:   true,
			label: "telephone number",
			check: checkPhone,
		},
		{
			Field: field.Field[User]{
				Name:   "phone_verified",
				Flag:   "phone-verified",
				Help:   "Whether the telephone number is known to belong to the person.",
				Switch: func(u *User) *bool { return &u.PhoneVerified },
			},
			Claim: "phone_number_verified",
		},
		{
			Field: field.Field[User]{
				Name: "locale",
				Flag: "locale",
				Help: "The person's language (BCP 47), as in en, de-CH or pt-BR.",
				Text: func(u *User) *string { return &u.Locale },
			},
			Own:   true,
			label: "language",
			check: checkLocale,
		},
		{
			Field: field.Field[User]{
				Name: "zoneinfo",
				Flag: "zoneinfo",
				Help: "The person's time zone (IANA), as in Europe/Berlin.",
				Text: func(u *User) *string { return &u.Zoneinfo },
			},
			Own:   true,
			label: "time zone",
			check: checkZone,
		},
	}
}

// addressFields lists the first parts of the address claim (OpenID Connect Core §5.1.1).
func addressFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name: "formatted",
				Flag: "address",
				Help: "The whole postal address, as on a letter.",
				Text: func(u *User) *string { return &u.Address.Formatted },
			},
			label: "address",
			check: lines(maxAddress),
		},
		{
			Field: field.Field[User]{
				Name: "street_address",
				Flag: "street-address",
				Help: "Street and house number.",
				Text: func(u *User) *string { return &u.Address.StreetAddress },
			},
			Own:   true,
			label: "street",
			check: lines(maxAddress),
		},
		{
			Field: field.Field[User]{
				Name: "locality",
				Flag: "locality",
				Help: "City or town.",
				Text: func(u *User) *string { return &u.Address.Locality },
			},
			Own:   true,
			label: "city",
			check: line(maxName),
		},
	}
}

func localityFields() []UserField {
	return []UserField{
		{
			Field: field.Field[User]{
				Name: "region",
				Flag: "region",
				Help: "State, province or region.",
				Text: func(u *User) *string { return &u.Address.Region },
			},
			Own:   true,
			label: "region",
			check: line(maxName),
		},
		{
			Field: field.Field[User]{
				Name: "postal_code",
				Flag: "postal-code",
				Help: "Postal code.",
				Text: func(u *User) *string { return &u.Address.PostalCode },
			},
			Own:   true,
			label: "postal code",
			check: line(maxPostalCode),
		},
		{
			Field: field.Field[User]{
				Name: "country",
				Flag: "country",
				Help: "Country.",
				Text: func(u *User) *string { return &u.Address.Country },
			},
			Own:   true,
			label: "country",
			check: line(maxName),
		},
	}
}

// clip returns the start of a value for a message.
func clip(s string) string {
	const most = 80 // bytes
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
