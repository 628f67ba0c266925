package console

// OnRender makes f learn which views are shown.
func OnRender(s *Server, f func(View)) { s.pages.rendered = f }

// Patterns returns the patterns of all routes with the operations that they show.
func (s *Server) Patterns() map[string][]string {
	out := map[string][]string{}
	for _, sec := range s.sections {
		for _, r := range sec.routes {
			out[r.pattern] = r.ops
		}
	}
	return out
}
