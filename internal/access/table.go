package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Table finds the route of a request. It is immutable: when a route changes, a new table replaces
// it. The zero value and nil contain no route.
type Table struct {
	exact map[string]*site // by host
	wild  map[string]*site // by what follows the star: .example.com
	any   *site
	depth int // of the deepest prefix

	// the routes by their prefixes as a program reads them that ignores case; nil in such a table
	folded *Table
	mixed  bool // some prefix is not its own fold
}

// site is the routes of one host, by prefix. The prefix / is "" here: all others end without a
// slash.
//
// With thousands of routes, a look-up mostly waits for memory. So it reads only the map, and of
// the route only its pointer unless a route of the site keeps its path; and the keys of a table
// are adjacent in memory.
type site struct {
	routes map[string]*Compiled
	depths uint32 // bit n: there is a prefix of n segments, so that only those are compared
	keeps  bool   // some route keeps its path
}

// NewTable returns a table of the active routes. It rejects two of them with the same address
// (fault.Conflict).
func NewTable(routes []*Compiled) (*Table, error) {
	t, folded := emptyTable(), emptyTable()
	keys := keysOf(routes)
	for i, c := range routes {
		if c.route.Inactive {
			continue
		}
		if other := t.site(c.host).put(keys[i], c); other != nil {
			return nil, fault.New(fault.Conflict, "the routes %s and %s have the same address "+
				"%s; change or delete one of them",
				other.called(), c.called(), c.Address())
		}
		t.depth = max(t.depth, c.depth)
		folded.site(c.host).put(foldPath(keys[i], maxDepth), c) // of two alike, either will do
		t.mixed = t.mixed || !isFolded(keys[i], maxDepth)
	}
	folded.depth = t.depth
	t.folded = folded
	return t, nil
}

func emptyTable() *Table {
	return &Table{exact: map[string]*site{}, wild: map[string]*site{}, any: newSite()}
}

// keysOf returns the prefixes of routes as a site stores them, all in one allocation.
func keysOf(routes []*Compiled) []string {
	var all strings.Builder
	for _, c := range routes {
		all.WriteString(strings.TrimSuffix(c.prefix, "/"))
	}
	keys, rest := make([]string, len(routes)), all.String()
	for i, c := range routes {
		n := len(strings.TrimSuffix(c.prefix, "/"))
		keys[i], rest = rest[:n], rest[n:]
	}
	return keys
}

func newSite() *site { return &site{routes: map[string]*Compiled{}} }

// site returns the part of the table for a host, which it creates if there is none.
func (t *Table) site(h hostPattern) *site {
	if h.kind == hostAny {
		return t.any
	}
	in := t.exact
	if h.kind == hostWild {
		in = t.wild
	}
	if in[h.name] == nil {
		in[h.name] = newSite()
	}
	return in[h.name]
}

// put adds a route, or returns the route that has its prefix already.
func (s *site) put(key string, c *Compiled) (other *Compiled) {
	if other = s.routes[key]; other == nil {
		s.routes[key] = c
		s.depths |= 1 << c.depth
		s.keeps = s.keeps || c.route.KeepPath
	}
	return other
}

// Match returns the route for a host, in lower case and without a port, and a path that Clean
// returned. A route of exactly this host wins over one with a wildcard, of which the longest
// wins, and that over one of any host; among routes of one host, the longest prefix wins. A
// wildcard matches one label or more.
//
// rest is the path that the upstream receives: the path without the prefix, either "" or
// beginning with a slash, or the whole path if the route keeps it. A path whose `;` parameters
// (RFC 3986 §3.3) decide to which route it belongs matches none, because programs that ignore
// parameters would see another path. Nor does a path that a program which ignores case, or dots
// and spaces at the end of a segment, would find below a longer prefix than Match does.
func (t *Table) Match(host, path string) (c *Compiled, rest string, ok bool) {
	if t == nil || t.any == nil || path == "" || path[0] != '/' {
		return nil, "", false
	}
	host = strings.TrimSuffix(host, ".")
	c, cut := t.find(host, path)
	if c == nil {
		return nil, "", false
	}
	if strings.IndexByte(path, ';') >= 0 {
		if same, _ := t.find(host, withoutParameters(path)); same != c {
			return nil, "", false
		}
	}
	if c.depth < t.depth && (t.mixed || !isFolded(path, t.depth)) {
		loose, _ := t.folded.find(host, foldPath(path, t.depth))
		if loose != nil && loose.depth > c.depth {
			return nil, "", false
		}
	}
	return c, path[cut:], true
}

