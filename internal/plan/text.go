package plan

import "strconv"

// Tone is what a line of a plan is about, so that it can be shown in a color.
type Tone string

// The tones.
const (
	TonePlain  Tone = ""
	ToneCreate Tone = "create"
	ToneUpdate Tone = "update"
	ToneDelete Tone = "delete"
	ToneFaint  Tone = "faint"
)

// Line is a line of a plan for people.
type Line struct {
	Tone Tone
	Text string
}

// Lines returns a plan for people, without its summary.
func (p *Plan) Lines(sections []Section) []Line {
	nouns := map[string]string{}
	for i := range sections {
		nouns[sections[i].Name] = sections[i].Noun
	}
	var out []Line
	for i := range p.Changes {
		c := &p.Changes[i]
		tone, mark := c.Action.look()
		out = append(out, Line{tone, mark + " " + nouns[c.Section] + " " + c.Key + lineOf(c.Line)})
		for _, f := range c.Fields {
			out = append(out, Line{tone, "    " + f.Describe(c.Action)})
		}
	}
	for i := range p.Orphans {
		c := &p.Orphans[i]
		out = append(out, Line{ToneFaint, ". " + nouns[c.Section] + " " + c.Key +
			" is not in the document any more; --prune deletes it"})
	}
	for _, o := range p.Open {
		why := " is not compared, because " + o.Reference + " has no value here"
		if o.Field == "client_secret" {
			why = " may change; it is compared only with a value of " + o.Reference +
				" and the scope admin:clients:write"
		}
		out = append(out, Line{ToneFaint, ". " + nouns[o.Section] + " " + o.Key + ": " + o.Field + why})
	}
	return out
}

func (a Action) look() (tone Tone, mark string) {
	switch a {
	case Create:
		return ToneCreate, "+"
	case Delete:
		return ToneDelete, "-"
	}
	return ToneUpdate, "~"
}

func lineOf(n int) string {
	if n == 0 {
		return ""
	}
	return " (line " + strconv.Itoa(n) + ")"
}

// text returns a change of a member for people.
func (f *FieldChange) text(a Action) string {
	switch {
	case f.Hidden && a == Create:
		return "set, not shown"
	case f.Hidden:
		return "changes, not shown"
	case a == Create:
		return quoted(f.After)
	}
	return quoted(f.Before) + " → " + quoted(f.After)
}

// Describe returns the change for people, with the name of the member.
func (f *FieldChange) Describe(a Action) string { return f.Field + ": " + f.text(a) }

func quoted(s string) string {
	if s == "" {
		return "(none)"
	}
	return strconv.Quote(s)
}
