package web

import (
	"net/http"
	"testing"
)

// Programs get JSON and people pages, by what they ask for.
func TestPrefersPage(t *testing.T) {
	for name, c := range map[string]struct {
		mode   string
		accept []string
		page   bool
	}{
		"Firefox":                   {"", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, true},
		"Safari":                    {"", []string{"text/html, application/xhtml+xml, image/jxr, */*"}, true},
		"a navigation":              {"navigate", nil, true},
		"a navigation to anything":  {"navigate", []string{"*/*"}, true},
		"fetch for HTML":            {"cors", []string{"text/html"}, false},
		"an image":                  {"no-cors", []string{"image/avif,*/*;q=0.8"}, false},
		"a WebSocket":               {"websocket", nil, false},
		"curl":                      {"", []string{"*/*"}, false},
		"nothing":                   {"", nil, false},
		"empty":                     {"", []string{""}, false},
		"axios":                     {"", []string{"application/json, text/plain, */*"}, false},
		"Java":                      {"", []string{"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, true},
		"any text":                  {"", []string{"text/*"}, false},
		"JSON first, same weight":   {"", []string{"application/json, text/html"}, true},
		"JSON preferred":            {"", []string{"application/json, text/html;q=0.9"}, false},
		"JSON less":                 {"", []string{"text/html, application/json;q=0.5"}, true},
		"problem preferred":         {"", []string{"text/html;q=0.1, application/problem+json"}, false},
		"HTML refused":              {"", []string{"text/html;q=0, */*"}, false},
		"HTML refused, decimals":    {"", []string{"text/html;q=0.000"}, false},
		"HTML, weight unreadable":   {"", []string{"text/html;q=high"}, false},
		"HTML, weight out of range": {"", []string{"text/html;q=2"}, false},
		"a level":                   {"", []string{"TEXT/HTML;level=1;Q=0.4"}, true},
		"two lines":                 {"", []string{"application/json;q=0.2", "text/html"}, true},
		"a name that contains it":   {"", []string{"application/vnd.text/html+x"}, false},
	} {
		h := http.Header{"Accept": c.accept}
		if c.mode != "" {
			h.Set("Sec-Fetch-Mode", c.mode)
		}
		if got := PrefersPage(h); got != c.page {
			t.Errorf("%s: %v", name, got)
		}
	}
}
