package oauth

import (
	"encoding/json"
	"testing"
)

// RFC 7519 §2, §4.1.3.
func TestNumericDateAndAudience(t *testing.T) {
	var v struct {
		T NumericDate `json:"t"`
		A Audience    `json:"a"`
	}
	for in, want := range map[string]int64{`{"t":5}`: 5, `{"t":5.9}`: 5, `{"t":1e3}`: 1000} {
		v.T = 0
		if err := json.Unmarshal([]byte(in), &v); err != nil || int64(v.T) != want {
			t.Errorf("%s: %v %v", in, v.T, err)
		}
	}
	for _, in := range []string{`{"t":-1}`, `{"t":1e300}`, `{"t":"5"}`, `{"a":5}`, `{"a":[5]}`, `{"a":{}}`} {
		if json.Unmarshal([]byte(in), &v) == nil {
			t.Errorf("%s is read as %+v", in, v)
		}
	}
	for _, in := range []string{`"x"`, `["x","y"]`} {
		var a Audience
		if err := json.Unmarshal([]byte(in), &a); err != nil {
			t.Fatal(err)
		}
		if out, _ := json.Marshal(a); string(out) != in {
			t.Errorf("%s becomes %s", in, out)
		}
	}
}
