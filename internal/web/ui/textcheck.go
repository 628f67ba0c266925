package ui

import (
	"fmt"
	"html/template"
	"slices"
	"text/template/parse"

	"github.com/gatehouse-id/gatehouse/internal/text"
)

// checkTexts returns an error about a text that a template uses in another way than the catalogue
// defines it: an unknown entry, other placeholders, or markup where there may be none.
func checkTexts(t *template.Template, texts *text.Catalogues) error {
	english := texts.All()[0]
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		var fault error
		walk(part.Tree.Root, func(c *parse.CommandNode) {
			if err := checkText(c, english); err != nil && fault == nil {
				fault = fmt.Errorf("template %s: %w", part.Name(), err)
			}
		})
		if fault != nil {
			return fault
		}
	}
	return nil
}

// checkText checks a command of a template if it is a call of T, N or H.
func checkText(c *parse.CommandNode, english *text.Texts) error {
	if len(c.Args) < 2 {
		return nil
	}
	method := ""
	switch n := c.Args[0].(type) {
	case *parse.FieldNode:
		method = n.Ident[len(n.Ident)-1]
	case *parse.VariableNode:
		method = n.Ident[len(n.Ident)-1]
	}
	id, ok := c.Args[1].(*parse.StringNode)
	if !ok || !slices.Contains([]string{"T", "N", "H"}, method) {
		return nil
	}
	values := c.Args[2:]
	if method == "N" && len(values) > 0 {
		values = values[1:]
	}
	var names []string
	for i := 0; i < len(values); i += 2 {
		name, ok := values[i].(*parse.StringNode)
		if !ok {
			return fmt.Errorf("%s: the name of a placeholder is not a constant", id.Text)
		}
		names = append(names, name.Text)
	}
	return CheckUse(english, method, id.Text, names)
}

// CheckUse returns an error if an entry cannot be used by a method of Base (T, N or H) with values
// for these placeholders.
func CheckUse(english *text.Texts, method, id string, names []string) error {
	want, plural, markup, ok := english.Placeholders(id)
	switch {
	case !ok:
		return fmt.Errorf("there is no text %q", id)
	case plural != (method == "N"):
		return fmt.Errorf("text %q: N is for entries with plural forms, and only for them", id)
	case markup && method != "H":
		return fmt.Errorf("text %q has markup, which needs H", id)
	}
	if plural {
		want = slices.DeleteFunc(want, func(n string) bool { return n == "PluralCount" })
	}
	names = slices.Sorted(slices.Values(names))
	if !slices.Equal(names, want) {
		return fmt.Errorf("text %q has the placeholders %v, and is given %v", id, want, names)
	}
	return nil
}

// walk calls visit with every command of a template.
func walk(n parse.Node, visit func(*parse.CommandNode)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			walk(child, visit)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.TemplateNode:
		walk(n.Pipe, visit)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, visit)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			visit(c)
			for _, arg := range c.Args {
				walk(arg, visit)
			}
		}
	}
}

func walkBranch(n *parse.BranchNode, visit func(*parse.CommandNode)) {
	walk(n.Pipe, visit)
	walk(n.List, visit)
	walk(n.ElseList, visit)
}
