package text

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// countName is the placeholder of the number that selects a plural form.
const countName = "PluralCount"

// entry is one text in all plural forms that its language needs.
type entry struct {
	tag    language.Tag
	plural bool
	forms  [plural.Many + 1]*message // by plural.Form; Other is always there
}

// form returns the form for a number.
func (e *entry) form(n int) *message {
	if e.plural {
		if m := e.forms[formOf(e.tag, n)]; m != nil {
			return m
		}
	}
	return e.forms[plural.Other]
}

// message is a text split at its placeholders: literals[0] names[0] literals[1] …
type message struct {
	literals []string
	names    []string
	escaped  []string // the literals as HTML
	inTag    []bool   // by placeholder: it is the value of an attribute
	markup   bool     // there are tags in the text
}

// compile prepares an entry of a catalogue.
func compile(t *Texts, m *i18n.Message) (*entry, error) {
	e := &entry{tag: t.parsed}
	sources := map[plural.Form]string{
		plural.Zero: m.Zero, plural.One: m.One, plural.Two: m.Two, plural.Few: m.Few,
		plural.Many: m.Many, plural.Other: m.Other,
	}
	for form, source := range sources {
		if source == "" {
			continue
		}
		var err error
		if e.forms[form], err = newMessage(source); err != nil {
			return nil, err
		}
		e.plural = e.plural || form != plural.Other
	}
	if e.forms[plural.Other] == nil {
		return nil, errors.New("the form other is missing")
	}
	for _, m := range e.forms { // in a language without other forms, the number says it
		e.plural = e.plural || m != nil && strings.Contains(" "+strings.Join(m.names, " ")+" ", " "+countName+" ")
	}
	return e, nil
}

// placeholder is a name in a text, as in Go's templates.
var placeholder = regexp.MustCompile(`\{\{\s*\.(\w+)\s*\}\}`)

// tag is an element that a text may contain; a link's address is a placeholder.
var tag = regexp.MustCompile(`</?(?:strong|em|code|kbd|b)>|<br>|<a href="\{\{\s*\.\w+\s*\}\}">|</a>`)

func newMessage(source string) (*message, error) {
	m := &message{markup: tag.MatchString(source)}
	last := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(source, -1) {
		m.literals = append(m.literals, source[last:at[0]])
		m.names = append(m.names, source[at[2]:at[3]])
		last = at[1]
	}
	m.literals = append(m.literals, source[last:])
	for _, s := range m.literals {
		if strings.Contains(s, "{{") || strings.Contains(s, "}}") {
			return nil, fmt.Errorf("a placeholder is not written {{.Name}}: %s", source)
		}
	}
	m.escape(source)
	return m, nil
}

// escape prepares the text as HTML: what is not a tag is escaped.
func (m *message) escape(source string) {
	var b strings.Builder
	last := 0
	for _, at := range tag.FindAllStringIndex(source, -1) {
		b.WriteString(html.EscapeString(source[last:at[0]]) + source[at[0]:at[1]])
		last = at[1]
	}
	b.WriteString(html.EscapeString(source[last:]))
	m.escaped = placeholder.Split(b.String(), -1)
	for i := range m.names {
		m.inTag = append(m.inTag, strings.HasSuffix(m.escaped[i], `<a href="`))
	}
}

// fill returns the text with a value in the place of each placeholder.
func (m *message) fill(value func(name string) string) string {
	if len(m.names) == 0 {
		return m.literals[0]
	}
	var b strings.Builder
	for i, name := range m.names {
		b.WriteString(m.literals[i])
		b.WriteString(value(name))
	}
	b.WriteString(m.literals[len(m.names)])
	return b.String()
}

// fillHTML returns the text as HTML with a value, which is HTML, in the place of each placeholder.
func (m *message) fillHTML(value func(name string, inTag bool) string) string {
	if len(m.names) == 0 {
		return m.escaped[0]
	}
	var b strings.Builder
	for i, name := range m.names {
		b.WriteString(m.escaped[i])
		b.WriteString(value(name, m.inTag[i]))
	}
	b.WriteString(m.escaped[len(m.names)])
	return b.String()
}
