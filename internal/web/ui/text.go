package ui

import (
	"html"
	"html/template"
	"time"
)

// Moment is a point in time, written for programs and in two ways for people.
type Moment struct {
	Machine  string // RFC 3339, UTC
	Absolute string // "21 Nov 2026, 14:05 UTC"
	Relative string // "2 hours ago", or "" when the page does not know the present
	Local    bool   // no time zone is known: times.js writes Absolute in the browser's
	Never    string // stands for a time that is not known
}

// Short returns the relative time, or the absolute one where the page does not know the present.
func (m Moment) Short() string {
	if m.Relative == "" {
		return m.Absolute
	}
	return m.Relative
}

// HTML returns the time as an element, for a place in a text.
func (m Moment) HTML() template.HTML {
	if !m.Known() {
		return template.HTML(html.EscapeString(m.Never))
	}
	local := ""
	if m.Local {
		local = " data-local"
	}
	words := html.EscapeString(m.Absolute)
	if m.Relative != "" {
		words = html.EscapeString(m.Relative) + ` <span class="exact">(` + words + ")</span>"
	}
	return template.HTML(`<time datetime="` + html.EscapeString(m.Machine) + `"` + local + ">" + words + "</time>")
}

// Known reports whether there is a time to show.
func (m Moment) Known() bool { return m.Machine != "" }

// When returns a point in time as seen from the request, in the person's time zone. The zero time
// gives the zero Moment.
func (b Base) When(t time.Time) Moment {
	if t.IsZero() {
		return Moment{Never: b.T("common.never")}
	}
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	m := Moment{
		Machine:  t.UTC().Format(time.RFC3339),
		Absolute: b.texts.Date(t.In(zone)),
		Local:    b.Zone == nil,
	}
	if !b.Now.IsZero() {
		m.Relative = b.relative(b.Now.Sub(t))
	}
	return m
}

// relative returns how long ago a time is, or how soon it comes.
func (b Base) relative(past time.Duration) string {
	switch {
	case past < -time.Minute:
		n, unit := largestUnit(-past)
		return b.N("common.time.in."+unit, n)
	case past < time.Minute:
		return b.T("common.time.now")
	}
	n, unit := largestUnit(past)
	return b.N("common.time.ago."+unit, n)
}

const (
	day   = 24 * time.Hour
	week  = 7 * day
	month = 30 * day
	year  = 365 * day
)

// largestUnit returns a duration in its largest whole unit, at least 1 minute.
func largestUnit(d time.Duration) (n int, unit string) {
	units := [...]struct {
		length, from time.Duration
		name         string
	}{
		{year, year, "years"},
		{month, 2 * month, "months"},
		{week, 2 * week, "weeks"},
		{day, day, "days"},
		{time.Hour, time.Hour, "hours"},
		{time.Minute, time.Minute, "minutes"},
	}
	for _, u := range units {
		if d >= u.from {
			return int(d / u.length), u.name
		}
	}
	return 1, "minutes"
}

// waitWords returns what to do about a lockout. It rounds up, so that a person who waits as long as
// the page says is not rejected again.
func (b Base) waitWords(d time.Duration) string {
	up := func(unit time.Duration) int { return int((d + unit - 1) / unit) }
	switch {
	case d > year:
		return b.T("login.wait.admin")
	case d > 2*day:
		return b.N("login.wait.days", up(day))
	case d > 2*time.Hour:
		return b.N("login.wait.hours", up(time.Hour))
	}
	return b.N("login.wait.minutes", max(1, up(time.Minute)))
}
