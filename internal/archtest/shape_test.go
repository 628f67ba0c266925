package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// Bounds on the shape of functions: a function fits a screen, and a longer list of parameters is a
// struct.
const (
	maxFuncLines = 60
	maxParams    = 5
)

func TestShape(t *testing.T) {
	for _, f := range checkShape(t, os.DirFS("../..")) {
		t.Error(f)
	}
}

// checkShape reports functions outside of tests that are too long or take too many parameters.
func checkShape(t *testing.T, root fs.FS) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	for _, p := range parse(t, set, root) {
		for _, f := range p.files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				at := set.Position(fn.Pos())
				lines := set.Position(fn.End()).Line - at.Line + 1
				if lines > maxFuncLines {
					found = append(found, fmt.Sprintf("%s:%d: %s has %d lines; split it",
						at.Filename, at.Line, fn.Name.Name, lines))
				}
				if n := params(fn.Type); n > maxParams {
					found = append(found, fmt.Sprintf("%s:%d: %s has %d parameters; make a struct of them",
						at.Filename, at.Line, fn.Name.Name, n))
				}
			}
		}
	}
	return found
}

// params returns the number of a function's parameters, without a context and a variadic one.
func params(fn *ast.FuncType) (n int) {
	for _, p := range fn.Params.List {
		if sel, ok := p.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" {
			continue
		}
		if _, ok := p.Type.(*ast.Ellipsis); ok {
			continue
		}
		n += max(len(p.Names), 1)
	}
	return n
}

func TestShapeIsCaught(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"long":            {"func f() {\n" + strings.Repeat("\tprintln()\n", 60) + "}", "has 62 lines"},
		"many parameters": {"func f(a, b, c int, d, e, g string) {}", "has 6 parameters"},
		"fine":            {"func f(ctx context.Context, a, b, c, d, e int, more ...string) {}", ""},
	} {
		root := fstest.MapFS{"a/a.go": {Data: []byte("package a\n\nimport \"context\"\n\nvar _ context.Context\n\n" + c.src + "\n")}}
		found := strings.Join(checkShape(t, root), "\n")
		if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
			t.Errorf("%s: found %q", name, found)
		}
	}
}
