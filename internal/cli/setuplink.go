package cli

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// setupLinkCommand makes the link for the first administrator, where serve does not print it: its
// output may be a log that others read.
type setupLinkCommand struct{}

// Run prints the link.
func (*setupLinkCommand) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		link, err := ops.SetupLink(ctx, a)
		if err != nil {
			return err
		}
		return c.show(map[string]string{"setup_link": link}, func(s *table) {
			s.line("%s", link)
			s.line("The link works once, for 24 hours, until there is an administrator.")
		})
	})
}
