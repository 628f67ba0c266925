package ui

import (
	"bytes"
	"html/template"
	"reflect"
	"strings"
	"testing"
	"time"
)

// viaTemplate returns a page as its template renders it.
func viaTemplate(t testing.TB, p *Pages, v View) string {
	t.Helper()
	if v.base().texts == nil {
		v.base().texts = p.fallback
	}
	var buf bytes.Buffer
	own, err := p.template(v.Page())
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Execute(&buf, v); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// plainLogin returns the view of a sign-in page that needs no template.
func plainLogin() *LoginView {
	return &LoginView{
		Base: Base{
			RequestID: "r1", Now: time.Unix(1, 0), Return: "/login?flow=f1.A_b-2", Leaves: true, Client: &ClientView{Name: "Notes <b>", Logo: "https://a.example/l.png"},
		},
		Form: Form{Flow: "f1.A_b-2"}, Password: true, CanStay: true, EmailURL: "/login/email?flow=f1.A_b-2", SignUpURL: "/signup?flow=f1.A_b-2",
		Passkey: &PasskeyView{Options: `{"challenge":"c1+/","rpId":"id.example"}`, Token: "t1"},
	}
}

// Whatever a field of the view holds, the page has the same bytes as the template's: the field is a
// hole, or part of the key, or the template renders the page.
func TestPageWithHolesIsTheTemplates(t *testing.T) {
	p := newPages(t)
	hostile := []string{
		"x", `"><script>alert(1)</script>`, `' onmouseover='x`, "a+b&c=d%20\x00\xff\u202e", "{{.}}", "javascript:alert(1)", "https://a.example/?a=1&b=2", "/login?a=b&flow=f1.A_b-2",
		strings.Repeat("long", 100),
	}
	compare := func(what string, v *LoginView) {
		t.Helper()
		for range 2 { // the first fills the cache
			if got, want := render(t, p, v), viaTemplate(t, p, v); got != want {
				t.Errorf("%s: the page is not the template's\n%s\n%s", what, got, want)
			}
		}
	}
	compare("plain", plainLogin())
	for _, texts := range p.texts.All() {
		v := plainLogin()
		v.texts = texts
		compare(texts.Language(), v)
		v.Flow, v.EmailURL, v.SignUpURL, v.Client, v.Passkey = "", "", "", nil, nil
		compare(texts.Language()+" alone", v)
	}
	for _, text := range hostile {
		eachField(reflect.TypeFor[LoginView](), nil, func(name string, index []int, kind reflect.Type) {
			v := plainLogin()
			f := reflect.ValueOf(v).Elem().FieldByIndex(index)
			if !f.CanSet() {
				return // the language
			}
			setHostile(f, text)
			compare(name+" "+text, v)
		})
	}
}

// eachField calls f with each field of a struct and of the structs in it.
func eachField(t reflect.Type, index []int, f func(name string, index []int, kind reflect.Type)) {
	for i := range t.NumField() {
		field := t.Field(i)
		at := append(append([]int(nil), index...), i)
		if field.Type.Kind() == reflect.Struct && field.Type.PkgPath() == reflect.TypeFor[Base]().PkgPath() {
			eachField(field.Type, at, f)
		} else if field.Type == reflect.TypeFor[*ClientView]() || field.Type == reflect.TypeFor[*PasskeyView]() {
			eachField(field.Type.Elem(), at, f)
		}
		f(field.Name, at, field.Type)
	}
}

// setHostile changes a field; a pointer to something of ours gets the text everywhere.
func setHostile(f reflect.Value, text string) {
	switch f.Kind() {
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.Int, reflect.Int64:
		f.SetInt(f.Int() + int64(time.Minute))
	case reflect.Pointer:
		if f.Type() != reflect.TypeFor[*time.Location]() {
			f.Set(reflect.New(f.Type().Elem()))
			poison(f, text)
		}
	case reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		poison(f, text)
	default:
		poison(f, text)
	}
}

// The plain page does not execute the template, and hardly allocates.
func TestPageWithHolesIsUsed(t *testing.T) {
	p := newPages(t)
	v := plainLogin()
	v.texts = p.fallback
	if _, ok := p.appendLogin(nil, v); !ok {
		t.Fatal("the page is left to the template")
	}
	buf := make([]byte, 0, 32<<10)
	if n := testing.AllocsPerRun(100, func() { buf, _ = p.appendLogin(buf[:0], v) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	v.Problem = "x"
	if _, ok := p.appendLogin(nil, v); ok {
		t.Error("a page with a message does not come from the template")
	}
}

// Strangers cannot fill the memory with pages: what they choose is in the holes.
func TestPagesWithHolesAreBounded(t *testing.T) {
	p := newPages(t)
	for i := range 200 {
		v := plainLogin()
		v.Flow = strings.Repeat("f", i+1)
		v.EmailURL, v.SignUpURL = "/login/email?flow="+v.Flow, "/signup?flow="+v.Flow
		v.Return = "/login?flow=" + v.Flow + strings.Repeat("&x", i)
		v.RequestID, v.Client.RedirectHost = v.Flow, v.Flow
		render(t, p, v)
	}
	if n := len(p.holed.pages); n != 1 {
		t.Errorf("%d pages", n)
	}
	for i := range maxHoledPages + 10 {
		v := plainLogin()
		v.texts, v.Client.Name = p.fallback, strings.Repeat("n", i%50)+string(rune('a'+i/50))
		k, _ := keyOf(v)
		p.holed.pages[k] = &holedPage{}
	}
	v := plainLogin()
	v.Client.Name = "another"
	render(t, p, v)
	if n := len(p.holed.pages); n > maxHoledPages {
		t.Errorf("%d pages", n)
	}
}

// FuzzAttribute compares our escaping with that of html/template.
func FuzzAttribute(f *testing.F) {
	t := template.Must(template.New("").Parse(`<a title="{{.}}">`))
	for _, s := range []string{"", "a", `"'&+<>` + "\x00\xff", "\u2028\ufffd", "/login?a=b&c=d+e"} {
		f.Add(s)
	}
	f.Fuzz(func(tt *testing.T, s string) {
		var want bytes.Buffer
		if err := t.Execute(&want, s); err != nil {
			tt.Fatal(err)
		}
		if got := `<a title="` + string(appendAttribute(nil, s)) + `">`; got != want.String() {
			tt.Errorf("%q: %s, want %s", s, got, want.String())
		}
	})
}

func BenchmarkLoginPage(b *testing.B) {
	p := newPages(b)
	for name, v := range map[string]*LoginView{"plain": plainLogin(), "template": plainLogin()} {
		v.texts = p.fallback
		if name == "template" {
			v.Problem = "x"
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Render(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
