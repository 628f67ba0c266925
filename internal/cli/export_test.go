package cli

import (
	"context"
	"strings"

	"github.com/alecthomas/kong"
)

// LeafCommands returns the words of every command of the table.
func LeafCommands() ([]string, error) {
	var l line
	k, err := l.parser(context.Background(), testEnv(), nil)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, leaf := range k.Model.Leaves(false) {
		var words []string
		for n := leaf; n.Parent != nil; n = n.Parent {
			if n.Type == kong.CommandNode {
				words = append([]string{n.Name}, words...)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out, nil
}

// LocalReason returns why a command works on this machine only, or "".
func LocalReason(command string) string {
	p, _ := placeOf(command)
	return p.reason
}

// LocalCommands returns the commands that work on this machine only, by their first words.
func LocalCommands() []string {
	var out []string
	for first := range places() {
		out = append(out, first)
	}
	return out
}
