package ship

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// Format is how a line of a file shows an event.
type Format string

// The formats.
const (
	JSON Format = "json" // one JSON object
	Text Format = "text" // name, time and facts as name=value, for people and awk
)

// Line returns an event as one line without its end.
func (f Format) Line(e *audit.Event) []byte {
	if f == Text {
		return textLine(e)
	}
	return e.JSON()
}

// textLine returns "user.login_failed 2026-11-29T01:02:03.000Z id=… actor=…". A value with other
// characters than those of names is quoted.
func textLine(e *audit.Event) []byte {
	r := e.Record()
	line := []string{r.Event, r.Timestamp}
	add := func(name, value string) {
		if value != "" {
			line = append(line, name+"="+quoted(value))
		}
	}
	add("id", r.ID)
	add("actor", r.ActorID)
	add("actor_type", r.ActorType)
	add("resource_type", r.ResourceType)
	add("resource_id", r.ResourceID)
	add("user", r.UserID)
	add("client", r.ClientID)
	add("ip", r.IPAddress)
	add("reason", r.Reason)
	add("request", r.RequestID)
	for _, name := range slices.Sorted(keysOf(r.Metadata)) {
		add(name, r.Metadata[name])
	}
	add("agent", r.UserAgent)
	return []byte(strings.Join(line, " "))
}

func keysOf(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// quoted returns a value as it is, or as a JSON string if it has other characters than letters,
// digits and a few signs.
func quoted(s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_.:/@+*", r))
	})
	if plain {
		return s
	}
	return jsonString(s)
}
