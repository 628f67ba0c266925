package ui

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A field of a view that no handler sets is a part of a page that never appears.
func TestEveryFieldOfAViewIsSetByAHandler(t *testing.T) {
	fset := token.NewFileSet()
	files := sourceFiles(t, fset)
	info := &types.Info{
		Types:      map[ast.Expr]types.TypeAndValue{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
		Uses:       map[*ast.Ident]types.Object{},
	}
	// Only types of this package matter, so the imports need not be there.
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := conf.Check("ui", fset, files, info)
	set := fieldsSet(files, info)
	for name, view := range viewTypes(pkg) {
		for f := range view.Fields() {
			if !set[f] {
				t.Errorf("no handler sets %s.%s", name, f.Name())
			}
		}
	}
	if len(set) < 50 {
		t.Errorf("found only %d fields that are set: the test itself is broken", len(set))
	}
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

func sourceFiles(t *testing.T, fset *token.FileSet) []*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// viewTypes returns the views and the structs of this package that they are made of, by name.
func viewTypes(pkg *types.Package) map[string]*types.Struct {
	found := map[string]*types.Struct{}
	var add func(types.Type)
	add = func(t types.Type) {
		switch t := t.(type) {
		case *types.Pointer:
			add(t.Elem())
		case *types.Slice:
			add(t.Elem())
		case *types.Named:
			s, ok := t.Underlying().(*types.Struct)
			if !ok || t.Obj().Pkg() != pkg || found[t.Obj().Name()] != nil {
				return
			}
			found[t.Obj().Name()] = s
			for f := range s.Fields() {
				add(f.Type())
			}
		}
	}
	for _, name := range pkg.Scope().Names() {
		obj, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if ok && strings.HasSuffix(name, "View") && name != "View" {
			add(obj.Type())
		}
	}
	return found
}

// fieldsSet returns the fields that occur in a composite literal or on the left of an assignment.
func fieldsSet(files []*ast.File, info *types.Info) map[*types.Var]bool {
	set := map[*types.Var]bool{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				maps.Copy(set, fieldsOf(n, info))
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					sel, ok := left.(*ast.SelectorExpr)
					if !ok || info.Selections[sel] == nil {
						continue
					}
					if v, ok := info.Selections[sel].Obj().(*types.Var); ok {
						set[v] = true
					}
				}
			}
			return true
		})
	}
	return set
}

func fieldsOf(lit *ast.CompositeLit, info *types.Info) map[*types.Var]bool {
	set := map[*types.Var]bool{}
	s, ok := info.TypeOf(lit).(interface{ Underlying() types.Type }).Underlying().(*types.Struct)
	if !ok {
		return set
	}
	fields := slices.Collect(s.Fields())
	for i, e := range lit.Elts {
		kv, keyed := e.(*ast.KeyValueExpr)
		if !keyed {
			set[fields[i]] = true
			continue
		}
		for _, f := range fields {
			if f.Name() == kv.Key.(*ast.Ident).Name {
				set[f] = true
			}
		}
	}
	return set
}
