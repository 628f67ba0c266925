package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryEventIsRecorded: each type of the audit log's catalogue is the type of an event that
// some code makes. A type in a list, in a comparison or in a case records nothing.
func TestEveryEventIsRecorded(t *testing.T) {
	recorded := map[string]bool{}
	root := filepath.Join("..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, x := range typesOfEvents(n) {
				if s, ok := x.(*ast.SelectorExpr); ok {
					if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "audit" {
						recorded[s.Sel.Name] = true
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := catalogueNames(t)
	if len(names) < 100 {
		t.Fatalf("only %d types found: the search is broken", len(names))
	}
	for _, name := range names {
		if !recorded[name] {
			t.Errorf("audit.%s is in the catalogue, and nothing records it", name)
		}
	}
}

// typesOfEvents returns the expressions of a node that may be the type of a new event: arguments of
// calls, assigned values, and members of structs.
func typesOfEvents(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		return n.Args
	case *ast.AssignStmt:
		return n.Rhs
	case *ast.ValueSpec:
		return n.Values
	case *ast.ReturnStmt:
		return n.Results
	case *ast.KeyValueExpr:
		return []ast.Expr{n.Value}
	case *ast.CompositeLit:
		if _, list := n.Type.(*ast.ArrayType); !list { // a row of a table has no type of its own
			return n.Elts
		}
	}
	return nil
}

// catalogueNames returns the names of the constants of types.
func catalogueNames(t *testing.T) (names []string) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "audit", "types.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Type" {
			names = append(names, spec.Names[0].Name)
		}
		return true
	})
	return names
}
