package ui

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/palette"
)

func brandPages(t *testing.T, b Brand) *Pages {
	t.Helper()
	if b.Name == "" {
		b.Name = "Acme"
	}
	p, err := NewPages(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stylesOf returns the style sheet of all pages.
func stylesOf(t *testing.T, p *Pages) string {
	t.Helper()
	url, err := p.Assets.URL("gatehouse.css")
	if err != nil {
		t.Fatal(err)
	}
	body, _, _, _, _ := p.Assets.Lookup(url)
	return string(body)
}

// The colors in the style sheet are those that the contrast is computed with.
func TestSurfacesAreThoseOfTheStyles(t *testing.T) {
	p := brandPages(t, Brand{})
	day, night, _ := strings.Cut(stylesOf(t, p), "@media (prefers-color-scheme: dark)")
	for _, c := range []struct {
		styles string
		on     palette.Surfaces
	}{{day, palette.LightSurfaces}, {night, palette.DarkSurfaces}} {
		for name, want := range map[string]palette.Color{"card": c.on.Card, "ground": c.on.Ground, "raised": c.on.Raised} {
			m := regexp.MustCompile(`--` + name + `: (?:var\([^,]*, )?(#[0-9a-f]+)`).FindStringSubmatch(c.styles)
			if m == nil || strings.Replace(m[1]+m[1][1:], "#ffffff", want.String(), 1)[:7] != want.String() && m[1] != want.String() {
				t.Errorf("--%s is %v, not %s", name, m, want)
			}
		}
	}
}

// The theme is in the style sheet and in the meta elements; there is no style in the page.
func TestTheme(t *testing.T) {
	for theme, want := range map[string]struct {
		scheme      string
		light, dark bool
	}{
		"": {"light dark", true, true}, ThemeAuto: {"light dark", true, true},
		ThemeLight: {"light", true, false}, ThemeDark: {"dark", false, true},
	} {
		p := brandPages(t, Brand{Theme: theme, Primary: "#7c3aed", Logo: "/l.png", LogoDark: "/d.png"})
		page, styles := render(t, p, &LoginView{}), stylesOf(t, p)
		if !strings.Contains(page, `<meta name="color-scheme" content="`+want.scheme+`">`) {
			t.Errorf("%s: the page has another scheme", theme)
		}
		for color, there := range map[string]bool{"#f4f5f2": want.light, "#0e1211": want.dark} {
			if strings.Contains(page, `<meta name="theme-color" content="`+color+`"`) != there {
				t.Errorf("%s: theme-color %s", theme, color)
			}
		}
		if strings.Contains(styles, "prefers-color-scheme") != (want.light && want.dark) {
			t.Errorf("%s: the style sheet asks the browser", theme)
		}
		if !strings.Contains(styles, "--fill: var(--primary-color, #7c3aed);") {
			t.Errorf("%s: the button has another color", theme)
		}
		if got := strings.Contains(page, `src="/d.png"`); got != (theme == ThemeDark) {
			t.Errorf("%s: dark logo as only one: %v", theme, got)
		}
		if got := strings.Contains(page, `<source srcset="/d.png"`); got != (want.light && want.dark) {
			t.Errorf("%s: dark logo beside: %v", theme, got)
		}
	}
}

// What the operator sets is on the pages, as text and as pictures, never as markup.
func TestBrandOnPages(t *testing.T) {
	b := Brand{
		Name: `<b>Acme</b>`, Company: `Acme "Ltd" <i>`, Address: "1 High St", Logo: "https://cdn.example/logo.svg?a=1&b=2",
		Favicon: "/images/favicon.ico", TermsURL: "/terms", PrivacyURL: "https://example.com/privacy",
	}
	p := brandPages(t, b)
	for _, v := range []View{&LoginView{}, &ErrorView{}, &AccountView{}, &ConsentView{}} {
		page := render(t, p, v)
		for _, want := range []string{
			`<img class="wordmark plate" src="https://cdn.example/logo.svg?a=1&amp;b=2" alt="&lt;b&gt;Acme&lt;/b&gt;"`,
			`<link rel="icon" href="/images/favicon.ico">`,
			`<a href="/terms" rel="noreferrer">`, `<a href="https://example.com/privacy" rel="noreferrer">`,
			`Acme &#34;Ltd&#34; &lt;i&gt;, 1 High St`,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s", v.Page(), want)
			}
		}
		elements(t, page)
	}
	if page := render(t, brandPages(t, Brand{}), &LoginView{}); strings.Count(page, "<footer") != 1 || strings.Contains(page, "<ul>\n</ul>") {
		t.Error("the footer holds more than the languages")
	}
}

// An app's color is a style sheet of its own below an address that says what is there. No other
// address gives one, so that nobody fills caches.
func TestColorOfAnApp(t *testing.T) {
	p := brandPages(t, Brand{Primary: "#7c3aed"})
	page := render(t, p, &LoginView{Base: Base{Client: &ClientView{Name: "Notes", Color: "#ff5722"}}})
	m := regexp.MustCompile(`<link rel="stylesheet" href="(/static/color-ff5722-[0-9a-f]{12}\.css)">`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no style sheet of the app\n%s", page)
	}
	styles, ok := p.clientStylesAt(m[1])
	if !ok || !strings.Contains(string(styles), "--fill: #ff5722;") {
		t.Errorf("%v %s", ok, styles)
	}
	for _, path := range []string{
		"/static/color-ff5722.css", "/static/color-ff5722-000000000000.css", strings.ToUpper(m[1]), m[1] + "x",
		"/static/color-", "/static/color-zzzzzz-000000000000.css", strings.Replace(m[1], "ff5722", "ff5723", 1),
	} {
		if _, ok := p.clientStylesAt(path); ok {
			t.Errorf("found %s", path)
		}
	}
	if page := render(t, p, &LoginView{Base: Base{Client: &ClientView{Name: "Notes"}}}); strings.Contains(page, "/static/color-") {
		t.Error("a style sheet of an app without a color")
	}
}

// firstVisit is how many bytes a browser may have to load for the sign-in page, in all.
const firstVisit = 15_000

// The sign-in page with all its parts is small on a first visit. The page itself counts as it is
// sent, which is not compressed; what it loads counts compressed.
func TestFirstVisitIsSmall(t *testing.T) {
	p := brandPages(t, Brand{
		Name: "Acme", Tagline: "Everything for coyotes", Company: "Acme Ltd", Address: "1 High St", TermsURL: "https://example.com/terms",
		PrivacyURL: "https://example.com/privacy", SupportURL: "https://example.com/help", Primary: "#7c3aed",
	})
	largest, parts := 0, ""
	for _, v := range samples() {
		v, ok := v.(*LoginView)
		if !ok || v.Failed() { // which is no first visit
			continue
		}
		v.Flow = strings.Repeat("f", 900)
		v.Client = &ClientView{Name: "Notes", Color: "#ff5722"}
		for _, texts := range p.texts.All() {
			v.texts = texts
			if n, list := visit(t, p, render(t, p, v)); n > largest {
				largest, parts = n, texts.Language()+": "+list
			}
		}
	}
	t.Logf("%d bytes: %s", largest, parts)
	if largest < 5_000 || largest > firstVisit {
		t.Errorf("%d bytes: %s", largest, parts)
	}
}

// visit returns how many bytes a browser loads for a page, and of what.
func visit(t *testing.T, p *Pages, page string) (total int, parts string) {
	t.Helper()
	total, parts = len(page), fmt.Sprintf("page %d", len(page))
	for _, m := range regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[1], "/static/homescreen") {
			continue // loaded when a person puts the page on the home screen
		}
		body, gz, _, _, ok := p.Assets.Lookup(m[1])
		if styles, found := p.clientStylesAt(m[1]); found {
			body, gz, ok = styles, styles, true
		}
		if !ok {
			t.Errorf("%s is not served", m[1])
		}
		n := min(len(body), len(gz))
		total += n
		parts += fmt.Sprintf(", %s %d", m[1], n)
	}
	return total, parts
}

