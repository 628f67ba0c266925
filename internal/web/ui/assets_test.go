package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"regexp"
	"strings"
	"testing"
)

func TestAssets(t *testing.T) {
	a, err := NewAssets(Brand{Name: "Gatehouse"})
	if err != nil {
		t.Fatal(err)
	}
	styles := 0
	for name, url := range a.urls {
		body, gz, contentType, immutable, ok := a.Lookup(url)
		if !ok || !immutable || contentType == "" || !regexp.MustCompile(`^/static/[a-z]+-[0-9a-f]{12}\.[a-z]+$`).MatchString(url) {
			t.Errorf("%s: %s, %q, immutable %v, found %v", name, url, contentType, immutable, ok)
		}
		r, err := gzip.NewReader(bytes.NewReader(gz))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(r); err != nil || !bytes.Equal(plain, body) {
			t.Errorf("%s: its compressed form is something else (%v)", name, err)
		}
		if _, _, _, immutable, ok := a.Lookup("/static/" + name); !ok || immutable {
			t.Errorf("%s by its plain name: found %v, immutable %v", name, ok, immutable)
		}
		if strings.HasSuffix(name, ".css") {
			styles += len(body)
		}
	}
	if styles == 0 || styles > 28_000 { // what counts is TestFirstVisitIsSmall
		t.Errorf("%d bytes of style sheets", styles)
	}
	for _, path := range []string{"", "/static/", "/static/../pages.go", "/static/gatehouse-000000000000.css", "/templates/login.html"} {
		if _, _, _, _, ok := a.Lookup(path); ok {
			t.Errorf("found %q", path)
		}
	}
	if _, err := a.URL("none.css"); err == nil {
		t.Error("gave an address to an asset that does not exist")
	}
}

// Served style sheets and scripts have neither comments nor indentation, and otherwise the text of
// their files.
func TestAssetsAreCondensed(t *testing.T) {
	for name, c := range map[string][2]string{
		"a.css": {"/* Colors:\n   a */\n:root {\n  --a: b;\n  --c: d /* e */ f;\n}\n\n.x,\n.y { z: 1 }\n", ":root {--a: b;--c: d  f;}.x,.y { z: 1 }"},
		"a.js":  {"// Does.\nconst a = 1; // b\n  a();\n\nlet u = \"https://x\";\n", "const a = 1; // b\na();\nlet u = \"https://x\";\n"},
		"a.svg": {"<svg>\n</svg>", "<svg>\n</svg>"},
	} {
		if got := string(condense(name, []byte(c[0]))); got != c[1] {
			t.Errorf("%s: %q", name, got)
		}
	}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		body, _ := staticFiles.ReadFile("static/" + e.Name())
		if strings.HasSuffix(e.Name(), ".js") && strings.Contains(string(body), "`\n") {
			t.Errorf("%s: a text may span lines", e.Name())
		}
		if !strings.HasSuffix(e.Name(), ".css") {
			continue
		}
		for i, line := range strings.Split(string(comment.ReplaceAll(body, nil)), "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, "{") && !strings.HasSuffix(line, "}") &&
				!strings.HasSuffix(line, ";") && !strings.HasSuffix(line, ",") {
				t.Errorf("%s:%d: a line that ends within a selector or value: %s", e.Name(), i+1, line)
			}
		}
	}
}

// Assets may load nothing from elsewhere.
func TestAssetsStayHere(t *testing.T) {
	a, err := NewAssets(Brand{Name: "Gatehouse"})
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range a.urls {
		body, _, _, _, _ := a.Lookup(url)
		text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", "")
		if found := regexp.MustCompile(`https?:|url\(|@import|eval\(|innerHTML`).FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
}
