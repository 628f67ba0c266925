package ui

import (
	"bytes"
	"crypto/rand"
	"strings"
	"sync"

	"github.com/gatehouse-id/gatehouse/internal/text"
)

// The sign-in page is what strangers load most, and executing its template takes several times as
// long as all the rest of the request. So pages in their plain form, without a message, are kept as
// bytes with holes, one for each language, app and set of options. A hole is an attribute's value
// and takes any text, escaped as html/template escapes it there; or it is the flow, which also
// stands in addresses and consists of characters that no escaping changes. When a page with holes
// is made, it is filled and compared with what the template gives for the same request: if the two
// differ, the template renders every page of this kind.

// loginKey is all that a page with holes depends on.
type loginKey struct {
	texts             *text.Texts
	name, logo, color string // of the app
	app, flow         bool   // there is an app, a flow
	password, passkey bool
	canStay, stay     bool
	email, signUp     cutURL
}

// cutURL is an address before and after the flow in it.
type cutURL struct {
	before, after string
	flow          bool // it is in the address
}

// cutAt returns an address without the flow in it, if there is one.
func cutAt(address, flow string) cutURL {
	if i := strings.LastIndex(address, flow); flow != "" && i >= 0 {
		return cutURL{before: address[:i], after: address[i+len(flow):], flow: true}
	}
	return cutURL{before: address}
}

// with returns the address with a flow.
func (c cutURL) with(flow string) string {
	if !c.flow {
		return c.before
	}
	return c.before + flow + c.after
}

// The holes of a page.
type hole int

const (
	holeFlow hole = iota
	holeReturn
	holeOptions // of the question to an authenticator
	holeToken
	holes // how many there are
)

// holedPage is a page as bytes: parts[0], a hole, parts[1], … Without parts the page is left to the
// template.
type holedPage struct {
	parts [][]byte
	holes []hole
	size  int // of all parts
}

// maxHoledPages bounds how many pages are kept: apps have one each, in each language.
const maxHoledPages = 1024

// holedPages keeps pages with holes. It is safe for concurrent use.
type holedPages struct {
	marks [holes]string // texts that stand for the holes while a template is executed

	mu    sync.RWMutex
	pages map[loginKey]*holedPage
}

func newHoledPages() *holedPages {
	h := &holedPages{pages: map[loginKey]*holedPage{}}
	for i := range h.marks {
		h.marks[i] = rand.Text()
	}
	return h
}

// keyOf returns what the page of a view depends on. It reports false if the view shows more than
// the plain form.
func keyOf(v *LoginView) (loginKey, bool) {
	plain := v.Problem == "" && v.Notice == "" && len(v.Errors) == 0 && v.Signed == nil && v.Acting == nil && v.Wait == 0 &&
		v.Username == "" && v.OtherURL == "" && v.Waiting == "" && v.WaitingURL == "" && v.Forget == "" &&
		v.UILocales == "" && v.Action == "" && v.Next == "" && len(v.Hidden) == 0
	if !plain || !unescaped(v.Flow) {
		return loginKey{}, false
	}
	k := loginKey{
		texts:    v.texts,
		flow:     v.Flow != "",
		password: v.Password,
		passkey:  v.Passkey != nil,
		canStay:  v.CanStay,
		stay:     v.Stay,
		email:    cutAt(v.EmailURL, v.Flow),
		signUp:   cutAt(v.SignUpURL, v.Flow),
	}
	if v.Client != nil {
		k.app, k.name, k.logo, k.color = true, v.Client.Name, v.Client.Logo, v.Client.Color
	}
	return k, true
}

// unescaped reports whether a text is the same in every context of a page: in text, attributes and
// addresses.
func unescaped(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// holedView returns the view of a page with marks at its holes, and nothing that is not in the key.
func (h *holedPages) holedView(k loginKey) *LoginView {
	v := &LoginView{
		Base:     Base{Return: h.marks[holeReturn], texts: k.texts},
		Password: k.password,
		CanStay:  k.canStay,
		Stay:     k.stay,
	}
	if k.flow {
		v.Flow = h.marks[holeFlow]
	}
	v.EmailURL, v.SignUpURL = k.email.with(v.Flow), k.signUp.with(v.Flow)
	if k.passkey {
		v.Passkey = &PasskeyView{Options: h.marks[holeOptions], Token: h.marks[holeToken]}
	}
	if k.app {
		v.Client = &ClientView{Name: k.name, Logo: k.logo, Color: k.color}
	}
	return v
}

// cut divides a page at its marks.
func (h *holedPages) cut(page []byte) *holedPage {
	p := &holedPage{}
	for {
		next, at := hole(-1), len(page)
		for i, mark := range h.marks {
			if j := bytes.Index(page, []byte(mark)); j >= 0 && j < at {
				next, at = hole(i), j
			}
		}
		p.parts, p.size = append(p.parts, page[:at]), p.size+at
		if next < 0 {
			return p
		}
		p.holes = append(p.holes, next)
		page = page[at+len(h.marks[next]):]
	}
}

// fill appends a page to out with the values of a view in its holes.
func (p *holedPage) fill(out []byte, v *LoginView) []byte {
	for i, part := range p.parts {
		out = append(out, part...)
		if i == len(p.holes) {
			break
		}
		switch p.holes[i] {
		case holeFlow:
			out = append(out, v.Flow...)
		case holeReturn:
			out = appendAttribute(out, v.Return)
		case holeOptions:
			out = appendAttribute(out, v.Passkey.Options)
		case holeToken:
			out = appendAttribute(out, v.Passkey.Token)
		}
	}
	return out
}

// appendAttribute appends a text escaped as html/template escapes it in a quoted attribute.
func appendAttribute(out []byte, s string) []byte {
	from := 0
	for i := range len(s) {
		var instead string
		switch s[i] {
		case 0:
			instead = "\uFFFD"
		case '"':
			instead = "&#34;"
		case '&':
			instead = "&amp;"
		case '\'':
			instead = "&#39;"
		case '+':
			instead = "&#43;"
		case '<':
			instead = "&lt;"
		case '>':
			instead = "&gt;"
		default:
			continue
		}
		out = append(append(out, s[from:i]...), instead...)
		from = i + 1
	}
	return append(out, s[from:]...)
}

// appendLogin appends the sign-in page of a view to out, without executing a template if it can. It
// reports false if it cannot.
func (p *Pages) appendLogin(out []byte, v *LoginView) ([]byte, bool) {
	if p.custom.Files != nil {
		return out, false
	}
	k, ok := keyOf(v)
	if !ok {
		return out, false
	}
	h := p.holed
	h.mu.RLock()
	page := h.pages[k]
	h.mu.RUnlock()
	if page == nil {
		page = p.holePage(k, v)
		h.mu.Lock()
		if len(h.pages) >= maxHoledPages {
			clear(h.pages)
		}
		h.pages[k] = page
		h.mu.Unlock()
	}
	if len(page.parts) == 0 {
		return out, false
	}
	return page.fill(out, v), true
}

// holePage makes the page with holes of a key, and compares it with the template's page of a view
// that has the key. If they differ, it returns a page without parts.
func (p *Pages) holePage(k loginKey, v *LoginView) *holedPage {
	var marked, want bytes.Buffer
	t, err := p.template(PageLogin)
	if err != nil || t.Execute(&marked, p.holed.holedView(k)) != nil ||
		t.Execute(&want, v) != nil {
		return &holedPage{}
	}
	page := p.holed.cut(marked.Bytes())
	if !bytes.Equal(page.fill(nil, v), want.Bytes()) {
		return &holedPage{}
	}
	return page
}
