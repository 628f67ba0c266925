package cli

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/config"
)

// settingFlags adds the settings to every command as flags. Only the help of serve lists them. A
// command's own flag takes precedence, such as --access-token-ttl of client create.
type settingFlags struct {
	args []string // the command line; nil for any
	all  []*kong.Flag
}

// attach adds the flags to the commands that the command line may name. To add them to all would
// take longer than most commands run.
func (s *settingFlags) attach(k *kong.Kong) error {
	table := config.Settings()
	for _, leaf := range k.Model.Leaves(false) {
		if s.possible(leaf) {
			s.addTo(leaf, table)
		}
	}
	return nil
}

// possible reports whether the arguments contain all words of a command.
func (s *settingFlags) possible(n *kong.Node) bool {
	for ; s.args != nil && n.Parent != nil; n = n.Parent {
		if !slices.Contains(s.args, n.Name) {
			return false
		}
	}
	return true
}

func (s *settingFlags) addTo(n *kong.Node, table []config.Setting) {
	own := map[string]bool{}
	for _, level := range n.AllFlags(false) {
		for _, f := range level {
			own[f.Name] = true
		}
	}
	for _, row := range table {
		if !own[row.Flag()] {
			f := settingFlag(row, n.Name != "serve")
			n.Flags = append(n.Flags, f)
			s.all = append(s.all, f)
		}
	}
}

func settingFlag(row config.Setting, hidden bool) *kong.Flag {
	f := &kong.Flag{
		Value: &kong.Value{
			Name:         row.Flag(),
			Help:         row.Doc,
			OrigHelp:     row.Doc,
			Tag:          &kong.Tag{},
			Mapper:       settingMapper{row.Bool()},
			Target:       reflect.New(reflect.TypeFor[string]()).Elem(),
			DefaultValue: reflect.ValueOf(""),
		},
		Group:       &kong.Group{Key: row.Group, Title: row.Group + " settings:"},
		Hidden:      hidden,
		PlaceHolder: placeholder(row),
	}
	f.Value.Flag = f
	return f
}

// placeholder returns the value that the usage text shows: the default if there is one.
func placeholder(row config.Setting) string {
	if row.Default != "" {
		return row.Default
	}
	return "…"
}

// given returns the settings given on the command line, by flag name.
func (s *settingFlags) given() map[string]string {
	flags := map[string]string{}
	for _, f := range s.all {
		if f.Set {
			flags[f.Name] = f.Target.String()
		}
	}
	return flags
}

// settingMapper stores the text; the table of settings parses it. A switch needs no value.
type settingMapper struct{ isSwitch bool }

// Decode reads one value.
func (m settingMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if m.isSwitch && ctx.Scan.Peek().Type != kong.FlagValueToken {
		target.SetString("true")
		return nil
	}
	return ctx.Scan.PopValueInto("string", target.Addr().Interface())
}

// IsBool reports whether the flag may stand without a value.
func (m settingMapper) IsBool() bool { return m.isSwitch }

// helpCommand prints help.
type helpCommand struct {
	Topic []string `arg:"" optional:"" help:"A command such as \"client create\", or the word settings."`
}

// Run prints the help of a command, or the settings.
func (h *helpCommand) Run(ctx context.Context, c *call) error {
	if len(h.Topic) == 1 && h.Topic[0] == "settings" {
		return explainSettings(c)
	}
	for _, word := range h.Topic {
		if strings.HasPrefix(word, "-") {
			return wrong("help takes the name of a command, or the word settings, and not %q", word)
		}
	}
	return run(ctx, c.env, append(h.Topic[:len(h.Topic):len(h.Topic)], "--help"))
}

// settingView is a setting as the command line shows it.
type settingView struct {
	Name    string `json:"name"`
	Flag    string `json:"flag"`
	Group   string `json:"group"`
	Default string `json:"default"`
	Accepts string `json:"accepts"`
	Doc     string `json:"description"`
}

func explainSettings(c *call) error {
	var rows []settingView
	for _, s := range config.Settings() {
		rows = append(rows, settingView{s.Name, "--" + s.Flag(), s.Group, s.Default, s.Accepts(), s.Doc})
	}
	if c.json {
		return showList(c, rows, len(rows), nil)
	}
	_, err := io.WriteString(c.stdout, settingsText(rows))
	return err
}

func settingsText(rows []settingView) string {
	var b strings.Builder
	b.WriteString(`Gatehouse reads each setting from these places; a later one overrides an earlier one: the default,
the YAML file given with --config (name in lower case), the environment (name in upper case) and
the command line. NAME_FILE in the environment names a file to read the value from.
`)
	group := ""
	for _, r := range rows {
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		fmt.Fprintf(&b, "\n  %s", r.Name)
		if r.Default != "" {
			fmt.Fprintf(&b, "=%s", r.Default)
		}
		fmt.Fprintf(&b, "   %s\n      %s\n      Takes %s.\n", r.Flag, r.Doc, r.Accepts)
	}
	return b.String()
}
