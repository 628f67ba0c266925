package ui

import (
	"bytes"
	"encoding/json"
	"image/png"
	"strings"
	"testing"
)

// A phone that puts the account pages on its home screen gets an icon that it can draw, and the
// name of the server.
func TestHomeScreen(t *testing.T) {
	p, err := NewPages(Brand{Name: `Acme "ID"`})
	if err != nil {
		t.Fatal(err)
	}
	page := render(t, p, &AccountView{})
	find := func(rel string) []byte {
		t.Helper()
		_, rest, _ := strings.Cut(page, `<link rel="`+rel+`" href="`)
		url, _, _ := strings.Cut(rest, `"`)
		body, _, _, immutable, ok := p.Assets.Lookup(url)
		if !ok || !immutable {
			t.Fatalf("%s: %q is not served", rel, url)
		}
		return body
	}
	icon, err := png.Decode(bytes.NewReader(find("apple-touch-icon")))
	if err != nil || icon.Bounds().Dx() != touchIconSize {
		t.Fatalf("%v %v", icon.Bounds(), err)
	}
	var m manifest
	if err := json.Unmarshal(find("manifest"), &m); err != nil || m.Name != `Acme "ID"` || m.StartURL != "/account" {
		t.Errorf("%+v %v", m, err)
	}
	for _, i := range m.Icons {
		if _, _, kind, _, ok := p.Assets.Lookup(i.Src); !ok || kind != i.Type {
			t.Errorf("icon %+v is served as %q", i, kind)
		}
	}
}
