package ui

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"

	"github.com/gatehouse-id/gatehouse/internal/text"
)

// Custom is what an operator has below TEMPLATES_PATH: templates that replace single pages, and
// files to serve. The zero value is nothing.
type Custom struct {
	Files   fs.FS
	Reload  bool        // read files again when they change
	OnError func(error) // learns that a changed template is not used, or nil

	Texts *text.Catalogues // those that several servers share; nil: they are loaded
}

// customSet holds the templates of one state of the files.
type customSet struct {
	state string // names, sizes and times of the files
	pages map[PageName]*template.Template
}

// layoutFile is the template that replaces the frame of all pages but those of the account.
const layoutFile = "layout.html"

// replacedPages returns the pages that a template can replace, by the name of its file. The names
// are those that the templates of earlier products have.
func replacedPages() map[string]PageName {
	return map[string]PageName{
		"signin.html":          PageLogin,
		"signup.html":          PageSignUp,
		"authorize.html":       PageConsent,
		"activate.html":        PageActivate,
		"forgot-password.html": PageForgot,
		"reset-password.html":  PageNewPassword,
		"errors.html":          PageError,
	}
}

// loadCustom reads and checks the templates of the operator. Every error names the file and, where
// there is one, the line.
func (p *Pages) loadCustom() (*customSet, error) {
	set := &customSet{pages: map[PageName]*template.Template{}}
	if p.custom.Files == nil {
		return set, nil
	}
	var err error
	if set.state, err = stateOf(p.custom.Files); err != nil {
		return nil, err
	}
	sources, err := readTemplates(p.custom.Files)
	if err != nil {
		return nil, err
	}
	layout, replaced := sources[layoutFile], replacedPages()
	for view, frame := range catalog() {
		page := ""
		for file, name := range replaced {
			if name == view.Page() && sources[file] != "" {
				page = file
			}
		}
		if page == "" && (layout == "" || frame != frameCard) {
			continue
		}
		c := customPage{pages: p, view: view, frame: frame, file: page, source: sources[page]}
		if frame == frameCard {
			c.layout = layout
		}
		if set.pages[view.Page()], err = c.parse(); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// maxTemplate is how large a template may be, in bytes.
const maxTemplate = 256 << 10

// readTemplates returns the sources of the templates, by the names of their files.
func readTemplates(files fs.FS) (map[string]string, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fault.New(fault.Invalid, "TEMPLATES_PATH cannot be read: %v", err)
	}
	known := append(slices.Sorted(maps.Keys(replacedPages())), layoutFile)
	sources := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		if path.Ext(name) != ".html" || strings.HasPrefix(name, ".") {
			continue
		}
		if !slices.Contains(known, name) {
			near := strings.Join(known, ", ")
			if n := spell.Nearest(name, known); n != "" {
				near = n
			}
			return nil, fault.New(fault.Invalid, "%s: there is no page of this name to replace; use one "+
				"of: %s", name, near)
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s: %v", name, err)
		}
		if len(body) > maxTemplate || strings.TrimSpace(string(body)) == "" {
			return nil, fault.New(fault.Invalid, "%s: a template has from 1 byte to %d bytes", name, maxTemplate)
		}
		sources[name] = string(body)
	}
	return sources, nil
}

