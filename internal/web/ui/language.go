package ui

import (
	"errors"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/text"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// The language of a page is, in this order: what the request or its flow asks for (ui_locales,
// OpenID Connect Core §3.1.2.1), what the person chose on a page, the language of the account that
// is signed in, Accept-Language, DEFAULT_LOCALE. A choice on a page also counts against the
// ui_locales that it was made under, because the person sees the page and the app does not.

// languageTTL is how long a browser keeps the language that was chosen on a page.
const languageTTL = 365 * 24 * time.Hour

// choose sets the language of the page for a request with these ui_locales, or "".
func (s *Server) choose(r *http.Request, wanted string) {
	ev := web.EventOf(r.Context())
	all := s.pages.texts
	chosen, instead, _ := strings.Cut(s.kit.Cookie(r, web.CookieLanguage), ".")
	preferences := strings.ReplaceAll(strings.Join(strings.Fields(wanted), ","), ";", "")
	ev.LanguageFixed = true
	if wanted != "" && instead != digest(wanted) {
		if ev.Texts = all.Match(preferences); ev.Texts != nil {
			return
		}
	}
	if chosen != "" {
		if ev.Texts = all.Match(chosen); ev.Texts != nil {
			return
		}
	}
	ev.LanguageFixed = false
	if ev.Texts = all.Match(r.Header.Get("Accept-Language")); ev.Texts == nil {
		ev.Texts = s.pages.fallback
	}
}

// digest returns a short name of the ui_locales that a choice was made under.
func digest(wanted string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(wanted)) // never fails
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}

// wanted returns the ui_locales of a request's parameters, or those of the flow that they carry,
// which it leaves opened in the event.
func (s *Server) wanted(ev *web.Event, form url.Values) string {
	if plain := form.Get("ui_locales"); plain != "" {
		return plain
	}
	if flow := form.Get("flow"); flow != "" {
		u := s.oauth.Unseal(flow)
		ev.Unsealed = u
		return u.Locales()
	}
	return ""
}

// readLanguage chooses the language again where the parameters of a request ask for one, and
// notes how the browser comes back to its page.
func (s *Server) readLanguage(r *http.Request, form url.Values) {
	ev := web.EventOf(r.Context())
	ev.UILocales = form.Get("ui_locales")
	if wanted := s.wanted(ev, form); wanted != "" || ev.Texts == nil {
		s.choose(r, wanted)
	}
	if r.Method == http.MethodPost {
		var pairs []string
		for _, name := range []string{"flow", "next", "token", "user_code", "ui_locales"} {
			pairs = append(pairs, name, form.Get(name))
		}
		ev.Return = with(r.URL.Path, pairs...)
	}
}

// readAddress chooses the language of a request whose parameters no page has read.
func (s *Server) readAddress(r *http.Request) {
	if web.EventOf(r.Context()).Texts != nil {
		return
	}
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		form = url.Values{}
	}
	s.readLanguage(r, form)
}

// setLanguage shows a page in the language of an account, unless one was asked for.
func (b *Base) setLanguage(u *identity.User) {
	if u.Locale == "" || b.fixed || b.texts == nil {
		return
	}
	if t := b.texts.Catalogues().Match(u.Locale); t != nil {
		b.texts = t
	}
}

// Lang returns the BCP 47 tag of the page's language.
func (b Base) Lang() string { return b.texts.Language() }

// Dir returns the direction in which the page's language is written: ltr or rtl.
func (b Base) Dir() string { return b.texts.Direction() }

// T returns a text of the catalogue in the page's language, with its placeholders filled by pairs
// of names and values.
func (b Base) T(id string, pairs ...any) string { return b.texts.Get(id, plainPairs(pairs)...) }

// N returns a text in the plural form for a number, which is its placeholder PluralCount.
func (b Base) N(id string, count int, pairs ...any) string {
	return b.texts.Count(id, count, plainPairs(pairs)...)
}

