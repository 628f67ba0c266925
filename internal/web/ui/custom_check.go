package ui

import (
	"fmt"
	"html/template"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"

	"golang.org/x/net/html"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// sourceTag is a start tag in the source of a template.
type sourceTag struct {
	name string
	attr map[string]string
	line int
	end  int // the offset of what follows it
}

// action matches an action of a template, which may stand anywhere, also in a tag.
var action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// scanTags returns the start tags of a template's source. It rejects what the content security
// policy of the pages would stop anyway, so that the operator learns of it at the start.
func scanTags(file, source string) (tags []sourceTag, err error) {
	plain := action.ReplaceAllStringFunc(source, blank)
	z := html.NewTokenizer(strings.NewReader(plain))
	offset := 0
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return tags, nil
		}
		begin := offset
		offset += len(z.Raw())
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := z.Token()
		tag := sourceTag{
			name: token.Data,
			attr: map[string]string{},
			line: 1 + strings.Count(plain[:begin], "\n"),
			end:  offset,
		}
		for _, a := range token.Attr {
			tag.attr[a.Key] = a.Val
		}
		if words := tag.forbidden(); words != "" {
			return nil, fault.New(fault.Invalid, "%s:%d: %s", file, tag.line, words)
		}
		tags = append(tags, tag)
	}
}

// forbidden returns why a tag may not stand in a template, or "".
func (t sourceTag) forbidden() string {
	switch t.name {
	case "script":
		return "a script; pages run only the scripts of Gatehouse, which it adds itself"
	case "style":
		return "a style sheet in the page; write it to public/theme.css, which every page loads"
	case "base", "iframe", "object", "embed", "frame", "portal":
		return "the content security policy does not allow <" + t.name + ">"
	}
	for name, value := range t.attr {
		value = strings.ToLower(strings.TrimSpace(value))
		switch {
		case name == "style":
			return `a style="…" attribute; write it to public/theme.css, which every page loads`
		case strings.HasPrefix(name, "on"):
			return "a script in " + name + `="…"; pages run only the scripts of Gatehouse`
		case name == "http-equiv":
			return "the server sends its own headers; remove http-equiv"
		case strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:"):
			return "an address in " + name + " that holds its own content"
		case t.name == "form" && name == "action" && !ownAction(value),
			(t.name == "button" || t.name == "input") && name == "formaction" && !ownAction(value):
			return "a form that is sent to another site: " + value
		case t.name == "link" && name == "href" && !ownAction(value):
			return "style sheets, fonts and icons come from this server only; put the file below public"
		}
	}
	return ""
}

// ownAction reports whether an address is a path of this server, or written by an action.
func ownAction(address string) bool {
	return address == "" || address[0] == 'x' && strings.Trim(address, "x") == "" ||
		address[0] == '/' && !strings.HasPrefix(address, "//") && !strings.Contains(address, "\\")
}

// blank returns as many letters as a text has bytes, and its line breaks, so that offsets and lines
// stay.
func blank(s string) string {
	out := []byte(s)
	for i, c := range out {
		if c != '\n' {
			out[i] = 'x'
		}
	}
	return string(out)
}

// checkVariables rejects variables of the page that there are not.
func checkVariables(t *template.Template, names []string) error {
	c := variableCheck{tree: t.Tree, names: names}
	c.node(t.Tree.Root, true)
	return c.err
}

// variableCheck walks the tree of a template.
type variableCheck struct {
	tree  *parse.Tree
	names []string
	err   error // of the first unknown variable
}

// node checks a part of the template. Root reports whether the dot there is that of the page.
func (c *variableCheck) node(n parse.Node, root bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, child := range n.Nodes {
				c.node(child, root)
			}
		}
	case *parse.ActionNode:
		c.node(n.Pipe, root)
	case *parse.TemplateNode:
		c.node(n.Pipe, root)
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				for _, arg := range command.Args {
					c.node(arg, root)
				}
			}
		}
	case *parse.IfNode:
		c.branch(&n.BranchNode, root, root)
	case *parse.WithNode:
		c.branch(&n.BranchNode, root, false)
	case *parse.RangeNode:
		c.branch(&n.BranchNode, root, false)
	case *parse.ChainNode:
		c.node(n.Node, root)
	case *parse.FieldNode:
		if root {
			c.name(n, n.Ident[0])
		}
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			c.name(n, n.Ident[1])
		}
	}
}

