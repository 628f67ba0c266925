package doctor

import (
	"strings"
	"testing"
	"time"
)

// The verb of a finding agrees with the number of its clients.
func TestPosturesAgreeInNumber(t *testing.T) {
	for _, p := range append(grantPostures(), secretPostures(time.Now())...) {
		if p.says(2) != p.what {
			t.Errorf("%s: %q", p.name, p.says(2))
		}
		if one := p.says(1); one == p.what && !strings.HasPrefix(one, "may ") {
			t.Errorf("%s: one client %q", p.name, one)
		}
	}
}
