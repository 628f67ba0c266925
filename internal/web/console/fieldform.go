package console

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// A form of the fields of a thing, such as client.Fields, has an input for each, with the field's
// name. A list has one item a line, or items between spaces where the field takes them apart. The
// check boxes of a list are called by the field's name, a dash and the item.

// InputGroup is a part of a form.
type InputGroup struct {
	Name   string
	Inputs []Input
}

// fieldInput says how a form shows a field. What is empty derives from the field.
type fieldInput struct {
	name, label string
	hint        string   // a space for none
	choices     []string // values and their texts, for a list to choose from
}

// fieldInputs are the inputs of a group.
type fieldInputs struct {
	name   string
	inputs []fieldInput
}

// groupsOf returns the inputs of a form.
func groupsOf[T any](b Base, fields []field.Field[T], groups []fieldInputs) []InputGroup {
	var out []InputGroup
	for _, g := range groups {
		group := InputGroup{Name: g.name}
		for _, x := range g.inputs {
			if f, ok := field.Named(fields, x.name); ok {
				group.Inputs = append(group.Inputs, inputOf(b, f, x))
			}
		}
		if len(group.Inputs) > 0 {
			out = append(out, group)
		}
	}
	return out
}

// restOf returns the inputs of the fields that groups and names leave out, so that a new field is
// never missing in a form.
func restOf[T any](fields []field.Field[T], groups []fieldInputs, names ...string) fieldInputs {
	for _, g := range groups {
		for _, x := range g.inputs {
			names = append(names, x.name)
		}
	}
	out := fieldInputs{name: "Further settings"}
	for _, f := range fields {
		if !slices.Contains(names, f.Name) {
			out.inputs = append(out.inputs, fieldInput{name: f.Name})
		}
	}
	return out
}

func inputOf[T any](b Base, f field.Field[T], x fieldInput) Input {
	in := Input{
		ID:           "f-" + f.Name,
		Name:         f.Name,
		Label:        x.label,
		Value:        b.Value(f.Name),
		Hint:         x.hint,
		Error:        b.ErrorFor(f.Name),
		Type:         "text",
		Autocomplete: "off",
		Required:     f.Required && f.Text != nil,
		Plain:        true,
		Autofocus:    len(b.Errors) > 0 && b.Errors[0].Field == f.Name,
	}
	if in.Label == "" {
		in.Label = fieldLabel(f.Name)
	}
	if in.Hint == "" {
		in.Hint = strings.TrimSuffix(f.Help, " May be repeated.")
	}
	switch {
	case f.Switch != nil:
		in.Type, in.Checked = "checkbox", in.Value != ""
	case f.List != nil && f.Separators == "":
		in.Area, in.Hint = true, in.Hint+" One a line."
	case f.List != nil:
		in.Hint += " Separated by spaces."
	case f.TTL != nil:
		in.Hint += " Such as 90s, 15m, 12h or 30d; empty for the server's default."
	case f.JSON != nil:
		in.Area = true
	case f.Int != nil, f.Bytes != nil:
		in.Inputmode = "numeric"
	}
	in.Hint = strings.TrimSpace(in.Hint)
	for i := 0; i+1 < len(x.choices); i += 2 {
		in.Choices = append(in.Choices, Choice{
			Value:  x.choices[i],
			Text:   x.choices[i+1],
			Chosen: in.Value == x.choices[i],
		})
	}
	return in
}

// fieldLabel returns the name of a field in words: brand_color is "Brand color".
func fieldLabel(name string) string {
	first, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + strings.ReplaceAll(name[n:], "_", " ")
}

// opened reports whether one of the inputs has a value or an error, so that a part of the form that
// is closed at first must be open.
func opened(groups []InputGroup) bool {
	return slices.ContainsFunc(groups, func(g InputGroup) bool {
		return slices.ContainsFunc(g.Inputs, func(i Input) bool { return i.Value != "" || i.Error != "" })
	})
}

