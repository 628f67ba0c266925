package field

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	day         = 24 * time.Hour
	maxDuration = 100 * 365 * day
)

// ParseDuration parses a duration as the settings do: 3600 (seconds), 90s, 15m, 1h30m; and 7d,
// since people think of grace periods in days.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	unit := time.Second
	number, days := strings.CutSuffix(s, "d")
	if days {
		unit = day
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n >= 0 && n <= int64(maxDuration/unit) {
			return time.Duration(n) * unit, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a duration; use seconds, or a form like 90s, 15m, 1h30m or 7d", s)
}

// FormatDuration returns a short form such as 1h30m, or "" for 0.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
