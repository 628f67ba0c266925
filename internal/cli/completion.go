package cli

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completeWord is the first word of the command line by which the functions of shells ask what may
// come next. It is not a command of the table.
const completeWord = "__complete"

//go:embed completion
var completionFiles embed.FS

// completionCommands print a function of a shell that completes command lines.
type completionCommands struct {
	Bash completionBash `cmd:"" help:"Print the function for bash."`
	Zsh  completionZsh  `cmd:"" help:"Print the function for zsh."`
	Fish completionFish `cmd:"" help:"Print the function for fish."`
}

type (
	completionBash struct{}
	completionZsh  struct{}
	completionFish struct{}
)

// Run prints the function.
func (completionBash) Run(c *call) error { return printCompletion(c, "bash") }

// Run prints the function.
func (completionZsh) Run(c *call) error { return printCompletion(c, "zsh") }

// Run prints the function.
func (completionFish) Run(c *call) error { return printCompletion(c, "fish") }

func printCompletion(c *call, shell string) error {
	script, err := completionFiles.ReadFile("completion/gatehouse." + shell)
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(script)
	return err
}

// candidate is a word that may come next, and what it means.
type candidate struct{ word, help string }

// complete prints what may come next after words, of which the last has been begun: one candidate
// a line, with its meaning after a tab. It reads no settings, no database and no server.
func complete(ctx context.Context, e *env, words []string) error {
	var l line
	if len(words) == 0 {
		words = []string{""}
	}
	k, err := l.parser(ctx, e, words)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, c := range candidates(k.Model.Node, words) {
		help, _, _ := strings.Cut(printable(c.help), ". ")
		fmt.Fprintf(&b, "%s\t%s\n", c.word, strings.TrimSuffix(help, "."))
	}
	_, err = io.WriteString(e.stdout, b.String())
	return err
}

// candidates returns what may come next, sorted. Shells split --flag=value into three words.
func candidates(n *kong.Node, words []string) []candidate {
	typed := words[len(words)-1]
	var waiting *kong.Flag // its value comes next
	positions := 0
	for _, w := range words[:len(words)-1] {
		switch {
		case waiting != nil && w == "=":
		case waiting != nil:
			waiting = nil
		case w == "--":
			return nil
		case strings.HasPrefix(w, "-"):
			if f := flagOf(n, w); f != nil && !f.IsBool() {
				waiting = f
			}
		default:
			child := childOf(n, w)
			switch {
			case child != nil:
				n = child
			case len(n.Children) > 0:
				return nil // there is no such command
			default:
				positions++
			}
		}
	}
	var out []candidate
	name, value, assigned := strings.Cut(typed, "=")
	switch {
	case waiting != nil:
		out = valuesOf(waiting.Value, "")
		typed = strings.TrimPrefix(typed, "=")
	case strings.HasPrefix(typed, "-") && assigned:
		if f := flagOf(n, name); f != nil && value == strings.TrimSpace(value) {
			out = valuesOf(f.Value, name+"=")
		}
	case strings.HasPrefix(typed, "-"):
		out = flagsOf(n)
	default:
		out = wordsOf(n, positions)
	}
	out = slices.DeleteFunc(out, func(c candidate) bool { return !strings.HasPrefix(c.word, typed) })
	slices.SortFunc(out, func(a, b candidate) int { return cmp.Compare(a.word, b.word) })
	return out
}

func childOf(n *kong.Node, name string) *kong.Node {
	i := slices.IndexFunc(n.Children, func(c *kong.Node) bool { return c.Name == name || slices.Contains(c.Aliases, name) })
	if i < 0 {
		return nil
	}
	return n.Children[i]
}

// flagOf returns the flag that takes its value from the next word, or nil.
func flagOf(n *kong.Node, word string) *kong.Flag {
	for _, level := range allFlags(n, false) {
		for _, f := range level {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

// allFlags returns the flags that a command takes, with those of the command that runs where only
// the one above it is named.
func allFlags(n *kong.Node, hide bool) [][]*kong.Flag {
	out := n.AllFlags(hide)
	if n.DefaultCmd != nil {
		out = append(out, n.DefaultCmd.Flags)
	}
	return out
}

func flagsOf(n *kong.Node) []candidate {
	var out []candidate
	for _, level := range allFlags(n, true) {
		for _, f := range level {
			out = append(out, candidate{"--" + f.Name, f.Help})
		}
	}
	return out
}

// wordsOf returns the commands below a command, or the values of its next argument.
func wordsOf(n *kong.Node, positions int) []candidate {
	var out []candidate
	for _, child := range n.Children {
		if !child.Hidden {
			out = append(out, candidate{child.Name, child.Help})
		}
	}
	if positions < len(n.Positional) {
		out = append(out, valuesOf(n.Positional[positions], "")...)
	}
	return out
}

func valuesOf(v *kong.Value, prefix string) []candidate {
	var out []candidate
	if v.Enum != "" {
		for _, word := range v.EnumSlice() {
			out = append(out, candidate{prefix + word, ""})
		}
	}
	return out
}
