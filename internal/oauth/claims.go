package oauth

import (
	"encoding/json"
	"math"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Audience is an `aud` claim: one string or a list (RFC 7519 §4.1.3). A single audience is
// written as a string.
type Audience []string

// UnmarshalJSON reads both forms.
func (a *Audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// MarshalJSON writes a single audience as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// NumericDate is a time in whole seconds since 1970 (RFC 7519 §2). Fractions are cut off.
type NumericDate int64

// maxNumericDate is the end of the year 9999: a later date is a mistake or an attempt to
// overflow.
const maxNumericDate = 253402300799

// NumericDateOf returns a time as a NumericDate, 0 for the zero time.
func NumericDateOf(t time.Time) NumericDate {
	if t.IsZero() {
		return 0
	}
	return NumericDate(t.Unix())
}

// UnmarshalJSON reads whole and fractional numbers.
func (d *NumericDate) UnmarshalJSON(raw []byte) error {
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	if math.IsNaN(f) || f < 0 || f > maxNumericDate {
		return fault.New(fault.Invalid, "the time is out of range")
	}
	*d = NumericDate(f)
	return nil
}

// Time returns the date as a time in UTC.
func (d NumericDate) Time() time.Time { return time.Unix(int64(d), 0).UTC() }
