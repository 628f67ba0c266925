package ui_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/web/ui"
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
var shown fieldsShown

// fieldsShown are the fields of views that were not zero at least once, as Type.Field.
type fieldsShown struct {
	mu  sync.Mutex
	set map[string]bool
}

func (f *fieldsShown) add(v ui.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set == nil {
		f.set = map[string]bool{}
	}
	f.walk(reflect.ValueOf(v))
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
		if v.Type().PkgPath() != reflect.TypeFor[ui.Base]().PkgPath() {
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
	for _, t := range ui.ViewTypes() {
		for i := range t.NumField() {
			name := t.Name() + "." + t.Field(i).Name
			if !f.set[name] && !reserved(name) {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// reserved reports whether a field is for kinds of factors that send a message or use the browser's
// credential API, or are alternatives to one another: none of those exists yet.
func reserved(name string) bool {
	switch name {
	case "CodeView.SentTo", "CodeView.Options", "EnrollView.SentTo", "EnrollView.Options",
		"EnrollView.Others", "FactorChoice.URL":
		return true
	}
	return false
}
