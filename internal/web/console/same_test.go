package console_test

import (
	"encoding/json"
	"html"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var (
	formTag = regexp.MustCompile(`<form[^>]* method="post" action="([^"]+)"`)
	sameTag = regexp.MustCompile(`(?s)<p class="label">([^<]*)(?:<code>\$TOKEN</code>)?</p><pre data-copy tabindex="0"><code>([^<]*)</code></pre>`)
)

// alone reports whether no command and no API call does what a form does: a test sign-in needs the
// browser of the person who tests.
func alone(action string) bool {
	return strings.HasPrefix(action, "/admin/clients/") && strings.HasSuffix(action, "/test")
}

// apiCalls has the methods of each path of the management API.
type apiCalls map[string]map[string]any

func newAPICalls(t *testing.T) apiCalls {
	t.Helper()
	raw, err := os.ReadFile("../api/gen/openapi.json")
	testkit.Must(t, err)
	var doc struct{ Paths apiCalls }
	testkit.Must(t, json.Unmarshal(raw, &doc))
	return doc.Paths
}

var callTag = regexp.MustCompile(`^curl -X ([A-Z]+) '?` + origin + `/api/v1(/[^'? ]*)`)

// has reports whether there is an operation for a call that a page shows.
func (a apiCalls) has(call string) bool {
	m := callTag.FindStringSubmatch(call)
	if m == nil {
		return false
	}
	got := strings.Split(m[2], "/")
	for path, methods := range a {
		want := strings.Split(path, "/")
		fits := len(want) == len(got) && methods[strings.ToLower(m[1])] != nil
		for i := 0; fits && i < len(want); i++ {
			fits = want[i] == got[i] || strings.HasPrefix(want[i], "{")
		}
		if fits {
			return true
		}
	}
	return false
}

// sameForms checks that a page shows, for each thing that its forms do, a command and an API call
// that do it, and that there are these calls.
func (p page) sameForms(api apiCalls) {
	p.t.Helper()
	does := map[string]bool{}
	for _, m := range formTag.FindAllStringSubmatch(p.Body.String(), -1) {
		action := html.UnescapeString(m[1])
		end := action[strings.LastIndex(action, "/"):]
		if !alone(action) {
			does[end] = true
		}
	}
	commands, calls := 0, 0
	for _, m := range sameTag.FindAllStringSubmatch(p.Body.String(), -1) {
		text := html.UnescapeString(m[2])
		if strings.HasPrefix(text, "curl ") && strings.Contains(text, "$TOKEN") && !api.has(text) {
			p.t.Errorf("%s: the API has no such operation: %s", p.path, text)
		}
		switch {
		case strings.HasPrefix(text, "gatehouse "):
			commands++
		case strings.HasPrefix(text, "curl -X GET "):
		case strings.HasPrefix(text, "curl -X "):
			calls++
		}
	}
	if calls < len(does) || commands < len(does) {
		p.t.Errorf("%s: %d commands and %d calls for what the forms do: %v", p.path, commands, calls, does)
	}
}

// Every form shows the command and the API call that do the same.
func TestEveryFormShowsTheSame(t *testing.T) {
	s := newSite(t)
	victim := s.newUser(hostile)
	sess := s.newSession(victim, identity.Browser{IP: "192.0.2.2", Agent: hostile})
	factor, app := s.furnish(victim)
	testkit.Must(t, s.ring.Ensure(t.Context(), "ES256", s.now))
	keys, err := s.ops.Keys(t.Context(), s.actor())
	testkit.Must(t, err)
	ids := map[string]string{"id": string(victim.ID), "session": string(sess.ID), "job": "none", "import": "none", "role": "own", "factor": factor, "app": app}
	maps.Copy(ids, s.furnishApps())
	s.post("/admin/roles", "name", "own", "description", "x")
	_, err = s.ops.LockUser(t.Context(), s.actor(), string(victim.ID), "a reason")
	testkit.Must(t, err)
	seen, api := 0, newAPICalls(t)
	look := func(path string) {
		t.Helper()
		if p := s.get(path); p.Code == 200 && strings.Contains(p.Header().Get("Content-Type"), "html") {
			seen += len(formTag.FindAllString(p.Body.String(), -1))
			p.sameForms(api)
		}
	}
	for pattern := range s.console.Patterns() {
		if !strings.HasPrefix(pattern, "GET ") || strings.Contains(pattern, "{$}") {
			continue
		}
		own := ids
		if strings.Contains(pattern, "/keys/") {
			own = map[string]string{"id": keys[len(keys)-1].ID}
		}
		look(address(pattern, own))
	}
	look("/admin/users/bulk?action=disable&pick-" + string(victim.ID) + "=on")
	look("/admin/clients/bulk?pick-" + ids["client"] + "=on")
	s.post("/admin/clients/"+ids["client"]+"/disable", "confirm", ids["client"])
	look("/admin/clients/" + ids["client"])
	_, err = s.ops.DisableUser(t.Context(), s.actor(), string(victim.ID))
	testkit.Must(t, err)
	look("/admin/users/" + string(victim.ID))
	p := s.post("/admin/config/plan", "document", "version: 1\nlabel: main\nscopes:\n  - name: new:read\n    description: read\n")
	p.shows(200, "/admin/config/apply").sameForms(api)
	if seen < 40 {
		t.Errorf("only %d forms were looked at", seen)
	}
}