// H returns a text with markup. Values are escaped and isolated in bdi, so that their direction
// does not change that of the sentence; a template.HTML is inserted as it is. A value within a tag
// is the address of a link.
func (b Base) H(id string, pairs ...any) template.HTML {
	values := make([]any, len(pairs))
	for i, p := range pairs {
		switch p := p.(type) {
		case string:
			values[i] = p
		case template.HTML:
			values[i] = text.Fragment(p)
		default:
			values[i] = fmt.Sprint(p)
		}
	}
	return template.HTML(b.texts.Markup(id, 0, values...))
}

// Own returns words of the page's own language for a place in H: they need no direction of their
// own, and would get a wrong one if they began with a name.
func (b Base) Own(words string) template.HTML {
	return template.HTML(template.HTMLEscapeString(words))
}

func plainPairs(pairs []any) []string {
	if len(pairs) == 0 {
		return nil
	}
	out := make([]string, len(pairs))
	for i, p := range pairs {
		if s, ok := p.(string); ok {
			out[i] = s
			continue
		}
		out[i] = fmt.Sprint(p)
	}
	return out
}

// LanguageChoice is a language that a page offers.
type LanguageChoice struct {
	Tag     string
	Name    string // in the language itself
	Dir     string
	Current bool
}

// Languages returns the languages that the page can be shown in.
func (b Base) Languages() []LanguageChoice {
	all := b.texts.Catalogues().All()
	choices := make([]LanguageChoice, len(all))
	for i, t := range all {
		choices[i] = LanguageChoice{
			Tag:     t.Language(),
			Name:    t.Name(),
			Dir:     t.Direction(),
			Current: t == b.texts,
		}
	}
	return choices
}

// postLanguage stores the language that was chosen on a page in a cookie, and returns to the page.
// It changes nothing but what this browser shows.
func (s *Server) postLanguage(w http.ResponseWriter, r *http.Request) error {
	form, err := s.form(r)
	if err != nil {
		return err
	}
	all := s.pages.texts.All()
	chosen := slices.IndexFunc(all, func(t *text.Texts) bool { return t.Language() == form.Get("language") })
	if chosen < 0 {
		return fault.New(fault.Invalid, "There is no such language. Go back and choose another one.")
	}
	back := localAddress(form.Get("back"))
	value := all[chosen].Language()
	if u, err := url.Parse(back); err == nil {
		if wanted := s.wanted(web.EventOf(r.Context()), u.Query()); wanted != "" {
			value += "." + digest(wanted)
		}
	}
	s.kit.SetCookie(w, web.CookieLanguage, value, languageTTL)
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// localAddress returns an address of this server, or its front page for every other address.
func localAddress(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || len(to) < 1 || to[0] != '/' ||
		strings.HasPrefix(to, "//") || strings.ContainsFunc(to, ambiguous) {
		return "/"
	}
	return to
}

// ErrorText returns what a person may know of an error, in the page's language.
func (b Base) ErrorText(err error) string {
	public := web.ProblemOf(err).Text
	var f *fault.Error
	for errors.As(err, &f) && f.Text == public {
		if f.Format != "" {
			return b.texts.Sentence(f.Format, f.Args...)
		}
		err = f.Cause // an error that repeats the text of another
	}
	return b.texts.Sentence(public)
}

// Link returns an address for a link: one of our own pages with the ui_locales of this one, so that
// the language goes with the person, and any other as it is.
func (b Base) Link(to string) string { return withLocales(to, b.UILocales) }

// withLocales adds ui_locales to an address of our own. Flows carry theirs themselves.
func withLocales(to, wanted string) string {
	if wanted == "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "/oauth/") ||
		strings.Contains(to, "ui_locales=") {
		return to
	}
	separator := "?"
	if strings.Contains(to, "?") {
		separator = "&"
	}
	return to + separator + "ui_locales=" + url.QueryEscape(wanted)
}
