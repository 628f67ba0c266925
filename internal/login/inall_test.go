package login

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// What strangers ask for is counted in all before anything depends on the name that they give, and
// a request beyond the limit leaves nothing behind.
func TestRequestsOfStrangersAreCountedInAll(t *testing.T) {
	var counted []Request
	h := newHarness(t, withEmail, func(c *Config) {
		c.SignUp, c.VerifyTTL = true, time.Hour
		c.Admit = func(_ context.Context, _ Visit, r Request) error {
			counted = append(counted, r)
			return fault.New(fault.Limited, "Too many requests.")
		}
	})
	step, err := h.signIn("alice", right)
	home := h.wantDone(step, err).Device
	plain, err := json.Marshal(signUpCookie{ID: "1", Email: "new@example.com", Issued: h.now.UnixMilli()})
	testkit.Must(t, err)
	cookie := h.s.pending.Seal(plain, cookieContext)

	requests := map[string]func(v Visit, name string) error{
		RequestReset: func(v Visit, name string) error { return h.s.RequestPasswordReset(ctx, v, name, "") },
		RequestCode: func(v Visit, name string) error {
			_, err := h.s.Open(ctx, v, kindEmailCode, name)
			return err
		},
		RequestSignUp: func(v Visit, name string) error {
			_, err := h.s.SignUp(ctx, v, SignUpForm{Email: name, Password: chosen})
			return err
		},
		RequestSignUp + " again": func(v Visit, _ string) error {
			_, err := h.s.ResendSignUp(ctx, v, cookie)
			return err
		},
		RequestSignUp + " message": func(v Visit, name string) error { return h.s.RequestVerification(ctx, v, name) },
	}
	for what, request := range requests {
		queued, recorded := len(h.m.queue), len(h.m.events)
		for _, name := range []string{"alice@example.com", "nobody@example.com"} {
			h.wantErr(request(h.visit(), name), fault.Limited, "Too many requests.")
			testkit.Equal(t, what+": browser of a stranger", counted[len(counted)-1].Browser, "")
		}
		v := h.visit()
		v.Device = home
		h.wantErr(request(v, "alice@example.com"), fault.Limited, "Too many requests.")
		if last := counted[len(counted)-1]; last.Browser == "" || what[:len(last.Kind)] != last.Kind {
			t.Errorf("%s in a browser that an account knows is counted as %+v", what, last)
		}
		left := []int{len(h.m.queue), len(h.m.events)}
		testkit.Equal(t, what+": left behind", left, []int{queued, recorded})
	}
}
