package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// registerBlock is a block of commands in a guide that its reader runs.
var registerBlock = regexp.MustCompile("(?ms)^```sh register\n(.*?)^```$")

// TestGuides runs the commands of every guide as its reader would, each guide with a database of
// its own: every flag exists, and no value is refused.
func TestGuides(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/guides/integrations/*.md")
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d guides: %v", len(pages), err)
	}
	dir := t.TempDir()
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		blocks := registerBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 && name != "index" {
			t.Errorf("%s registers nothing", name)
		}
		script, files := "", ""
		for i, block := range blocks {
			script += fmt.Sprintf("exec sh -eu block%d.sh\n! stderr 'is not defined'\n", i)
			files += fmt.Sprintf("-- block%d.sh --\n%s", i, block[1])
		}
		people := "gatehouse user create --email bob@example.com\n" +
			"gatehouse user create --email ada@example.com\n"
		path := filepath.Join(dir, name+".txtar")
		if err := os.WriteFile(path, []byte(people+script+files), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{Dir: dir, Setup: useBinary})
}
