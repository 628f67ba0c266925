package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// staticNames lists the files of the console beside those of all pages.
var staticNames = [...]string{"console.css", "console.js"}

// addAssets adds the style sheet and the script of the console to those of the pages.
func addAssets(a Assets) error {
	for _, name := range staticNames {
		body, err := staticFiles.ReadFile("static/" + name)
		if err != nil {
			return err
		}
		if err := a.Add(name, body); err != nil {
			return err
		}
	}
	return nil
}

// pages renders views. It is safe for concurrent use.
type pages struct {
	frame    *template.Template // cloned for each page, never executed itself
	byName   map[string]*page
	rendered func(View) // tests learn here what handlers show; else nil
}

// page is the template of a page. It is parsed when the page is first shown: most servers show few
// pages of the console.
type page struct {
	view View // without data

	once     sync.Once
	template *template.Template
	err      error
}

// newPages returns the pages of views.
func newPages(a Assets, look Look, views []View) (*pages, error) {
	frame, err := template.New("frame").Funcs(template.FuncMap{
		"asset": a.URL,
		"look":  func() Look { return look },
		"root":  func() string { return Root },
		"input": func(v View, name, label string, options ...string) (Input, error) {
			return newInput(*v.base(), name, label, options...)
		},
		"check": func(v View, name, label string, options ...string) (Input, error) {
			return newCheck(*v.base(), name, label, options...)
		},
		"pick": func(v View, name, label string, choices ...string) (Input, error) {
			return newChoice(*v.base(), name, label, choices...)
		},
		"fail":  func(what string) (string, error) { return "", fmt.Errorf("template: %s", what) },
		"count": count,
		"num":   grouped,
		"href":  href,
	}).ParseFS(templateFiles, "templates/frame/*.html")
	if err != nil {
		return nil, err
	}
	p := &pages{frame: frame, byName: map[string]*page{}}
	for _, v := range views {
		p.byName[v.Page()] = &page{view: v}
	}
	return p, nil
}

// check parses every template. The tests call it. See template.
func (p *pages) check() error {
	for name := range p.byName {
		if _, err := p.template(name); err != nil {
			return err
		}
	}
	return nil
}

// template returns the template of a page. When it parses the template, it renders the page without
// data: one that writes a value where it cannot be escaped is an error.
func (p *pages) template(name string) (*template.Template, error) {
	one := p.byName[name]
	if one == nil {
		return nil, fmt.Errorf("no page %q", name)
	}
	one.once.Do(func() {
		if one.template, one.err = p.parse(one.view); one.err != nil {
			one.err = fmt.Errorf("page %s: %w", name, one.err)
		}
	})
	return one.template, one.err
}

// parse returns the template of a view's page.
func (p *pages) parse(v View) (*template.Template, error) {
	t, err := p.frame.Clone()
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(templateFiles, "templates/"+v.Page()+".html"); err != nil {
		return nil, err
	}
	t = t.Lookup("page")
	return t, t.Execute(io.Discard, v)
}

// render returns a page: the whole of it, or an error and nothing.
func (p *pages) render(v View) ([]byte, error) {
	t, err := p.template(v.Page())
	if err != nil {
		return nil, err
	}
	if p.rendered != nil {
		p.rendered(v)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("rendering page %s: %w", v.Page(), err)
	}
	return out.Bytes(), nil
}

// policy is the content security policy: nothing inline, nothing from other origins, no frames.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'"

// show writes a page.
func (s *Server) show(w http.ResponseWriter, status int, v View) error {
	body, err := s.pages.render(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	setPolicy(h)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the person has gone if it fails
	return nil
}

// setPolicy sets what a browser may do with a page.
func setPolicy(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// href returns an address that somebody else has chosen if it leads to a web site, else "".
func href(address string) string {
	lower := strings.ToLower(address)
	if strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://") {
		return address
	}
	return ""
}
