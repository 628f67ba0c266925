package identity_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

func TestValidEmail(t *testing.T) {
	for _, s := range []string{
		"ada@example.com", "ada.lovelace+tag@example.co.uk", "o'brien@example.com", "a@b", "ada@localhost",
		"jörg@münchen.example", "用户@例子.测试", "x_y-z@sub-domain.example", "1@2.example",
		strings.Repeat("a", 64) + "@example.com",
	} {
		if !identity.ValidEmail(s) {
			t.Errorf("%q is rejected", s)
		}
	}
	for _, s := range []string{
		"", "ada", "@example.com", "ada@", "ada..l@example.com", ".ada@example.com", "ada.@example.com",
		"a@b@c", "ada @example.com", "ada@exam ple.com", "ada@.example.com", "ada@example.com.",
		"ada@example..com", "ada@-example.com", "ada@example-.com", "ada@[127.0.0.1]", `"ada"@example.com`,
		"Ada <ada@example.com>", "ada@example.com\n", "ada\x00@example.com", "ada@exa\xffmple.com",
		"ada,bob@example.com", "ada;bob@example.com", "ada@exa_mple.com", "ada\u00a0@example.com",
		"ada\u202e@example.com", strings.Repeat("a", 65) + "@example.com",
		"ada@" + strings.Repeat("a", 64) + ".com", "a@" + strings.Repeat("a.", 130) + "com",
	} {
		if identity.ValidEmail(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		user  identity.User
		field string // "" is valid
	}{
		"email":                {identity.User{Email: "ada@example.com"}, ""},
		"username":             {identity.User{Username: "ada"}, ""},
		"neither":              {identity.User{Name: "Ada"}, "email"},
		"two dots":             {identity.User{Email: "ada..l@example.com"}, "email"},
		"name and address":     {identity.User{Email: "Ada <ada@example.com>"}, "email"},
		"@ in a username":      {identity.User{Username: "ada@example.com"}, "username"},
		"space in a username":  {identity.User{Username: "a da"}, "username"},
		"control character":    {identity.User{Username: "a\x00da"}, "username"},
		"long username":        {identity.User{Username: strings.Repeat("a", 201)}, "username"},
		"200 wide characters":  {identity.User{Username: strings.Repeat("ä", 200)}, ""},
		"roles":                {identity.User{Username: "a", Roles: []string{"admin", "notes:write", "a.b-c_1"}}, ""},
		"two words":            {identity.User{Username: "a", Roles: []string{"admin", "super user"}}, "roles"},
		"empty role":           {identity.User{Username: "a", Roles: []string{""}}, "roles"},
		"long role":            {identity.User{Username: "a", Roles: []string{strings.Repeat("a", 65)}}, "roles"},
		"control in a name":    {identity.User{Username: "a", Name: "Ro\x00ot"}, "name"},
		"not UTF-8":            {identity.User{Username: "a", GivenName: "\xff"}, "given_name"},
		"long name":            {identity.User{Username: "a", FamilyName: strings.Repeat("a", 201)}, "family_name"},
		"http picture":         {identity.User{Username: "a", Picture: "http://example.com/a.png"}, "picture"},
		"https picture":        {identity.User{Username: "a", Picture: "https://example.com/a.png"}, ""},
		"picture with a login": {identity.User{Username: "a", Picture: "https://x@example.com/a.png"}, "picture"},
		"phone":                {identity.User{Username: "a", Phone: "+49 (30) 123-456"}, ""},
		"phone, no country":    {identity.User{Username: "a", Phone: "030 123456"}, "phone_number"},
		"phone, too short":     {identity.User{Username: "a", Phone: "+4930"}, "phone_number"},
		"phone, letters":       {identity.User{Username: "a", Phone: "+49 30 12345x"}, "phone_number"},
		"locale":               {identity.User{Username: "a", Locale: "zh-Hant-TW"}, ""},
		"locale, one letter":   {identity.User{Username: "a", Locale: "e"}, "locale"},
		"locale, underscore":   {identity.User{Username: "a", Locale: "de_CH"}, "locale"},
		"locale, empty subtag": {identity.User{Username: "a", Locale: "de-"}, "locale"},
		"zone":                 {identity.User{Username: "a", Zoneinfo: "Europe/Berlin"}, ""},
		"zone, unknown":        {identity.User{Username: "a", Zoneinfo: "Europe/Atlantis"}, "zoneinfo"},
		"zone, Local":          {identity.User{Username: "a", Zoneinfo: "Local"}, "zoneinfo"},
		"zone, path":           {identity.User{Username: "a", Zoneinfo: "../../etc/passwd"}, "zoneinfo"},
		"street, two lines":    {identity.User{Username: "a", Address: identity.Address{StreetAddress: "12 Way\nFlat 3"}}, ""},
		"city, two lines":      {identity.User{Username: "a", Address: identity.Address{Locality: "Lon\ndon"}}, "locality"},
		"website":              {identity.User{Username: "a", Website: "http://ada.example/a?b"}, ""},
		"website, script":      {identity.User{Username: "a", Website: "javascript:alert(1)"}, "website"},
		"website, no host":     {identity.User{Username: "a", Website: "https://:443/"}, "website"},
		"website with a login": {identity.User{Username: "a", Website: "https://x@example.com/"}, "website"},
		"website, space":       {identity.User{Username: "a", Website: "https://a.example/a b"}, "website"},
		"long profile page":    {identity.User{Username: "a", Profile: "https://a.example/" + strings.Repeat("a", 1007)}, "profile"},
		"profile page":         {identity.User{Username: "a", Profile: "https://a.example/~ada"}, ""},
		"gender":               {identity.User{Username: "a", Gender: "non-binary"}, ""},
		"long gender":          {identity.User{Username: "a", Gender: strings.Repeat("a", 65)}, "gender"},
		"long nickname":        {identity.User{Username: "a", Nickname: strings.Repeat("a", 201)}, "nickname"},
		"control, middle name": {identity.User{Username: "a", MiddleName: "a\nb"}, "middle_name"},
		"birthdate":            {identity.User{Username: "a", Birthdate: "1990-12-31"}, ""},
		"birthdate, year":      {identity.User{Username: "a", Birthdate: "1990"}, ""},
		"birthdate, day":       {identity.User{Username: "a", Birthdate: "0000-02-29"}, ""},
		"birthdate, year 0":    {identity.User{Username: "a", Birthdate: "0000"}, "birthdate"},
		"birthdate, no day":    {identity.User{Username: "a", Birthdate: "1990-02-29"}, "birthdate"},
		"birthdate, short":     {identity.User{Username: "a", Birthdate: "1990-1-1"}, "birthdate"},
		"birthdate, slashes":   {identity.User{Username: "a", Birthdate: "31/12/1990"}, "birthdate"},
		"long postal code":     {identity.User{Username: "a", Address: identity.Address{PostalCode: strings.Repeat("1", 33)}}, "postal_code"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.user.Validate()
			var e *fault.Error
			switch {
			case tt.field == "" && err != nil:
				t.Errorf("rejected: %v", err)
			case tt.field != "" && (!errors.As(err, &e) || e.Kind != fault.Invalid || e.Field != tt.field || e.Text == ""):
				t.Errorf("got %v, want an error about %s", err, tt.field)
			}
		})
	}
}

