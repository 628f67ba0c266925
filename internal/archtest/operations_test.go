package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// operationFaces are the directories of the ways to reach the operations of package admin.
var operationFaces = []string{"cli", "web/api", "web/console"}

// faceless lists the operations that a face leaves out on purpose, with the reason.
var faceless = map[string]map[string]string{
	"cli": {
		"BeginIdempotent": "remembers the answers to HTTP requests",
		"BeginSignInTest": "needs the browser of the person who tests",
		"EndSignInTest":   "needs the browser of the person who tests",
		"ConfigDrift":     "plan compares a document; the console has the page of those that were applied",
		"MakeBackup":      "asks a server; the command line makes the backup itself",
		"ScopeUse":        "a refused scope delete names what holds the scope",
		"StepUpNeeded":    "the command line on the database has no sign-in",
	},
	"web/api": {
		"BackupFiles":     "needs the machine: it reads a place that its caller names",
		"BeginSignInTest": "needs the browser of the person who tests",
		"EndSignInTest":   "needs the browser of the person who tests",
		"CanDeleteRole":   "a question before a confirmation; a program just deletes",
		"CanDeleteScope":  "a question before a confirmation; a program just deletes",
		"DisableUser":     "a part of PATCH /users/{id}",
		"EnableUser":      "a part of PATCH /users/{id}",
		"RetirableKey":    "a question before a confirmation; a program just retires",
		"ScopeUse":        "a question before a confirmation; a refused DELETE names what holds the scope",
		"SetPassword":     "a part of PATCH /users/{id}",
		"SetupLink":       "needs the machine: it makes the first administrator",
		"StoredRoute":     "a question before a confirmation; a program just changes the route",
		"VerifyAudit":     "reads the whole database, and must not trust the server",
		"WriteBackup":     "needs the machine: it writes to a place that its caller names",
	},
	"web/console": {
		"BackupFiles":     "needs the machine: it reads a place that its caller names",
		"BeginIdempotent": "forms bring the version of what they change instead",
		"CanDeleteScope":  "ScopeUse names all that holds a scope",
		"SetupLink":       "needs the machine: it makes the first administrator",
		"UserFactors":     "the page of a user has them from UserDetail",
		"UserNames":       "the list of sessions shows the accounts themselves",
		"VerifyAudit":     "reads the whole database, and must not trust the server",
		"WriteBackup":     "needs the machine: it writes to a place that its caller names",
	},
}

// TestOperationsHaveThreeFaces looks for a call of every operation of administrators in the command
// line, the management API and the console.
func TestOperationsHaveThreeFaces(t *testing.T) {
	operations := adminOperations(t)
	if len(operations) < 30 {
		t.Fatalf("found only %d operations: the test itself is broken", len(operations))
	}
	for _, face := range operationFaces {
		called := calledMethods(t, filepath.Join("..", face))
		for _, name := range operations {
			reason := faceless[face][name]
			switch {
			case !called[name] && reason == "":
				t.Errorf("internal/%s does not call admin.%s; add it there, or the reason to this test", face, name)
			case called[name] && reason != "":
				t.Errorf("internal/%s calls admin.%s; remove the reason from this test", face, name)
			}
		}
		for name := range faceless[face] {
			if !slices.Contains(operations, name) {
				t.Errorf("there is no operation admin.%s; remove it from this test", name)
			}
		}
	}
}

// adminOperations returns the names of the exported methods of admin.Operations that take an
// Actor.
func adminOperations(t *testing.T) []string {
	var out []string
	for _, f := range parsedPackage(t, "../admin") {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Name.IsExported() && receives(fn, "Operations") && takes(fn, "Actor") {
				out = append(out, fn.Name.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// receives reports whether a function is a method of a pointer to that type.
func receives(fn *ast.FuncDecl, name string) bool {
	if fn.Recv == nil || len(fn.Recv.List) != 1 {
		return false
	}
	star, ok := fn.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	id, ok := star.X.(*ast.Ident)
	return ok && id.Name == name
}

// takes reports whether a function has a parameter of that type.
func takes(fn *ast.FuncDecl, name string) bool {
	for _, p := range fn.Type.Params.List {
		if id, ok := p.Type.(*ast.Ident); ok && id.Name == name {
			return true
		}
	}
	return false
}

// calledMethods returns the names of all methods that a package calls, or passes as values.
func calledMethods(t *testing.T, dir string) map[string]bool {
	called := map[string]bool{}
	for _, f := range parsedPackage(t, dir) {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				called[s.Sel.Name] = true
			}
			return true
		})
	}
	return called
}

// parsed returns the files of a package without its tests.
func parsedPackage(t *testing.T, dir string) []*ast.File {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	testkit.Must(t, err)
	var out []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		testkit.Must(t, err)
		out = append(out, f)
	}
	return out
}
