package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestDraftHasAllWriters checks that no change of what documents describe goes through a draft to
// the database. Methods that take events are those that write.
func TestDraftHasAllWriters(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "configdraft.go", nil, 0)
	testkit.Must(t, err)
	var declared []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
			declared = append(declared, fn.Name.Name)
		}
	}
	events := reflect.TypeFor[[]audit.Event]()
	for _, store := range []reflect.Type{
		reflect.TypeFor[ClientStore](), reflect.TypeFor[ScopeStore](), reflect.TypeFor[RoleStore](),
		reflect.TypeFor[RouteStore](), reflect.TypeFor[WebhookStore](), reflect.TypeFor[ConfigStore](),
	} {
		writers := 0
		for i := range store.NumMethod() {
			m := store.Method(i)
			n := m.Type.NumIn()
			if n == 0 || m.Type.In(n-1) != events {
				continue
			}
			writers++
			if !slices.Contains(declared, m.Name) {
				t.Errorf("%s.%s of a draft writes to the database", store.Name(), m.Name)
			}
		}
		if writers == 0 {
			t.Errorf("%s has no methods that write", store.Name())
		}
	}
	for _, name := range []string{"Record", "Together", "RotateKeys", "RetireKeys"} {
		if !slices.Contains(declared, name) {
			t.Errorf("%s of a draft writes to the database", name)
		}
	}
}
