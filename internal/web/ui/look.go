package ui

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/palette"
)

//go:embed theme
var themeFiles embed.FS

// Brand is how the server presents itself. Every field but Name may be empty.
type Brand struct {
	Name       string // "Gatehouse", or what the operator calls this server
	Tagline    string // below the name on the sign-in page
	Company    string // who runs the server, in the footer
	Address    string // the company's postal address
	Logo       string // https address or own path of the logo
	LogoDark   string // the same, for dark pages
	Favicon    string // the same, for the browser's tab
	TermsURL   string // terms of service
	PrivacyURL string // privacy policy
	SupportURL string // where people get help
	Theme      string // ThemeAuto, ThemeLight or ThemeDark; "" is ThemeAuto
	Primary    string // the brand's color as #rrggbb; "" is the server's own
	Locale     string // the language of people whose own is not known or not supported, or ""

	touchIcon string // own path of the icon for home screens
}

// The themes of pages.
const (
	ThemeAuto  = "auto" // as the person's system is
	ThemeLight = "light"
	ThemeDark  = "dark"
)

// light and dark report which themes the pages can have.
func (b Brand) light() bool { return b.Theme != ThemeDark }
func (b Brand) dark() bool  { return b.Theme == ThemeDark || b.Theme == ThemeAuto || b.Theme == "" }

// Scheme returns the color schemes of the pages, as the meta element color-scheme has them.
func (b Brand) Scheme() string {
	switch b.Theme {
	case ThemeLight, ThemeDark:
		return b.Theme
	}
	return "light dark"
}

// LightColor returns the background of light pages, or "" if there are none.
func (b Brand) LightColor() string {
	if !b.light() {
		return ""
	}
	return palette.LightSurfaces.Ground.String()
}

// DarkColor returns the background of dark pages, or "" if there are none.
func (b Brand) DarkColor() string {
	if !b.dark() {
		return ""
	}
	return palette.DarkSurfaces.Ground.String()
}

// LogoURL returns the logo of pages that have one theme, or of light pages.
func (b Brand) LogoURL() string {
	if b.Theme == ThemeDark && b.LogoDark != "" {
		return b.LogoDark
	}
	return b.Logo
}

// DarkLogoURL returns the logo that replaces LogoURL on dark pages, or "".
func (b Brand) DarkLogoURL() string {
	if !b.light() || !b.dark() {
		return ""
	}
	return b.LogoDark
}

// Plate reports whether the logo needs a white ground, because it may stand on a dark page and
// nobody has made it for one.
func (b Brand) Plate() bool { return b.dark() && b.LogoDark == "" }

// color returns the brand's color. It reports false if the brand has none.
func (b Brand) color() (palette.Color, bool) {
	c, err := palette.Parse(b.Primary)
	return c, err == nil
}

// composeStyles returns the style sheet of the pages: the colors of the theme and of the brand,
// then the rules.
func composeStyles(b Brand, rules []byte) ([]byte, error) {
	light, err := themeFiles.ReadFile("theme/light.css")
	if err != nil {
		return nil, err
	}
	dark, err := themeFiles.ReadFile("theme/dark.css")
	if err != nil {
		return nil, err
	}
	day, night := string(light), string(dark)
	if c, ok := b.color(); ok {
		day += declarations(palette.Light(c), true)
		night += declarations(palette.Dark(c), true)
	}
	var out bytes.Buffer
	switch {
	case !b.dark():
		fmt.Fprintf(&out, ":root {\ncolor-scheme: light;\n%s}\n", day)
	case !b.light():
		fmt.Fprintf(&out, ":root {\ncolor-scheme: dark;\n%s}\n", night)
	default:
		fmt.Fprintf(&out, ":root {\ncolor-scheme: light dark;\n%s}\n", day)
		fmt.Fprintf(&out, "@media (prefers-color-scheme: dark) {\n:root {\n%s}\n}\n", night)
	}
	out.Write(rules)
	if b.dark() { // paper is white
		fmt.Fprintf(&out, "@media print {\n:root {\ncolor-scheme: light;\n%s}\n}\n", day)
	}
	return out.Bytes(), nil
}