func (c *variableCheck) branch(n *parse.BranchNode, root, inside bool) {
	c.node(n.Pipe, root)
	c.node(n.List, inside)
	c.node(n.ElseList, root)
}

func (c *variableCheck) name(n parse.Node, name string) {
	if c.err != nil || slices.Contains(c.names, name) || slices.Contains([]string{"T", "N", "H"}, name) {
		return
	}
	place, _ := c.tree.ErrorContext(n)
	words := fmt.Sprintf("%s: there is no variable %q", place, name)
	if near := spell.Nearest(name, c.names); near != "" {
		words += "; did you mean " + near + "?"
	}
	c.err = fault.New(fault.Invalid, "%s", words)
}

// pageForms is what people and scripts rely on in a page.
type pageForms struct {
	lang, dir string
	mains     int
	submit    bool            // there is a main button or link
	main      string          // the action of the form that has it
	controls  map[string]bool // "action name=value" or "action name"
	leaves    string          // the action of a form that leads to another site, or ""
}

// readForms reads what a page promises.
func readForms(page io.Reader) (pageForms, error) {
	root, err := html.Parse(page)
	f := pageForms{controls: map[string]bool{}}
	if err == nil {
		f.read(root, "")
	}
	return f, err
}

func (f *pageForms) read(n *html.Node, form string) {
	attr := map[string]string{}
	for _, a := range n.Attr {
		attr[a.Key] = a.Val
	}
	if attr["id"] == "submit" {
		f.submit, f.main = true, form
	}
	if n.Type == html.ElementNode {
		switch n.Data {
		case "html":
			f.lang, f.dir = attr["lang"], attr["dir"]
		case "main":
			f.mains++
		case "form":
			form = attr["action"]
			if !ownAction(form) {
				f.leaves = form
			}
		case "input", "textarea", "select":
			f.addInput(form, attr)
		case "button":
			if attr["name"] != "" {
				f.controls[form+" "+attr["name"]+"="+attr["value"]] = true
			}
		}
	}
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		f.read(child, form)
	}
}

func (f *pageForms) addInput(form string, attr map[string]string) {
	_, required := attr["required"]
	_, unseen := attr["hidden"]
	if attr["type"] == "hidden" || unseen {
		f.controls[form+" "+attr["name"]+"="+attr["value"]] = true
	}
	f.controls[form+" "+attr["name"]] = required || f.controls[form+" "+attr["name"]]
}

// comparePages returns an error about what our page has and the operator's lacks: the main button,
// and the fields, buttons and hidden fields of its form.
func comparePages(file string, ours, theirs io.Reader, layout bool) error {
	want, err := readForms(ours)
	if err != nil {
		return err
	}
	got, err := readForms(theirs)
	if err != nil {
		return err
	}
	if got.leaves != "" && want.leaves == "" {
		return fault.New(fault.Invalid, "%s: a form that is sent to another site: %s", file, got.leaves)
	}
	if layout && (got.lang != want.lang || got.dir != want.dir || got.mains != 1) {
		return fault.New(fault.Invalid, `%s: write <html lang="{{.lang}}" dir="{{.dir}}">, and one <main> around `+
			`{{template "content" .page}}`, layoutFile)
	}
	if want.submit && !got.submit {
		return fault.New(fault.Invalid, `%s: the main button or link lacks id="submit"`, file)
	}
	for _, control := range slices.Sorted(maps.Keys(want.controls)) {
		if _, there := got.controls[control]; there || !want.controls[control] {
			continue
		}
		form, name, _ := strings.Cut(control, " ")
		if form != want.main { // the choice of a language, another way to sign in
			continue
		}
		if name, value, fixed := strings.Cut(name, "="); fixed {
			return fault.New(fault.Invalid, `%s: the form with action=%q lacks name=%q with value=%q`, file, form, name, value)
		}
		return fault.New(fault.Invalid, `%s: the form with action=%q lacks the field name=%q`, file, form, name)
	}
	return nil
}
