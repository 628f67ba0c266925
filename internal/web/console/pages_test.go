package console_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var update = flag.Bool("update", false, "write the list of pages")

// TestPagesFile compares the list of pages with the routes: the tests in a browser look at each
// page that the list names, so none can be forgotten there.
func TestPagesFile(t *testing.T) {
	const name = "testdata/pages.txt"
	var pages []string
	for pattern := range newSite(t).console.Patterns() {
		if path, ok := strings.CutPrefix(pattern, "GET "); ok && !strings.Contains(path, "{$}") {
			pages = append(pages, path)
		}
	}
	slices.Sort(pages)
	want := strings.Join(pages, "\n") + "\n"
	if *update {
		testkit.Must(t, os.WriteFile(name, []byte(want), 0o644))
	}
	got, err := os.ReadFile(name)
	testkit.Must(t, err)
	if string(got) != want {
		t.Errorf("%s is not the list of pages; run go test ./internal/web/console -run TestPagesFile -update", name)
	}
}
