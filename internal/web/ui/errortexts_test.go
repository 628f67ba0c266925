package ui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

// TestErrorsAreTranslated looks for the sentences of errors in the packages whose errors pages
// show. Each needs an entry in the catalogue of errors, under itself.
func TestErrorsAreTranslated(t *testing.T) {
	c, err := text.Load()
	testkit.Must(t, err)
	found := map[string]bool{}
	for _, dir := range []string{"../../identity", "../../login", "../../account", "../../picture", "../../oauth", "..", "."} {
		for _, s := range sentences(t, dir, inPages(dir)) {
			found[s] = true
			if !c.All()[0].HasSentence(s) {
				t.Errorf("%s: no entry for %q", dir, s)
			}
		}
	}
	if len(found) < 50 {
		t.Errorf("found only %d sentences: the test itself is broken", len(found))
	}
}

// inPages returns which files of a directory, and which arguments of calls, are for people. Most
// errors of package oauth go to clients, and what package web says about requests that are not
// well-formed is for programs, too.
func inPages(dir string) (in func(file, callee string) bool) {
	switch dir {
	case "../../oauth":
		return func(_, callee string) bool {
			return callee == "invalid" || callee == "invalidBecause" || callee == "New"
		}
	case "../../login": // sessions with tokens are for programs
		return func(file, _ string) bool { return file != "sessiontokens.go" && file != "states.go" }
	case "..":
		return func(file, _ string) bool { return file != "call.go" && file != "accept.go" }
	}
	return func(string, string) bool { return true }
}

// sentences returns the constant strings of a package that are whole sentences and arguments of a
// call or fields of an error.
func sentences(t *testing.T, dir string, in func(file, callee string) bool) (found []string) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	testkit.Must(t, err)
	files := map[string]*ast.File{}
	constants := map[string]ast.Expr{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		testkit.Must(t, err)
		files[filepath.Base(name)] = f
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
				for i, name := range v.Names {
					constants[name.Name] = v.Values[i]
				}
			}
			return true
		})
	}
	add := func(e ast.Expr) {
		if s := folded(e, constants, 0); isSentence(s) {
			found = append(found, s)
		}
	}
	for name, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			callee, values := valuesIn(n)
			if in(name, callee) {
				for _, v := range values {
					add(v)
				}
			}
			return true
		})
	}
	return found
}

// valuesIn returns the expressions of a node that may be texts, and the function that they are
// arguments of, or "".
func valuesIn(n ast.Node) (callee string, values []ast.Expr) {
	switch n := n.(type) {
	case *ast.CallExpr:
		switch f := n.Fun.(type) {
		case *ast.Ident:
			callee = f.Name
		case *ast.SelectorExpr:
			callee = f.Sel.Name
		}
		return callee, n.Args
	case *ast.ReturnStmt:
		return "", n.Results
	case *ast.AssignStmt:
		return "", n.Rhs
	case *ast.CompositeLit:
		for _, e := range n.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				values = append(values, e)
				continue
			}
			if key, ok := kv.Key.(*ast.Ident); !ok || key.Name != "Help" {
				values = append(values, kv.Value)
			}
		}
	}
	return "", values
}

// folded returns the value of a constant expression of strings, or "".
func folded(e ast.Expr, constants map[string]ast.Expr, depth int) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return constant(e)
	case *ast.ParenExpr:
		return folded(e.X, constants, depth)
	case *ast.Ident:
		if value := constants[e.Name]; value != nil && depth < 4 {
			return folded(value, constants, depth+1)
		}
	case *ast.BinaryExpr:
		left, right := folded(e.X, constants, depth), folded(e.Y, constants, depth)
		if e.Op == token.ADD && left != "" && right != "" {
			return left + right
		}
	}
	return ""
}

// isSentence reports whether a string is a whole sentence that a person may read.
func isSentence(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	return strings.Contains(s, " ") && (unicode.IsUpper(first) || first == '%') && (last == '.' || last == '?')
}
