// Package ui serves the pages that people see: signing in, deciding about apps, and managing
// their own account.
//
// A page is a View (what to show) and a template of the same name (how it looks). Every page
// works without JavaScript; the few scripts only add convenience. Scripts and styles are never
// written into a page, so that the content security policy can forbid both. Texts from outside
// (names of apps, user agents) are isolated by <bdi>, so that a right-to-left name cannot reorder
// the sentence around it.
package ui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

//go:embed templates
var templateFiles embed.FS

// Pages renders views. It is safe for concurrent use.
type Pages struct {
	Assets *Assets
	brand  Brand
	pages  map[PageName]*page

	custom  Custom
	frames  *template.Template // cloned for each page, never executed itself
	current atomic.Pointer[customSet]
	holed   *holedPages
	buffers sync.Pool              // of *bytes.Buffer, which show reuses
	public  map[string]*publicFile // by address

	texts    *text.Catalogues
	fallback *text.Texts // the language of Brand.Locale

	rendered func(View) // tests learn here what handlers show; else nil
}

// The frames around a page.
const (
	frameCard    = "card"    // one card on a plain background
	frameAccount = "account" // a header and the navigation of one's own account
)

// catalog lists every page by an empty view, with the frame around it. A page is added by its
// template and a line here.
func catalog() map[View]string {
	return map[View]string{
		&LoginView{}:           frameCard,
		&CodeView{}:            frameCard,
		&EnrollView{}:          frameCard,
		&BackupCodesView{}:     frameCard,
		&NewPasswordView{}:     frameCard,
		&ChooserView{}:         frameCard,
		&LogoutView{}:          frameCard,
		&LoggedOutView{}:       frameCard,
		&SetupView{}:           frameCard,
		&SignUpView{}:          frameCard,
		&ConfirmView{}:         frameCard,
		&VerifyView{}:          frameCard,
		&InvitationView{}:      frameCard,
		&UndoEmailView{}:       frameCard,
		&ForgotView{}:          frameCard,
		&EmailView{}:           frameCard,
		&EmailCodeView{}:       frameCard,
		&EmailLinkView{}:       frameCard,
		&RecoverView{}:         frameCard,
		&RecoverLinkView{}:     frameCard,
		&RecoverDoneView{}:     frameCard,
		&ForgotSentView{}:      frameCard,
		&MailboxView{}:         frameCard,
		&LetterView{}:          frameCard,
		&ConsentView{}:         frameCard,
		&ActivateView{}:        frameCard,
		&ActivateConfirmView{}: frameCard,
		&ActivateDoneView{}:    frameCard,
		&FormPostView{}:        frameCard,
		&ImpersonateView{}:     frameCard,
		&ErrorView{}:           frameCard,

		&NotMeView{}:             frameCard,
		&DeletionView{}:          frameCard,
		&DeletionRequestedView{}: frameCard,
		&AccountDataView{}:       frameAccount,
		&AccountSignInsView{}:    frameAccount,

		&AccountView{}:               frameAccount,
		&AccountProfileView{}:        frameAccount,
		&AccountSecurityView{}:       frameAccount,
		&AccountSessionsView{}:       frameAccount,
		&AccountAuthorizationsView{}: frameAccount,
		&EmailsView{}:                frameAccount,
		&UsernameView{}:              frameAccount,
		&AccountConfirmView{}:        frameAccount,
		&AccountPasskeysView{}:       frameAccount,
		&AccountPasskeyRenameView{}:  frameAccount,
		&AccountPasskeyRemoveView{}:  frameAccount,
	}
}

// NewPages returns the pages of the program. See Check.
func NewPages(brand Brand) (*Pages, error) { return NewCustomPages(brand, Custom{}) }

// NewCustomPages returns pages of which the operator has replaced some.
func NewCustomPages(brand Brand, custom Custom) (*Pages, error) {
	public, err := loadPublic(custom.Files)
	if err != nil {
		return nil, err
	}
	if public[touchIconPath] != nil {
		brand.touchIcon = touchIconPath
	}
	assets, err := NewAssets(brand)
	if err != nil {
		return nil, err
	}
	p := &Pages{
		Assets: assets,
		brand:  brand,
		custom: custom,
		public: public,
		pages:  map[PageName]*page{},
	}
	p.holed = newHoledPages()
	p.buffers.New = func() any { return bytes.NewBuffer(make([]byte, 0, pageSize)) }
	p.current.Store(&customSet{})
	if p.texts = custom.Texts; p.texts == nil {
		if p.texts, err = text.Load(); err != nil {
			return nil, err
		}
	}
	p.fallback = p.texts.For(brand.Locale)
	frames, err := template.New("frame").Funcs(p.funcs()).Funcs(p.lookFuncs()).
		ParseFS(templateFiles, "templates/frame/*.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the frames of the pages: %w", err)
	}
	if err := addFactors(frames); err != nil {
		return nil, fmt.Errorf("parsing the templates of factors: %w", err)
	}
	p.frames = frames
	for view, frame := range catalog() {
		p.pages[view.Page()] = &page{view: view, frame: frame}
	}
	set, err := p.loadCustom()
	if err != nil {
		return nil, err
	}
	p.current.Store(set)
	return p, nil
}

// page is the template of a page. It is parsed when the page is first shown: a server that starts
// needs none of them, and most never show all.
type page struct {
	view  View // without data
	frame string

	once     sync.Once
	template *template.Template
	err      error
}