// The mark of the server has the brand's color.
func TestIconHasTheColor(t *testing.T) {
	p := brandPages(t, Brand{Primary: "#ffeb3b"})
	body, _, _, _, _ := p.Assets.Lookup(p.FaviconURL())
	if s := string(body); !strings.Contains(s, `fill="#ffeb3b"`) || !strings.Contains(s, `fill="#000000"`) || strings.Contains(s, "#0f6557") {
		t.Errorf("%s", s)
	}
}

// The tagline stands below the name on the sign-in page only.
func TestTagline(t *testing.T) {
	p := brandPages(t, Brand{Tagline: "For <coyotes>"})
	if page := render(t, p, &LoginView{}); !strings.Contains(page, `<p class="tagline"><bdi>For &lt;coyotes&gt;</bdi></p>`) {
		t.Errorf("no tagline\n%s", page)
	}
	if page := render(t, p, &ErrorView{}); strings.Contains(page, "tagline") {
		t.Error("the tagline is on other pages")
	}
}

// Help is in the footer of pages where somebody is signed in, and beside the form elsewhere.
func TestHelpInTheFooter(t *testing.T) {
	p := brandPages(t, Brand{SupportURL: "mailto:help@example.com"})
	for _, v := range []View{&AccountView{Base: Base{Signed: &Signed{Label: "Ada"}}}, &ConsentView{Base: Base{Signed: &Signed{Label: "Ada"}}}, &LoginView{}} {
		if n := strings.Count(render(t, p, v), `href="mailto:help@example.com"`); n != 1 {
			t.Errorf("%s: %d links to help", v.Page(), n)
		}
	}
}
