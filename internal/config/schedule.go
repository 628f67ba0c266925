package config

import (
	"strconv"
	"strings"
	"time"
)

// A Schedule is times that repeat, as cron describes them. The zero value is never due.
type Schedule struct {
	text   string
	minute uint64 // a bit for each value
	hour   uint64
	day    uint64
	month  uint64
	week   uint64 // 0 and 7 are Sunday

	anyDay, anyWeek bool // the field is *
}

// String returns the schedule as it was written.
func (s Schedule) String() string { return s.text }

// Due reports whether a time of the schedule lies after last and not after now. Times are UTC. It
// looks back a month at most.
func (s Schedule) Due(last, now time.Time) bool {
	if s.text == "" {
		return false
	}
	now = now.UTC().Truncate(time.Minute)
	for t := now; t.After(last) && now.Sub(t) < 31*day; t = t.Add(-time.Minute) {
		if s.matches(t) {
			return true
		}
	}
	return false
}

// matches reports whether a minute is one of the schedule. Where both days are restricted, one of
// them suffices, as in cron.
func (s Schedule) matches(t time.Time) bool {
	if s.minute&(1<<t.Minute()) == 0 || s.hour&(1<<t.Hour()) == 0 || s.month&(1<<int(t.Month())) == 0 {
		return false
	}
	onDay := s.day&(1<<t.Day()) != 0
	onWeek := s.week&(1<<int(t.Weekday())) != 0
	switch {
	case s.anyDay:
		return onWeek
	case s.anyWeek:
		return onDay
	}
	return onDay || onWeek
}

// schedule is a setting with five fields of cron.
type schedule struct{ p *Schedule }

func (v schedule) parse(text string) error {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return accept("must be " + v.accepts())
	}
	s := Schedule{text: strings.Join(fields, " "), anyDay: fields[2] == "*", anyWeek: fields[4] == "*"}
	for i, f := range []struct {
		to        *uint64
		low, high int
	}{{&s.minute, 0, 59}, {&s.hour, 0, 23}, {&s.day, 1, 31}, {&s.month, 1, 12}, {&s.week, 0, 7}} {
		set, ok := cronField(fields[i], f.low, f.high)
		if !ok {
			return accept("must be " + v.accepts())
		}
		*f.to = set
	}
	if s.week&(1<<7) != 0 {
		s.week |= 1
	}
	*v.p = s
	return nil
}

func (v schedule) accepts() string {
	return `five fields of cron: minute, hour, day, month and day of the week, as in "0 2 * * *"`
}
func (v schedule) isBool() bool { return false }

// cronField returns the values that a field lists: numbers, ranges as in 1-5, * for all, each with
// a step as in */15.
func cronField(text string, low, high int) (set uint64, ok bool) {
	for part := range strings.SplitSeq(text, ",") {
		span, every, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(every)
			if err != nil || n < 1 {
				return 0, false
			}
			step = n
		}
		from, to := low, high
		if span != "*" {
			first, last, isRange := strings.Cut(span, "-")
			a, err := strconv.Atoi(first)
			if err != nil {
				return 0, false
			}
			from = a
			switch {
			case isRange:
				if to, err = strconv.Atoi(last); err != nil {
					return 0, false
				}
			case !stepped:
				to = from
			}
		}
		if from < low || to > high || from > to {
			return 0, false
		}
		for n := from; n <= to; n += step {
			set |= 1 << n
		}
	}
	return set, true
}
