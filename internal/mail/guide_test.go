package mail

import (
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The guide says of every message when it is sent.
func TestGuideListsMessages(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/mail.md")
	testkit.Must(t, err)
	rows := strings.Split(string(guide), "\n")
	for _, name := range outbox.Messages() {
		n := 0
		for _, row := range rows {
			cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
			if strings.HasPrefix(row, "| ") && strings.Contains(cell, "`"+name+"`") {
				n++
			}
		}
		testkit.Equal(t, "rows about "+name, n, 1)
	}
}
