// Package text holds what people read in their own language: one catalogue per language, with the
// plural forms of CLDR.
//
// A catalogue is a YAML file in locales. A test ensures that all catalogues have the same entries
// with the same placeholders, and every plural form that their language needs.
package text

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
)

//go:embed locales/*.yaml
var embedded embed.FS

// fallback is the language that all others translate.
var fallback = language.English

// Catalogues holds all languages. It is safe for concurrent use.
type Catalogues struct {
	bundle    *i18n.Bundle
	languages []language.Tag
	matcher   language.Matcher
}

// Load reads the catalogues that are part of the program.
func Load() (*Catalogues, error) {
	names, err := fs.Glob(embedded, "locales/*.yaml")
	if err != nil {
		return nil, err
	}
	c := &Catalogues{bundle: i18n.NewBundle(fallback), languages: []language.Tag{fallback}}
	c.bundle.RegisterUnmarshalFunc("yaml", yaml.Unmarshal)
	for _, name := range names {
		raw, err := embedded.ReadFile(name)
		if err != nil {
			return nil, err
		}
		file, err := c.bundle.ParseMessageFileBytes(raw, path.Base(name))
		if err != nil {
			return nil, fmt.Errorf("the catalogue %s cannot be read: %w", name, err)
		}
		if file.Tag != fallback {
			c.languages = append(c.languages, file.Tag)
		}
	}
	c.matcher = language.NewMatcher(c.languages)
	return c, nil
}

// Languages returns the BCP 47 tags of the languages, English first.
func (c *Catalogues) Languages() []string {
	tags := make([]string, len(c.languages))
	for i, t := range c.languages {
		tags[i] = t.String()
	}
	return tags
}

// Supports reports whether there is a catalogue for a BCP 47 tag, or for the language of its
// region.
func (c *Catalogues) Supports(tag string) bool {
	t, err := language.Parse(tag)
	if err != nil {
		return false
	}
	_, _, confidence := c.matcher.Match(t)
	return confidence >= language.High
}

// For returns the texts in the best language for a person's preferences: BCP 47 tags or values of
// Accept-Language, the most important first. Preferences that cannot be read are skipped, and so
// are those that only a remote relative would serve: who reads traditional Chinese does not get the
// simplified script unless they ask for it.
func (c *Catalogues) For(preferences ...string) *Texts {
	var tags []language.Tag
	for _, p := range preferences {
		if t, _, err := language.ParseAcceptLanguage(p); err == nil {
			tags = append(tags, t...)
		}
	}
	_, i, confidence := c.matcher.Match(tags...)
	if confidence < language.High {
		i = 0
	}
	tag := c.languages[i].String()
	return &Texts{tag: tag, localizer: i18n.NewLocalizer(c.bundle, tag)}
}

// Texts is the texts of one language.
type Texts struct {
	tag       string
	localizer *i18n.Localizer
}

// Language returns the BCP 47 tag of the language.
func (t *Texts) Language() string { return t.tag }

// rightToLeft lists the languages among ours, present and planned, that are written so.
var rightToLeft = []string{"ar", "fa", "he", "ur"}

// Direction returns "rtl" for a language that is written from right to left, and "ltr" otherwise.
func (t *Texts) Direction() string {
	base, _, _ := strings.Cut(t.tag, "-")
	if slices.Contains(rightToLeft, base) {
		return "rtl"
	}
	return "ltr"
}

// Text returns an entry with its placeholders filled, or false if there is no such entry.
func (t *Texts) Text(id string, values map[string]string) (string, bool) {
	s, err := t.localizer.Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: values})
	return s, err == nil && s != ""
}

// Plural returns an entry in the form for a number, which is its placeholder PluralCount.
func (t *Texts) Plural(id string, n int, values map[string]string) (string, bool) {
	data := map[string]any{"PluralCount": n}
	for k, v := range values {
		data[k] = v
	}
	s, err := t.localizer.Localize(&i18n.LocalizeConfig{MessageID: id, TemplateData: data, PluralCount: n})
	return s, err == nil && s != ""
}
