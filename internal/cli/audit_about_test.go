package cli

import "testing"

// The text of an event names its target, once.
func TestEventNamesItsTarget(t *testing.T) {
	for _, tc := range []struct {
		view eventView
		want string
	}{
		{eventView{Target: "role", TargetID: "billing"}, "role=billing"},
		{eventView{Target: "client", TargetID: "web", Client: "web"}, "client=web"},
		{eventView{Target: "route", TargetID: "r1", Detail: map[string]string{"route": "r1"}}, "route=r1"},
		{eventView{User: "u1"}, "user=u1"},
	} {
		if got := tc.view.about(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
