package store

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// Every field of a client, a user and a route has a column. It also is in the list from which the
// command line, views and JSON derive, or is named here as one that no person sets.
func TestFieldsHaveColumnsAndFaces(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		testFields(t, &clientTable, client.Fields(client.Rules{}), []string{
			"ID", "Secrets", "CreatedAt", "UpdatedAt", "Version",
			"By", "Policy", "Chain", "Hash", "Next", "UsedAt",
		})
	})
	t.Run("user", func(t *testing.T) {
		testFields(t, &userTable, identity.UserFields(), []string{
			"ID", "PasswordHash", "PasswordChangedAt", "CreatedAt", "UpdatedAt", "LastLoginAt", "InvitedAt",
			"LockedAt", "LockReason", "Version", "EmailVerifiedAt",
		})
	})
	t.Run("route", func(t *testing.T) {
		testFields(t, &routeTable, access.RouteFields(), []string{"ID", "CreatedAt", "UpdatedAt", "Revision"})
	})
}

// testFields sets the fields of a T one by one. It checks that each changes one column (client
// secrets have a table of their own) and one of the fields of faces, unless internal names it.
func testFields[T any](t *testing.T, table *table[T], faces []field.Field[T], internal []string) {
	shown := make(map[string]bool)
	leaves(reflect.TypeFor[T](), nil, func(name string, index []int) {
		zero, changed := new(T), new(T)
		setNonZero(t, reflect.ValueOf(changed).Elem().FieldByIndex(index))
		columns := table.differences(zero, changed)
		if len(columns) != 1 && name != "Secrets" {
			t.Errorf("the field %s is in %d columns; want one", name, len(columns))
		}
		names := field.Differences(faces, zero, changed)
		for _, n := range names {
			shown[n] = true
		}
		if slices.Contains(internal, name) != (len(names) == 0) {
			t.Errorf("the field %s is %v in the list of fields", name, names)
		}
	})
	for _, f := range faces {
		if !shown[f.Name] {
			t.Errorf("%s in the list of fields is not a field of %v", f.Name, reflect.TypeFor[T]())
		}
	}
}

// leaves calls f with every field of a struct type, and instead of a struct field with its
// fields.
func leaves(typ reflect.Type, path []int, f func(name string, index []int)) {
	for i := range typ.NumField() {
		field, index := typ.Field(i), append(slices.Clone(path), i)
		if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[time.Time]() {
			leaves(field.Type, index, f)
			continue
		}
		f(field.Name, index)
	}
}

func setNonZero(t *testing.T, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = time.UnixMilli(1)
		return
	case *json.RawMessage:
		*p = json.RawMessage(`{}`)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(time.Second))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if v.Type().Elem().Kind() == reflect.String {
			v.Index(0).SetString("text")
		}
	default:
		t.Fatal(fmt.Sprint("a field of a type that this test cannot set: ", v.Type()))
	}
}
