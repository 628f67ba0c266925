package identity_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// Which characters texts, names and names to sign in with may hold.
func TestCharactersOfNames(t *testing.T) {
	for name, tt := range map[string]struct {
		part              string
		text, name, login bool // whether it is valid there
	}{
		"Cyrillic":                     {"Ада", true, true, true},
		"Thai with sara am":            {"กำ", true, true, true},
		"decomposed umlaut":            {"o\u0308", true, true, true},
		"Persian with a non-joiner":    {"می\u200cخواهم", true, true, false},
		"emoji of several":             {"👩\u200d🚀", true, true, false},
		"left-to-right mark":           {"א\u200e", true, true, false},
		"right-to-left mark":           {"א\u200f", true, true, false},
		"emoji style":                  {"❤\ufe0f", true, true, false},
		"Arabic letter mark":           {"\u061c", true, true, false},
		"control":                      {"\x1b", false, false, false},
		"C1 control":                   {"\u009b", false, false, false},
		"line end":                     {"\n", false, false, false},
		"line separator":               {"\u2028", false, false, false},
		"paragraph separator":          {"\u2029", false, false, false},
		"left-to-right embedding":      {"\u202a", false, false, false},
		"pop directional formatting":   {"\u202c", false, false, false},
		"right-to-left override":       {"\u202e", false, false, false},
		"left-to-right isolate":        {"\u2066", false, false, false},
		"pop directional isolate":      {"\u2069", false, false, false},
		"not UTF-8":                    {"\xff", false, false, false},
		"soft hyphen":                  {"\u00ad", true, false, false},
		"space without a width":        {"\u200b", true, false, false},
		"word joiner":                  {"\u2060", true, false, false},
		"byte order mark":              {"\ufeff", true, false, false},
		"invisible plus":               {"\u2064", true, false, false},
		"combining grapheme joiner":    {"\u034f", true, true, false},
		"Hangul filler":                {"\u3164", true, true, false},
		"half-width Hangul filler":     {"\uffa0", true, true, false},
		"empty braille pattern":        {"\u2800", true, true, false},
		"Mongolian variation selector": {"\u180b", true, true, false},
		"tag":                          {"\U000e0061", true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := "a" + tt.part + "b"
			for field, check := range map[string]struct {
				user  identity.User
				valid bool
			}{
				"username":       {identity.User{Username: in}, tt.login},
				"email":          {identity.User{Email: in + "@example.com"}, tt.login},
				"name":           {identity.User{Username: "a", Name: in}, tt.name},
				"given_name":     {identity.User{Username: "a", GivenName: in}, tt.name},
				"middle_name":    {identity.User{Username: "a", MiddleName: in}, tt.name},
				"family_name":    {identity.User{Username: "a", FamilyName: in}, tt.name},
				"nickname":       {identity.User{Username: "a", Nickname: in}, tt.name},
				"gender":         {identity.User{Username: "a", Gender: in}, tt.text},
				"locality":       {identity.User{Username: "a", Address: identity.Address{Locality: in}}, tt.text},
				"street_address": {identity.User{Username: "a", Address: identity.Address{StreetAddress: in}}, tt.text || tt.part == "\n"},
			} {
				err := check.user.Validate()
				var e *fault.Error
				if check.valid && err != nil {
					t.Errorf("%s: %v", field, err)
				}
				if !check.valid && (!errors.As(err, &e) || e.Field != field || !strings.Contains(e.Text, "contain")) {
					t.Errorf("%s: %v, want an error that names what is wrong", field, err)
				}
			}
			if valid := identity.ValidEmail(in + "@example.com"); valid != tt.login {
				t.Errorf("a valid email address: %v", valid)
			}
		})
	}
	err := (&identity.User{Username: "a", Name: "Ada\u202e"}).Validate()
	if got := fault.Text(err); !strings.Contains(got, "reorders text (U+202E)") {
		t.Errorf("the message does not name the character: %q", got)
	}
}

// What people take for one name has one key; what they can tell apart has another.
func TestLoginKey(t *testing.T) {
	for key, same := range map[string][]string{
		"ada@example.com":  {"ADA@Example.com", " ada@example.com\n", "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "AdA@example.com"},
		"jörg@example.com": {"jo\u0308rg@example.com", "JÖRG@EXAMPLE.COM", "JO\u0308RG@example.com"},
		"ﬁona":             {"fiona", "ﬁona", "FIONA"},
		"カタ":               {"ｶﾀ"},
		"k":                {"\u212a"},
	} {
		want := identity.LoginKey(key)
		for _, s := range same {
			if got := identity.LoginKey(s); got != want {
				t.Errorf("%q: key %q, want %q", s, got, want)
			}
		}
	}
	keys := []string{
		identity.LoginKey("ada"), identity.LoginKey("adä"), identity.LoginKey("аda"), identity.LoginKey("a.da"),
	}
	if slices.Sort(keys); len(slices.Compact(keys)) != 4 {
		t.Errorf("different names share a key: %q", keys)
	}
	for r := range rune(unicode.MaxRune) {
		s := "a" + string(r) + "b"
		if key := identity.LoginKey(s); identity.LoginKey(key) != key {
			t.Fatalf("the key of %+q changes: %+q, %+q", s, key, identity.LoginKey(key))
		}
	}
}

// A full-width sign counts as the sign that the key has in its place.
func TestCompatibleCharactersOfLogins(t *testing.T) {
	for _, u := range []identity.User{
		{Username: "ada＠example.com"},
		{Username: "a\u00a8da"},
		{Username: "a\u3000da"},
		{Email: "a，b@example.com"},
		{Email: "a＠b@example.com"},
		{Email: "ada@a＿b.example"},
	} {
		if err := u.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", u, err)
		}
	}
}