// Check parses every template and renders every page once without data. It returns what is wrong
// with the first that does not parse, or that writes a value where it cannot be escaped. The tests
// of the program call it for the templates that are part of it.
func (p *Pages) Check() error {
	for name := range p.pages {
		if _, err := p.template(name); err != nil {
			return err
		}
	}
	return nil
}

// template returns the program's own template of a page.
func (p *Pages) template(name PageName) (*template.Template, error) {
	one := p.pages[name]
	if one == nil {
		return nil, fmt.Errorf("no page %q", name)
	}
	one.once.Do(func() {
		if one.template, one.err = p.parse(one); one.err != nil {
			one.err = fmt.Errorf("parsing page %s: %w", name, one.err)
		}
	})
	return one.template, one.err
}

// parse returns the template of a page, which it has rendered without data.
func (p *Pages) parse(one *page) (*template.Template, error) {
	t, err := p.frames.Clone()
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(templateFiles, "templates/"+string(one.view.Page())+".html"); err != nil {
		return nil, err
	}
	if err := checkTexts(t, p.texts); err != nil {
		return nil, err
	}
	t = t.Lookup(one.frame)
	one.view.base().texts = p.fallback
	return t, t.Execute(io.Discard, one.view)
}

// Render returns a page: the whole of it, or an error and nothing.
func (p *Pages) Render(v View) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(pageSize)
	if err := p.Write(&buf, v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// pageSize is what buffers of pages begin with, in bytes.
const pageSize = 16 << 10

// Write renders a page into w. On an error w may hold a part of the page.
func (p *Pages) Write(w *bytes.Buffer, v View) error {
	if p.pages[v.Page()] == nil {
		return fmt.Errorf("no page %q", v.Page())
	}
	if b := v.base(); b.texts == nil {
		b.texts = p.fallback
	}
	if p.rendered != nil {
		p.rendered(v)
	}
	if login, ok := v.(*LoginView); ok {
		if page, ok := p.appendLogin(w.AvailableBuffer(), login); ok {
			_, _ = w.Write(page) // never fails
			return nil
		}
	}
	if err := p.executeTemplate(w, v); err != nil {
		return fmt.Errorf("rendering page %s: %w", v.Page(), err)
	}
	return nil
}

func (p *Pages) funcs() template.FuncMap {
	return template.FuncMap{
		"brand":    func() string { return p.brand.Name },
		"link":     link,
		"support":  func() template.URL { return template.URL(p.brand.SupportURL) },
		"asset":    p.Assets.URL,
		"field":    newField,
		"describe": describe,
		"rules":    newPasswordRules,
		"qr":       QRCode,
		"otpauth":  otpauthURL,
		"fail":     func(what string) (string, error) { return "", fmt.Errorf("template: %s", what) },
	}
}

// link returns an address of a setting, which was validated at the start, as one that may stand on
// a page.
func link(address string) template.URL { return template.URL(address) }

// field is one labeled input, with its hint and its error.
type field struct {
	ID, Name, Label, Value string
	Hint, Error            string
	Type, Autocomplete     string
	Inputmode, Capitalize  string
	Describe               string // id of another element that describes the input
	Placeholder            string
	Class                  string
	Required, Autofocus    bool
	Readonly, Area, Plain  bool
	Maxlength              int
	Show, Hide             string // what the button does that reveals a password
	Dir                    string // the direction of what is typed, or "" for that of the page
}

// DescribedBy returns the ids of the elements that describe the input, for assistive technology.
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

// newField builds a field from options written in a template: "type=password", "required",
// "hint=At least …". An unknown option is an error, found at start-up.
func newField(b Base, name, label, value string, options ...string) (field, error) {
	f := field{
		Name:  name,
		Label: label,
		Value: value,
		Type:  "text",
		Show:  b.T("common.show"),
		Hide:  b.T("common.hide"),
	}
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
	f.ID, f.Error, f.Dir = FieldID(key), b.ErrorFor(key), f.direction(b)
	if len(b.Errors) > 0 {
		f.Autofocus = b.Errors[0].Field == key // start at the first field to correct
	}
	return f, nil
}

// direction returns the direction of what is typed: addresses, codes and passwords are written
// from left to right in every language, names in that of their letters.
func (f *field) direction(b Base) string {
	switch {
	case !f.Plain && (f.Type == "text" || f.Area):
		return "auto"
	case b.texts.Direction() == "rtl":
		return "ltr"
	}
	return ""
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
	case "plain": // no spell check, no capital letters: account names, codes
		f.Plain = true
	case "code":
		f.Plain, f.Class, f.Maxlength = true, "code", 32
	default:
		return fmt.Errorf("no option %q", option)
	}
	return nil
}

// otpauthURL returns an address that opens an authenticator app, whose scheme html/template does
// not know, and "" for any other.
func otpauthURL(address string) template.URL {
	if !strings.HasPrefix(address, "otpauth://") {
		return ""
	}
	return template.URL(address)
}

// describe returns the option that links a field to the list of rules, unless the list is empty.
func describe(id string, list []identity.Rule) string {
	if len(list) == 0 {
		id = ""
	}
	return "describe=" + id
}

// FieldID returns the id of the input for a field or key, which the list of problems links to.
func FieldID(key string) string { return "f-" + key }