func TestValidateChangeLeavesOldValuesAlone(t *testing.T) {
	old := identity.User{Email: "ada..l@example.com", Name: "Ada"}
	u := old
	u.Name = "Ada Lovelace"
	if err := u.ValidateChange(&old); err != nil {
		t.Errorf("another field's old value stands in the way: %v", err)
	}
	reordered := identity.User{Username: "a\u200bda", Name: "Ada\u202e"}
	u = reordered
	u.Locale = "en"
	if err := u.ValidateChange(&reordered); err != nil {
		t.Errorf("old names stand in the way: %v", err)
	}
	u = old
	u.Email = "ada..lovelace@example.com"
	if err := u.ValidateChange(&old); !fault.Is(err, fault.Invalid) {
		t.Errorf("a changed value is not validated: %v", err)
	}
	u.Email = ""
	if err := u.ValidateChange(&old); !fault.Is(err, fault.Invalid) {
		t.Errorf("the last name to sign in with was taken away: %v", err)
	}
}

// TestUserFieldsCoverTheUser ties the list to the struct: a new field of User stands in the list,
// or here among those that belong to an operation of their own.
func TestUserFieldsCoverTheUser(t *testing.T) {
	elsewhere := map[string]bool{
		"ID": true, "PasswordHash": true, "PasswordChangedAt": true,
		"CreatedAt": true, "UpdatedAt": true, "LastLoginAt": true, "InvitedAt": true,
		"LockedAt": true, "LockReason": true, "Version": true, "EmailVerifiedAt": true,
	}
	places, names := map[any]string{}, map[string]bool{}
	var u identity.User
	for _, f := range identity.UserFields() {
		var place any
		switch {
		case f.Text != nil:
			place = f.Text(&u)
		case f.Switch != nil:
			place = f.Switch(&u)
		case f.List != nil:
			place = f.List(&u)
		default:
			t.Fatalf("%s has no accessor", f.Name)
		}
		if other, ok := places[place]; ok || names[f.Name] {
			t.Errorf("%s stands for the same field or name as %s", f.Name, other)
		}
		places[place], names[f.Name] = f.Name, true
		if f.Help == "" {
			t.Errorf("%s has no help", f.Name)
		}
	}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			part, name := v.Field(i), path+v.Type().Field(i).Name
			if part.Kind() == reflect.Struct && part.Type() != reflect.TypeFor[time.Time]() {
				walk(part, name+".")
				continue
			}
			if _, ok := places[part.Addr().Interface()]; ok == elsewhere[name] {
				t.Errorf("User.%s: in the list %v, set elsewhere %v", name, ok, elsewhere[name])
			}
		}
	}
	walk(reflect.ValueOf(&u).Elem(), "")
}

func TestProfileFieldsAreThePersonsOwn(t *testing.T) {
	for _, f := range identity.ProfileFields() {
		switch f.Name {
		case "email", "email_verified", "username", "roles", "disabled", "must_change_password", "phone_verified":
			t.Errorf("a person may change %s themselves", f.Name)
		}
		if f.Text == nil {
			t.Errorf("%s is not a text, which is all that the profile page can send", f.Name)
		}
	}
}
