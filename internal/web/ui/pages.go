// Package ui is what people see: the pages of signing in, of deciding about applications and of one's own account.
//
// A page is a View (what to show) and a template of the same name (how it looks). Every page works without JavaScript;
// the few scripts only add comfort. Neither scripts nor styles are ever written into a page, so that the content
// security policy can forbid both. Texts from outside (names of applications, user agents) are isolated by <bdi>,
// so that a right-to-left name cannot reorder the sentence around it.
package ui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"strings"
)

//go:embed templates
var templateFiles embed.FS

// Brand is how the server calls itself.
type Brand struct {
	Name string // "Gatehouse"
}

// Pages renders views. It is safe for concurrent use.
type Pages struct {
	Assets *Assets
	brand  Brand
	pages  map[PageName]*template.Template
}

// layouts is which frame surrounds which page: "card" is one card on a quiet background, "account" has a navigation.
func layouts() map[PageName]string {
	return map[PageName]string{
		PageLogin: "card", PageCode: "card", PageEnroll: "card", PageBackupCodes: "card", PageNewPassword: "card",
		PageChooser: "card", PageLogout: "card", PageLoggedOut: "card", PageSetup: "card",
		PageConsent: "card", PageActivate: "card", PageActivateConfirm: "card", PageActivateDone: "card",
		PageFormPost: "card", PageError: "card",
		PageAccount: "account", PageAccountProfile: "account", PageAccountSecurity: "account",
		PageAccountSessions: "account", PageAccountAuthorizations: "account",
	}
}

// NewPages parses every template and renders every page twice, empty and with everything that it can show: a page that
// does not work is found when the server starts, not when a person meets it.
func NewPages(brand Brand) (*Pages, error) {
	assets, err := NewAssets()
	if err != nil {
		return nil, err
	}
	p := &Pages{Assets: assets, brand: brand, pages: map[PageName]*template.Template{}}
	frame, err := template.New("frame").Funcs(p.funcs()).ParseFS(templateFiles, "templates/frame/*.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the pages' frame: %w", err)
	}
	for name, layout := range layouts() {
		if p.pages[name], err = parsePage(frame, name, layout); err != nil {
			return nil, fmt.Errorf("parsing page %s: %w", name, err)
		}
	}
	return p, p.check()
}

func parsePage(frame *template.Template, name PageName, layout string) (*template.Template, error) {
	t, err := frame.Clone()
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(templateFiles, "templates/"+string(name)+".html"); err != nil {
		return nil, err
	}
	return t.Lookup(layout), nil
}

func (p *Pages) check() error {
	for _, v := range Samples() {
		if _, err := p.Render(v); err != nil {
			return err
		}
		empty := reflect.New(reflect.TypeOf(v).Elem()).Interface().(View)
		if _, err := p.Render(empty); err != nil {
			return fmt.Errorf("without data: %w", err)
		}
	}
	return nil
}

// Render writes a page to memory: what is sent is either the whole page or none of it.
func (p *Pages) Render(v View) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(8 << 10)
	if err := p.Write(&buf, v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Write is Render into a buffer that the caller provides. On an error the buffer holds part of a page.
func (p *Pages) Write(w io.Writer, v View) error {
	t, ok := p.pages[v.Page()]
	if !ok {
		return fmt.Errorf("no page %q", v.Page())
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("rendering page %s: %w", v.Page(), err)
	}
	return nil
}

func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"brand":    func() string { return p.brand.Name },
		"asset":    p.Assets.URL,
		"field":    newField,
		"count":    count,
		"describe": describe,
		"qr":       QRCode,
		"fail":     func(what string) (string, error) { return "", fmt.Errorf("template: %s", what) },
	}
}

// field is one labelled input, with its hint and its error.
type field struct {
	ID, Name, Label, Value string
	Hint, Error            string
	Type, Autocomplete     string
	Inputmode, Capitalize  string
	Describe               string // id of a further description
	Placeholder            string
	Class                  string
	Required, Autofocus    bool
	Readonly, Area, Plain  bool
	Maxlength              int
}

// DescribedBy is the list of ids that describe the input, for assistive technology.
func (f field) DescribedBy() string {
	var ids []string
	if f.Error != "" {
		ids = append(ids, f.ID+"-error")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID+"-hint")
	}
	if f.Describe != "" {
		ids = append(ids, f.Describe)
	}
	return strings.Join(ids, " ")
}

// newField builds a field from options written in a template: "type=password", "required", "hint=At least …".
// An option that does not exist is an error, found at start-up.
func newField(b Base, name, label, value string, options ...string) (field, error) {
	f := field{Name: name, Label: label, Value: value, Type: "text"}
	key := name
	for _, o := range options {
		option, arg, _ := strings.Cut(o, "=")
		if option == "key" {
			key = arg
			continue
		}
		if err := f.set(option, arg); err != nil {
			return field{}, fmt.Errorf("field %s: %w", name, err)
		}
	}
	f.ID, f.Error = FieldID(key), b.ErrorFor(key)
	if len(b.Errors) > 0 {
		f.Autofocus = b.Errors[0].Field == key // begin where something has to be corrected
	}
	return f, nil
}

func (f *field) set(option, arg string) error {
	switch option {
	case "type":
		f.Type = arg
	case "autocomplete":
		f.Autocomplete = arg
	case "inputmode":
		f.Inputmode = arg
	case "autocapitalize":
		f.Capitalize = arg
	case "hint":
		f.Hint = arg
	case "describe":
		f.Describe = arg
	case "placeholder":
		f.Placeholder = arg
	case "class":
		f.Class = arg
	case "required":
		f.Required = true
	case "autofocus":
		f.Autofocus = true
	case "readonly":
		f.Readonly = true
	case "area":
		f.Area = true
	case "plain": // no spelling or capital letters: names of accounts, codes
		f.Plain = true
	case "code":
		f.Plain, f.Class, f.Maxlength = true, "code", 32
	default:
		return fmt.Errorf("no option %q", option)
	}
	return nil
}

// describe is the option that ties a field to a list, if there is one.
func describe(id string, list []string) string {
	if len(list) == 0 {
		id = ""
	}
	return "describe=" + id
}

// FieldID is the id of the input for a field or key, which the list of problems links to.
func FieldID(key string) string { return "f-" + key }
