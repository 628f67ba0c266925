package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

// sections returns a section with a member of each kind.
func sections() []plan.Section {
	return []plan.Section{{Name: "things", Noun: "thing", Key: "name", Members: []plan.Member{
		{Name: "title", Kind: plan.KindText},
		{Name: "on", Kind: plan.KindSwitch},
		{Name: "hosts", Kind: plan.KindList},
		{Name: "scope", Kind: plan.KindList, Spaced: true},
		{Name: "count", Kind: plan.KindNumber},
		{Name: "ttl", Kind: plan.KindDuration},
		{Name: "limits", Kind: plan.KindObject},
		{Name: "password", Kind: plan.KindSecret},
	}}}
}

func known(r plan.Reference) (string, bool) {
	v, ok := map[string]string{"${env:A}": "value of a", "${file:/b}": `{"x": 1}`}[r.String()]
	return v, ok
}

const head = "version: 1\nlabel: x\n"

func TestMistakesInDocuments(t *testing.T) {
	deep := strings.Repeat("{a: ", 40) + "1" + strings.Repeat("}", 40)
	for text, want := range map[string]string{
		"":                            "empty",
		"# nothing\n":                 "empty",
		"null":                        "empty",
		"- a":                         "name: value",
		"label: x":                    "needs a line `version: 1`",
		"version: 2\nlabel: x":        "line 1: this release reads documents of version 1",
		"version: 1":                  "needs a label",
		"version: 1\nlabel: a b":      "line 2: the label",
		head + "thing: []":            "line 3: there is no thing; did you mean things?",
		head + "things:":              "line 3: things has no value; write [] for none",
		head + "things: {}":           "line 3: things must be a list",
		head + "things: [null]":       "line 3: a thing has no value",
		head + "things: [{title: a}]": "line 3: a thing needs name",
		head + "things: [{name: a},\n {name: a}]":                                 "line 4: the thing a is there twice; the first time in line 3",
		head + "things:\n- name: a\n  titel: b":                                   "line 5: there is no titel; did you mean title?",
		head + "things: [{name: a, title: }]":                                     "line 3: title has no value",
		head + "things: [{name: a, on: yes}]":                                     "on must be true or false",
		head + "things: [{name: a, count: 010}]":                                  "plain digits",
		head + "things: [{name: a, hosts: b}]":                                    "hosts must be a list",
		head + "things: [{name: a, limits: b}]":                                   "limits must be lines",
		head + "things: [{name: a, limits: " + deep + "}]":                        "nested too deeply",
		head + "things: [{name: a, password: b}]":                                 "password is a secret",
		head + "things: [{name: a, password: 'x${env:A}'}]":                       "one reference and nothing else",
		head + "things: [{name: a, title: '${env:NO}'}]":                          "line 3: the reference ${env:NO} has no value",
		head + "things: [{name: a, title: '${exec:id}'}]":                         "is not a reference",
		head + "things: [{name: a, title: '${env:A'}]":                            "does not end",
		head + "things: [{name: &b a, title: *b}]":                                "alias or an anchor",
		head + "things: [{name: a, <<: {title: b}}]":                              "no <<",
		head + "things: [{name: a, title: !!binary aGk=}]":                        "YAML tag",
		head + "---\n" + head:                                                     "second YAML document",
		head + "label: y":                                                         "line 3: label is there twice",
		head + "things: [":                                                        "not readable as YAML",
		strings.Repeat("#", plan.MaxDocument+1):                                   "more than",
		head + "things: [{name: a, hosts: [" + strings.Repeat("x,", 1001) + "]}]": "more than 1000 entries",
	} {
		_, err := plan.Read([]byte(text), sections(), known, false)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: got %v, want %q", text, err, want)
		}
	}
}

