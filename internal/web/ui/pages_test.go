package ui

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func newPages(t testing.TB) *Pages {
	t.Helper()
	p, err := NewPages(Brand{Name: "Gatehouse"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func render(t testing.TB, p *Pages, v View) string {
	t.Helper()
	page, err := p.Render(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// everyView is each sample, and each kind of view without any data.
func everyView() []View {
	views := samples()
	seen := map[PageName]bool{}
	for _, v := range samples() {
		if !seen[v.Page()] {
			seen[v.Page()] = true
			views = append(views, reflect.New(reflect.TypeOf(v).Elem()).Interface().(View))
		}
	}
	return views
}

// Every template has a view, every view a template, a layout and a sample.
// Servers parse a page when it is first shown, so that here is where a mistake is found.
func TestEveryPageParses(t *testing.T) {
	p, err := NewPages(Brand{Name: "Gatehouse", Locale: "en"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

func TestPagesAndTemplatesMatch(t *testing.T) {
	var files, named, sampled []string
	entries, err := fs.ReadDir(templateFiles, "templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			files = append(files, strings.TrimSuffix(e.Name(), ".html"))
		}
	}
	for view := range catalog() {
		named = append(named, string(view.Page()))
	}
	for _, v := range samples() {
		sampled = append(sampled, string(v.Page()))
	}
	for _, list := range []*[]string{&files, &named, &sampled} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if !slices.Equal(files, named) {
		t.Errorf("templates %q\npages %q", files, named)
	}
	if !slices.Equal(files, sampled) {
		t.Errorf("templates %q\nsamples %q", files, sampled)
	}
}

func TestPageNotOursIsAnError(t *testing.T) {
	if _, err := newPages(t).Render(strangeView{}); err == nil {
		t.Error("rendered a page that does not exist")
	}
}

type strangeView struct{ *Base }

func (strangeView) Page() PageName { return "strange" }

// element is one start tag of a page.
type element struct {
	name string
	attr map[string]string
	text string // directly inside
}

func (e element) has(name string) bool { _, ok := e.attr[name]; return ok }

// elements reads a page with a strict eye: every element but the void ones must be closed in order.
func elements(t *testing.T, page string) []element {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.Entity = false, xml.HTMLEntity
	void := []string{"meta", "link", "input", "img"}
	var all []element
	var open []int
	for {
		token, err := d.RawToken() // Token would close forgotten elements by itself
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, page)
		}
		switch x := token.(type) {
		case xml.StartElement:
			e := element{name: x.Name.Local, attr: map[string]string{}}
			for _, a := range x.Attr {
				if e.has(a.Name.Local) {
					t.Errorf("<%s> has %s twice", e.name, a.Name.Local)
				}
				e.attr[a.Name.Local] = a.Value
			}
			if !slices.Contains(void, e.name) {
				open = append(open, len(all))
			}
			all = append(all, e)
		case xml.EndElement:
			if len(open) == 0 || all[open[len(open)-1]].name != x.Name.Local {
				t.Fatalf("</%s> closes nothing\n%s", x.Name.Local, page)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			for _, i := range open {
				all[i].text += string(x)
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("<%s> is never closed", all[open[len(open)-1]].name)
	}
	return all
}

func TestEveryPageIsSound(t *testing.T) {
	p := newPages(t)
	for i, v := range everyView() {
		t.Run(fmt.Sprintf("%02d-%s", i, v.Page()), func(t *testing.T) {
			page := render(t, p, v)
			if n := len(page); n > 15<<10 {
				t.Errorf("the page has %d bytes", n)
			}
			if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "<no value>") {
				t.Errorf("the page has a value that cannot stand where it is:\n%s", page)
			}
			all := elements(t, page)
			checkCounts(t, all)
			checkPolicy(t, p, all)
			checkReferences(t, all)
			checkFields(t, all)
			checkButtons(t, all)
		})
	}
}

func checkCounts(t *testing.T, all []element) {
	t.Helper()
	n := map[string]int{}
	for _, e := range all {
		n[e.name]++
		if e.attr["id"] == "submit" {
			n["#submit"]++
		}
		if e.has("autofocus") {
			n["autofocus"]++
		}
	}
	for _, name := range []string{"h1", "main", "title", "header", "html"} {
		if n[name] != 1 {
			t.Errorf("%d <%s>", n[name], name)
		}
	}
	if n["#submit"] > 1 || n["autofocus"] > 1 {
		t.Errorf("%d primary buttons, %d first inputs", n["#submit"], n["autofocus"])
	}
	if all[0].attr["lang"] == "" {
		t.Error("the page does not say its language")
	}
}

// checkPolicy finds what a policy of script-src 'self'; style-src 'self' would stop.
func checkPolicy(t *testing.T, p *Pages, all []element) {
	t.Helper()
	for _, e := range all {
		for name, value := range e.attr {
			if strings.HasPrefix(name, "on") || name == "style" {
				t.Errorf("<%s %s=%q>", e.name, name, value)
			}
		}
		switch e.name {
		case "style":
			t.Error("a style sheet inside the page")
		case "script":
			checkAsset(t, p, e.attr["src"])
			if strings.TrimSpace(e.text) != "" {
				t.Errorf("a script inside the page: %q", e.text)
			}
		case "link":
			checkAsset(t, p, e.attr["href"])
		}
	}
}

func checkAsset(t *testing.T, p *Pages, url string) {
	t.Helper()
	if _, _, _, immutable, ok := p.Assets.Lookup(url); !ok || !immutable {
		t.Errorf("asset %q: found %v, immutable %v", url, ok, immutable)
	}
}

// checkReferences finds ids that occur twice and references to ids that do not occur.
func checkReferences(t *testing.T, all []element) {
	t.Helper()
	ids := map[string]bool{}
	for _, e := range all {
		if id := e.attr["id"]; id != "" {
			if ids[id] {
				t.Errorf("two elements are called %q", id)
			}
			ids[id] = true
		}
	}
	for _, e := range all {
		refs := strings.Fields(e.attr["aria-describedby"] + " " + e.attr["aria-labelledby"])
		if e.name == "label" {
			refs = append(refs, e.attr["for"])
		}
		if href := e.attr["href"]; strings.HasPrefix(href, "#") {
			refs = append(refs, href[1:])
		}
		for _, ref := range refs {
			if !ids[ref] {
				t.Errorf("<%s> refers to %q, which is not there", e.name, ref)
			}
		}
	}
}

func checkFields(t *testing.T, all []element) {
	t.Helper()
	labelled := map[string]bool{}
	for _, e := range all {
		if e.name == "label" && strings.TrimSpace(e.text) != "" {
			labelled[e.attr["for"]] = true
		}
	}
	for _, e := range all {
		if e.name != "input" && e.name != "textarea" {
			continue
		}
		if e.attr["name"] == "" {
			t.Errorf("an input without a name: %v", e.attr)
		}
		if e.attr["type"] == "hidden" || e.has("hidden") {
			continue
		}
		if !labelled[e.attr["id"]] {
			t.Errorf("input %q has no label", e.attr["name"])
		}
		if e.attr["autocomplete"] == "" {
			t.Errorf("input %q does not say what browsers may fill in", e.attr["name"])
		}
		if e.attr["type"] == "password" && (e.attr["value"] != "" || e.has("maxlength")) {
			t.Errorf("password %q is pre-filled or cut", e.attr["name"])
		}
	}
}

func checkButtons(t *testing.T, all []element) {
	t.Helper()
	for _, e := range all {
		switch e.name {
		case "button":
			// A button that only a script shows asks for a passkey before the form is sent.
			scripted := e.attr["type"] == "button" && e.has("data-passkey-ask") && e.has("hidden")
			if e.attr["type"] != "submit" && !scripted || strings.TrimSpace(e.text) == "" {
				t.Errorf("button %v %q", e.attr, e.text)
			}
		case "form":
			asks := strings.Contains(e.attr["action"], "/revoke") || strings.HasSuffix(e.attr["action"], "/remove") ||
				strings.HasSuffix(e.attr["action"], "/rename")
			if e.attr["method"] != "post" && (e.attr["method"] != "get" || !asks) {
				t.Errorf("a form that is neither posted nor leads to a question: %v", e.attr)
			}
		case "svg":
			if e.attr["aria-hidden"] != "true" && e.attr["aria-label"] == "" {
				t.Errorf("a picture without words: %v", e.attr)
			}
		}
	}
}

// A time without a time zone is in UTC until times.js writes it in the browser's.
func TestLocalTimesHaveTheirScript(t *testing.T) {
	p := newPages(t)
	found := 0
	for _, v := range samples() {
		page := render(t, p, v)
		if !strings.Contains(page, "<time ") {
			continue
		}
		found++
		if !regexp.MustCompile(`<script type="module" src="/static/times-[0-9a-f]+\.js">`).MatchString(page) {
			t.Errorf("%s shows a time without times.js", v.Page())
		}
	}
	if found == 0 {
		t.Error("no sample shows a time")
	}
}

// The names that scripts rely on.
func TestFieldNames(t *testing.T) {
	p := newPages(t)
	want := map[PageName][]string{
		PageLogin:                 {`name="username"`, `name="password"`, `autocomplete="username webauthn"`, `autocomplete="current-password"`, `name="flow"`, `name="next"`},
		PageCode:                  {`name="code"`, `autocomplete="one-time-code"`, `inputmode="numeric"`},
		PageEnroll:                {`name="code"`, `inputmode="numeric"`, `<svg class="qr"`},
		PageNewPassword:           {`name="new_password"`, `name="confirm_password"`, `autocomplete="new-password"`, `aria-invalid="true"`, `aria-describedby="f-confirm_password-error"`},
		PageChooser:               {`action="/chooser/forget"`, `name="account"`, `name="choice" value="other"`},
		PageConsent:               {`name="consent_action" value="approve"`, `name="consent_action" value="deny"`, `notes.example.com`},
		PageActivate:              {`name="user_code"`, `value="WDJB-MJHT"`},
		PageActivateConfirm:       {`name="user_code" value="WDJB-MJHT"`, `name="consent_action" value="approve"`, `203.0.113.24`, `Samsung TV`},
		PageSetup:                 {`name="token"`, `name="email"`, `name="username"`, `name="name"`, `name="password"`},
		PageAccountSecurity:       {`name="current_password"`, `name="new_password"`, `name="confirm_password"`},
		PageAccountSessions:       {`This device`, `Chrome on Windows`, `Sign out all others`, `Sign out inactive`, `2 minutes ago`, `192.0.2.17`},
		PageAccountAuthorizations: {`name="client_id" value="notes"`},
		PageFormPost:              {`action="https://notes.example.com/callback"`, `name="code" value="gth_ac_example"`},
	}
	for _, v := range samples() {
		page := render(t, p, v)
		for _, part := range want[v.Page()] {
			if !strings.Contains(page, part) {
				t.Errorf("%s lacks %s", v.Page(), part)
			}
		}
		delete(want, v.Page()) // the first sample of a page is its plain form
		if v.Page() != PageError && v.Page() != PageActivateDone && !strings.HasPrefix(string(v.Page()), "account") && !strings.Contains(page, `id="submit"`) && !strings.Contains(page, `class="primary" id="passkey-sign-in"`) {
			t.Errorf("%s has no primary button", v.Page())
		}
	}
	if len(want) > 0 {
		t.Errorf("no sample of %v", want)
	}
}

// Whatever strangers write stays text: no element, attribute or address of theirs appears in any
// page.
func TestHostileTextStaysText(t *testing.T) {
	p := newPages(t)
	hostile := []string{
		`"><script>alert(1)</script><img src=x onerror=alert(1)>`,
		`' onmouseover='alert(1)`,
		`</title></textarea></style><svg onload=alert(1)>`,
		`{{.}}{{template "head"}}`,
		"\x00\xff\u202eevil",
		`javascript:alert(1)`,
	}
	script := regexp.MustCompile(`(?i)<script[^>]*>`)
	own := regexp.MustCompile(`^<script type="module" src="/static/[a-z0-9.-]+">$`)
	for _, text := range hostile {
		for _, v := range samples() {
			poison(reflect.ValueOf(v).Elem(), text)
			page := render(t, p, v)
			for _, tag := range script.FindAllString(page, -1) {
				if !own.MatchString(tag) {
					t.Errorf("%s: a script that is not ours: %s", v.Page(), tag)
				}
			}
			if strings.Contains(page, `href="javascript`) || strings.Contains(page, `action="javascript`) {
				t.Errorf("%s has an address that runs a script", v.Page())
			}
			for _, e := range elements(t, strings.ToValidUTF8(strings.ReplaceAll(page, "\x00", ""), "")) {
				for name := range e.attr {
					if strings.HasPrefix(name, "on") {
						t.Errorf("%s: <%s %s>", v.Page(), e.name, name)
					}
				}
			}
		}
	}
}

// poison puts a text into every string that a view holds.
func poison(v reflect.Value, text string) {
	if !v.CanSet() && v.Kind() != reflect.Pointer {
		return // the texts of the page's language
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*time.Location]() {
			poison(v.Elem(), text)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			poison(v.Field(i), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), text)
		}
	}
}

func TestErrorsAreSaidFirst(t *testing.T) {
	p := newPages(t)
	v := &LoginView{Base: Base{Problem: "That name and password do not match."}}
	page := render(t, p, v)
	if !strings.Contains(page, "<title>Error: Sign in – Gatehouse</title>") || !strings.Contains(page, `role="alert"`) {
		t.Errorf("the problem is not announced:\n%s", page)
	}
}

func TestFieldOptionsAreChecked(t *testing.T) {
	if _, err := newField(Base{}, "x", "X", "", "colour=red"); err == nil {
		t.Error("an option that does not exist was taken")
	}
}

func TestQRCode(t *testing.T) {
	svg, err := QRCode("https://id.example.com/activate?user_code=WDJB-MJHT", `"quoted" <label>`)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(svg), "<label>") || !strings.Contains(string(svg), `<path fill="#000" d="M4 4h7v1h-7z`) {
		t.Errorf("%s", svg)
	}
	if _, err := QRCode(strings.Repeat("x", 5000), ""); err == nil {
		t.Error("drew more than a QR code can hold")
	}
}

func BenchmarkRender(b *testing.B) {
	p := newPages(b)
	seen := map[PageName]bool{}
	for _, v := range samples() {
		if seen[v.Page()] {
			continue
		}
		seen[v.Page()] = true
		b.Run(string(v.Page()), func(b *testing.B) {
			b.ReportAllocs()
			var buf bytes.Buffer
			for b.Loop() {
				buf.Reset()
				if err := p.Write(&buf, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
