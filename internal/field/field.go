// Package field describes the fields of a thing that people configure, such as a client or a
// route, once: what each is called on the wire and on the command line, what it means, and where
// a value holds it. Flags, views, differences and patches derive from such a list.
package field

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Field is one field of a T. Exactly one of the accessors is set; it returns the place of the
// value in a T. The zero value of every kind means that the field is not set.
type Field[T any] struct {
	Name        string // the JSON member, also in audit events and errors
	Flag        string // the flag of the command line without dashes, or "" if none sets it
	Label       string // the row in a table for people; Name if ""
	Placeholder string // stands for the value in the usage text
	Help        string // what the field means: whole sentences
	Required    bool   // it cannot be cleared
	Audited     bool   // the audit log shows its values before and after a change

	Text   func(*T) *string
	Switch func(*T) *bool
	List   func(*T) *[]string
	TTL    func(*T) *time.Duration
	Int    func(*T) *int
	Bytes  func(*T) *int64
	JSON   func(*T) *json.RawMessage

	Separators string // List: characters that separate the items within one value; "": each value is one item
	Joined     bool   // List: one JSON string with spaces between the items
	Rows       bool   // List: a table shows one row per item
	Spelled    bool   // TTL: JSON text such as "1m30s" instead of a number of seconds

	// Parse reads a document from the texts of a command line; nil: the text names a file.
	Parse func([]string) (json.RawMessage, error)

	Normalize func(string) string // brings a text or an item of a list into its stored form, or nil
	Show      func(*T) string     // the value in a table; "" hides the row. nil: the value itself, and zero is hidden
}

// Named returns the field with that name.
func Named[T any](fields []Field[T], name string) (Field[T], bool) {
	i := slices.IndexFunc(fields, func(f Field[T]) bool { return f.Name == name })
	if i < 0 {
		return Field[T]{}, false
	}
	return fields[i], true
}

