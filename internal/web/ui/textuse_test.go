package ui

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

// TestTextsInHandlers checks every use of the catalogue in Go code, as NewPages does for templates.
func TestTextsInHandlers(t *testing.T) {
	c, err := text.Load()
	testkit.Must(t, err)
	fset := token.NewFileSet()
	for _, file := range sourceFiles(t, fset) {
		ast.Inspect(file, func(n ast.Node) bool {
			method, id, names, ok := textCall(n)
			if !ok {
				return true
			}
			if err := CheckUse(c.All()[0], method, id, names); err != nil {
				t.Errorf("%s: %v", fset.Position(n.Pos()), err)
			}
			return true
		})
	}
}

// textCall returns the arguments of a call of T, N or H with a constant id.
func textCall(n ast.Node) (method, id string, names []string, ok bool) {
	call, isCall := n.(*ast.CallExpr)
	if !isCall || len(call.Args) == 0 {
		return "", "", nil, false
	}
	sel, isSelector := call.Fun.(*ast.SelectorExpr)
	if !isSelector || !slices.Contains([]string{"T", "N", "H"}, sel.Sel.Name) {
		return "", "", nil, false
	}
	if id = constant(call.Args[0]); !strings.Contains(id, ".") {
		return "", "", nil, false
	}
	values := call.Args[1:]
	if sel.Sel.Name == "N" && len(values) > 0 {
		values = values[1:]
	}
	for i := 0; i < len(values); i += 2 {
		names = append(names, constant(values[i]))
	}
	return sel.Sel.Name, id, names, true
}

func constant(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}
