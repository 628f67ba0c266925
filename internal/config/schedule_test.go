package config

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	at := func(s string) time.Time {
		x, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, tt := range []struct {
		text, last, now string
		due             bool
	}{
		{"0 2 * * *", "2026-11-28 02:00", "2026-11-29 01:59", false},
		{"0 2 * * *", "2026-11-28 02:00", "2026-11-29 02:00", true},
		{"0 2 * * *", "2026-11-28 02:00", "2026-11-29 05:30", true},
		{"0 2 * * *", "2026-11-29 02:00", "2026-11-29 05:30", false},
		{"*/15 * * * *", "2026-11-29 05:01", "2026-11-29 05:14", false},
		{"*/15 * * * *", "2026-11-29 05:01", "2026-11-29 05:15", true},
		{"30 4 1,15 * 5", "2026-11-14 00:00", "2026-11-15 04:30", true}, // the 15th
		{"30 4 1,15 * 5", "2026-11-19 05:00", "2026-11-20 04:30", true}, // a Friday
		{"30 4 1,15 * 5", "2026-11-20 05:00", "2026-11-21 12:00", false},
		{"0 0 * * 7", "2026-11-28 01:00", "2026-11-29 00:00", true}, // Sunday
		{"5/20 1-3 * * *", "2026-11-28 05:00", "2026-11-29 01:45", true},
	} {
		var s Schedule
		if err := (schedule{&s}).parse(tt.text); err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		if got := s.Due(at(tt.last), at(tt.now)); got != tt.due {
			t.Errorf("%s from %s at %s: %v", tt.text, tt.last, tt.now, got)
		}
	}
	for _, text := range []string{"", "0 2 * *", "60 * * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "a * * * *", "5-1 * * * *", "*/0 * * * *", "1- * * * *"} {
		if err := (schedule{new(Schedule)}).parse(text); err == nil {
			t.Errorf("%q is a schedule", text)
		}
	}
	if (Schedule{}).Due(time.Time{}, time.Now()) {
		t.Error("no schedule is due")
	}
}
