package text

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// TestCatalogues compares every catalogue with the English one: the same entries, the same
// placeholders, and all plural forms that the language needs.
func TestCatalogues(t *testing.T) {
	english := entries(t, "en")
	c, err := Load()
	testkit.Must(t, err)
	testkit.Must(t, c.Check())
	for _, tag := range c.Languages() {
		t.Run(tag, func(t *testing.T) {
			all := entries(t, tag)
			testkit.Equal(t, "name", c.For(tag).Name(), all["common.language.name"]["other"])
			for id := range all {
				if _, ok := english[id]; !ok {
					t.Errorf("%s: %s is not in the English catalogue", tag, id)
				}
			}
			for id, want := range english {
				for _, fault := range differences(tag, want, all[id]) {
					t.Errorf("%s: %s: %s", tag, id, fault)
				}
			}
		})
	}
}

// differences returns what is wrong with an entry, in comparison with the English one.
func differences(tag string, english, entry map[string]string) (faults []string) {
	forms := []string{"other"}
	if len(english) > 1 {
		forms = pluralForms(language.MustParse(tag))
	}
	for _, form := range forms {
		text, ok := entry[form]
		if !ok || strings.TrimSpace(text) == "" {
			faults = append(faults, "the form "+form+" is missing")
			continue
		}
		got, want := values(text), values(english["other"])
		if !slices.Equal(got, want) && !(exact(tag, form) && slices.Equal(got, withoutCount(want))) {
			faults = append(faults, fmt.Sprintf("%s has the placeholders %v, English has %v", form, got, want))
		}
		if got, want := tags(text), tags(english["other"]); !slices.Equal(got, want) {
			faults = append(faults, fmt.Sprintf("%s has the markup %v, English has %v", form, got, want))
		}
	}
	return faults
}

