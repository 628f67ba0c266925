// Package text holds what people read in their own language: catalogues of texts with the plural
// forms of CLDR.
//
// A catalogue is a YAML file in locales called AREA.TAG.yaml: the area is a part of the product,
// the tag a language of BCP 47. Entries are compiled when they are loaded, so that a text costs a
// map access and a concatenation. A test ensures that all languages have the same entries with the
// same placeholders and markup, and every plural form that they need.
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
	texts   []*Texts // English first
	byBase  map[string]*Texts
	matcher language.Matcher
}

// Load reads the catalogues that are part of the program.
func Load() (*Catalogues, error) {
	names, err := fs.Glob(embedded, "locales/*.yaml")
	if err != nil {
		return nil, err
	}
	c := &Catalogues{byBase: map[string]*Texts{}}
	for _, name := range names {
		raw, err := embedded.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := c.add(path.Base(name), raw); err != nil {
			return nil, fmt.Errorf("the catalogue %s cannot be read: %w", name, err)
		}
	}
	return c, c.complete()
}

// Tags returns the BCP 47 tags of the languages, English first. It does not read the catalogues.
func Tags() []string {
	tags := []string{fallback.String()}
	names, _ := fs.Glob(embedded, "locales/common.*.yaml") // the pattern is well-formed
	for _, name := range names {
		tag := strings.TrimSuffix(strings.TrimPrefix(path.Base(name), "common."), ".yaml")
		if tag != tags[0] {
			tags = append(tags, tag)
		}
	}
	return tags
}

// add compiles the entries of a file.
func (c *Catalogues) add(name string, raw []byte) error {
	file, err := i18n.ParseMessageFileBytes(raw, name, map[string]i18n.UnmarshalFunc{"yaml": yaml.Unmarshal})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.texts, func(t *Texts) bool { return t.parsed == file.Tag })
	if i < 0 {
		i, c.texts = len(c.texts), append(c.texts, newTexts(c, file.Tag))
	}
	t := c.texts[i]
	entries := t.entries
	if strings.HasPrefix(name, errorsArea) {
		entries = t.sentences
	}
	for _, m := range file.Messages {
		if entries[m.ID] != nil {
			return fmt.Errorf("%s is defined twice", m.ID)
		}
		if entries[m.ID], err = compile(t, m); err != nil {
			return fmt.Errorf("%s: %w", m.ID, err)
		}
	}
	return nil
}

// complete sorts English first, and fills in its entries where others lack them.
func (c *Catalogues) complete() error {
	slices.SortFunc(c.texts, func(a, b *Texts) int { return strings.Compare(a.tag, b.tag) })
	english := slices.IndexFunc(c.texts, func(t *Texts) bool { return t.parsed == fallback })
	if english < 0 {
		return fmt.Errorf("there is no catalogue for %s", fallback)
	}
	first := c.texts[english]
	c.texts = slices.Insert(slices.Delete(c.texts, english, english+1), 0, first)
	tags := make([]language.Tag, len(c.texts))
	for i, t := range c.texts {
		tags[i] = t.parsed
		if base, _, region := strings.Cut(t.tag, "-"); !region || base == "pt" {
			c.byBase[base] = t
		}
		for id, e := range c.texts[0].entries {
			if t.entries[id] == nil {
				t.entries[id] = e
			}
		}
	}
	c.matcher = language.NewMatcher(tags)
	return nil
}

// Languages returns the BCP 47 tags of the languages, English first.
func (c *Catalogues) Languages() []string {
	tags := make([]string, len(c.texts))
	for i, t := range c.texts {
		tags[i] = t.tag
	}
	return tags
}

// All returns the texts of all languages, English first.
func (c *Catalogues) All() []*Texts { return c.texts }

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

// maxPreference bounds what a browser may say about languages, in bytes.
const maxPreference = 512

// For returns the texts in the best language for a person's preferences: BCP 47 tags or values of
// Accept-Language, the most important first. Preferences that cannot be read are skipped, and so
// are those that only a remote relative would serve: who reads traditional Chinese does not get the
// simplified script unless they ask for it.
func (c *Catalogues) For(preferences ...string) *Texts {
	if t := c.Match(preferences...); t != nil {
		return t
	}
	return c.texts[0]
}

// Match returns what For does, or nil if no language serves the preferences.
func (c *Catalogues) Match(preferences ...string) *Texts {
	var tags []language.Tag
	for i, p := range preferences {
		if p == "" || len(p) > maxPreference {
			continue
		}
		if i == 0 {
			if t := c.first(p); t != nil {
				return t
			}
		}
		if t, _, err := language.ParseAcceptLanguage(p); err == nil {
			tags = append(tags, t...)
		}
	}
	if len(tags) == 0 {
		return nil
	}
	_, i, confidence := c.matcher.Match(tags...)
	if confidence < language.High {
		return nil
	}
	return c.texts[i]
}

// first returns the language of the first tag of a list, as browsers send it: without a weight,
// which means the highest. It returns nil where more than the language decides, such as the script.
func (c *Catalogues) first(preference string) *Texts {
	tag, _, _ := strings.Cut(preference, ",")
	base, region, _ := strings.Cut(tag, "-")
	if len(region) > len("DE") || strings.ContainsAny(region, "-;") {
		return nil
	}
	return c.byBase[base]
}
