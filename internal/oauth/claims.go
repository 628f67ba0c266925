package oauth

import (
	"encoding/json"
	"math"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// audience is an `aud` claim: one string or a list (RFC 7519 §4.1.3). One is written as a string.
type audience []string

// UnmarshalJSON takes both forms.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// MarshalJSON writes one audience as a string.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// seconds is a NumericDate (RFC 7519 §2); fractions are cut.
type seconds int64

// maxSeconds is the end of the year 9999: a date past it is a mistake or an attempt to overflow.
const maxSeconds = 253402300799

// UnmarshalJSON takes whole and fractional numbers.
func (t *seconds) UnmarshalJSON(raw []byte) error {
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	if math.IsNaN(f) || f < 0 || f > maxSeconds {
		return fault.New(fault.Invalid, "the time is out of range")
	}
	*t = seconds(f)
	return nil
}

// Time is the instant.
func (t seconds) Time() time.Time { return time.Unix(int64(t), 0).UTC() }

// at is an instant as a NumericDate; the zero time is 0.
func at(t time.Time) seconds {
	if t.IsZero() {
		return 0
	}
	return seconds(t.Unix())
}