// TestDifferences finds what a translator may get wrong.
func TestDifferences(t *testing.T) {
	counted := map[string]string{"one": "{{.PluralCount}} minute", "other": "{{.PluralCount}} minutes"}
	for name, entry := range map[string]map[string]string{
		"missing":           nil,
		"empty":             {"other": " "},
		"other placeholder": {"other": "{{.Count}}"},
		"no placeholder":    {"other": "minutes"},
		"markup":            {"other": "<strong>{{.PluralCount}}</strong>"},
		"missing form":      {"one": "{{.PluralCount}} minuta", "other": "{{.PluralCount}} minuty"},
	} {
		if len(differences("pl", counted, entry)) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	for name, row := range map[string]struct {
		tag, english string
		entry        map[string]string
		faults       int
	}{
		"numbered verbs":     {"de", "The %s of %d", map[string]string{"other": "%[2]d: %[1]s"}, 0},
		"verbs in order":     {"de", "The %s of %d", map[string]string{"other": "%s, %d"}, 0},
		"another verb":       {"de", "The %s of %d", map[string]string{"other": "%s, %s"}, 1},
		"verbs exchanged":    {"de", "The %s of %d", map[string]string{"other": "%d: %s"}, 1},
		"a verb is missing":  {"de", "The %s of %d", map[string]string{"other": "%s"}, 1},
		"other emphasis":     {"de", "a <strong>b</strong>", map[string]string{"other": "a <em>b</em>"}, 1},
		"tag is not closed":  {"de", "a <strong>b</strong>", map[string]string{"other": "a <strong>b"}, 1},
		"number left out":    {"ar", "{{.PluralCount}} x", map[string]string{"zero": "a", "one": "b", "two": "c", "few": "{{.PluralCount}} d", "many": "{{.PluralCount}} e", "other": "{{.PluralCount}} f"}, 0},
		"number needed":      {"ar", "{{.PluralCount}} x", map[string]string{"zero": "a", "one": "b", "two": "c", "few": "d", "many": "e", "other": "{{.PluralCount}} f"}, 2},
		"number needed by 0": {"fr", "{{.PluralCount}} x", map[string]string{"one": "b", "other": "{{.PluralCount}} f"}, 1},
	} {
		english := map[string]string{"other": row.english}
		if len(row.entry) > 1 {
			english["one"] = row.english
		}
		if got := differences(row.tag, english, row.entry); len(got) != row.faults {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// entries reads a catalogue: entry → plural form → text. An entry without forms has only "other".
func entries(t *testing.T, tag string) map[string]map[string]string {
	t.Helper()
	names, err := fs.Glob(embedded, "locales/*."+tag+".yaml")
	testkit.Must(t, err)
	file := map[string]any{}
	for _, name := range names {
		raw, err := embedded.ReadFile(name)
		testkit.Must(t, err)
		testkit.Must(t, yaml.Unmarshal(raw, &file))
	}
	all := map[string]map[string]string{}
	for id, v := range file {
		all[id] = map[string]string{}
		switch v := v.(type) {
		case string:
			all[id]["other"] = v
		case map[string]any:
			for form, text := range v {
				all[id][form] = fmt.Sprint(text)
			}
		default:
			t.Fatalf("%s: %s is a %T", tag, id, v)
		}
	}
	return all
}

// formName returns the name of the plural form that a whole number takes.
func formName(tag language.Tag, n int) string {
	return map[plural.Form]string{
		plural.Zero: "zero", plural.One: "one", plural.Two: "two",
		plural.Few: "few", plural.Many: "many", plural.Other: "other",
	}[formOf(tag, n)]
}

// pluralForms returns the CLDR forms that whole numbers of a language take.
func pluralForms(tag language.Tag) (forms []string) {
	for n := range 200 {
		if name := formName(tag, n); !slices.Contains(forms, name) {
			forms = append(forms, name)
		}
	}
	if !slices.Contains(forms, "other") {
		forms = append(forms, "other")
	}
	return forms
}

// values returns what a text takes from outside: placeholders by name, verbs of fmt by number.
func values(s string) (names []string) {
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	next := 1
	for _, m := range verb.FindAllStringSubmatch(s, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil {
			next = n
		}
		names = append(names, strconv.Itoa(next)+m[2])
		next++
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?([dsqv])`)

func tags(s string) []string {
	found := tag.FindAllString(s, -1)
	slices.Sort(found)
	return found
}

// exact reports whether a plural form stands for one number only, which the text may then spell
// out or leave away.
func exact(in, form string) bool {
	numbers := 0
	for n := range 200 {
		if formName(language.MustParse(in), n) == form {
			numbers++
		}
	}
	return numbers == 1
}

// withoutCount returns values without the number that selects the plural form.
func withoutCount(values []string) []string {
	counted := false
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool {
		number := v == countName || !counted && len(v) == 2 && v[1] == 'd'
		counted = counted || number
		return number
	})
}

// TestFor selects the language of a person.
func TestFor(t *testing.T) {
	c, err := Load()
	testkit.Must(t, err)
	for _, row := range []struct {
		preferences []string
		want        string
	}{
		{nil, "en"},
		{[]string{"de"}, "de"},
		{[]string{"", "de-CH"}, "de"},
		{[]string{"xx", "de;q=0.3, en;q=0.9"}, "en"},
		{[]string{"not a tag !!", "de"}, "de"},
		{[]string{"tlh"}, "en"},
		{[]string{"pt"}, "pt-BR"},
		{[]string{"zh-CN"}, "zh-Hans"},
		{[]string{"zh"}, "zh-Hans"},
		{[]string{"ar-EG"}, "ar"},
		{[]string{"fr-CA, en;q=0.8"}, "fr"},
		{[]string{"pt-PT"}, "pt-BR"},
		{[]string{"zh-SG"}, "zh-Hans"},
		{[]string{"zh-TW"}, "en"},
		{[]string{"zh-HK"}, "en"},
		{[]string{"zh-Hant"}, "en"},
		{[]string{"zh-TW", "ja"}, "ja"},
		{[]string{"zh-TW, zh-CN;q=0.5"}, "zh-Hans"},
	} {
		testkit.Equal(t, fmt.Sprint(row.preferences), c.For(row.preferences...).Language(), row.want)
	}
	for tag, want := range map[string]bool{
		"en": true, "de-AT": true, "zh-CN": true, "pt-BR": true, "pt-PT": true, "zh-TW": false, "xx": false, "": false, "no tag": false,
	} {
		testkit.Equal(t, "supports "+tag, c.Supports(tag), want)
	}
	testkit.Equal(t, "direction of Arabic", c.For("ar").Direction(), "rtl")
	testkit.Equal(t, "direction of Polish", c.For("pl").Direction(), "ltr")
	german, ok := c.For("de").Plural("mail.lifetime-minutes", 60, nil)
	testkit.Equal(t, "found", ok, true)
	testkit.Equal(t, "plural", german, "Der Link funktioniert einmal und 60 Minuten lang.")
	if _, ok := c.For("de").Text("no.such.entry", nil); ok {
		t.Error("an unknown entry has a text")
	}
}

// TestSentence translates errors by what they are in English.
func TestSentence(t *testing.T) {
	c, err := Load()
	testkit.Must(t, err)
	for _, row := range []struct {
		tag, format string
		args        []any
		want        string
	}{
		{"en", "Use at least %d characters.", []any{1}, "Use at least 1 character."},
		{"de", "Use at least %d characters.", []any{12}, "Verwenden Sie mindestens 12 Zeichen."},
		{"ar", "Use at least %d characters.", []any{2}, "استخدم حرفين على الأقل."},
		{"ar", "Use at least %d characters.", []any{12}, "استخدم 12 حرفًا على الأقل."},
		{"de", "The %s may have at most %d characters.", []any{"given name", 200}, "„Vorname“ darf höchstens 200 Zeichen haben."},
		{"de", "A username must not contain %s.", []any{"a control character (U+0007)"}, "Ein Benutzername darf Folgendes nicht enthalten: ein Steuerzeichen (U+0007)."},
		{"ar", "There is no way to sign in that is called %q.", []any{"x"}, "لا توجد طريقة لتسجيل الدخول باسم \u2068\"x\"\u2069."},
		{"de", "%s", []any{"Incorrect password."}, "Falsches Passwort."},
		{"de", "No entry has this: 100 % of %d.", nil, "No entry has this: 100 % of %d."},
		{"de", "No entry for %s.", []any{"x"}, "No entry for x."},
	} {
		testkit.Equal(t, row.tag+" "+row.format, c.For(row.tag).Sentence(row.format, row.args...), row.want)
	}
}

// TestTexts fills in placeholders and markup.
func TestTexts(t *testing.T) {
	c, err := Load()
	testkit.Must(t, err)
	testkit.Equal(t, "tags", strings.Join(Tags(), " "), strings.Join(c.Languages(), " "))
	en, ar := c.For("en"), c.For("ar")
	testkit.Equal(t, "an unknown entry", en.Get("no.such.entry"), "no.such.entry")
	testkit.Equal(t, "no language", (*Texts)(nil).Get("login.title"), "login.title")
	testkit.Equal(t, "left to right", en.Get("login.to-account", "Brand", "Zoë & Co"), "to your Zoë & Co account")
	testkit.Equal(t, "a name from right to left", en.Get("login.to-account", "Brand", "\u202eשלום"), "to your \u2068שלום\u2069 account")
	testkit.Equal(t, "in Arabic", ar.Get("login.to-account", "Brand", "Acme"), "إلى حسابك في \u2068Acme\u2069")
	testkit.Equal(t, "one", en.Count("common.time.ago.days", 1), "1 day ago")
	testkit.Equal(t, "a form without the number", ar.Count("common.time.ago.days", 2), "قبل يومين")
	testkit.Equal(t, "few", ar.Count("common.time.ago.days", 103), "قبل 103 أيام")
	testkit.Equal(t, "markup", en.Markup("login.to-app", 0, "App", "<b>A</b>"), "to continue to <strong><bdi>&lt;b&gt;A&lt;/b&gt;</bdi></strong>")
	testkit.Equal(t, "a fragment", en.Markup("login.to-app", 0, "App", Fragment("<i>A</i>")), "to continue to <strong><i>A</i></strong>")
	for address, want := range map[string]string{
		"/dev/mail": "/dev/mail", "https://a.example/?x&y": "https://a.example/?x&amp;y",
		"javascript:alert(1)": "", "//evil.example": "", `"><script>`: "",
	} {
		testkit.Equal(t, address, en.Markup("login.sent.mailbox", 0, "URL", address),
			`This is a development server: <a href="`+want+`">read its mail here</a>.`)
	}
	for _, bad := range []string{"{{.Name", "{{ Name }}", "{{.Name | html}}"} {
		if _, err := newMessage(bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	for _, texts := range c.All() {
		testkit.Equal(t, texts.Language()+" months", strings.Count(texts.Get("common.months"), "|"), 11)
	}
}
