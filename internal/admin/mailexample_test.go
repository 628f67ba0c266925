package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Every message has an example, whose links lead to pages of the issuer.
func TestExampleMail(t *testing.T) {
	const issuer = "https://id.example"
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, name := range outbox.Messages() {
		m, err := admin.ExampleMail(issuer, name, "de", now)
		testkit.Must(t, err)
		testkit.Equal(t, name, m.Message, name)
		for _, value := range []string{"link", "link2"} {
			if link := m.Values[value]; link != "" && !strings.HasPrefix(link, issuer+"/") {
				t.Errorf("%s: %s leads to %s", name, value, link)
			}
		}
		none := name == outbox.MessageTest || name == outbox.MessageAccountDeleted
		if empty := len(m.Values) == 0; empty != none {
			t.Errorf("%s mentions %v", name, m.Values)
		}
	}
	_, err := admin.ExampleMail(issuer, "verificatoin", "", now)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "did you mean verification?") {
		t.Errorf("the error is %v", err)
	}
}
