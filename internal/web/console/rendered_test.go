package console_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web/console"
)

// TestMain runs the tests, and after all of them have passed checks that each field of each view
// was set by a handler in one of them: a field that never is, is a part of a page that people never
// see, or that no test looks at.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
	if missing := shown.missing(); code == 0 && all && len(missing) > 0 {
		fmt.Printf("--- FAIL: no test has a handler that sets %q\n", missing)
		code = 1
	}
	os.Exit(code)
}

// shown is what the handlers of all sites have shown.
var shown = fieldsShown{set: map[string]bool{}, all: map[string]bool{}}

// fieldsShown are the fields of views, and those that were not zero at least once, as Type.Field.
type fieldsShown struct {
	mu       sync.Mutex
	set, all map[string]bool
}

func (f *fieldsShown) add(v console.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.types(reflect.TypeOf(v))
	f.walk(reflect.ValueOf(v))
}

// types collects the fields of a type and of those that it is made of.
func (f *fieldsShown) types(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		f.types(t.Elem())
	case reflect.Struct:
		if t.PkgPath() != reflect.TypeFor[console.Base]().PkgPath() {
			return
		}
		for i := range t.NumField() {
			name := t.Name() + "." + t.Field(i).Name
			if t.Field(i).IsExported() && !f.all[name] {
				f.all[name] = true
				f.types(t.Field(i).Type)
			}
		}
	}
}

func (f *fieldsShown) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			f.walk(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			f.walk(v.Index(i))
		}
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[console.Base]().PkgPath() {
			return
		}
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				f.set[v.Type().Name()+"."+v.Type().Field(i).Name] = true
				f.walk(v.Field(i))
			}
		}
	}
}

// missing returns the fields that were never set, sorted.
func (f *fieldsShown) missing() []string {
	found := map[string]bool{}
	for name := range f.all {
		if !f.set[name] && !reserved(name) {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// reserved reports whether a field is of a part of the frame that no page uses yet.
func reserved(name string) bool {
	switch name {
	case "Empty.Command", "Input.Area", "Input.Editor", "Input.Choices", "Input.Inputmode", "Input.Placeholder":
		return true
	}
	return false
}

// atlas knows one network.
type atlas struct{}

func (atlas) Find(ip string) visitor.Place {
	switch ip {
	case "192.0.2.1":
		return visitor.Place{
			Country:   "DE",
			Countries: map[string]string{"en": "Germany"},
			Cities:    map[string]string{"en": "Cologne"},
		}
	case "192.0.2.2":
		return visitor.Place{Country: "FR", Countries: map[string]string{"en": "France"}}
	}
	return visitor.Place{}
}
