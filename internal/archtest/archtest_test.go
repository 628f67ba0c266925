package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/gatehouse-id/gatehouse"

func TestHouse(t *testing.T) {
	found, packages := inspect(t, os.DirFS("../.."))
	for _, f := range found {
		t.Error(f)
	}
	if packages < 5 {
		t.Errorf("only %d packages were found; the test looks in the wrong place", packages)
	}
}

// A pkg is one directory's files that end up in the program.
type pkg struct {
	dir   string // from the module's root
	files []*ast.File
}

// inspect parses a module and reports what breaks the rules.
func inspect(t *testing.T, root fs.FS) (found []string, packages int) {
	t.Helper()
	set := token.NewFileSet()
	report := func(at token.Pos, format string, args ...any) {
		where := ""
		if at.IsValid() {
			p := set.Position(at)
			where = fmt.Sprintf("%s:%d: ", p.Filename, p.Line)
		}
		found = append(found, where+fmt.Sprintf(format, args...))
	}
	for _, p := range parse(t, set, root) {
		packages++
		checkName(p, report)
		checkImports(p, report)
		checkState(p, report)
		if slices.Contains(pure, strings.TrimPrefix(p.dir, "internal/")) {
			checkPure(p, report)
		}
	}
	return found, packages
}

type reporter func(at token.Pos, format string, args ...any)

