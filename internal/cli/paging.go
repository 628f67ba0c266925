package cli

import (
	"strconv"
	"strings"
	"time"
)

// maxPage is the longest page of a list that storage gives.
const maxPage = 1000

// pageFlags choose a part of a list.
type pageFlags struct {
	Limit  int `default:"100" help:"How many to show at most, up to 1000."`
	Offset int `help:"How many to pass over."`
}

func (p pageFlags) check() error {
	if p.Limit < 1 || p.Limit > maxPage {
		return wrong("--limit is %d; it takes 1 to %d", p.Limit, maxPage)
	}
	if p.Offset < 0 {
		return wrong("--offset is %d; it cannot be negative", p.Offset)
	}
	return nil
}

// span is a duration on the command line, in the forms that the settings take: 3600 (seconds), 90s, 15m, 1h30m; and
// 7d, since grace periods are thought of in days.
type span time.Duration

// UnmarshalText reads one.
func (s *span) UnmarshalText(text []byte) error {
	raw := strings.TrimSpace(string(text))
	if d, ok := parseSpan(raw); ok {
		*s = span(d)
		return nil
	}
	return wrong("%q is no duration; use seconds, or a form like 90s, 15m, 1h30m or 7d", raw)
}

func parseSpan(raw string) (time.Duration, bool) {
	unit := time.Second
	number, days := strings.CutSuffix(raw, "d")
	if days {
		unit = 24 * time.Hour
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		return time.Duration(n) * unit, n >= 0 && n <= int64(100*365*24*time.Hour/unit)
	}
	d, err := time.ParseDuration(raw)
	return d, err == nil && d >= 0
}
