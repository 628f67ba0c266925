package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSpecsNameWhatExists checks docs/SPECS.md: each file and each test that it names is there.
func TestSpecsNameWhatExists(t *testing.T) {
	page, err := os.ReadFile("../../docs/SPECS.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, root := range []string{"..", "../../bearer"} {
		err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			body, err := os.ReadFile(path)
			for _, m := range declared.FindAllStringSubmatch(string(body), -1) {
				tests[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := 0
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(string(page), -1) {
		switch name := m[1]; {
		case strings.HasPrefix(name, "Test"), strings.HasPrefix(name, "Fuzz"):
			named++
			if !tests[name] {
				t.Errorf("docs/SPECS.md names the test %s, which does not exist", name)
			}
		case strings.HasSuffix(name, ".go"):
			named++
			if _, err := os.Stat(filepath.Join("..", name)); err != nil {
				t.Errorf("docs/SPECS.md names the file %s, which does not exist", name)
			}
		}
	}
	if named < 100 {
		t.Errorf("only %d names were found: is the page still a table?", named)
	}
}
