package oauth

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestWire(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		code   string
		status int
	}{
		"its own words":    {InvalidGrant("x"), "invalid_grant", 400},
		"bad input":        {fault.New(fault.Invalid, "The “x” is bad."), "invalid_request", 400},
		"too many":         {fault.New(fault.Limited, "x"), "rate_limit_exceeded", 429},
		"overload":         {fault.New(fault.Unavailable, "x"), "temporarily_unavailable", 503},
		"storage":          {errors.New("pq: relation"), "server_error", 500},
		"anything missing": {fault.New(fault.NotFound, "row"), "server_error", 500},
	} {
		e := Wire(c.err)
		if e.Code != c.code || e.Status != c.status || strings.ContainsAny(e.Description, "\"\\“") ||
			strings.Contains(e.Description, "pq") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
