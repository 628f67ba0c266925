package sqldb

import (
	"database/sql/driver"
	"fmt"
	"reflect"
)

// plain converts an argument to one of the types that both engines take: nil, string, int64,
// bool.
func plain(v any) any {
	switch x := v.(type) {
	case nil, string, int64, bool:
		return v
	case int:
		return int64(x)
	case *string:
		if x == nil {
			return nil
		}
		return *x
	}
	rv := reflect.ValueOf(v)
	switch {
	case rv.Kind() == reflect.String:
		return rv.String()
	case rv.CanInt():
		return rv.Int()
	case rv.Kind() == reflect.Bool:
		return rv.Bool()
	case rv.Kind() == reflect.Pointer && rv.IsNil():
		return nil
	case rv.Kind() == reflect.Pointer:
		return plain(rv.Elem().Interface())
	}
	return v // the driver rejects it with an error that says more
}

func plainAll(args []any) []any {
	for i, v := range args {
		switch v.(type) {
		case string, int64, bool, nil:
		default:
			out := make([]any, len(args))
			copy(out, args[:i])
			for j := i; j < len(args); j++ {
				out[j] = plain(args[j])
			}
			return out
		}
	}
	return args
}

func named(args []any) []driver.NamedValue {
	if len(args) == 0 {
		return nil
	}
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: plain(v)}
	}
	return out
}

// scanner is sql.Scanner, without the package.
type scanner interface{ Scan(any) error }

// assign stores a value of a SQLite column in a destination.
func assign(dest any, v driver.Value) error {
	switch d := dest.(type) {
	case *string:
		if s, ok := v.(string); ok {
			*d = s
			return nil
		}
	case *int64:
		if n, ok := v.(int64); ok {
			*d = n
			return nil
		}
	case *int:
		if n, ok := v.(int64); ok {
			*d = int(n)
			return nil
		}
	case *bool: // SQLite stores booleans as 0 and 1
		switch b := v.(type) {
		case int64:
			*d = b != 0
			return nil
		case bool:
			*d = b
			return nil
		}
	case **string:
		if v == nil {
			*d = nil
			return nil
		}
		if s, ok := v.(string); ok {
			*d = &s
			return nil
		}
	case scanner:
		return d.Scan(v)
	default:
		return assignKind(dest, v)
	}
	return fmt.Errorf("sqldb: a column of %T does not fit a destination of %T", v, dest)
}

// assignKind stores a value in a destination of a named type.
func assignKind(dest any, v driver.Value) error {
	rv := reflect.ValueOf(dest)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		e := rv.Elem()
		switch x := v.(type) {
		case string:
			if e.Kind() == reflect.String {
				e.SetString(x)
				return nil
			}
		case int64:
			if e.CanInt() {
				e.SetInt(x)
				return nil
			}
		}
	}
	return fmt.Errorf("sqldb: a column of %T does not fit a destination of %T", v, dest)
}