func parse(t *testing.T, set *token.FileSet, root fs.FS) []*pkg {
	t.Helper()
	var all []*pkg
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(set, name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(f) {
			return nil // the document that it is generated from is what people write
		}
		dir := path.Dir(name)
		i := slices.IndexFunc(all, func(p *pkg) bool { return p.dir == dir })
		if i < 0 {
			i, all = len(all), append(all, &pkg{dir: dir})
		}
		all[i].files = append(all[i].files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// skip leaves out what the go command leaves out: other modules and what is not source.
func skip(root fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if base == "testdata" || base == "vendor" || base == "node_modules" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func checkName(p *pkg, report reporter) {
	for _, name := range []string{path.Base(p.dir), p.files[0].Name.Name} {
		if slices.Contains(vague, strings.ToLower(name)) {
			report(p.files[0].Name.Pos(), "%q does not say what is inside; name the package after what it does", name)
			return
		}
	}
}

func checkImports(p *pkg, report reporter) {
	may, known := allowed(p.dir)
	if !known {
		report(p.files[0].Package, "package %s has no place in the house; add a line for it to the policy in internal/archtest, and to docs/ARCHITECTURE.md", p.dir)
		return
	}
	for _, f := range p.files {
		for _, spec := range f.Imports {
			full, _ := strconv.Unquote(spec.Path.Value)
			rel, ours := strings.CutPrefix(full, module+"/")
			if isPublic(p.dir) && isPublic(rel) {
				continue
			}
			rel = strings.TrimPrefix(rel, "internal/")
			if ours && !slices.Contains(may, rel) && !slices.Contains(may, everything) {
				report(spec.Pos(), "%s must not import %s", p.dir, full)
			}
			if full == "testing" && !strings.HasSuffix(p.dir, "test") && !strings.Contains(p.dir, "testkit") {
				report(spec.Pos(), "%s must not import testing outside of its tests", p.dir)
			}
		}
	}
}

// allowed gives the packages under internal/ that the one in dir may import.
func allowed(dir string) (may []string, known bool) {
	if rel, inside := strings.CutPrefix(dir, "internal/"); inside {
		may, known = policy[rel]
		return may, known
	}
	switch {
	case under(commands, dir):
		return []string{"app"}, true
	case isPublic(dir):
		return nil, true
	case under(drivers, dir):
		return []string{everything}, true
	}
	return nil, false
}

// isPublic reports whether a directory, from the module's root, is of the parts that users import or copy: they know each other.
func isPublic(dir string) bool { return under(public, dir) }

func under(roots []string, dir string) bool {
	return slices.ContainsFunc(roots, func(r string) bool {
		return dir == strings.TrimSuffix(r, "/") || strings.HasPrefix(dir, strings.TrimSuffix(r, "/")+"/")
	})
}

// checkPure keeps the outside world and the clock out of the core.
func checkPure(p *pkg, report reporter) {
	for _, f := range p.files {
		timeName := ""
		for _, spec := range f.Imports {
			full, _ := strconv.Unquote(spec.Path.Value)
			if slices.Contains(impure, full) {
				report(spec.Pos(), "%s is core and must not import %s; let the caller hand it over", p.dir, full)
			}
			if full != "time" {
				continue
			}
			if timeName = "time"; spec.Name != nil {
				timeName = spec.Name.Name
			}
			if timeName == "." {
				report(spec.Pos(), "package time is imported by its own name only")
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || timeName == "" || !slices.Contains(clock, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == timeName && x.Obj == nil {
				report(sel.Pos(), "%s is core and must not read the clock with time.%s; take the time as an argument", p.dir, sel.Sel.Name)
			}
			return true
		})
	}
}

// checkState refuses init functions and package-level variables that change. It sees
// assignments by the variable's own name, and types that exist to be changed; what
// hides behind pointers it cannot see.
func checkState(p *pkg, report reporter) {
	vars := packageVars(p, report)
	for _, f := range p.files {
		foreign := map[*ast.Ident]bool{} // names that this file does not declare
		for _, id := range f.Unresolved {
			foreign[id] = true
		}
		isVar := func(e ast.Expr) bool {
			id := root(e)
			if id == nil || !vars[id.Name] {
				return false
			}
			if id.Obj == nil {
				return foreign[id]
			}
			return topLevel(f, id.Obj)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				report(fn.Pos(), "%s has an init function; do it where the value is made", p.dir)
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				for _, e := range changed(n) {
					if isVar(e) {
						report(e.Pos(), "%s changes the package-level variable %s; put it into a value", p.dir, root(e).Name)
					}
				}
				return true
			})
		}
	}
}

// packageVars names a package's variables, and reports those whose type is made for changing.
func packageVars(p *pkg, report reporter) map[string]bool {
	vars := map[string]bool{}
	for _, f := range p.files {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, s := range gen.Specs {
				spec := s.(*ast.ValueSpec)
				for _, name := range spec.Names {
					vars[name.Name] = name.Name != "_"
				}
				if made := madeToChange(spec); made != "" && spec.Names[0].Name != "_" {
					report(spec.Pos(), "%s has a package-level %s, %s; put it into a value", p.dir, made, spec.Names[0].Name)
				}
			}
		}
	}
	return vars
}

func madeToChange(spec *ast.ValueSpec) string {
	kinds := []ast.Expr{spec.Type}
	for _, v := range spec.Values {
		if u, ok := v.(*ast.UnaryExpr); ok {
			v = u.X
		}
		switch v := v.(type) {
		case *ast.CompositeLit:
			kinds = append(kinds, v.Type)
		case *ast.CallExpr:
			if fn, ok := v.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") && len(v.Args) > 0 {
				if fn.Name == "make" {
					return "container to fill"
				}
				kinds = append(kinds, v.Args[0])
			}
		}
	}
	for _, k := range kinds {
		if star, ok := k.(*ast.StarExpr); ok {
			k = star.X
		}
		if gen, ok := k.(*ast.IndexExpr); ok { // atomic.Pointer[T]
			k = gen.X
		}
		if _, ok := k.(*ast.ChanType); ok {
			return "channel"
		}
		if sel, ok := k.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
				return x.Name + "." + sel.Sel.Name
			}
		}
	}
	return ""
}

