package console

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/field"
)

// FieldFormView shows a thing that a list of fields describes, and creates or changes it. The names
// of the inputs are those of the fields.
type FieldFormView struct {
	Base
	Groups   []InputGroup
	Advanced []InputGroup
	Open     bool   // the advanced groups are shown at once
	Facts    []Fact // what cannot be changed
	Locked   bool   // there is no form: the administrator may only look, or nobody can change it
	Action   string
	Button   string
	Back     Link
	Links    []Link // further pages of the thing
	Same     Same
}

// Page names the template.
func (*FieldFormView) Page() string { return "fieldform" }

// writeFieldForm shows the form of a thing with the values of q.form.
func (s *Server) writeFieldForm(w http.ResponseWriter, q *request, v *FieldFormView) error {
	v.Form, v.Version = q.form, q.form.Get("version")
	v.Open = opened(v.Advanced)
	return s.show(w, v.status(), v)
}

// fieldFacts returns the values of a thing that are set, with the labels of groups.
func fieldFacts[T any](fields []field.Field[T], groups []fieldInputs, t *T) []Fact {
	labels := map[string]string{}
	for _, g := range groups {
		for _, x := range g.inputs {
			labels[x.name] = x.label
		}
	}
	var out []Fact
	for _, f := range fields {
		label := labels[f.Name]
		if label == "" {
			label = fieldLabel(f.Name)
		}
		switch {
		case f.IsZero(t):
		case f.Show != nil:
			if shown := f.Show(t); shown != "" {
				out = append(out, Fact{Name: label, Cell: textCell(shown)})
			}
		case f.Switch != nil:
			out = append(out, Fact{Name: label, Cell: badgeCell("plain", "Yes")})
		case f.List != nil && f.Separators == "":
			for _, item := range *f.List(t) {
				out = append(out, Fact{Name: label, Cell: codeCell(item)})
				label = ""
			}
		default:
			out = append(out, Fact{Name: label, Cell: textCell(f.String(t))})
		}
	}
	return out
}
