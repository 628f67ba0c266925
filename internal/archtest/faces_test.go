package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// faces are the packages that people and programs see. They read input, call the core and show what
// it returns; a rule there would hold for one face only.
var faces = []string{"internal/cli", "internal/app", "internal/web/ui", "internal/web/protocol"}

// TestFacesHoldNoRules refuses what only a rule needs: an audit event, which belongs to the change
// that it records, and an error that names an input at fault.
func TestFacesHoldNoRules(t *testing.T) {
	for _, f := range checkFaces(t, os.DirFS("../..")) {
		t.Error(f)
	}
}

func checkFaces(t *testing.T, root fs.FS) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	for _, p := range parse(t, set, root) {
		if !slices.Contains(faces, p.dir) {
			continue
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				sel := ""
				switch n := n.(type) {
				case *ast.CompositeLit:
					sel = selector(n.Type)
				case *ast.CallExpr:
					sel = selector(n.Fun)
				}
				if what, banned := rules[sel]; banned {
					at := set.Position(n.Pos())
					found = append(found, fmt.Sprintf("%s:%d: %s %s", at.Filename, at.Line, sel, what))
				}
				return true
			})
		}
	}
	return found
}

var rules = map[string]string{
	"audit.Event":        "records a change; the core operation that makes the change records it",
	"fault.InvalidField": "states what a valid input is; state it in the core",
}

func selector(e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + sel.Sel.Name
}

func TestFacesAreCaught(t *testing.T) {
	for src, want := range map[string]string{
		`var e = audit.Event{}`:                             "audit.Event",
		`func f() error { return fault.InvalidField("a") }`: "fault.InvalidField",
		`func f() error { return fault.New(1) }`:            "",
	} {
		root := fstest.MapFS{"internal/cli/a.go": {Data: []byte("package cli\n\n" + src + "\n")}}
		found := strings.Join(checkFaces(t, root), "\n")
		if (want == "") != (found == "") || !strings.Contains(found, want) {
			t.Errorf("%s: found %q", src, found)
		}
	}
}