func TestReadDocument(t *testing.T) {
	d, err := plan.Read([]byte(head+`things:
- name: a
  title: "${env:A}, $${env:A}"
  scope: a b
  hosts: [on, 1.0]
  limits: ${file:/b}
  password: ${env:A}
`), sections(), known, false)
	if err != nil {
		t.Fatal(err)
	}
	i := d.List("things").Item("a")
	for name, want := range map[string]string{
		"title": "value of a, ${env:A}", "scope": "a b", "hosts": "on|1.0", "limits": `{"x": 1}`, "password": "value of a",
	} {
		if got := strings.Join(i.Value(name).Texts, "|"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !i.Value("title").Hidden || i.Value("scope").Hidden {
		t.Error("what comes from references is not marked")
	}
	all, err := plan.References([]byte(head+"things: [{name: a, title: '${env:NO}${env:NO}${file:x}'}]"), sections())
	if err != nil || len(all) != 2 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestDeletionsThatNeedConsent(t *testing.T) {
	for _, tt := range []struct {
		deletions, labeled int
		want               bool
	}{{0, 0, false}, {1, 1, false}, {2, 10, false}, {3, 10, true}, {5, 100, false}, {6, 100, true}} {
		p := &plan.Plan{Labeled: tt.labeled, Changes: make([]plan.Change, tt.deletions)}
		for i := range p.Changes {
			p.Changes[i].Action = plan.Delete
		}
		if p.TooManyDeletions() != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}

// FuzzRead reads any text without a panic, and reads what it has written as it was.
func FuzzRead(f *testing.F) {
	f.Add([]byte(head + "things: [{name: a, title: b, hosts: [c], limits: {d: [1, {e: f}]}}]"))
	f.Add([]byte(head + "things:\n- name: '${env:A}'\n  password: ${env:B}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := plan.Read(text, sections(), known, true)
		if err != nil {
			return
		}
		_ = d.Label
	})
}

// FuzzWrite writes any text into a document and reads it back.
func FuzzWrite(f *testing.F) {
	for _, s := range []string{
		"a", "yes", "1", "", "~", "# x", "a: b", "- a", "a\nb", "${env:A}", "$${x}", "$$${", "\u2028\x01", "'\"", "*a", "!!x", " a ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || len(s) > 1000 || !utf8.ValidString(s) {
			return
		}
		raw, err := json.Marshal([]string{s})
		if err != nil {
			t.Fatal(err)
		}
		w := &plan.Writer{Label: "x"}
		all := sections()
		e := plan.Entry{Key: s, Remark: s, Members: []plan.Pair{{Name: "hosts", Value: raw}}}
		if err := w.Add(&all[0], []plan.Entry{e}); err != nil {
			t.Fatal(err)
		}
		text, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		d, err := plan.Read(text, all, known, true)
		if err != nil {
			t.Fatalf("%q: %v\n%s", s, err, text)
		}
		i := d.Lists[0].Items[0]
		got := i.Value("hosts").Texts
		secret := bytes.Contains(text, []byte("not exported: it contains"))
		if i.Key != s || !secret && (len(got) != 1 || got[0] != s) {
			t.Errorf("%q became %q, %q:\n%s", s, i.Key, got, text)
		}
	})
}

// TestReferencesAreBounded reads documents whose references would make them large.
func TestReferencesAreBounded(t *testing.T) {
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, "${env:V%d}", i)
	}
	long := func(n int) plan.Resolver {
		return func(plan.Reference) (string, bool) { return strings.Repeat("x", n), true }
	}
	for _, c := range []struct {
		title   string
		resolve plan.Resolver
		want    string
	}{
		{many.String(), long(1), "at most 1000 different references"},
		{"${env:A}", long(64<<10 + 1), "more than 65536 bytes"},
		{strings.Repeat("${env:A}", 65), long(64 << 10), "bytes together"},
		{strings.Repeat("${env:A}", 64), long(64 << 10), ""},
	} {
		_, err := plan.Read([]byte(head+"things: [{name: a, title: '"+c.title+"'}]"), sections(), c.resolve, false)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%.20s: %v", c.title, err)
		case c.want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.20s: got %v, want %q", c.title, err, c.want)
		}
	}
}
