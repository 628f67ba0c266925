package ui_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A text that no page and no message uses would be translated without a use.
func TestEveryTextIsUsed(t *testing.T) {
	var sources strings.Builder
	testkit.Must(t, filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		source := strings.HasSuffix(path, ".html") || strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		if err != nil || !source {
			return err
		}
		text, err := os.ReadFile(path)
		sources.Write(text)
		return err
	}))
	all := sources.String()
	catalogues, err := filepath.Glob("../../text/locales/*.en.yaml")
	testkit.Must(t, err)
	id := regexp.MustCompile(`(?m)^([a-z][a-z0-9.-]+):`)
	// Put together: the messages and scopes by their names, and how long ago a time is by its unit.
	together := regexp.MustCompile(`^(mail|scope)\.|^common\.time\.(ago|in)\.`)
	found := 0
	for _, file := range catalogues {
		text, err := os.ReadFile(file)
		testkit.Must(t, err)
		for _, m := range id.FindAllStringSubmatch(string(text), -1) {
			found++
			if !together.MatchString(m[1]) && !strings.Contains(all, `"`+m[1]+`"`) {
				t.Errorf("nothing uses the text %s", m[1])
			}
		}
	}
	if found < 400 {
		t.Errorf("found only %d texts: the test itself is broken", found)
	}
}
