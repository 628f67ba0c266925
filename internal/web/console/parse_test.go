package console_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/web/console"
)

// Servers parse a page when it is first shown, so that here is where a mistake is found.
func TestEveryPageParses(t *testing.T) {
	if err := console.Check(newSite(t).console); err != nil {
		t.Error(err)
	}
}
