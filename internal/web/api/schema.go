package api

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// schema is the part of JSON Schema that the document uses; tools/openapi rejects the rest. A value
// of an object that has named members must not have others, unless the schema says so.
type schema struct {
	Ref        string             `json:"$ref"`
	Types      types              `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	Enum       []string           `json:"enum"`
	AnyOf      []*schema          `json:"anyOf"`
	Format     string             `json:"format"`
	Pattern    string             `json:"pattern"`
	MinLength  int                `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	MinItems   int                `json:"minItems"`
	MaxItems   *int               `json:"maxItems"`
	Unique     bool               `json:"uniqueItems"`
	Additional json.RawMessage    `json:"additionalProperties"`
	ReadOnly   bool               `json:"readOnly"`
	Text       string             `json:"description"`

	pattern *regexp.Regexp
}

// types are the types that a value may have.
type types []string

// UnmarshalJSON reads one type or a list.
func (t *types) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		*t = []string{""}
		return json.Unmarshal(raw, &(*t)[0])
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// resolve replaces references by what they refer to and compiles patterns, in the whole schema.
func (s *schema) resolve(all map[string]*schema) (*schema, error) {
	if s == nil {
		return nil, nil
	}
	if s.Ref != "" {
		to := all[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		if to == nil {
			return nil, fmt.Errorf("there is no schema %s", s.Ref)
		}
		return to, nil // it is resolved on its own
	}
	var err error
	if s.Pattern != "" && s.pattern == nil {
		if s.pattern, err = regexp.Compile(s.Pattern); err != nil {
			return nil, err
		}
	}
	for name, p := range s.Properties {
		if s.Properties[name], err = p.resolve(all); err != nil {
			return nil, err
		}
	}
	for i, one := range s.AnyOf {
		if s.AnyOf[i], err = one.resolve(all); err != nil {
			return nil, err
		}
	}
	s.Items, err = s.Items.resolve(all)
	return s, err
}

// check returns what is wrong with a value that encoding/json has read with UseNumber: one error
// for each member at fault, with its name.
func (s *schema) check(at string, v any) []error {
	if len(s.AnyOf) > 0 {
		return s.checkAny(at, v)
	}
	if kind := kindOf(v); len(s.Types) > 0 && !s.Types.accept(kind, v) {
		return []error{wrong(at, "This must be %s.", s.Types)}
	}
	switch v := v.(type) {
	case string:
		return asList(s.checkText(at, v))
	case json.Number:
		return asList(s.checkNumber(at, v))
	case []any:
		return s.checkList(at, v)
	case map[string]any:
		return s.checkObject(at, v)
	}
	return nil
}

func (s *schema) checkAny(at string, v any) []error {
	var first []error
	for _, one := range s.AnyOf {
		errs := one.check(at, v)
		if len(errs) == 0 {
			return nil
		}
		if first == nil || one.Types.accept(kindOf(v), v) {
			first = errs
		}
	}
	return first
}

// kindOf returns the type of a value in the words of JSON Schema.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func (t types) accept(kind string, v any) bool {
	if slices.Contains(t, kind) {
		return true
	}
	n, ok := v.(json.Number)
	return ok && slices.Contains(t, "integer") && isInteger(n)
}

// maxDigits bounds the length of numbers, so that none costs time.
const maxDigits = 20

func isInteger(n json.Number) bool {
	if len(n) > maxDigits {
		return false
	}
	_, err := n.Int64()
	return err == nil
}

// String returns the types for people.
func (t types) String() string {
	named := map[string]string{
		"null":    "null",
		"string":  "a text",
		"boolean": "true or false",
		"number":  "a number",
		"integer": "a whole number",
		"array":   "a list",
		"object":  "an object",
	}
	out := make([]string, len(t))
	for i, one := range t {
		out[i] = named[one]
	}
	return strings.Join(out, " or ")
}

func wrong(at, format string, args ...any) error {
	return fault.InvalidField(shorten(at), format, args...)
}

func asList(err error) []error {
	if err == nil {
		return nil
	}
	return []error{err}
}

func (s *schema) checkText(at, v string) error {
	n := utf8.RuneCountInString(v)
	switch {
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, v):
		return wrong(at, "This must be one of %s.", strings.Join(s.Enum, ", "))
	case n < s.MinLength && s.MinLength == 1:
		return wrong(at, "This must not be empty.")
	case n < s.MinLength:
		return wrong(at, "This must have at least %d characters.", s.MinLength)
	case s.MaxLength != nil && n > *s.MaxLength:
		return wrong(at, "This is too long. At most %d characters are accepted.", *s.MaxLength)
	case s.pattern != nil && !s.pattern.MatchString(v):
		return wrong(at, "This does not have the form that the document describes.")
	}
	return checkFormat(at, s.Format, v)
}

// checkFormat checks the formats that handlers rely on. Others are for the reader of the document.
func checkFormat(at, format, v string) error {
	var err error
	switch format {
	case "date-time":
		_, err = time.Parse(time.RFC3339, v)
	case "date":
		_, err = time.Parse(time.DateOnly, v)
	case "uuid":
		if !isUUID(v) {
			err = fmt.Errorf("not a UUID")
		}
	}
	if err != nil {
		return wrong(at, "This is not a %s.", map[string]string{
			"date-time": "time such as 2026-05-04T10:00:00Z",
			"date":      "date such as 2026-05-04",
			"uuid":      "UUID",
		}[format])
	}
	return nil
}

// isUUID reports whether a text has the form of a UUID.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

func (s *schema) checkNumber(at string, v json.Number) error {
	if len(v) > maxDigits {
		return wrong(at, "This number is too long.")
	}
	f, ok := new(big.Float).SetString(v.String())
	switch {
	case !ok:
		return wrong(at, "This is not a number.")
	case s.Minimum != nil && f.Cmp(big.NewFloat(*s.Minimum)) < 0:
		return wrong(at, "This must be at least %g.", *s.Minimum)
	case s.Maximum != nil && f.Cmp(big.NewFloat(*s.Maximum)) > 0:
		return wrong(at, "This must be at most %g.", *s.Maximum)
	}
	return nil
}

func (s *schema) checkList(at string, v []any) []error {
	switch {
	case len(v) < s.MinItems:
		return asList(wrong(at, "This must have at least %d entries.", s.MinItems))
	case s.MaxItems != nil && len(v) > *s.MaxItems:
		return asList(wrong(at, "This must have at most %d entries.", *s.MaxItems))
	}
	var errs []error
	seen := map[any]bool{}
	for i, item := range v {
		place := fmt.Sprintf("%s.%d", at, i)
		if text, ok := item.(string); ok && s.Unique {
			if seen[text] {
				errs = append(errs, wrong(place, "This entry is there twice."))
			}
			seen[text] = true
		}
		if s.Items != nil {
			errs = append(errs, s.Items.check(place, item)...)
		}
	}
	return errs
}

func (s *schema) checkObject(at string, v map[string]any) []error {
	var errs []error
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			errs = append(errs, wrong(join(at, name), "This is required."))
		}
	}
	for _, name := range sortedKeys(v) {
		p := s.Properties[name]
		switch {
		case p != nil:
			errs = append(errs, p.check(join(at, name), v[name])...)
		case len(s.Properties) > 0 && string(s.Additional) != "true" || string(s.Additional) == "false":
			errs = append(errs, wrong(join(at, name), "This operation has no such member."))
		}
	}
	return errs
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func sortedKeys(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
