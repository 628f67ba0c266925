package access

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Span is a duration that is written as text, such as 30s or 5m, or as a number of seconds.
type Span time.Duration

// D is the duration.
func (s Span) D() time.Duration { return time.Duration(s) }

func (s Span) String() string { return time.Duration(s).String() }

// MarshalText writes it as Go does: 1m30s.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads 1m30s, or 90 for seconds.
func (s *Span) UnmarshalText(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil && n >= 0 && n < 1<<32 {
		*s = Span(time.Duration(n) * time.Second)
		return nil
	}
	d, err := time.ParseDuration(string(b))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration; write 30s, 5m or a number of seconds", b)
	}
	*s = Span(d)
	return nil
}

// UnmarshalJSON takes a number of seconds, too.
func (s *Span) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	return s.UnmarshalText([]byte(text))
}
