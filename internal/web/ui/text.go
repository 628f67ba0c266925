package ui

import (
	"fmt"
	"time"
)

// Moment is a point in time, written for programs and in two ways for people.
type Moment struct {
	Machine  string // RFC 3339, UTC
	Absolute string // "21 Nov 2026, 14:05 UTC"
	Relative string // "2 hours ago", or "" when the page does not know the present
	Local    bool   // no time zone is known: times.js writes Absolute in the browser's
}

// Known reports whether there is a time to show.
func (m Moment) Known() bool { return m.Machine != "" }

// When returns a point in time as seen from the request, in the person's time zone. The zero time
// gives the zero Moment.
func (b Base) When(t time.Time) Moment {
	if t.IsZero() {
		return Moment{}
	}
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	m := Moment{
		Machine:  t.UTC().Format(time.RFC3339),
		Absolute: t.In(zone).Format("2 Jan 2006, 15:04 MST"),
		Local:    b.Zone == nil,
	}
	if !b.Now.IsZero() {
		m.Relative = relative(b.Now.Sub(t))
	}
	return m
}

// relative returns how long ago a time is, or how soon it comes.
func relative(past time.Duration) string {
	switch {
	case past < -time.Minute:
		return "in " + DurationWords(-past)
	case past < time.Minute:
		return "just now"
	}
	return DurationWords(past) + " ago"
}

const (
	day   = 24 * time.Hour
	week  = 7 * day
	month = 30 * day
	year  = 365 * day
)

// DurationWords returns a duration in its largest whole unit, at least "1 minute": "2 hours".
func DurationWords(d time.Duration) string {
	units := [...]struct {
		length, from time.Duration
		name         string
	}{
		{year, year, "year"},
		{month, 2 * month, "month"},
		{week, 2 * week, "week"},
		{day, day, "day"},
		{time.Hour, time.Hour, "hour"},
		{time.Minute, time.Minute, "minute"},
	}
	for _, u := range units {
		if d >= u.from {
			return count(int(d/u.length), u.name)
		}
	}
	return "1 minute"
}

// count returns a number of things in English: "1 device", "2 devices".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// waitWords returns what to do about a lockout. It rounds up, so that a person who waits as long as
// the page says is not rejected again.
func waitWords(d time.Duration) string {
	up := func(unit time.Duration) int { return int((d + unit - 1) / unit) }
	switch {
	case d > year:
		return "Ask your administrator to unlock your account."
	case d > 2*day:
		return "Try again in " + count(up(day), "day") + "."
	case d > 2*time.Hour:
		return "Try again in " + count(up(time.Hour), "hour") + "."
	}
	return "Try again in " + count(max(1, up(time.Minute)), "minute") + "."
}