// changed gives the expressions that a node writes to.
func changed(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.CallExpr:
		if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && fn.Obj == nil && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// root is the variable at the bottom of x.f[i].g, or nil.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

//lint:ignore SA1019 the parser alone resolves what is asked here; type-checking the whole module would take minutes
func topLevel(f *ast.File, obj *ast.Object) bool { return f.Scope.Lookup(obj.Name) == obj }

// The rules would be worth nothing if they caught nothing.
func TestRulesCatch(t *testing.T) {
	const in = `import "` + module + `/internal/`
	const out = `import "` + module + `/`
	for name, tc := range map[string]struct{ file, src, want string }{
		"rim in core":         {"internal/oauth/a.go", in + `store"`, "internal/oauth must not import " + module + "/internal/store"},
		"oauth meets login":   {"internal/oauth/a.go", in + `login"`, "must not import"},
		"login meets oauth":   {"internal/login/a.go", in + `oauth"`, "must not import"},
		"store meets web":     {"internal/store/a.go", in + `web"`, "must not import"},
		"web meets store":     {"internal/web/a.go", in + `store"`, "must not import"},
		"gateway meets ui":    {"internal/gateway/a.go", in + `web/ui"`, "must not import"},
		"rim meets rim":       {"internal/idp/a.go", in + `cache"`, "must not import"},
		"config outside app":  {"internal/web/a.go", in + `config"`, "must not import"},
		"app imported":        {"internal/web/a.go", in + `app"`, "must not import"},
		"command skips app":   {"cmd/gatehouse/main.go", in + `store"`, "must not import"},
		"bearer is public":    {"bearer/a.go", in + `fault"`, "must not import"},
		"examples are public": {"examples/api/a.go", in + `fault"`, "must not import"},
		"bearer in core":      {"internal/oauth/a.go", out + `bearer"`, "must not import"},
		"drivers imported":    {"internal/web/a.go", out + `bench"`, "must not import"},
		"proofs and a clock":  {"bearer/dpop/a.go", "import \"time\"\nfunc f() time.Time { return time.Now() }", "must not read the clock"},
		"unknown package":     {"internal/novelty/a.go", "", "add a line for it to the policy"},
		"unknown subpackage":  {"internal/web/novelty/a.go", "", "add a line for it to the policy"},
		"unknown top":         {"pkg/a.go", "", "add a line for it to the policy"},
		"vague directory":     {"internal/utils/a.go", "", `"utils" does not say what is inside`},
		"core and http":       {"internal/oauth/a.go", `import "net/http"`, "core and must not import net/http"},
		"core and os":         {"internal/config/a.go", `import "os"`, "core and must not import os"},
		"core and the clock":  {"internal/login/a.go", "import \"time\"\nfunc f() time.Time { return time.Now() }", "a.go:3: internal/login is core and must not read the clock with time.Now"},
		"clock as a value":    {"internal/login/a.go", "import t \"time\"\nvar f = t.Now", "must not read the clock"},
		"clock by since":      {"internal/login/a.go", "import \"time\"\nfunc f(t time.Time) { _ = time.Since(t) }", "time.Since"},
		"dot import of time":  {"internal/login/a.go", "import . \"time\"", "by its own name only"},
		"init":                {"internal/web/a.go", "func init() {}", "has an init function"},
		"assigned":            {"internal/web/a.go", "var n int\nfunc f() { n = 1 }", "changes the package-level variable n"},
		"counted":             {"internal/web/a.go", "var n int\nfunc f() { n++ }", "changes the package-level variable n"},
		"map filled":          {"internal/web/a.go", "var m = map[string]int{}\nfunc f() { m[\"x\"] = 1 }", "changes the package-level variable m"},
		"map emptied":         {"internal/web/a.go", "var m = map[string]int{}\nfunc f() { delete(m, \"x\") }", "changes the package-level variable m"},
		"field set":           {"internal/web/a.go", "var s struct{ a []int }\nfunc f() { s.a[0] = 1 }", "changes the package-level variable s"},
		"mutex":               {"internal/web/a.go", "import \"sync\"\nvar mu sync.Mutex", "package-level sync.Mutex, mu"},
		"pool":                {"internal/web/a.go", "import \"sync\"\nvar p = &sync.Pool{}", "package-level sync.Pool, p"},
		"atomic":              {"internal/web/a.go", "import \"sync/atomic\"\nvar p atomic.Pointer[int]", "package-level atomic.Pointer, p"},
		"channel":             {"internal/web/a.go", "var c chan int", "package-level channel, c"},
		"made":                {"internal/web/a.go", "var m = make(map[string]int)", "package-level container to fill, m"},
		"testing":             {"internal/web/a.go", `import "testing"`, "must not import testing"},

		"proofs in core":      {"internal/oauth/a.go", out + `bearer/dpop"`, ""},
		"bearer's own parts":  {"bearer/store/a.go", out + `bearer"`, ""},
		"core in core":        {"internal/oauth/a.go", in + `identity"`, ""},
		"app knows all":       {"internal/app/a.go", in + "store\"\n" + in + "config\"", ""},
		"command":             {"cmd/gatehouse/main.go", in + `app"`, ""},
		"drivers know all":    {"tools/bench/a.go", in + `app"`, ""},
		"store's kit":         {"internal/store/a.go", in + "store/sqldb\"\n" + in + "store/migrations\"", ""},
		"suites may test":     {"internal/cache/cachetest/a.go", `import "testing"`, ""},
		"clock at the rim":    {"internal/fetch/a.go", "import \"time\"\nfunc f() { time.Now() }", ""},
		"another now":         {"internal/oauth/a.go", "import \"time\"\nfunc f(time struct{ Now func() }) { time.Now() }\nvar _ time.Time", ""},
		"shadowed":            {"internal/web/a.go", "var n int\nfunc f() { n := 0; n++; _ = n }", ""},
		"parameter":           {"internal/web/a.go", "var m = map[string]int{}\nfunc f(m map[string]int) { m[\"x\"] = 1 }", ""},
		"field of that name":  {"internal/web/a.go", "var n int\ntype t struct{ n int }\nfunc f(x *t) { x.n = 1 }", ""},
		"constant table":      {"internal/web/a.go", "var m = map[string]int{\"a\": 1}\nfunc f() int { return m[\"a\"] }", ""},
		"method called init":  {"internal/web/a.go", "type t struct{}\nfunc (t) init() {}", ""},
		"other modules":       {"other/a.go", "func init() {}", ""},
		"test data":           {"internal/web/testdata/a.go", "func init() {}", ""},
		"tests are exempt":    {"internal/oauth/a_test.go", in + "store\"\nfunc init() {}", ""},
		"interface assertion": {"internal/web/a.go", "type t struct{}\nvar _ interface{} = t{}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := path.Base(path.Dir(tc.file))
			found, _ := inspect(t, fstest.MapFS{
				tc.file:        {Data: []byte("package " + base + "\n" + tc.src + "\n")},
				"other/go.mod": {Data: []byte("module other\n")},
			})
			all := strings.Join(found, "\n")
			if (tc.want == "") != (all == "") || !strings.Contains(all, tc.want) {
				t.Errorf("found %q, want %q", all, tc.want)
			}
		})
	}
}

// A variable declared in one file and changed in another is found too.
func TestStateAcrossFiles(t *testing.T) {
	found, _ := inspect(t, fstest.MapFS{
		"internal/web/a.go": {Data: []byte("package web\nvar n int\n")},
		"internal/web/b.go": {Data: []byte("package web\nfunc f() { n = 1 }\nfunc g(n int) { n = 1 }\n")},
	})
	if len(found) != 1 || !strings.Contains(found[0], "internal/web/b.go:2") {
		t.Errorf("%q", found)
	}
}

// Nobody may import in a circle by way of the policy, and every name in it is a package of the policy.
func TestPolicyIsSound(t *testing.T) {
	state := map[string]int{}
	var visit func(string)
	visit = func(p string) {
		if state[p] == 1 {
			t.Fatalf("the policy lets %s import itself in a circle", p)
		}
		if state[p] == 2 {
			return
		}
		state[p] = 1
		for _, q := range policy[p] {
			if isPublic(q) { // these import nothing of internal/
				continue
			}
			if _, ok := policy[q]; !ok && q != everything {
				t.Errorf("%s may import %s, which the policy does not know", p, q)
			}
			visit(q)
		}
		state[p] = 2
	}
	for p := range policy {
		visit(p)
	}
}
