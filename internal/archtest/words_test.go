package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// privateWords are words that once meant something in this code only. The standard term stands
// beside each. They may not be part of an identifier.
var privateWords = map[string]string{
	"turn":       "rotate, batch",
	"turns":      "rotates, batches",
	"burn":       "consume",
	"burns":      "consumes",
	"spend":      "consume",
	"spends":     "consumes",
	"spent":      "consumed",
	"kept":       "cached, stored",
	"lately":     "cached",
	"tally":      "counter",
	"house":      "session-managed client",
	"patience":   "a context with a deadline",
	"journey":    "loginContext",
	"obey":       "follow",
	"wish":       "request",
	"pens":       "workers",
	"sheet":      "batch, table",
	"stamp":      "unixMillis",
	"spoken":     "userMessage",
	"complain":   "printError",
	"nowhere":    "notFound",
	"barred":     "locked",
	"forgive":    "reset",
	"prolong":    "renew",
	"prolongs":   "renews",
	"blind":      "stale",
	"told":       "reported",
	"tell":       "report",
	"lift":       "parse",
	"lifts":      "parses",
	"onward":     "next",
	"wayback":    "redirectBack",
	"unraisable": "a plain name",
	"asked":      "request",
	"asker":      "proxy",
	"refusal":    "denial",
	"refusals":   "denials",
	"verdict":    "decision",
}

// riddles are turns of phrase that a reader must read twice, with what to do instead.
var riddles = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\b(?:is|are|was) no (?:\w+ )?(?:error|token|client|user|secret|proof|` +
		`page|refusal|name|word|jwt|method|request|answer|session|setting)\b`), `write "is not a"`},
	{
		regexp.MustCompile(`(?i)(?:^|[.:;,] |\b(?:for|to|by|of|tells|answers|refuses) )who (?:has|is|was|does|` +
			`shows|asks|holds|comes|waits|calls|sent|wants|knows|may)\b`),
		"name the person or the program: the caller, a client that …",
	},
	{
		regexp.MustCompile(`(?i)\bwhat (?:stands|hangs|comes|goes on|was meant|is answered|forbids)\b`),
		"name the thing",
	},
	{regexp.MustCompile(`(?i)\b(?:of the house|in the back|makes trouble|is told of|for nothing|` +
		`no good|is nothing to|in another dress)\b`), "use the standard term"},
	{regexp.MustCompile(`(?i)\bnobody's\b`), "say who or what"},
}

// nounDoc matches the documentation of a function that says what it is instead of what it does.
var nounDoc = regexp.MustCompile(`^(?:is|are|was|gives|says|tells|puts)\b`)

// maxColumns bounds a line of documentation; a tab counts as four.
const maxColumns = 100

func TestWords(t *testing.T) {
	for _, f := range checkWords(t, os.DirFS("../..")) {
		t.Error(f)
	}
}

// checkWords parses all Go files of a module, tests too, and reports private words and riddles.
func checkWords(t *testing.T, root fs.FS) (found []string) {
	t.Helper()
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name)
		}
		if !strings.HasSuffix(name, ".go") || path.Dir(name) == "internal/archtest" {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, src, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(f) {
			return nil
		}
		w := wordChecker{set: set, file: f, test: strings.HasSuffix(name, "_test.go")}
		w.identifiers()
		w.comments()
		w.documentation()
		found = append(found, w.found...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

type wordChecker struct {
	set   *token.FileSet
	file  *ast.File
	test  bool
	found []string
}

func (w *wordChecker) report(at token.Pos, format string, args ...any) {
	p := w.set.Position(at)
	w.found = append(w.found, fmt.Sprintf("%s:%d: ", p.Filename, p.Line)+fmt.Sprintf(format, args...))
}

// identifiers reports declared names with private words in them.
func (w *wordChecker) identifiers() {
	for _, name := range declared(w.file) {
		for _, word := range camelWords(name.Name) {
			if instead, banned := privateWords[word]; banned {
				w.report(name.Pos(), "%s: %q is a private word; the standard term is: %s",
					name.Name, word, instead)
			}
		}
	}
}

// declared lists the names that a file declares: packages, types, fields, functions, parameters,
// constants and variables.
func declared(f *ast.File) (names []*ast.Ident) {
	names = append(names, f.Name)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			names = append(names, n.Name)
		case *ast.ValueSpec:
			names = append(names, n.Names...)
		case *ast.FuncDecl:
			names = append(names, n.Name)
		case *ast.Field:
			names = append(names, n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				names = append(names, idents(n.Lhs)...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				names = append(names, idents([]ast.Expr{n.Key, n.Value})...)
			}
		}
		return true
	})
	return names
}

