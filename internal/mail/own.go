package mail

import (
	"bytes"
	"cmp"
	html "html/template"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	plain "text/template"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// ownDir is the directory of the operator's templates of messages: message.html and message.txt for
// all messages, or the name of one, such as password-reset.html. Those for one language are in a
// directory below it whose name is the tag of the language, such as de.
const ownDir = "emails"

// forAll is the name of the templates for all messages.
const forAll = "message"

// maxOwn is how large a template may be, in bytes.
const maxOwn = 256 << 10

// ownTemplate is the operator's template of a message, as HTML, as text, or both.
type ownTemplate struct {
	html  *html.Template
	plain *plain.Template
}

// An ownKey says what a template of the operator is for.
type ownKey struct {
	language string // the tag, or "" for all
	message  string // the name, or "" for all
}

// ownTemplates are the operator's templates.
type ownTemplates map[ownKey]ownTemplate

// find returns the operator's template of a message that fits best: one for the language before one
// for all. Either part of it may be missing.
func (o ownTemplates) find(language, message string) (t ownTemplate) {
	for _, key := range []ownKey{{language, message}, {language, ""}, {"", message}, {"", ""}} {
		t.html, t.plain = cmp.Or(t.html, o[key].html), cmp.Or(t.plain, o[key].plain)
	}
	return t
}

// loadOwn reads and checks the operator's templates, for all languages and for single ones. Every
// error names the file.
func loadOwn(custom fs.FS, languages []string) (ownTemplates, error) {
	if custom == nil {
		return nil, nil
	}
	entries, err := fs.ReadDir(custom, ownDir)
	if err != nil {
		return nil, nil // there are none
	}
	own := ownTemplates{}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !slices.Contains(languages, e.Name()) {
			return nil, fault.New(fault.Invalid, "%s: there is no language %q; use one of: %s",
				path.Join(ownDir, e.Name()), e.Name(), strings.Join(languages, ", "))
		}
		if err := own.load(custom, e.Name()); err != nil {
			return nil, err
		}
	}
	return own, own.load(custom, "")
}

// load reads and checks the templates for a language, or for all with "".
func (o ownTemplates) load(custom fs.FS, language string) error {
	dir := path.Join(ownDir, language)
	entries, err := fs.ReadDir(custom, dir)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s cannot be read", dir)
	}
	known := append(outbox.Messages(), forAll)
	for _, e := range entries {
		file, kind := path.Join(dir, e.Name()), path.Ext(e.Name())
		if e.IsDir() || kind != ".html" && kind != ".txt" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := strings.TrimSuffix(e.Name(), kind)
		if !slices.Contains(known, name) {
			near := strings.Join(known, ", ")
			if n := spell.Nearest(name, known); n != "" {
				near = n
			}
			return fault.New(fault.Invalid, "%s: there is no message %q; use one of: %s", file, name, near)
		}
		if name == forAll {
			name = ""
		}
		if err := o.add(custom, file, ownKey{language, name}); err != nil {
			return err
		}
	}
	return nil
}

// add reads and checks one template.
func (o ownTemplates) add(custom fs.FS, file string, key ownKey) error {
	body, err := fs.ReadFile(custom, file)
	if err != nil || len(body) > maxOwn {
		return fault.New(fault.Invalid, "%s cannot be read, or is larger than %d bytes", file, maxOwn)
	}
	t, kind := o[key], path.Ext(file)
	if kind == ".html" {
		t.html, err = parseHTML(file, string(body))
	} else {
		t.plain, err = plain.New(file).Option("missingkey=error").Parse(string(body))
	}
	if err != nil {
		return ownError(err)
	}
	o[key] = t
	return t.check(file, kind, key.message)
}

// active matches what mail programs remove, or what tells others that a message was read.
var active = regexp.MustCompile(`(?i)<(script|form|iframe|object|embed)\b`)

// parseHTML parses a template of a message as HTML.
func parseHTML(file, source string) (*html.Template, error) {
	if m := active.FindStringIndex(source); m != nil {
		line := 1 + strings.Count(source[:m[0]], "\n")
		return nil, fault.New(fault.Invalid, "%s:%d: %s is not possible in a message", file, line, source[m[0]:m[1]]+">")
	}
	return html.New(file).Option("missingkey=error").Parse(source)
}

// ownError returns an error of the template libraries without the prefix that means nothing to an
// operator.
func ownError(err error) error {
	words := err.Error()
	for _, prefix := range []string{"html/template:", "template: ", " "} {
		words = strings.TrimPrefix(words, prefix)
	}
	return fault.New(fault.Invalid, "%s", words)
}

// check renders a template with all that its message can have, and with the least. What people act
// on must be in it.
func (t ownTemplate) check(file, kind, message string) error {
	full := &view{
		colors: Brand{}.colors(), Language: "en", Direction: "ltr", Logo: "https://example.com/logo.png", App: "App", Company: "Company",
		Address: "Address", Subject: "Subject", Greeting: "Greeting", Footer: "Footer", Body: "Body 1", Note: "Note 1", CodeIntro: "Intro",
		Code: "Code1", Link: "https://example.com/link1", Button: "Button", Fallback: "Fallback", Lifetime: "Lifetime",
		Facts: []fact{{"Label", "Value1"}},
	}
	if message == "" || message == outbox.MessageAddressInUse { // no other one has a second link
		full.Link2, full.Button2 = "https://example.com/link2", "Button 2"
	}
	for _, v := range []*view{full, {Subject: "Subject", Body: "Body 1"}} {
		var out bytes.Buffer
		var err error
		if kind == ".html" {
			err = t.html.Execute(&out, v.variables())
		} else {
			err = t.plain.Execute(&out, v.variables())
		}
		if err != nil {
			return ownError(err)
		}
		for _, part := range []struct{ name, value string }{
			{"body", v.Body}, {"note", v.Note}, {"link", v.Link}, {"second_link", v.Link2}, {"code", v.Code},
		} {
			if !strings.Contains(out.String(), part.value) {
				return fault.New(fault.Invalid, "%s: the message lacks {{.%s}}", file, part.name)
			}
		}
		for _, f := range v.Facts {
			if !strings.Contains(out.String(), f.Value) {
				return fault.New(fault.Invalid, "%s: the message lacks its facts: "+
					"write {{range .facts}}{{.label}}: {{.value}}{{end}}", file)
			}
		}
	}
	return nil
}

// variables returns what the operator's templates show, under names that stay the same from release
// to release.
func (v *view) variables() map[string]any {
	facts := make([]map[string]string, len(v.Facts))
	for i, f := range v.Facts {
		facts[i] = map[string]string{"label": f.Label, "value": f.Value}
	}
	return map[string]any{
		"app_name":          v.App,
		"company_name":      v.Company,
		"company_address":   v.Address,
		"logo_url":          v.Logo,
		"button_color":      v.Fill,
		"button_text_color": v.OnFill,
		"link_color":        v.Accent,
		"lang":              v.Language,
		"dir":               v.Direction,
		"subject":           v.Subject,
		"greeting":          v.Greeting,
		"body":              v.Body,
		"note":              v.Note,
		"code_intro":        v.CodeIntro,
		"code":              v.Code,
		"link":              v.Link,
		"button":            v.Button,
		"second_link":       v.Link2,
		"second_button":     v.Button2,
		"link_fallback":     v.Fallback,
		"lifetime":          v.Lifetime,
		"footer":            v.Footer,
		"facts":             facts,
	}
}
