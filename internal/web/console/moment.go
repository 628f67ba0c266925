package console

import (
	"fmt"
	"time"
)

// Moment is a point in time, written for programs and in two ways for people.
type Moment struct {
	Machine  string // RFC 3339, UTC
	Absolute string // "21 Nov 2026, 14:05 UTC"
	Relative string // "2 hours ago"
	Local    bool   // no time zone is known: the script writes Absolute in the browser's
}

// Known reports whether there is a time to show.
func (m Moment) Known() bool { return m.Machine != "" }

// When returns a point in time as seen from the request. The zero time gives the zero Moment.
func (b Base) When(t time.Time) Moment {
	if t.IsZero() {
		return Moment{}
	}
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	return Moment{
		Machine:  t.UTC().Format(time.RFC3339),
		Absolute: t.In(zone).Format("2 Jan 2006, 15:04 MST"),
		Relative: relative(b.Now.Sub(t)),
		Local:    b.Zone == nil,
	}
}

// relative returns how long ago a time is, or how soon it comes.
func relative(past time.Duration) string {
	if past > -time.Minute && past < time.Minute {
		return "just now"
	}
	if past < 0 {
		return "in " + span(-past)
	}
	return span(past) + " ago"
}

// span returns a duration in its largest whole unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		length, from time.Duration
		name         string
	}{
		{365 * day, 365 * day, "year"},
		{30 * day, 60 * day, "month"},
		{7 * day, 14 * day, "week"},
		{day, day, "day"},
		{time.Hour, time.Hour, "hour"},
	} {
		if d >= u.from {
			return count(int(d/u.length), u.name)
		}
	}
	return count(max(1, int(d/time.Minute)), "minute")
}

// count returns a number with a noun in its singular or plural.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// grouped returns a number with commas between groups of three digits.
func grouped(n int) string {
	if n < 0 {
		return "-" + grouped(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return grouped(n/1000) + fmt.Sprintf(",%03d", n%1000)
}
