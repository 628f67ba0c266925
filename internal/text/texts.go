package text

import (
	"fmt"
	"html"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Texts is the texts of one language. It is safe for concurrent use.
type Texts struct {
	parsed    language.Tag
	tag       string
	direction string
	all       *Catalogues
	files     []string // names of the catalogue's files

	once      sync.Once // reads the files
	failed    error
	entries   map[string]*entry
	sentences map[string]*entry // by what they are in English
}

// rightToLeft lists the languages among ours, present and planned, that are written so.
var rightToLeft = []string{"ar", "fa", "he", "ur"}

// ownNames holds the names of the languages in themselves. They are not read from the catalogues,
// because every page lists all of them; a test compares them.
var ownNames = map[string]string{
	"ar":      "العربية",
	"de":      "Deutsch",
	"en":      "English",
	"es":      "Español",
	"fr":      "Français",
	"it":      "Italiano",
	"ja":      "日本語",
	"nl":      "Nederlands",
	"pl":      "Polski",
	"pt-BR":   "Português (Brasil)",
	"tr":      "Türkçe",
	"zh-Hans": "简体中文",
}

func newTexts(all *Catalogues, tag language.Tag) *Texts {
	t := &Texts{
		all:       all,
		parsed:    tag,
		tag:       tag.String(),
		direction: "ltr",
		entries:   map[string]*entry{},
		sentences: map[string]*entry{},
	}
	if base, _, _ := strings.Cut(t.tag, "-"); slices.Contains(rightToLeft, base) {
		t.direction = "rtl"
	}
	return t
}

// read reads the catalogue once, and returns the texts. What cannot be read stays English; a test
// reads all catalogues, so that this does not happen.
func (t *Texts) read() (*Texts, error) {
	t.once.Do(func() {
		for _, name := range t.files {
			if err := t.add(name); err != nil {
				t.failed = fmt.Errorf("the catalogue %s cannot be read: %w", name, err)
				break
			}
		}
		if english := t.all.texts[0]; english != t {
			_, _ = english.read() // a test reads it
			for id, e := range english.entries {
				if t.entries[id] == nil {
					t.entries[id] = e
				}
			}
		}
	})
	return t, t.failed
}

// add compiles the entries of a file.
func (t *Texts) add(name string) error {
	raw, err := embedded.ReadFile(name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	file, err := i18n.ParseMessageFileBytes(raw, base, map[string]i18n.UnmarshalFunc{"yaml": yaml.Unmarshal})
	if err != nil {
		return err
	}
	entries := t.entries
	if strings.HasPrefix(base, errorsArea) {
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

// entry returns an entry, or nil.
func (t *Texts) entry(id string) *entry {
	_, _ = t.read() // what cannot be read is English
	return t.entries[id]
}

// sentence returns the entry of an English sentence or word, or nil.
func (t *Texts) sentence(english string) *entry {
	_, _ = t.read() // what cannot be read is English
	return t.sentences[english]
}

// Language returns the BCP 47 tag of the language.
func (t *Texts) Language() string { return t.tag }

// Name returns the name of the language in itself.
func (t *Texts) Name() string { return ownNames[t.tag] }

// Direction returns "rtl" for a language that is written from right to left, and "ltr" otherwise.
func (t *Texts) Direction() string {
	if t == nil {
		return "ltr"
	}
	return t.direction
}

// Catalogues returns all languages.
func (t *Texts) Catalogues() *Catalogues { return t.all }

// Has reports whether there is an entry.
func (t *Texts) Has(id string) bool { return t.entry(id) != nil }

// Placeholders returns the names of the placeholders of an entry, sorted, and whether it has plural
// forms and markup. Ok is false if there is no such entry.
func (t *Texts) Placeholders(id string) (names []string, plural, markup, ok bool) {
	e := t.entry(id)
	if e == nil {
		return nil, false, false, false
	}
	for _, m := range e.forms {
		if m != nil {
			names = append(names, m.names...)
			markup = markup || m.markup
		}
	}
	slices.Sort(names)
	return slices.Compact(names), e.plural, markup, true
}

// Text returns an entry with its placeholders filled, or false if there is no such entry.
func (t *Texts) Text(id string, values map[string]string) (string, bool) {
	m := t.message(id, 0)
	if m == nil {
		return "", false
	}
	s := m.fill(func(name string) string { return values[name] })
	return s, s != ""
}

// Plural returns an entry in the form for a number, which is its placeholder PluralCount.
func (t *Texts) Plural(id string, n int, values map[string]string) (string, bool) {
	m := t.message(id, n)
	if m == nil {
		return "", false
	}
	s := m.fill(func(name string) string {
		if name == countName {
			return strconv.Itoa(n)
		}
		return values[name]
	})
	return s, s != ""
}

// Get returns an entry with its placeholders filled by pairs of names and values. Without such an
// entry it returns the id: a page with a strange word helps more than one with a hole.
func (t *Texts) Get(id string, pairs ...string) string { return t.Count(id, 0, pairs...) }

// Date returns a time as the language writes it, with the name of its time zone:
// 28 Nov 2026, 13:17 UTC.
func (t *Texts) Date(at time.Time) string {
	months := strings.Split(t.Get("common.months"), "|")
	return t.Get("common.date",
		"Day", strconv.Itoa(at.Day()),
		"Month", months[int(at.Month()-1)%len(months)],
		"Year", strconv.Itoa(at.Year()),
		"Time", at.Format("15:04 MST"))
}

// Count returns an entry in the form for a number, which is its placeholder PluralCount.
func (t *Texts) Count(id string, n int, pairs ...string) string {
	m := t.message(id, n)
	switch {
	case m == nil:
		return id
	case len(m.names) == 0:
		return m.literals[0]
	}
	return m.fill(func(name string) string {
		if name == countName {
			return strconv.Itoa(n)
		}
		return Isolate(t, valueOf(pairs, name))
	})
}

// Markup returns an entry as HTML in the form for a number. Its pairs are names and values; each
// value is escaped and isolated in bdi, but a Fragment is inserted as it is. A value within a tag
// is the address of a link: one of our own pages, or on the web.
func (t *Texts) Markup(id string, n int, pairs ...any) string {
	m := t.message(id, n)
	if m == nil {
		return html.EscapeString(id)
	}
	return m.fillHTML(func(name string, inTag bool) string {
		if name == countName {
			return strconv.Itoa(n)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return fragment(pairs[i+1], inTag)
			}
		}
		return ""
	})
}

// Fragment is HTML that is safe to insert into a page.
type Fragment string

func fragment(value any, inTag bool) string {
	switch v := value.(type) {
	case Fragment:
		return string(v)
	case string:
		switch {
		case !inTag:
			return "<bdi>" + html.EscapeString(v) + "</bdi>"
		case strings.HasPrefix(v, "https://"), strings.HasPrefix(v, "http://"),
			strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "//"), strings.HasPrefix(v, "#"):
			return html.EscapeString(v)
		}
	}
	return ""
}

// message returns an entry in the form for a number, or nil.
func (t *Texts) message(id string, n int) *message {
	if t == nil {
		return nil
	}
	e := t.entry(id)
	if e == nil {
		return nil
	}
	return e.form(n)
}

func valueOf(pairs []string, name string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return ""
}

// Isolate encloses a text that others chose, so that its direction does not change that of the
// sentence around it (Unicode Standard Annex #9, FSI and PDI), and removes what reorders text. In a
// language from left to right only a text with characters from right to left needs that. In the
// others every text does: the parts of a date would change places, and a period at the end of a
// name would go before it.
func Isolate(t *Texts, s string) string {
	if s == "" || t.direction == "ltr" && !strings.ContainsFunc(s, reorders) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)
	return "\u2068" + s + "\u2069"
}

// formOf returns the plural form of CLDR that a whole number takes in a language.
func formOf(tag language.Tag, n int) plural.Form {
	return plural.Cardinal.MatchPlural(tag, max(n, -n), 0, 0, 0, 0)
}

// reorders reports whether a character is written from right to left, or controls the direction.
func reorders(r rune) bool {
	switch {
	case r < 0x0590:
		return false
	case r <= 0x08FF, r == 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return r >= 0xFB1D && r <= 0xFDFF || r >= 0xFE70 && r <= 0xFEFF || r >= 0x10800 && r <= 0x10FFF ||
		r >= 0x1E800 && r <= 0x1EFFF
}
