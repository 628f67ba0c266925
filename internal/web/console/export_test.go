package console

import "github.com/gatehouse-id/gatehouse/internal/client"

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

// Snippets returns the snippets of a client.
func Snippets(issuer string, c *client.Client) []Snippet {
	return (&Server{cfg: Config{Issuer: issuer}}).snippets(c)
}

// Check returns what is wrong with the first template that does not parse.
func Check(s *Server) error { return s.pages.check() }
