package cli

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// negated marks a switch that --no-NAME turns off, as the tag `negatable` does.
const negated = "_"

// fieldFlags gives a command one flag for every field of a T that has a flag.
type fieldFlags[T any] struct {
	fields   []field.Field[T]
	required []string // names of the fields that must be given
	without  []string // names of the fields that this command does not set
	flags    map[string]*kong.Flag
}

// flagList is a command whose flags are made at run time.
type flagList interface{ list() []*kong.Flag }

// attachFields adds the flags of fields to the commands that have them.
func attachFields(k *kong.Kong) error {
	for _, leaf := range k.Model.Leaves(false) {
		if !leaf.Target.CanAddr() {
			continue
		}
		if c, ok := leaf.Target.Addr().Interface().(flagList); ok {
			leaf.Flags = slices.Concat(c.list(), leaf.Flags)
		}
	}
	return nil
}

func (f *fieldFlags[T]) list() []*kong.Flag {
	f.flags = map[string]*kong.Flag{}
	var out []*kong.Flag
	for _, fd := range f.fields {
		if fd.Flag == "" || slices.Contains(f.without, fd.Name) {
			continue
		}
		flag := fieldFlag(fd, slices.Contains(f.required, fd.Name))
		f.flags[fd.Name] = flag
		out = append(out, flag)
	}
	return out
}

func fieldFlag[T any](fd field.Field[T], required bool) *kong.Flag {
	tag := &kong.Tag{Sep: -1}
	if fd.Switch != nil {
		tag.Negatable = negated
	}
	f := &kong.Flag{
		Value: &kong.Value{
			Name:         fd.Flag,
			Help:         fd.Help,
			OrigHelp:     fd.Help,
			Tag:          tag,
			Mapper:       valuesMapper{isSwitch: fd.Switch != nil},
			Target:       reflect.New(reflect.TypeFor[[]string]()).Elem(),
			DefaultValue: reflect.ValueOf([]string(nil)),
			Required:     required,
		},
		PlaceHolder: fd.Placeholder,
	}
	f.Value.Flag = f
	return f
}

// valuesMapper collects the values of a flag as text; the field parses them.
type valuesMapper struct{ isSwitch bool }

// Decode adds one value.
func (m valuesMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	value := "true"
	if !m.isSwitch || ctx.Scan.Peek().Type == kong.FlagValueToken {
		token, err := ctx.Scan.PopValue("string")
		if err != nil {
			return err
		}
		value = fmt.Sprint(token.Value)
	}
	target.Set(reflect.Append(target, reflect.ValueOf(value)))
	return nil
}

// IsBool reports whether the flag may stand without a value.
func (m valuesMapper) IsBool() bool { return m.isSwitch }

// patch returns the fields that the command line sets.
func (f *fieldFlags[T]) patch() (field.Patch[T], error) {
	var p field.Patch[T]
	for _, fd := range f.fields {
		flag := f.flags[fd.Name]
		if flag == nil || !flag.Set {
			continue
		}
		values, _ := flag.Target.Interface().([]string)
		if fd.JSON != nil && fd.Parse == nil {
			doc, err := readDocument(values[len(values)-1])
			if err != nil {
				return p, wrong("--%s: %w", fd.Flag, err)
			}
			values = []string{doc}
		}
		if err := p.Set(fd, values...); err != nil {
			return p, f.explain(err)
		}
	}
	return p, nil
}

// unset adds the fields to a patch that --unset names by their flags.
func (f *fieldFlags[T]) unset(p *field.Patch[T], flags []string) error {
	var names []string
	clearable := map[string]field.Field[T]{}
	for _, fd := range f.fields {
		if fd.Flag != "" && fd.Switch == nil && !fd.Required {
			names = append(names, fd.Flag)
			clearable[fd.Flag] = fd
		}
	}
	slices.Sort(names)
	for _, flag := range flags {
		fd, ok := clearable[flag]
		if !ok {
			return checkWord("flag to unset", flag, names)
		}
		if !p.Has(fd.Name) { // a flag that sets the field wins
			p.Clear(fd)
		}
	}
	return nil
}

// explain returns an error about a field as wrong usage of the flag that sets it. Other errors
// stay as they are.
func (f *fieldFlags[T]) explain(err error) error {
	var found *fault.Error
	if !errors.As(err, &found) || found.Kind != fault.Invalid {
		return err
	}
	if fd, ok := field.Named(f.fields, found.Field); ok && fd.Flag != "" {
		return usageError{fmt.Errorf("--%s: %w", fd.Flag, err)}
	}
	return usageError{err}
}

// readDocument reads a file that a flag names.
func readDocument(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > jose.MaxKeySet {
		return "", fmt.Errorf("%s is larger than %d bytes", path, jose.MaxKeySet)
	}
	raw, err := os.ReadFile(path)
	return string(raw), err
}
