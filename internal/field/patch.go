package field

import "slices"

// Patch is a change of some fields of a T, by name, whichever way it came in.
type Patch[T any] struct {
	Values T        // holds the new values
	Names  []string // the fields that change; with a zero value in Values, the field is cleared

	IfVersion int64 // the version of the thing that the change is for; 0: any
}

// Has reports whether the patch changes the field with that name.
func (p *Patch[T]) Has(name string) bool { return slices.Contains(p.Names, name) }

// Set parses values and adds the field to the patch.
func (p *Patch[T]) Set(f Field[T], values ...string) error {
	p.add(f.Name)
	return f.Set(&p.Values, values...)
}

// Clear adds the field to the patch with its zero value.
func (p *Patch[T]) Clear(f Field[T]) {
	p.add(f.Name)
	f.Clear(&p.Values)
}

func (p *Patch[T]) add(name string) {
	if !p.Has(name) {
		p.Names = append(p.Names, name)
	}
}

// Apply stores the changed fields in t.
func (p *Patch[T]) Apply(fields []Field[T], t *T) {
	for _, f := range fields {
		if p.Has(f.Name) {
			f.Copy(t, &p.Values)
		}
	}
}