// fieldValues returns the values of a thing as the inputs of a form have them. The items of the
// lists that are named in boxes are check boxes.
func fieldValues[T any](fields []field.Field[T], t *T, boxes ...string) url.Values {
	form := url.Values{}
	for _, f := range fields {
		if f.IsZero(t) {
			continue
		}
		switch {
		case f.Switch != nil:
			form.Set(f.Name, "on")
		case f.List != nil && slices.Contains(boxes, f.Name):
			for _, item := range *f.List(t) {
				form.Set(f.Name+"-"+item, "on")
			}
		case f.List != nil && f.Separators == "":
			form.Set(f.Name, strings.Join(*f.List(t), "\n"))
		case f.TTL != nil:
			form.Set(f.Name, field.FormatDuration(*f.TTL(t)))
		default:
			form.Set(f.Name, f.String(t))
		}
	}
	return form
}

// fieldPatch returns the change that a form asks for: all of the fields, as absent ones are empty.
func fieldPatch[T any](fields []field.Field[T], q *request) (field.Patch[T], error) {
	var p field.Patch[T]
	var wrong []error
	for _, f := range fields {
		wrong = append(wrong, setField(&p, f, q))
	}
	return p, fault.Join(wrong...)
}

func setField[T any](p *field.Patch[T], f field.Field[T], q *request) error {
	value := strings.TrimSpace(strings.ReplaceAll(q.form.Get(f.Name), "\r\n", "\n"))
	switch {
	case f.Switch != nil:
		return p.Set(f, strconv.FormatBool(value != ""))
	case f.List != nil:
		items := q.picked(f.Name + "-")
		slices.Sort(items)
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" {
				items = append(items, line)
			}
		}
		return p.Set(f, items...)
	case value == "":
		p.Clear(f)
		return nil
	case f.JSON != nil:
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(value)); err != nil {
			return fault.InvalidField(f.Name, "This is not JSON: %v.", err)
		}
		return p.Set(f, b.String())
	}
	return p.Set(f, value)
}

// fieldMoves returns where what was entered differs from what is stored.
func fieldMoves[T any](fields []field.Field[T], entered, stored *T) []Move {
	var out []Move
	for _, f := range fields {
		if !f.Equal(entered, stored) {
			out = append(out, Move{Name: fieldLabel(f.Name), Entered: f.String(entered), Stored: f.String(stored)})
		}
	}
	return out
}

// fieldSame returns the flags and the members that make a thing out of an old one.
func fieldSame[T any](fields []field.Field[T], old, t *T) (args []string, body map[string]any) {
	body = map[string]any{}
	for _, f := range fields {
		if f.Equal(old, t) {
			continue
		}
		raw, err := f.MarshalValue(t)
		switch {
		case err != nil || raw != nil && !json.Valid(raw):
			continue
		case raw == nil:
			body[f.Name] = nil
		default:
			body[f.Name] = raw
		}
		args = append(args, fieldFlags(f, t)...)
	}
	return args, body
}

// fieldFlags returns the flags of the command line that set a field.
func fieldFlags[T any](f field.Field[T], t *T) []string {
	flag := "--" + f.Flag
	switch {
	case f.Flag == "":
		return nil
	case f.Switch != nil && *f.Switch(t):
		return []string{flag}
	case f.Switch != nil:
		return []string{"--no-" + f.Flag}
	case f.JSON != nil && f.Parse == nil:
		return []string{flag + "=" + f.Name + ".json"}
	case f.JSON != nil:
		return strings.Fields(flag + "=" + strings.ReplaceAll(f.Show(t), " ", " "+flag+"="))
	case f.TTL != nil:
		return []string{flag + "=" + field.FormatDuration(*f.TTL(t))}
	case f.List != nil && f.Joined:
		return []string{flag + "=" + strings.Join(*f.List(t), " ")}
	case f.List != nil:
		var out []string
		for _, item := range *f.List(t) {
			out = append(out, flag+"="+item)
		}
		return out
	}
	return []string{flag + "=" + f.String(t)}
}
