package fault_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestKinds(t *testing.T) {
	inner := fault.New(fault.NotFound, "no row")
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
		text string
		says string
	}{
		"of a kind":              {fault.New(fault.Denied, "no %s", "entry"), fault.Denied, "no entry", "no entry"},
		"nobody classified it":   {errors.New("pq: x"), fault.Internal, "", "pq: x"},
		"wrapped by another":     {fmt.Errorf("reading: %w", inner), fault.NotFound, "no row", "reading: no row"},
		"classified anew":        {fault.Wrap(fault.Invalid, inner, "no such client"), fault.Invalid, "no such client", "no such client: no row"},
		"with a field":           {fault.InvalidField("email", "not an address"), fault.Invalid, "not an address", "not an address"},
		"with a time to wait":    {fault.RetryAfter(fault.Limited, time.Second, "wait"), fault.Limited, "wait", "wait"},
		"a cause without a text": {fault.Wrap(fault.Unavailable, errors.New("dial"), ""), fault.Unavailable, "", "unavailable: dial"},
		"joined":                 {errors.Join(errors.New("a"), inner), fault.NotFound, "no row", "a\nno row"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fault.KindOf(c.err); got != c.kind || !fault.Is(c.err, c.kind) {
				t.Errorf("kind %s", got)
			}
			if got := fault.Text(c.err); got != c.text {
				t.Errorf("text %q", got)
			}
			if got := c.err.Error(); got != c.says {
				t.Errorf("says %q", got)
			}
		})
	}
}

func TestNilIsNoFault(t *testing.T) {
	if fault.Wrap(fault.Invalid, nil, "x") != nil {
		t.Error("wrapping nothing makes an error")
	}
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if fault.Is(nil, k) {
			t.Errorf("nil is %s", k)
		}
	}
	if fault.Text(nil) != "" {
		t.Error("nil has a text")
	}
}

func TestCauseIsReachable(t *testing.T) {
	cause := errors.New("cause")
	if !errors.Is(fault.Wrap(fault.Invalid, cause, "x"), cause) {
		t.Error("the cause is lost")
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if s := k.String(); s == "" || seen[s] {
			t.Errorf("kind %d is %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if fault.Kind(99).String() != "internal" {
		t.Error("an unknown kind has a name of its own")
	}
}
