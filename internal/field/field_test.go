package field

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

type thing struct {
	name  string
	on    bool
	hosts []string
	scope []string
	ttl   time.Duration
	per   time.Duration
	n     int
	size  int64
	doc   json.RawMessage
}

func fields() []Field[thing] {
	return []Field[thing]{
		{Name: "name", Text: func(t *thing) *string { return &t.name }, Normalize: strings.TrimSpace},
		{Name: "on", Switch: func(t *thing) *bool { return &t.on }},
		{Name: "hosts", List: func(t *thing) *[]string { return &t.hosts }, Normalize: strings.ToLower},
		{
			Name:       "scope",
			List:       func(t *thing) *[]string { return &t.scope },
			Separators: " ,",
			Joined:     true,
		},
		{Name: "ttl", TTL: func(t *thing) *time.Duration { return &t.ttl }},
		{Name: "per", TTL: func(t *thing) *time.Duration { return &t.per }, Spelled: true},
		{Name: "n", Int: func(t *thing) *int { return &t.n }},
		{Name: "size", Bytes: func(t *thing) *int64 { return &t.size }},
		{Name: "doc", JSON: func(t *thing) *json.RawMessage { return &t.doc }},
	}
}

func TestValues(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		text   string
		doc    string
	}{
		{"name", []string{"x", " y<& "}, "y<&", `"y<&"`},
		{"on", []string{"true"}, "true", `true`},
		{"hosts", []string{"A", "b", "a"}, "a b", `["a","b"]`},
		{"scope", []string{"a b,c", "c  d"}, "a b c d", `"a b c d"`},
		{"scope", []string{""}, "", `""`},
		{"ttl", []string{"5m"}, "5m0s", `300`},
		{"per", []string{"90"}, "1m30s", `"1m30s"`},
		{"n", []string{"-1"}, "-1", `-1`},
		{"size", []string{"5000000000"}, "5000000000", `5000000000`},
		{"doc", []string{`{"a":1}`}, `{"a":1}`, `{"a":1}`},
	} {
		f, ok := Named(fields(), tt.name)
		if !ok {
			t.Fatalf("no field %s", tt.name)
		}
		var v, zero thing
		if err := f.Set(&v, tt.values...); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		raw, err := f.MarshalValue(&v)
		if got := f.String(&v); got != tt.text || string(raw) != tt.doc || err != nil {
			t.Errorf("%s: got %q, %s, %v; want %q, %s", tt.name, got, raw, err, tt.text, tt.doc)
		}
		if f.IsZero(&v) != (tt.text == "") {
			t.Errorf("%s %q: IsZero is %v", tt.name, tt.text, f.IsZero(&v))
		}
		var other thing
		f.Copy(&other, &v)
		if !f.Equal(&other, &v) || f.Equal(&zero, &v) != f.IsZero(&v) {
			t.Errorf("%s: a copy differs", tt.name)
		}
		f.Clear(&other)
		if !f.IsZero(&other) {
			t.Errorf("%s: not cleared", tt.name)
		}
	}
}

func TestWrongForms(t *testing.T) {
	for name, value := range map[string]string{"on": "maybe", "ttl": "soon", "n": "1.5", "size": "1k"} {
		f, _ := Named(fields(), name)
		if err := f.Set(new(thing), value); err == nil || !strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestZeroValuesInJSON(t *testing.T) {
	want := map[string]string{
		"name": `""`, "on": `false`, "hosts": `[]`, "scope": `""`, "ttl": `null`, "per": `null`, "n": `0`, "size": `0`, "doc": ``,
	}
	for _, f := range fields() {
		if raw, err := f.MarshalValue(new(thing)); err != nil || string(raw) != want[f.Name] {
			t.Errorf("%s: got %s, %v; want %s", f.Name, raw, err, want[f.Name])
		}
	}
}

func TestPatch(t *testing.T) {
	was := thing{name: "a", hosts: []string{"h"}, ttl: time.Minute}
	var p Patch[thing]
	for name, value := range map[string]string{"name": "b", "on": "true"} {
		f, _ := Named(fields(), name)
		if err := p.Set(f, value); err != nil {
			t.Fatal(err)
		}
	}
	hosts, _ := Named(fields(), "hosts")
	p.Clear(hosts)
	is := was
	p.Apply(fields(), &is)
	if is.name != "b" || !is.on || is.hosts != nil || is.ttl != time.Minute {
		t.Errorf("got %+v", is)
	}
	if got := Differences(fields(), &was, &is); !slices.Equal(got, []string{"hosts", "name", "on"}) {
		t.Errorf("differences: %v", got)
	}
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"3600": time.Hour, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0": 0,
	} {
		if d, err := ParseDuration(s); err != nil || d != want {
			t.Errorf("%s: got %v, %v; want %v", s, d, err, want)
		}
	}
	for _, s := range []string{"", "-1", "-5m", "1 h", "soon", "d", "99999999999999999999", "9999999d"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q is taken as %v", s, d)
		}
	}
	for d, want := range map[time.Duration]string{0: "", time.Hour: "1h", 90 * time.Minute: "1h30m", time.Minute: "1m", 61 * time.Second: "1m1s"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// TestChanges checks that only marked fields show their values.
func TestChanges(t *testing.T) {
	all := fields()
	for i := range all {
		all[i].Audited = all[i].Name == "name" || all[i].Name == "on" || all[i].Name == "ttl" || all[i].Name == "scope"
	}
	was := thing{name: "a", doc: json.RawMessage(`{"d":"secret"}`)}
	is := thing{name: "b", on: true, ttl: time.Minute, hosts: []string{"secret"}}
	is.scope = []string{"https://user:secret@host/a@b", "http://u@h:1"}
	want := []audit.Change{
		{Field: "doc"},
		{Field: "hosts"},
		{Field: "name", Before: "a", After: "b"},
		{Field: "on", Before: "false", After: "true"},
		{Field: "scope", After: "https://***@host/a@b http://***@h:1"},
		{Field: "ttl", After: "1m0s"},
	}
	if got := Changes(all, &was, &is); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Changes(all, &was, &was); got != nil {
		t.Errorf("nothing differs, got %v", got)
	}
}
