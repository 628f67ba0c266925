package ui

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
)

//go:embed static
var staticFiles embed.FS

// assetRoot is where assets are served.
const assetRoot = "/static/"

// Assets are the style sheets, scripts, and images of the pages. An asset's address contains a hash
// of its content, so that browsers may cache it forever. Its plain name works, too.
type Assets struct {
	files map[string]*asset // by address
	urls  map[string]string // the address with a hash, by plain name
}

type asset struct {
	body        []byte
	gz          func() []byte // compressed, when it is first asked for
	contentType string
	immutable   bool
}

// NewAssets reads the embedded assets, and makes those that differ from brand to brand.
func NewAssets(b Brand) (*Assets, error) {
	a := &Assets{files: map[string]*asset{}, urls: map[string]string{}}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("reading assets: %w", err)
	}
	for _, e := range entries {
		body, err := fs.ReadFile(staticFiles, "static/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading asset %s: %w", e.Name(), err)
		}
		switch e.Name() {
		case "gatehouse.css":
			body, err = composeStyles(b, body)
		case "icon.svg":
			body = colorIcon(b, body)
		}
		if err == nil {
			err = a.add(e.Name(), condense(e.Name(), body))
		}
		if err != nil {
			return nil, fmt.Errorf("preparing asset %s: %w", e.Name(), err)
		}
	}
	if err := a.addHomeScreen(b); err != nil {
		return nil, fmt.Errorf("preparing the icon for home screens: %w", err)
	}
	return a, nil
}

// Add adds a style sheet, script or image of other pages, before the first request.
func (a *Assets) Add(name string, body []byte) error { return a.add(name, condense(name, body)) }

// comment matches a comment of a style sheet.
var comment = regexp.MustCompile(`(?s)/\*.*?\*/`)

// condense returns a style sheet or a script without comments and indentation. In scripts only
// lines that begin with // are comments, and no text spans lines.
func condense(name string, body []byte) []byte {
	ext := path.Ext(name)
	if ext == ".css" {
		body = comment.ReplaceAll(body, nil)
	}
	if ext != ".css" && ext != ".js" {
		return body
	}
	var out bytes.Buffer
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || ext == ".js" && bytes.HasPrefix(line, []byte("//")):
		case ext == ".css": // a rule may end in the middle of a line; a selector or value may not
			out.Write(line)
		default:
			out.Write(line)
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}

// addHomeScreen adds the icon and the manifest for home screens.
func (a *Assets) addHomeScreen(b Brand) error {
	icon, err := touchIcon(b.iconColors())
	if err != nil {
		return err
	}
	if err := a.add("homescreen.png", icon); err != nil {
		return err
	}
	body, err := json.Marshal(manifest{
		Name:       b.Name,
		ShortName:  b.Name,
		StartURL:   "/account",
		Scope:      "/",
		Display:    "browser",
		Background: cmp.Or(b.LightColor(), b.DarkColor()),
		Theme:      cmp.Or(b.LightColor(), b.DarkColor()),
		Icons: []manifestIcon{
			{Src: cmp.Or(b.touchIcon, a.urls["homescreen.png"]), Sizes: "180x180", Type: "image/png"},
			{Src: a.urls["icon.svg"], Sizes: "any", Type: "image/svg+xml"},
		},
	})
	if err != nil {
		return err
	}
	return a.add("app.webmanifest", body)
}

func (a *Assets) add(name string, body []byte) error {
	types := map[string]string{
		".css":         "text/css; charset=utf-8",
		".js":          "text/javascript; charset=utf-8",
		".svg":         "image/svg+xml",
		".png":         "image/png",
		".webmanifest": "application/manifest+json",
	}
	ext := path.Ext(name)
	contentType, ok := types[ext]
	if !ok {
		return fmt.Errorf("no content type for %q", ext)
	}
	gz := sync.OnceValue(func() []byte { return compressed(body) })
	hashed := assetRoot + hashedName(name, body)
	a.urls[name] = hashed
	a.files[hashed] = &asset{body: body, gz: gz, contentType: contentType, immutable: true}
	a.files[assetRoot+name] = &asset{body: body, gz: gz, contentType: contentType}
	return nil
}

// hashedName returns the name of an asset with a hash of its content.
func hashedName(name string, body []byte) string {
	ext := path.Ext(name)
	sum := sha256.Sum256(body)
	return strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
}

// compressed returns body compressed by gzip, as small as it gets.
func compressed(body []byte) []byte {
	var buf bytes.Buffer
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression) // the level is a valid one
	_, _ = w.Write(body)                                    // a buffer takes everything
	_ = w.Close()
	return buf.Bytes()
}

// URL returns the address of an asset by its plain name.
func (a *Assets) URL(name string) (string, error) {
	url, ok := a.urls[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return url, nil
}

// Lookup returns what is served at an address; gz is the compressed body. The slices are shared and
// must not be changed. The content of an immutable address may be cached forever.
func (a *Assets) Lookup(path string) (body, gz []byte, contentType string, immutable, ok bool) {
	f, ok := a.files[path]
	if !ok {
		return nil, nil, "", false, false
	}
	return f.body, f.gz(), f.contentType, f.immutable, true
}
