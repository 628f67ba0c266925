package text

import (
	"fmt"
	"io/fs"
	"slices"
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
	for _, tag := range c.Languages() {
		all := entries(t, tag)
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
		if got, want := placeholders(text), placeholders(english["other"]); !slices.Equal(got, want) {
			faults = append(faults, fmt.Sprintf("%s has the placeholders %v, English has %v", form, got, want))
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
		"missing form":      {"one": "{{.PluralCount}} minuta", "other": "{{.PluralCount}} minuty"},
	} {
		if len(differences("pl", counted, entry)) == 0 {
			t.Errorf("%s: not found", name)
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

// pluralForms returns the CLDR forms that whole numbers of a language take.
func pluralForms(tag language.Tag) (forms []string) {
	names := map[plural.Form]string{
		plural.Zero: "zero", plural.One: "one", plural.Two: "two",
		plural.Few: "few", plural.Many: "many", plural.Other: "other",
	}
	for n := range 200 {
		if name := names[plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)]; !slices.Contains(forms, name) {
			forms = append(forms, name)
		}
	}
	if !slices.Contains(forms, "other") {
		forms = append(forms, "other")
	}
	return forms
}

func placeholders(s string) (names []string) {
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
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
