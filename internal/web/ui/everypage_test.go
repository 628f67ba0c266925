package ui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// pagesDir is where conformance/every-page.test.mjs looks at the pages in a browser.
var pagesDir = flag.String("pages", "", "write every page with its sample data into this directory")

// Every page is rendered with all of its samples, from left to right and from right to left.
func TestEveryPageInLanguages(t *testing.T) {
	p := newPages(t)
	for tag, direction := range map[string]string{"en": "ltr", "de": "ltr", "ar": "rtl"} {
		for i, v := range samplesIn(tag) {
			page := render(t, p, v)
			if head := fmt.Sprintf(`<html lang=%q dir=%q`, tag, direction); !strings.Contains(page, head) {
				t.Errorf("%s is not in %s", v.Page(), tag)
			}
			if *pagesDir != "" {
				name := fmt.Sprintf("%s-%03d-%s.html", tag, i, v.Page())
				testkit.Must(t, os.WriteFile(filepath.Join(*pagesDir, name), []byte(page), 0o600))
			}
		}
	}
}