// Differences returns the names of the fields in which a and b differ, in alphabetical order.
func Differences[T any](fields []Field[T], a, b *T) []string {
	var names []string
	for _, f := range fields {
		if !f.Equal(a, b) {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Changes returns the fields in which a and b differ, in alphabetical order of their names. Only
// fields that are Audited come with their values: what is not marked may be a secret.
func Changes[T any](fields []Field[T], a, b *T) []audit.Change {
	var changes []audit.Change
	for _, f := range fields {
		if f.Equal(a, b) {
			continue
		}
		c := audit.Change{Field: f.Name}
		if f.Audited {
			c.Before, c.After = f.shown(a), f.shown(b)
		}
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(x, y audit.Change) int { return strings.Compare(x.Field, y.Field) })
	return changes
}

// Audit returns the fields with those of the names marked as Audited.
func Audit[T any](fields []Field[T], names ...string) []Field[T] {
	for i := range fields {
		fields[i].Audited = fields[i].Audited || slices.Contains(names, fields[i].Name)
	}
	return fields
}

// shown returns a value for the audit log: nothing where it is not set, and addresses without the
// passwords that they may contain.
func (f Field[T]) shown(t *T) string {
	if f.IsZero(t) && f.Switch == nil {
		return ""
	}
	return userinfo.ReplaceAllString(f.String(t), "://***@")
}

// userinfo matches the user name and password in an address (RFC 3986 §3.2.1).
var userinfo = regexp.MustCompile(`://[^/?#\s]*@`)

// Title returns the label for people.
func (f Field[T]) Title() string {
	if f.Label != "" {
		return f.Label
	}
	return f.Name
}

// Equal reports whether a and b have the same value. An empty list equals a missing one.
func (f Field[T]) Equal(a, b *T) bool {
	switch {
	case f.List != nil:
		return slices.Equal(*f.List(a), *f.List(b))
	case f.JSON != nil:
		return bytes.Equal(*f.JSON(a), *f.JSON(b))
	}
	return f.String(a) == f.String(b)
}

// IsZero reports whether the field is not set.
func (f Field[T]) IsZero(t *T) bool {
	var zero T
	return f.Equal(t, &zero)
}

// Copy stores the value of from in to. The two share what a list or document refers to.
func (f Field[T]) Copy(to, from *T) {
	switch {
	case f.Text != nil:
		*f.Text(to) = *f.Text(from)
	case f.Switch != nil:
		*f.Switch(to) = *f.Switch(from)
	case f.List != nil:
		*f.List(to) = *f.List(from)
	case f.TTL != nil:
		*f.TTL(to) = *f.TTL(from)
	case f.Int != nil:
		*f.Int(to) = *f.Int(from)
	case f.Bytes != nil:
		*f.Bytes(to) = *f.Bytes(from)
	case f.JSON != nil:
		*f.JSON(to) = *f.JSON(from)
	}
}

// Clear stores the zero value.
func (f Field[T]) Clear(t *T) {
	var zero T
	f.Copy(t, &zero)
}

// String returns the value as text: items separated by spaces, durations as in 1h30m0s.
func (f Field[T]) String(t *T) string {
	switch {
	case f.Text != nil:
		return *f.Text(t)
	case f.Switch != nil:
		return strconv.FormatBool(*f.Switch(t))
	case f.List != nil:
		return strings.Join(*f.List(t), " ")
	case f.TTL != nil:
		return f.TTL(t).String()
	case f.Int != nil:
		return strconv.Itoa(*f.Int(t))
	case f.Bytes != nil:
		return strconv.FormatInt(*f.Bytes(t), 10)
	case f.JSON != nil:
		return string(*f.JSON(t))
	}
	return ""
}

// Set parses values, of which all but lists take the last, and stores the result. It does not
// validate beyond the form; lists lose repeated items.
func (f Field[T]) Set(t *T, values ...string) error {
	if f.List != nil {
		*f.List(t) = f.items(values)
		return nil
	}
	if len(values) == 0 {
		f.Clear(t)
		return nil
	}
	if f.JSON != nil && f.Parse != nil {
		doc, err := f.Parse(values)
		*f.JSON(t) = doc
		return err
	}
	return f.setOne(t, values[len(values)-1])
}

func (f Field[T]) setOne(t *T, value string) error {
	var err error
	switch {
	case f.Text != nil:
		*f.Text(t) = f.normal(value)
	case f.Switch != nil:
		if *f.Switch(t), err = strconv.ParseBool(value); err != nil {
			return fault.InvalidField(f.Name, "%q must be true or false", value)
		}
	case f.TTL != nil:
		if *f.TTL(t), err = ParseDuration(value); err != nil {
			return fault.InvalidField(f.Name, "%v", err)
		}
	case f.Int != nil:
		if *f.Int(t), err = strconv.Atoi(value); err != nil {
			return fault.InvalidField(f.Name, "%q must be a whole number", value)
		}
	case f.Bytes != nil:
		if *f.Bytes(t), err = strconv.ParseInt(value, 10, 64); err != nil {
			return fault.InvalidField(f.Name, "%q must be a whole number of bytes", value)
		}
	case f.JSON != nil:
		*f.JSON(t) = json.RawMessage(value)
	}
	return nil
}

// items takes values apart at the separators, without repeats.
func (f Field[T]) items(values []string) []string {
	var out []string
	for _, v := range values {
		parts := []string{v}
		if f.Separators != "" {
			parts = strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(f.Separators, r) })
		}
		for _, item := range parts {
			if item = f.normal(item); !slices.Contains(out, item) {
				out = append(out, item)
			}
		}
	}
	return out
}

func (f Field[T]) normal(s string) string {
	if f.Normalize == nil {
		return s
	}
	return f.Normalize(s)
}

// MarshalValue returns the value as JSON: lists are never null, durations that are not set are
// null, and a document that is not set is nil, for its member is left out.
func (f Field[T]) MarshalValue(t *T) (json.RawMessage, error) {
	switch {
	case f.Text != nil:
		return encode(*f.Text(t))
	case f.Switch != nil:
		return encode(*f.Switch(t))
	case f.List != nil && f.Joined:
		return encode(strings.Join(*f.List(t), " "))
	case f.List != nil:
		return encode(append([]string{}, *f.List(t)...))
	case f.TTL != nil:
		return f.marshalTTL(*f.TTL(t))
	case f.Int != nil:
		return encode(*f.Int(t))
	case f.Bytes != nil:
		return encode(*f.Bytes(t))
	}
	return *f.JSON(t), nil
}

func (f Field[T]) marshalTTL(d time.Duration) (json.RawMessage, error) {
	switch {
	case d == 0:
		return json.RawMessage("null"), nil
	case f.Spelled:
		return encode(d.String())
	}
	return encode(int64(d / time.Second))
}

func encode[V string | bool | int | int64 | []string](v V) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
