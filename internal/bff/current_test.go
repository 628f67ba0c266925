package bff_test

import (
	"testing"
	"time"
)

// A call that goes on for hours is no sign of a person: asking about it keeps no session alive.
func TestCurrentCallerDoesNotCountAsUse(t *testing.T) {
	w := newWorld(t)
	w.signIn("")
	r := w.request("GET", "/")
	for name, row := range map[string]struct {
		ask  func() (bool, error)
		live bool
	}{
		"under way": {func() (bool, error) { c, err := w.apps.CurrentCaller(t.Context(), r); return c != nil, err }, false},
		"requests":  {func() (bool, error) { c, err := w.apps.Caller(t.Context(), r); return c != nil, err }, true},
	} {
		w.signIn("")
		r = w.request("GET", "/")
		live := true
		for range 5 {
			w.clock.pass(10 * time.Minute)
			is, err := row.ask()
			if err != nil {
				t.Fatal(err)
			}
			live = live && is
		}
		if live != row.live {
			t.Errorf("%s: live is %v after 50 minutes", name, live)
		}
	}
}
