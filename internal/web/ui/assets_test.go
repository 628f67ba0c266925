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
