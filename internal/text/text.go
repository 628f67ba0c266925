// Package text holds what people read in their own language: catalogues of texts with the plural
// forms of CLDR.
//
// A catalogue is a YAML file in locales called AREA.TAG.yaml: the area is a part of the product,
// the tag a language of BCP 47. Entries are compiled when they are read, so that a text costs a map
// access and a concatenation. A test ensures that all languages have the same entries with the
// same placeholders and markup, and every plural form that they need.
package text

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

//go:embed locales/*.yaml
var embedded embed.FS

// fallback is the language that all others translate.
var fallback = language.English

// Catalogues holds all languages. It is safe for concurrent use.
type Catalogues struct {
	texts   list // English first
	byBase  map[string]*Texts
	matcher language.Matcher
}

// list is the texts of several languages.
type list []*Texts

// of returns the texts of a language, or nil.
func (l list) of(tag language.Tag) *Texts {
	if i := slices.IndexFunc(l, func(t *Texts) bool { return t.parsed == tag }); i >= 0 {
		return l[i]
	}
	return nil
}

// Load returns the catalogues that are part of the program, the same at every call. Each is read
// when a text of it is first needed, because most programs and servers need few, and a server that
// starts needs none.
func Load() (*Catalogues, error) { return load() }

var load = sync.OnceValues(find)

// find finds the catalogues.
func find() (*Catalogues, error) {
	names, err := fs.Glob(embedded, "locales/*.yaml")
	if err != nil {
		return nil, err
	}
	c := &Catalogues{byBase: map[string]*Texts{}}
	for _, name := range names {
		_, tag, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".yaml"), ".")
		parsed, err := language.Parse(tag)
		if err != nil {
			return nil, fmt.Errorf("the catalogue %s is of no language: %w", name, err)
		}
		t := c.texts.of(parsed)
		if t == nil {
			t = newTexts(c, parsed)
			c.texts = append(c.texts, t)
		}
		t.files = append(t.files, name)
	}
	return c, c.sort()
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

// Check reads all catalogues, and returns what is wrong with the first that cannot be read.
func (c *Catalogues) Check() error {
	for _, t := range c.texts {
		if _, err := t.read(); err != nil {
			return err
		}
	}
	return nil
}

// sort sorts English first, and indexes the languages by their tags.
func (c *Catalogues) sort() error {
	slices.SortFunc(c.texts, func(a, b *Texts) int { return strings.Compare(a.tag, b.tag) })
	english := c.texts.of(fallback)
	if english == nil {
		return fmt.Errorf("there is no catalogue for %s", fallback)
	}
	i := slices.Index(c.texts, english)
	c.texts = slices.Insert(slices.Delete(c.texts, i, i+1), 0, english)
	tags := make([]language.Tag, len(c.texts))
	for i, t := range c.texts {
		tags[i] = t.parsed
		if base, _, region := strings.Cut(t.tag, "-"); !region || base == "pt" {
			c.byBase[base] = t
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