// declarations returns the custom properties of a scheme. With public, a style sheet of the
// operator may set those that have a name for it, as in theme/light.css.
func declarations(s palette.Scheme, public bool) string {
	var out strings.Builder
	for _, p := range []struct {
		name, public string
		value        palette.Color
	}{
		{"accent", "accent-color", s.Accent},
		{"accent-deep", "", s.AccentDeep},
		{"fill", "primary-color", s.Fill},
		{"fill-deep", "primary-hover", s.FillDeep},
		{"on-fill", "", s.OnFill},
		{"fill-edge", "", s.Edge},
		{"leaf", "", s.Leaf},
		{"tint", "primary-light", s.Tint},
	} {
		if public && p.public != "" {
			fmt.Fprintf(&out, "--%s: var(--%s, %s);\n", p.name, p.public, p.value)
		} else {
			fmt.Fprintf(&out, "--%s: %s;\n", p.name, p.value)
		}
	}
	return out.String()
}

// clientStyles returns the style sheet of an app's pages, which follows that of all pages.
func clientStyles(b Brand, c palette.Color) []byte {
	day, night := declarations(palette.Light(c), false), declarations(palette.Dark(c), false)
	switch {
	case !b.dark():
		return fmt.Appendf(nil, ":root {\n%s}\n", day)
	case !b.light():
		return fmt.Appendf(nil, ":root {\n%s}\n", night)
	}
	return fmt.Appendf(nil, ":root {\n%s}\n@media screen and (prefers-color-scheme: dark) {\n:root {\n%s}\n}\n", day, night)
}

// clientStylesURL returns the address of the style sheet of an app's color, with a hash of what is
// there, or "" if the app has no color.
func (p *Pages) clientStylesURL(color string) string {
	c, err := palette.Parse(color)
	if err != nil {
		return ""
	}
	name := clientStylesPrefix + strings.TrimPrefix(c.String(), "#")
	return assetRoot + hashedName(name+".css", clientStyles(p.brand, c))
}

// clientStylesPrefix begins the names of style sheets of apps, before the color.
const clientStylesPrefix = "color-"

// clientStylesAt returns the style sheet of an app that an address of a static file names. The
// address must be the one that clientStylesURL returns: any other would fill caches.
func (p *Pages) clientStylesAt(path string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(path, assetRoot+clientStylesPrefix)
	if !ok || len(digits) < 6 {
		return nil, false
	}
	color := "#" + digits[:6]
	if c, err := palette.Parse(color); err != nil || p.clientStylesURL(color) != path {
		return nil, false
	} else {
		return clientStyles(p.brand, c), true
	}
}

// lookFuncs returns the functions of templates that are about how pages look.
func (p *Pages) lookFuncs() template.FuncMap {
	return template.FuncMap{
		"look":      func() Brand { return p.brand },
		"variables": p.variables,
		"favicon":   p.FaviconURL,
		"theme":     p.ThemeURL,
		"touchicon": p.touchIconURL,
		"styles":    p.clientStylesURL,
	}
}

// Brand returns how the server presents itself.
func (p *Pages) Brand() Brand { return p.brand }

// FaviconURL returns the icon in the browser's tab.
func (p *Pages) FaviconURL() string {
	if p.brand.Favicon != "" {
		return p.brand.Favicon
	}
	return p.Assets.urls["icon.svg"]
}

// ThemeURL returns the operator's style sheet, which every page loads after ours, or "".
func (p *Pages) ThemeURL() string {
	if p.publicAt("/theme.css") == nil {
		return ""
	}
	return "/theme.css"
}

// touchIconPath is where an operator's icon for home screens is, of 180 × 180 pixels.
const touchIconPath = "/images/apple-touch-icon.png"

// touchIconURL returns the icon for home screens: the operator's, or our mark.
func (p *Pages) touchIconURL() string {
	return cmp.Or(p.brand.touchIcon, p.Assets.urls["homescreen.png"])
}

// favicon redirects browsers that look for an icon at its traditional address.
func (s *Server) favicon(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, s.pages.FaviconURL(), http.StatusSeeOther)
}
