package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

// maxReferenced is the largest file that a document refers to, in bytes.
const maxReferenced = 64 << 10

// exportCommand writes what is stored as a document.
type exportCommand struct {
	Label   string   `placeholder:"WORD" help:"The label of the document. Default: main."`
	Section []string `sep:"," placeholder:"NAME" help:"Only this list: scopes, roles, clients, routes or webhooks. May be repeated."`
	Output  string   `short:"o" placeholder:"FILE" help:"Write to this file, which must not exist, instead of stdout."`
	Schema  bool     `help:"Print the JSON Schema of documents instead, for editors."`
}

// Run prints the document.
func (f *exportCommand) Run(ctx context.Context, c *call) error {
	if f.Schema {
		text, err := plan.Schema(admin.ConfigSections(c.Rules))
		if err != nil {
			return err
		}
		return f.write(c, append(text, '\n'))
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		text, err := ops.ExportConfig(ctx, a, admin.ConfigExport{Label: f.Label, Sections: f.Section})
		switch {
		case err != nil:
			return err
		case c.json:
			return c.show(map[string]string{"document": string(text)}, nil)
		}
		return f.write(c, text)
	})
}

// write prints a text, or writes it into a new file.
func (f *exportCommand) write(c *call, text []byte) error {
	if f.Output == "" {
		_, err := c.stdout.Write(text)
		return err
	}
	out, err := os.OpenFile(f.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("the file %s exists already; choose another name", f.Output)
	}
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return errors.Join(err, out.Close())
}

// documentFlags name a document and how it is compared.
type documentFlags struct {
	File     string `arg:"" help:"The document, or - for stdin."`
	Prune    bool   `help:"Delete what carries the label of the document and is not in it any more."`
	TakeOver bool   `help:"Give what belongs to other documents to this one."`
}

// input reads the document with the values of its references.
func (f *documentFlags) input(c *call) (admin.ConfigInput, error) {
	in := admin.ConfigInput{Prune: f.Prune, TakeOver: f.TakeOver, Values: map[string]string{}}
	from, dir := c.stdin, "."
	if f.File != "-" {
		file, err := os.Open(f.File)
		if err != nil {
			return in, err
		}
		defer file.Close()
		from, dir = file, filepath.Dir(f.File)
	}
	var err error
	if in.Document, err = io.ReadAll(io.LimitReader(from, plan.MaxDocument+1)); err != nil {
		return in, err
	}
	all, err := plan.References(in.Document, admin.ConfigSections(c.Rules))
	if err != nil {
		return in, f.named(err)
	}
	for _, r := range all {
		if text, ok := referenced(r, dir); ok {
			in.Values[r.String()] = text
		}
	}
	return in, nil
}

// named returns an error with the name of the document that it is about.
func (f *documentFlags) named(err error) error {
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	return fmt.Errorf("%s: %w", f.File, err)
}

// referenced returns the value of a reference: of an environment variable that is not empty, or of
// a file without the line break at its end. Names of files begin where the document is.
func referenced(r plan.Reference, dir string) (string, bool) {
	if r.Kind == plan.FromEnv {
		text := os.Getenv(r.Name)
		return text, text != ""
	}
	name := r.Name
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	file, err := os.Open(name)
	if err != nil {
		return "", false
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxReferenced+1))
	if err != nil || len(text) > maxReferenced {
		return "", false
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	return value, value != ""
}

// planCommand shows what a document would change.
type planCommand struct {
	documentFlags
	DetailedExitcode bool `help:"Exit with status 2 if something would change, 0 if nothing would."`
}

// Run prints the plan.
func (f *planCommand) Run(ctx context.Context, c *call) error {
	in, err := f.input(c)
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		p, err := ops.PlanConfig(ctx, a, in)
		if err != nil {
			return f.named(err)
		}
		if err := c.showPlan(p, nil); err != nil {
			return err
		}
		if f.DetailedExitcode && !p.Empty() {
			return errChanges
		}
		return nil
	})
}

// errChanges is the end of a command that has found changes. It prints nothing.
var errChanges = errors.New("something would change")

// applyCommand makes the changes of a document.
type applyCommand struct {
	documentFlags
	AllowDelete bool   `help:"Delete however much the document no longer has."`
	Plan        string `placeholder:"ID" help:"Apply only if this plan still holds, as plan printed its id."`
	Yes         bool   `short:"y" help:"Do not ask for confirmation of deletions."`
}

// Run applies the document, and prints what it has changed.
func (f *applyCommand) Run(ctx context.Context, c *call) error {
	in, err := f.input(c)
	if err != nil {
		return err
	}
	in.AllowDelete, in.Plan = f.AllowDelete, f.Plan
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if in.Prune && !f.Yes {
			p, err := ops.PlanConfig(ctx, a, in)
			if err != nil {
				return f.named(err)
			}
			if n := p.Count(plan.Delete); n > 0 {
				c.planLines(c.stderr, p)
				if err := c.confirm(false, "what is not in the document", p.Label); err != nil {
					return err
				}
			}
			if in.Plan == "" {
				in.Plan = p.ID
			}
		}
		out, err := ops.ApplyConfig(ctx, a, in)
		if err != nil {
			return f.named(err)
		}
		return c.showPlan(out.Plan, out)
	})
}

// planView is a plan as the command line shows it.
type planView struct {
	*plan.Plan
	Applied bool                 `json:"applied"`
	Secrets []admin.IssuedSecret `json:"secrets,omitempty"`
}

// showPlan prints a plan, or what was applied.
func (c *call) showPlan(p *plan.Plan, applied *admin.AppliedConfig) error {
	if c.json {
		v := planView{Plan: p}
		if applied != nil {
			v.Applied, v.Secrets = true, applied.Secrets
		}
		return c.show(v, nil)
	}
	c.planLines(c.stdout, p)
	if applied == nil {
		_, err := fmt.Fprintf(c.stdout, "%s\nPlan %s\n", p.Summary(), p.ID)
		return err
	}
	for _, s := range applied.Secrets {
		fmt.Fprintf(c.stdout, "The secret of %s, shown this once: %s\n", printable(s.Key), s.Secret)
	}
	text := p.Summary()
	if !p.Empty() {
		text = fmt.Sprintf("Applied: %d created, %d updated, %d deleted, %d unchanged.",
			p.Count(plan.Create), p.Count(plan.Update), p.Count(plan.Delete), p.Same)
	}
	_, err := fmt.Fprintln(c.stdout, text)
	return err
}

// planLines prints the changes of a plan, in colors at a terminal.
func (c *call) planLines(w io.Writer, p *plan.Plan) {
	colors := map[plan.Tone]string{}
	if colored(w) {
		colors = map[plan.Tone]string{
			plan.ToneCreate: "32", plan.ToneUpdate: "33", plan.ToneDelete: "31", plan.ToneFaint: "2",
		}
	}
	for _, l := range p.Lines(admin.ConfigSections(c.Rules)) {
		indent := l.Text[:len(l.Text)-len(strings.TrimLeft(l.Text, " "))]
		text := indent + printable(strings.TrimLeft(l.Text, " "))
		if code := colors[l.Tone]; code != "" {
			text = "\x1b[" + code + "m" + text + "\x1b[0m"
		}
		fmt.Fprintln(w, text)
	}
}

// colored reports whether a stream is a terminal whose user wants colors (no-color.org).
func colored(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