// stateOf returns a text that changes when a template does.
func stateOf(files fs.FS) (string, error) {
	var out strings.Builder
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return "", fault.New(fault.Invalid, "TEMPLATES_PATH cannot be read: %v", err)
	}
	for _, e := range entries {
		if path.Ext(e.Name()) != ".html" {
			continue
		}
		info, err := fs.Stat(files, e.Name())
		if err != nil {
			return "", fault.New(fault.Invalid, "%s: %v", e.Name(), err)
		}
		fmt.Fprintf(&out, "%s %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return out.String(), nil
}

// refresh reads the templates again if they have changed. Templates that do not pass the checks are
// reported and not used.
func (p *Pages) refresh() {
	state, err := stateOf(p.custom.Files)
	if err == nil && state == p.current.Load().state {
		return
	}
	var set *customSet
	if err == nil {
		set, err = p.loadCustom()
	}
	if err != nil {
		set = &customSet{state: state, pages: p.current.Load().pages}
		if p.custom.OnError != nil {
			p.custom.OnError(err)
		}
	}
	p.current.Store(set)
}

// customPage is one page with the operator's template, layout, or both.
type customPage struct {
	pages  *Pages
	view   View
	frame  string
	file   string // the template's file, or ""
	source string
	layout string // the source of the layout, or ""
}

// parse returns the template of the page. It has rendered the page with and without data, and has
// compared its forms with those of the page that it replaces.
func (c customPage) parse() (*template.Template, error) {
	t, err := c.pages.frames.Clone()
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(templateFiles, "templates/"+string(c.view.Page())+".html"); err != nil {
		return nil, err
	}
	if c.file != "" {
		err = addSource(t, c.file, c.source, formParts(c.view))
		if err == nil {
			_, err = t.New("content").Parse(`{{template "` + c.file + `" (variables .)}}`)
		}
	}
	if err == nil && c.layout != "" {
		err = addLayout(t, c.layout)
	}
	if err == nil {
		err = checkTexts(t, c.pages.texts)
	}
	if err == nil {
		err = c.check(t.Lookup(c.frame))
	}
	return t.Lookup(c.frame), err
}

// formParts returns the template text that carries the state of a page through its forms.
func formParts(v View) string {
	parts := ""
	if _, ok := v.(interface{ fields() *Form }); ok {
		parts = `{{template "hidden" $.page}}`
	}
	if v.Page() == PageNewPassword {
		parts += `{{template "login-name" $.page.Account}}`
	}
	return parts
}

// addSource checks the source of a template of the operator and adds it to a set, with the hidden
// fields of its forms.
func addSource(t *template.Template, file, source, inForms string) error {
	tags, err := scanTags(file, source)
	if err != nil {
		return err
	}
	var out strings.Builder
	from := 0
	for _, tag := range tags {
		if tag.name == "form" && strings.EqualFold(tag.attr["method"], "post") {
			out.WriteString(source[from:tag.end])
			out.WriteString(inForms)
			from = tag.end
		}
	}
	out.WriteString(source[from:])
	return parseSource(t, file, out.String())
}

// addLayout adds the operator's layout as the frame of pages.
func addLayout(t *template.Template, source string) error {
	tags, err := scanTags(layoutFile, source)
	if err != nil {
		return err
	}
	head := slices.IndexFunc(tags, func(tag sourceTag) bool { return tag.name == "head" })
	body := slices.IndexFunc(tags, func(tag sourceTag) bool { return tag.name == "body" })
	title := slices.IndexFunc(tags, func(tag sourceTag) bool { return tag.name == "title" })
	switch {
	case head < 0:
		return fault.New(fault.Invalid, "%s: there is no <head>", layoutFile)
	case body < head:
		return fault.New(fault.Invalid, "%s: there is no <body>", layoutFile)
	case title >= 0:
		return fault.New(fault.Invalid, "%s:%d: remove <title>: each page writes its own", layoutFile, tags[title].line)
	}
	in, on := tags[head].end, tags[body].end
	source = source[:in] + `{{template "head-parts" $.page}}` + source[in:on] +
		`{{template "acting" $.page}}` + source[on:]
	if err := parseSource(t, layoutFile, source); err != nil {
		return err
	}
	_, err = t.New(frameCard).Parse(`{{template "` + layoutFile + `" (variables .)}}`)
	return err
}

// parseSource parses a template and rejects variables that there are not.
func parseSource(t *template.Template, file, source string) error {
	part, err := t.New(file).Option("missingkey=error").Parse(source)
	if err != nil {
		return sourceError(err)
	}
	return checkVariables(part, variableNames())
}

// sourceError returns an error of the template library without the prefix that means nothing to an
// operator.
func sourceError(err error) error {
	words := err.Error()
	for _, prefix := range []string{"html/template:", "template: ", " "} {
		words = strings.TrimPrefix(words, prefix)
	}
	return fault.New(fault.Invalid, "%s", words)
}

// check renders the page with and without data, and compares its forms with those of the page that
// it replaces.
func (c customPage) check(t *template.Template) error {
	file := c.file
	if file == "" {
		file = layoutFile
	}
	for _, full := range []struct{ data, flags bool }{{}, {true, false}, {true, true}} {
		v := reflect.New(reflect.TypeOf(c.view).Elem()).Interface().(View)
		if full.data {
			fillSample(reflect.ValueOf(v).Elem(), full.flags)
		}
		if login, ok := v.(*LoginView); ok {
			login.Password = true // other ways to sign in have pages of their own
		}
		v.base().texts = c.pages.fallback
		var ours, theirs bytes.Buffer
		own, err := c.pages.template(v.Page())
		if err != nil {
			return err
		}
		if err := own.Execute(&ours, v); err != nil {
			if !full.data {
				return err
			}
			continue // a value that our own page does not take, such as a text too long for a QR code
		}
		if err := t.Execute(&theirs, v); err != nil {
			return sourceError(err)
		}
		if err := comparePages(file, &ours, &theirs, c.layout != ""); err != nil {
			return err
		}
	}
	return nil
}

// fillSample sets every field of a view: texts to a word, flags as told.
func fillSample(v reflect.Value, flags bool) {
	if !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("sample")
	case reflect.Bool:
		v.SetBool(flags)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		if v.Type() != reflect.TypeFor[*time.Location]() {
			v.Set(reflect.New(v.Type().Elem()))
			fillSample(v.Elem(), flags)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillSample(v.Index(0), flags)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fillSample(v.Field(i), flags)
		}
	}
}

// customTemplate returns the operator's template of a page, or nil.
func (p *Pages) customTemplate(name PageName) *template.Template {
	if p.custom.Reload && p.custom.Files != nil {
		p.refresh()
	}
	return p.current.Load().pages[name]
}

// executeTemplate renders a page; the operator's page falls back to ours if it fails, which the
// checks at the start make unlikely.
func (p *Pages) executeTemplate(w io.Writer, v View) error {
	own, err := p.template(v.Page())
	if err != nil {
		return err
	}
	t := p.customTemplate(v.Page())
	if c, ok := v.(*ConsentView); ok && c.Client != nil && c.Client.Unverified {
		t = nil // only ours has the warning for certain
	}
	if t == nil {
		return own.Execute(w, v)
	}
	var buf bytes.Buffer
	if err := t.Execute(&buf, v); err != nil {
		if p.custom.OnError != nil {
			p.custom.OnError(sourceError(err))
		}
		return own.Execute(w, v)
	}
	_, err = w.Write(buf.Bytes())
	return err
}
