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
		"user name":            {identity.User{Username: "ada"}, ""},
		"neither":              {identity.User{Name: "Ada"}, "email"},
		"two dots":             {identity.User{Email: "ada..l@example.com"}, "email"},
		"name and address":     {identity.User{Email: "Ada <ada@example.com>"}, "email"},
		"@ in a user name":     {identity.User{Username: "ada@example.com"}, "username"},
		"space in a user name": {identity.User{Username: "a da"}, "username"},
		"control character":    {identity.User{Username: "a\x00da"}, "username"},
		"long user name":       {identity.User{Username: strings.Repeat("a", 201)}, "username"},
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
	u.Email = "ada..lovelace@example.com"
	if err := u.ValidateChange(&old); !fault.Is(err, fault.Invalid) {
		t.Errorf("a changed value is not validated: %v", err)
	}
	u.Email = ""
	if err := u.ValidateChange(&old); !fault.Is(err, fault.Invalid) {
		t.Errorf("the last name to sign in with was taken away: %v", err)
	}
}

// TestUserFieldsCoverTheUser ties the list to the struct: a new field of User stands in the list, or
// here among those that belong to an operation of their own.
func TestUserFieldsCoverTheUser(t *testing.T) {
	elsewhere := map[string]bool{
		"ID": true, "PasswordHash": true, "PasswordChangedAt": true,
		"CreatedAt": true, "UpdatedAt": true, "LastLoginAt": true,
	}
	places := map[any]string{}
	var u identity.User
	for _, f := range identity.UserFields() {
		var place any
		switch {
		case f.Text != nil && f.Flag == nil && f.List == nil:
			place = f.Text(&u)
		case f.Flag != nil && f.Text == nil && f.List == nil:
			place = f.Flag(&u)
		case f.List != nil && f.Text == nil && f.Flag == nil:
			place = f.List(&u)
		default:
			t.Fatalf("%s must have exactly one of Text, Flag and List", f.Name)
		}
		if other, ok := places[place]; ok {
			t.Errorf("%s and %s are the same field", f.Name, other)
		}
		places[place] = f.Name
		if f.Label == "" || f.Help == "" {
			t.Errorf("%s has no label or no help", f.Name)
		}
	}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+v.Type().Field(i).Name
			if field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[time.Time]() {
				walk(field, name+".")
				continue
			}
			if _, ok := places[field.Addr().Interface()]; ok == elsewhere[name] {
				t.Errorf("User.%s: in the list %v, set elsewhere %v", name, ok, elsewhere[name])
			}
		}
	}
	walk(reflect.ValueOf(&u).Elem(), "")
}

func TestUserFieldsRoundTrip(t *testing.T) {
	names := map[string]bool{}
	for _, f := range identity.UserFields() {
		var u, empty identity.User
		value := "some-text"
		if f.Flag != nil {
			value = "true"
			if err := f.Set(&u, "perhaps"); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s accepts a flag that is neither true nor false: %v", f.Name, err)
			}
		}
		if f.List != nil {
			value = "one two"
		}
		if err := f.Set(&u, value); err != nil || f.Get(&u) != value || f.Equal(&u, &empty) {
			t.Errorf("%s: %q was stored as %q, %v", f.Name, value, f.Get(&u), err)
		}
		f.Clear(&u)
		if !reflect.DeepEqual(u, empty) {
			t.Errorf("%s is not cleared: %+v", f.Name, u)
		}
		for _, name := range []string{f.Name, f.Alias} {
			if name != "" && names[name] {
				t.Errorf("two fields are called %s", name)
			}
			names[name] = true
		}
		if found, ok := identity.UserFieldNamed(f.Short()); !ok || found.Name != f.Name {
			t.Errorf("%s is not found by its name", f.Name)
		}
	}
	if _, ok := identity.UserFieldNamed("nickname"); ok {
		t.Error("found a field that does not exist")
	}
}
