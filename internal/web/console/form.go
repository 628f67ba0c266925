package console

import (
	"fmt"
	"strings"
)

// Input is one labeled input of a form, with its hint and its error.
type Input struct {
	ID, Name, Label, Value string
	Hint, Error            string
	Type, Autocomplete     string
	Inputmode, Placeholder string
	Required, Plain, Area  bool
	Editor                 bool // a tall area for text with meaning in each character
	Autofocus, Checked     bool
	Choices                []Choice // of a list; none: a text
}

// Choice is an entry of a list to choose from.
type Choice struct {
	Value, Text string
	Chosen      bool
}

// DescribedBy returns the ids of the elements that describe the input, for assistive technology.
func (f Input) DescribedBy() string {
	var ids []string
	if f.Error != "" {
		ids = append(ids, f.ID+"-error")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID+"-hint")
	}
	return strings.Join(ids, " ")
}

// newInput makes an input from options written in a template: "type=password", "required",
// "hint=At least …". Its value is that of the form. An unknown option is an error, found at
// start-up.
func newInput(b Base, name, label string, options ...string) (Input, error) {
	f := Input{
		ID:    "f-" + name,
		Name:  name,
		Label: label,
		Value: b.Value(name),
		Error: b.ErrorFor(name),
		Type:  "text",
	}
	if len(b.Errors) > 0 {
		f.Autofocus = b.Errors[0].Field == name // start at the first input to correct
	}
	for _, o := range options {
		option, arg, _ := strings.Cut(o, "=")
		switch option {
		case "type":
			f.Type = arg
		case "hint":
			f.Hint = arg
		case "autocomplete":
			f.Autocomplete = arg
		case "inputmode":
			f.Inputmode = arg
		case "placeholder":
			f.Placeholder = arg
		case "required":
			f.Required = true
		case "plain": // no spell check, no capital letters
			f.Plain = true
		case "area":
			f.Area = true
		case "editor":
			f.Editor = true
		default:
			return f, fmt.Errorf("input %s: no option %q", name, option)
		}
	}
	if f.Type == "password" {
		f.Value = ""
	}
	return f, nil
}

// newCheck makes a check box, which is checked if the form has its name.
func newCheck(b Base, name, label string, options ...string) (Input, error) {
	f, err := newInput(b, name, label, options...)
	f.Type, f.Checked = "checkbox", f.Value != ""
	return f, err
}

// newChoice makes a list to choose from: pairs of a value and its text.
func newChoice(b Base, name, label string, choices ...string) (Input, error) {
	f, err := newInput(b, name, label)
	for i := 0; i+1 < len(choices); i += 2 {
		f.Choices = append(f.Choices, Choice{
			Value:  choices[i],
			Text:   choices[i+1],
			Chosen: f.Value == choices[i],
		})
	}
	return f, err
}

// picked returns the ends of the names of the form's check boxes that begin with a prefix.
func (q *request) picked(prefix string) []string {
	var out []string
	for name := range q.form {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" {
			out = append(out, rest)
		}
	}
	return out
}