func idents(exprs []ast.Expr) (names []*ast.Ident) {
	for _, e := range exprs {
		if id, ok := e.(*ast.Ident); ok {
			names = append(names, id)
		}
	}
	return names
}

// camelWords splits an identifier into its words, in lower case.
func camelWords(name string) (words []string) {
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		startsWord := unicode.IsUpper(r) &&
			(i == 0 || !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if r == '_' || unicode.IsDigit(r) || startsWord {
			flush()
		}
		if r != '_' && !unicode.IsDigit(r) {
			word = append(word, r)
		}
	}
	flush()
	return words
}

// comments reports riddles in comments.
func (w *wordChecker) comments() {
	for _, group := range w.file.Comments {
		text := strings.Join(strings.Fields(group.Text()), " ")
		for _, r := range riddles {
			if m := r.pattern.FindString(text); m != "" {
				w.report(group.Pos(), "%q: %s", strings.TrimSpace(m), r.instead)
			}
		}
	}
}

// documentation reports doc comments of functions that do not begin with a verb, and comment lines
// that are too long.
func (w *wordChecker) documentation() {
	for _, d := range w.file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Doc == nil || w.test {
			continue
		}
		rest, named := strings.CutPrefix(fn.Doc.Text(), fn.Name.Name+" ")
		if named && nounDoc.MatchString(rest) {
			w.report(fn.Doc.Pos(), "the documentation of %s begins with %q; say what it does: returns, reports, writes …",
				fn.Name.Name, strings.Fields(rest)[0])
		}
	}
	for _, group := range w.file.Comments {
		for _, c := range group.List {
			p := w.set.Position(c.Pos())
			indent := (p.Column - 1) * 4
			for line := range strings.SplitSeq(c.Text, "\n") {
				if startsLine(w.file, w.set, c) && indent+len([]rune(line)) > maxColumns {
					w.report(c.Pos(), "the comment is wider than %d columns", maxColumns)
					break
				}
			}
		}
	}
}

// startsLine reports whether a comment has a line of its own.
func startsLine(f *ast.File, set *token.FileSet, c *ast.Comment) bool {
	line := set.Position(c.Pos()).Line
	own := true
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil || !own {
			return false
		}
		if _, ok := n.(*ast.File); ok {
			return true
		}
		if _, ok := n.(*ast.CommentGroup); ok {
			return false
		}
		from, to := set.Position(n.Pos()).Line, set.Position(n.End()).Line
		if from > line || to < line {
			return false
		}
		if to == line && n.End() <= c.Pos() {
			own = false
		}
		return own
	})
	return own
}

func TestWordsAreCaught(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"private type":      {"type keptPair struct{}", `"kept" is a private word`},
		"private parameter": {"func f(asked string) {}", `"asked" is a private word`},
		"private variable":  {"func f() { tally := 1; _ = tally }", `"tally" is a private word`},
		"part of a name":    {"func nextTurnLately() {}", `"lately" is a private word`},
		"noun":              {"// f is the client's name.\nfunc f() {}", "begins with \"is\""},
		"headless relative": {"// f answers who has no token.\nfunc f() {}", "name the person"},
		"is no":             {"// A cookie like this is no token.\nvar a = 1", `write "is not a"`},
		"wide":              {"// f returns " + strings.Repeat("x", 100) + "\nfunc f() {}", "wider than 100"},
		"plain":             {"// f reports whether the token is active.\nfunc f(token string) bool { return token != \"\" }", ""},
		"inner word":        {"var returned, household, blindfold = 1, 2, 3", ""},
	} {
		root := fstest.MapFS{"a/a.go": {Data: []byte("package a\n\n" + c.src + "\n")}}
		found := checkWords(t, root)
		caught := slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) })
		if c.want == "" && len(found) > 0 || c.want != "" && !caught {
			t.Errorf("%s: found %q", name, found)
		}
	}
}