// Locate returns the route of a request's path as it is on the request line, or nil. The error says
// why no route can have the path; see Clean. A path with escaped slashes belongs to a route that
// allows them, if both ways of reading it lead to that route.
func (t *Table) Locate(host, rawPath string) (*Compiled, error) {
	path, err := Clean(rawPath)
	if err == nil {
		c, _, _ := t.Match(host, path)
		return c, nil
	}
	if !hasEncodedSlash(rawPath) {
		return nil, err
	}
	slashes, text, err2 := cleanSlashes(rawPath)
	if err2 != nil {
		return nil, err2
	}
	c, _, _ := t.Match(host, text)
	if other, _, _ := t.Match(host, slashes); c == nil || c != other || !c.route.EncodedSlash {
		return nil, err
	}
	return c, nil
}

// isFolded reports whether foldPath would return the first segments of a path unchanged.
func isFolded(path string, segments int) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '/' && i > 0:
			if segments--; segments == 0 {
				return true
			}
		case c >= utf8.RuneSelf, 'A' <= c && c <= 'Z', c == ';', c == '\\':
			return false
		case (c == '.' || c == ' ') && (i+1 == len(path) || path[i+1] == '/'):
			return false
		}
	}
	return true
}

// foldPath returns the first segments of a path as a lenient program may read them: in lower case,
// without dots and spaces at their ends, without parameters, and with full-width forms as ASCII.
func foldPath(path string, segments int) string {
	path = strings.Map(func(r rune) rune {
		if r >= 0xff01 && r <= 0xff5e { // the full-width forms of ! to ~
			r = r - 0xff01 + '!'
		}
		if r == '\\' {
			return '/'
		}
		return unicode.ToLower(r)
	}, path)
	var out strings.Builder
	for s := range strings.SplitSeq(path, "/") {
		s, _, _ = strings.Cut(s, ";")
		if s = strings.TrimRight(s, ". "); s == "" {
			continue
		}
		if segments--; segments < 0 {
			break
		}
		out.WriteString("/")
		out.WriteString(s)
	}
	return out.String()
}

// find returns the route that Match would, without comparing parameters. cut is how many bytes of
// the path the upstream does not see.
func (t *Table) find(host, path string) (c *Compiled, cut int) {
	// ends[n]: where the n-th segment ends; ends[0] is the prefix of no segment, which is /
	var ends [maxDepth + 1]int
	n := 0
	for at := 1; n < t.depth && at < len(path); at++ {
		if i := strings.IndexByte(path[at:], '/'); i >= 0 {
			at += i
		} else {
			at = len(path)
		}
		n++
		ends[n] = at
	}
	if len(t.exact) > 0 {
		if c, cut = t.exact[host].find(path, &ends, n); c != nil {
			return c, cut
		}
	}
	if len(t.wild) > 0 {
		for i := strings.IndexByte(host, '.'); i > 0; {
			if c, cut = t.wild[host[i:]].find(path, &ends, n); c != nil {
				return c, cut
			}
			next := strings.IndexByte(host[i+1:], '.')
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return t.any.find(path, &ends, n)
}

// find returns the route of the longest prefix of a path, whose segments end at ends[1] to ends[n],
// or nil.
func (s *site) find(path string, ends *[maxDepth + 1]int, n int) (c *Compiled, cut int) {
	if s == nil {
		return nil, 0
	}
	for ; n >= 0; n-- {
		if s.depths&(1<<n) == 0 {
			continue
		}
		if c = s.routes[path[:ends[n]]]; c == nil {
			continue
		}
		if s.keeps && c.route.KeepPath {
			return c, 0
		}
		return c, ends[n]
	}
	return nil, 0
}

// withoutParameters returns the path as a program sees it that ignores the parameters of segments.
func withoutParameters(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}
