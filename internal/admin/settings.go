package admin

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// Setting is a setting of the server, as it is in force.
type Setting struct {
	Name        string
	Group       string
	Value       string // "" for a secret
	Secret      bool   // the value is not shown
	Default     string
	Source      string // where the value comes from
	Description string
}

// Settings returns the settings of the server, in the order of their reference.
func (o *Operations) Settings(_ context.Context, a Actor) ([]Setting, error) {
	if err := o.authorize(a, ScopeSettingsRead); err != nil {
		return nil, err
	}
	if o.parts.Settings == nil {
		return nil, nil
	}
	return o.parts.Settings(), nil
}

// secretIsSet stands for the value of a secret. That another one was set is not recorded.
const secretIsSet = "***"

// SettingsText returns the settings that are not at their defaults as a text, to be compared by
// SettingsChange at the next start.
func SettingsText(all []Setting) string {
	values := map[string]string{}
	for _, s := range all {
		switch {
		case s.Secret:
			values[s.Name] = secretIsSet
		case s.Value != s.Default:
			values[s.Name] = s.Value
		}
	}
	text, err := json.Marshal(values)
	if err != nil { // not for texts
		panic(err)
	}
	return string(text)
}

// SettingsChange returns the event that a server starts with other settings than the last one, or
// false if they are the same. Of secrets it says only that they are set.
func SettingsChange(last, now string, at time.Time) (audit.Event, bool) {
	var before, after map[string]string
	if json.Unmarshal([]byte(last), &before) != nil || json.Unmarshal([]byte(now), &after) != nil {
		return audit.Event{}, false // of a version that stored something else
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	ev := Actor{name: audit.ActorSystem}.event(audit.SettingsChanged, at)
	ev.TargetType = audit.TargetSettings
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if before[name] != after[name] {
			ev.Changes = append(ev.Changes, audit.Change{Field: name, Before: before[name], After: after[name]})
		}
	}
	return ev, len(ev.Changes) > 0
}
