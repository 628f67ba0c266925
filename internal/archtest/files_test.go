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

// Packages that know the name of the SQLite file. When a process closes any descriptor of that
// file, the system takes away all locks that the process has on it (fcntl(2)), those of SQLite
// included: another process could then write in between, and destroy the database. So a function
// that opens a file is listed here, with what it opens, and none opens the live database.
var knowsDatabase = []string{"internal/app", "internal/store", "internal/store/sqldb"}

var opensFiles = map[string]string{
	"internal/app.loadConfig":         "the settings file",
	"internal/app.storedKey":          "the file of SECRET_KEY",
	"internal/app.placeKey":           "a new file of SECRET_KEY",
	"internal/app.prepare":            "the limits of the control group",
	"internal/app.tuneMemory":         "the limits of the control group",
	"internal/app.newRealm":           "the limits of the control group",
	"internal/app.mountOf":            "the table of mounts",
	"internal/app.unmapProgram":       "the program, and its map",
	"internal/app.routesFile":         "ROUTES_FILE",
	"internal/app.foreign":            "the secret of a client at an external issuer",
	"internal/app.readRealmsFile":     "REALMS_FILE",
	"internal/app.replaceFile":        "a new REALMS_FILE",
	"internal/app.readPasswords":      "COMMON_PASSWORD_LIST",
	"internal/app.readAuthorities":    "certificates of a log server's authorities",
	"internal/app.customFiles":        "TEMPLATES_PATH",
	"internal/app.lockFile":           "a file that is nothing but a lock",
	"internal/app.lockFolder":         "a folder",
	"internal/app.syncDir":            "a folder",
	"internal/app.Put":                "a new backup",
	"internal/app.look":               "a backup",
	"internal/app.Open":               "a backup",
	"internal/app.openBackup":         "the file of an age identity",
	"internal/app.presentKeys":        "the file of SECRET_KEY",
	"internal/app.place":              "a restored database, after its last connection and before it has its name",
	"internal/store/sqldb.createFile": "the file of a new database, before SQLite opens it",
	"internal/store/sqldb.CreateFile": "the file of a copy, before SQLite opens it",
	"internal/store/sqldb.copyImage":  "the image of a database in memory, for tests",
}

// checkFiles reports functions that open files, of packages that know the database's name, which
// are not listed, and what is listed but is not there.
func checkFiles(t *testing.T, root fs.FS, listed map[string]string) (found []string) {
	t.Helper()
	set := token.NewFileSet()
	seen := map[string]bool{}
	for _, p := range parse(t, set, root) {
		if !slices.Contains(knowsDatabase, p.dir) {
			continue
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil || !opensFile(fn.Body) {
					continue
				}
				name := p.dir + "." + fn.Name.Name
				if seen[name] = true; listed[name] == "" {
					at := set.Position(fn.Pos())
					found = append(found, fmt.Sprintf("%s:%d: %s opens a file; make sure that it is not the live database, "+
						"and add it to opensFiles", at.Filename, at.Line, name))
				}
			}
		}
	}
	for name := range listed {
		if !seen[name] {
			found = append(found, name+" opens no file any more; remove it from opensFiles")
		}
	}
	return found
}

// opensFile reports whether code opens files by name, or passes on what does.
func opensFile(body ast.Node) (yes bool) {
	openers := map[string][]string{
		"os":      {"Open", "OpenFile", "OpenRoot", "ReadFile", "WriteFile", "Create", "CreateTemp", "Truncate", "DirFS"},
		"syscall": {"Open", "Creat", "Truncate"},
		"unix":    {"Open", "Openat", "Creat", "Truncate"},
		"elf":     {"Open"},
	}
	ast.Inspect(body, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := sel.X.(*ast.Ident); ok && slices.Contains(openers[of.Name], sel.Sel.Name) {
				yes = true
			}
		}
		return !yes
	})
	return yes
}

func TestNothingOpensTheLiveDatabase(t *testing.T) {
	for _, f := range checkFiles(t, os.DirFS("../.."), opensFiles) {
		t.Error(f)
	}
}

func TestOpenedFilesAreCaught(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"opened":        {"func f(p string) { os.Open(p) }", "app.f opens a file"},
		"in a closure":  {"func f(p string) { _ = func() { os.ReadFile(p) } }", "app.f opens a file"},
		"passed on":     {"func f() { g(os.ReadFile) }", "app.f opens a file"},
		"of a type":     {"func (t) f(p string) { unix.Open(p, 0, 0) }", "app.f opens a file"},
		"only looks":    {"func f(p string) { os.Stat(p) }", ""},
		"listed":        {"func listed(p string) { os.Open(p) }", ""},
		"another's own": {"func f(os opener) { os.Lock() }", ""},
	} {
		root := fstest.MapFS{
			"internal/app/a.go": {Data: []byte("package app\n" + c.src + "\n")},
			"internal/web/b.go": {Data: []byte("package web\nfunc f() { os.Open(\"x\") }\n")},
		}
		listed := map[string]string{}
		if strings.Contains(c.src, "listed") {
			listed["internal/app.listed"] = "a file"
		}
		found := strings.Join(checkFiles(t, root, listed), "\n")
		if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
			t.Errorf("%s: %q", name, found)
		}
	}
	gone := checkFiles(t, fstest.MapFS{}, map[string]string{"internal/app.f": "a file"})
	if len(gone) != 1 || !strings.Contains(gone[0], "no file any more") {
		t.Errorf("%q", gone)
	}
}
