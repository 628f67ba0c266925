package ui

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// What follows an app's own scheme is not a host: a page must not show it as one.
func TestReturnAddressOfAnApp(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example:8443/cb":         "app.example:8443",
		"http://127.0.0.1:4711/cb":            "127.0.0.1:4711",
		"com.example.app:/cb":                 "com.example.app:",
		"com.example.app://bank.example/cb":   "com.example.app:",
		"cursor://anysphere.cursor-mcp/oauth": "cursor:",
		"":                                    "",
	} {
		if got := clientView(&client.Client{ID: "x"}, uri).RedirectHost; got != want {
			t.Errorf("%s is shown as %q, want %q", uri, got, want)
		}
	}
}
