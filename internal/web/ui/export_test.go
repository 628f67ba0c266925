package ui

import "reflect"

// OnRender calls f with every view that is rendered from now on.
func (p *Pages) OnRender(f func(View)) { p.rendered = f }

// ViewTypes returns the views and the structs of this package that they are made of.
func ViewTypes() []reflect.Type {
	var found []reflect.Type
	seen := map[reflect.Type]bool{}
	var add func(t reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[Base]().PkgPath() || seen[t] {
			return
		}
		seen[t] = true
		found = append(found, t)
		for i := range t.NumField() {
			add(t.Field(i).Type)
		}
	}
	for v := range catalog() {
		add(reflect.TypeOf(v))
	}
	return found
}

// Patterns returns the patterns of all pages, and those of the pages that are open to whoever acts
// as another person.
func (s *Server) Patterns() (all, acting []string) {
	for _, row := range s.allRoutes() {
		all = append(all, row.pattern)
	}
	return all, actingPages()
}
