package access

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for in, want := range map[string]time.Duration{
		`"30s"`: 30 * time.Second, `"1m30s"`: 90 * time.Second, `"90"`: 90 * time.Second, `90`: 90 * time.Second, `0`: 0, `"0s"`: 0, `"1.5s"`: 1500 * time.Millisecond,
	} {
		var s Duration
		if err := json.Unmarshal([]byte(in), &s); err != nil || s.D() != want {
			t.Errorf("%s: %v, %v; want %v", in, s, err, want)
		}
		b, err := json.Marshal(s)
		var again Duration
		if err != nil || json.Unmarshal(b, &again) != nil || again != s {
			t.Errorf("%s: written as %s, read as %v", in, b, again)
		}
	}
	for _, in := range []string{`"soon"`, `""`, `-1`, `"-5s"`, `1.5`, `99999999999`, `true`, `{}`} {
		var s Duration
		if err := json.Unmarshal([]byte(in), &s); err == nil {
			t.Errorf("%s: taken as %v", in, s)
		}
	}
}
