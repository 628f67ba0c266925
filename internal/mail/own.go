package mail

import (
	"bytes"
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
// all messages, or the name of one, such as password-reset.html.
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

// loadOwn reads and checks the operator's templates. Every error names the file.
func loadOwn(custom fs.FS) (map[string]ownTemplate, error) {
	if custom == nil {
		return nil, nil
	}
	entries, err := fs.ReadDir(custom, ownDir)
	if err != nil {
		return nil, nil // there are none
	}
	known, own := append(outbox.Messages(), forAll), map[string]ownTemplate{}
	for _, e := range entries {
		file, kind := path.Join(ownDir, e.Name()), path.Ext(e.Name())
		if kind != ".html" && kind != ".txt" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := strings.TrimSuffix(e.Name(), kind)
		if !slices.Contains(known, name) {
			near := strings.Join(known, ", ")
			if n := spell.Nearest(name, known); n != "" {
				near = n
			}
			return nil, fault.New(fault.Invalid, "%s: there is no message %q; use one of: %s", file, name, near)
		}
		if name == forAll {
			name = ""
		}
		body, err := fs.ReadFile(custom, file)
		if err != nil || len(body) > maxOwn {
			return nil, fault.New(fault.Invalid, "%s cannot be read, or is larger than %d bytes", file, maxOwn)
		}
		t := own[name]
		if kind == ".html" {
			t.html, err = parseHTML(file, string(body))
		} else {
			t.plain, err = plain.New(file).Option("missingkey=error").Parse(string(body))
		}
		if err != nil {
			return nil, ownError(err)
		}
		own[name] = t
		if err := t.check(file, kind); err != nil {
			return nil, err
		}
	}
	return own, nil
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

// check renders a template with all that a message can have, and with the least. What people act on
// must be in it.
func (t ownTemplate) check(file, kind string) error {
	full := &view{
		colors: Brand{}.colors(), Language: "en", Direction: "ltr", Logo: "https://example.com/logo.png", App: "App", Company: "Company",
		Address: "Address", Subject: "Subject", Greeting: "Greeting", Footer: "Footer", Body: "Body 1", Note: "Note 1", CodeIntro: "Intro",
		Code: "Code1", Link: "https://example.com/link1", Button: "Button", Fallback: "Fallback", Lifetime: "Lifetime",
		Facts: []fact{{"Label", "Value1"}},
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
			{"body", v.Body}, {"note", v.Note}, {"link", v.Link}, {"code", v.Code},
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
		"link_fallback":     v.Fallback,
		"lifetime":          v.Lifetime,
		"footer":            v.Footer,
		"facts":             facts,
	}
}
