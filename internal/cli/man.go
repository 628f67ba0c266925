package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

// manCommand writes the manual pages.
type manCommand struct {
	Dir string `arg:"" help:"The directory to write them to, such as /usr/local/share/man/man1. It is created."`
}

// Run writes one page for the program, one for the settings and one for every command.
func (f *manCommand) Run(ctx context.Context, c *call) error {
	pages, err := manPages(ctx, c.env)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for name, page := range pages {
		errs = append(errs, os.WriteFile(filepath.Join(f.Dir, name), page, 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.done(object{{"directory", f.Dir}, {"pages", len(pages)}}, "%d pages are in %s.", len(pages), f.Dir)
}

// manPages returns the pages by the names of their files.
func manPages(ctx context.Context, e *env) (map[string][]byte, error) {
	var l line
	quiet := &env{Program: e.Program, stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}
	k, err := l.parser(ctx, quiet, []string{})
	if err != nil {
		return nil, err
	}
	pages := map[string][]byte{}
	addManPages(pages, k.Model.Node, e.Version)
	var rows bytes.Buffer
	if err := explainSettings(&call{env: &env{Program: e.Program, stdout: &rows}}); err != nil {
		return nil, err
	}
	p := newManPage("gatehouse-settings", "settings of the server", e.Version)
	p.section("DESCRIPTION")
	p.verbatim(rows.String())
	pages["gatehouse-settings.1"] = p.bytes()
	return pages, nil
}

func addManPages(pages map[string][]byte, n *kong.Node, version string) {
	name := strings.ReplaceAll(pathOf(n), " ", "-")
	pages[name+".1"] = manPageOf(n, version)
	for _, child := range n.Children {
		if !child.Hidden {
			addManPages(pages, child, version)
		}
	}
}

// manPage is a page in the language of man(7).
type manPage struct{ b bytes.Buffer }

func newManPage(name, about, version string) *manPage {
	p := &manPage{}
	fmt.Fprintf(&p.b, ".TH %s 1 \"\" \"%s %s\" \"\"\n", strings.ToUpper(roff(name)), program, roff(version))
	p.section("NAME")
	p.text(name + " - " + about)
	return p
}

func (p *manPage) bytes() []byte { return p.b.Bytes() }

func (p *manPage) section(title string) { fmt.Fprintf(&p.b, ".SH %s\n", title) }

func (p *manPage) text(s string) { fmt.Fprintln(&p.b, roff(s)) }

// item writes a term and what it means.
func (p *manPage) item(term, about string) {
	fmt.Fprintf(&p.b, ".TP\n\\fB%s\\fR\n%s\n", roff(term), roff(about))
}

// verbatim writes lines as they are.
func (p *manPage) verbatim(s string) {
	p.b.WriteString(".nf\n")
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		p.text(line)
	}
	p.b.WriteString(".fi\n")
}

// roff escapes a line of text: a backslash, a hyphen, which would become a typographical one, and
// a control character at the beginning.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func manPageOf(n *kong.Node, version string) []byte {
	about := strings.TrimSuffix(n.Help, ".")
	if n.Parent == nil {
		about = "OAuth 2 and OpenID Connect server with an API gateway"
	}
	p := newManPage(strings.ReplaceAll(pathOf(n), " ", "-"), about, version)
	p.section("SYNOPSIS")
	p.text(program + " " + strings.TrimSpace(n.Summary()))
	if n.Parent == nil {
		p.section("DESCRIPTION")
		for paragraph := range strings.SplitSeq(n.Help, "\n\n") {
			p.text(paragraph)
			p.b.WriteString(".PP\n")
		}
	}
	if len(n.Positional) > 0 {
		p.section("ARGUMENTS")
		for _, v := range n.Positional {
			p.item(v.Summary(), v.Help)
		}
	}
	p.section("OPTIONS")
	for _, level := range n.AllFlags(true) {
		for _, f := range level {
			p.item(f.String(), f.Help)
		}
	}
	p.commands(n)
	if examples := examplesOf(strings.TrimPrefix(pathOf(n), program+" ")); len(examples) > 0 {
		p.section("EXAMPLES")
		for _, x := range examples {
			p.text(x.what + ":")
			p.b.WriteString(".PP\n.RS 4\n")
			p.verbatim(program + " " + x.line)
			p.b.WriteString(".RE\n.PP\n")
		}
	}
	p.section("EXIT STATUS")
	p.text("0 for success, 1 for failure, 2 for wrong usage.")
	p.section("SEE ALSO")
	see := []string{"gatehouse-settings(1)"}
	for above := n.Parent; above != nil; above = above.Parent {
		see = append(see, strings.ReplaceAll(pathOf(above), " ", "-")+"(1)")
	}
	p.text(strings.Join(see, ", "))
	return p.bytes()
}

// commands lists the commands below a command, each of which has a page.
func (p *manPage) commands(n *kong.Node) {
	if len(n.Children) == 0 {
		return
	}
	p.section("COMMANDS")
	for _, child := range n.Children {
		if !child.Hidden {
			p.item(strings.ReplaceAll(pathOf(child), " ", "-")+"(1)", child.Help)
		}
	}
}
