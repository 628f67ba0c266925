package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// boolRounds is how often a test of every field runs. Of two values of a bool there are not
// enough to tell many fields apart in one run: in round r a bool is bit r of its number among the
// bools of its struct, so that any two of up to 1<<boolRounds of them differ in one round.
const boolRounds = 4

// filler sets every field of a struct to a value that no other field has. One that is stored or
// read in the place of another is found by comparing what was stored with what is read.
type filler struct {
	t     testing.TB
	next  func() int64
	round int
}

// fill sets all fields of the struct that v points to. It fails on a field that it cannot set: a
// kind it does not know, or an unexported one that except does not name.
func (f *filler) fill(v any, except ...string) {
	f.t.Helper()
	s := &filling{filler: f, except: except}
	s.set(reflect.ValueOf(v).Elem(), "")
}

// change fills v like fill, but with the other value of each bool: no field has the value that
// fill set.
func (f *filler) change(v any, except ...string) {
	f.t.Helper()
	s := &filling{filler: f, except: except, invert: true}
	s.set(reflect.ValueOf(v).Elem(), "")
}

// filling is one call of fill.
type filling struct {
	*filler
	except []string
	invert bool
	bools  int
}

func (f *filling) set(v reflect.Value, name string) {
	f.t.Helper()
	n := f.next()
	text := fmt.Sprintf("%s%d", name, n) // in mixed case: a key in lower case is another text
	switch p := v.Addr().Interface().(type) {
	case *time.Time: // long from now, so that nothing has expired
		*p = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
		return
	case *time.Duration:
		*p = time.Duration(n) * time.Second
		return
	case *json.RawMessage:
		*p = json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		return
	case *[]byte:
		*p = fmt.Appendf(nil, `{"n":%d}`, n)
		return
	case *audit.Guard: // it is called, not stored
		return
	case *map[string]string:
		*p = map[string]string{"key" + text: "value" + text}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(f.bit())
	case reflect.Int, reflect.Int64:
		f.setInt(v, n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.set(v.Index(0), name)
		f.set(v.Index(1), name)
	case reflect.Struct:
		f.setFields(v)
	default:
		f.t.Fatalf("the field %s has a type that fill cannot set: %v", name, v.Type())
	}
}

// bit returns the next bool's value in this round.
func (f *filling) bit() bool {
	f.t.Helper()
	if f.bools >= 1<<boolRounds {
		f.t.Fatalf("more than %d bools: raise boolRounds", 1<<boolRounds)
	}
	bit := f.bools>>f.round&1 == 1
	f.bools++
	return bit != f.invert
}

// setInt sets a number; one of a named type is a duration, of which a whole number of seconds is
// stored.
func (f *filling) setInt(v reflect.Value, n int64) {
	if v.Type().PkgPath() != "" {
		n *= int64(time.Second)
	}
	v.SetInt(n)
}

func (f *filling) setFields(v reflect.Value) {
	f.t.Helper()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch {
		case slices.Contains(f.except, field.Name):
		case field.IsExported():
			f.set(v.Field(i), field.Name)
		default:
			f.t.Fatalf("fill cannot set the unexported field %v.%s", v.Type(), field.Name)
		}
	}
}
