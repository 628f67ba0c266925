package cli

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// grantCommands manage the access that a client has now.
type grantCommands struct {
	List   grantList   `cmd:"" help:"List the grants of a client, the one used last first: at most 100."`
	Revoke grantRevoke `cmd:"" help:"Revoke one grant of a client, with its tokens; consent stays."`
}

// grantList lists grants.
type grantList struct {
	clientRef
	User string `placeholder:"USER" help:"Only those of this person: an id, email address or username."`
}

// grantView is a grant as the command line shows it.
type grantView struct {
	ID         oauth.GrantID `json:"id"`
	User       string        `json:"user_id"`
	UserName   string        `json:"user_name"`
	Agent      string        `json:"user_agent"`
	IP         string        `json:"ip"`
	Kind       string        `json:"grant_type"`
	Scope      string        `json:"scope"`
	CreatedAt  timestamp     `json:"created_at"`
	LastUsedAt timestamp     `json:"last_used_at"`
	ExpiresAt  timestamp     `json:"expires_at"`
}

// Run prints the grants.
func (f *grantList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		all, err := ops.ClientGrants(ctx, a, f.Ref, f.User)
		if err != nil {
			return noClient(err)
		}
		views := make([]grantView, 0, len(all.Grants))
		for i := range all.Grants {
			g := &all.Grants[i]
			views = append(views, grantView{
				ID:         g.ID,
				User:       string(g.User),
				UserName:   g.UserName,
				Agent:      g.Agent,
				IP:         g.IP,
				Kind:       g.Kind,
				Scope:      strings.Join(g.Scopes, " "),
				CreatedAt:  timestamp{g.CreatedAt},
				LastUsedAt: timestamp{g.LastUsedAt},
				ExpiresAt:  timestamp{g.ExpiresAt},
			})
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("GRANT ID", "USER", "ADDRESS", "CREATED", "LAST USED", "SCOPES")
			for _, v := range views {
				s.row(string(v.ID), v.UserName, v.IP, s.when(v.CreatedAt.Time), s.when(v.LastUsedAt.Time), v.Scope)
			}
			if all.More {
				s.line("There are more: find those of one person with --user.")
			}
		})
	})
}

// grantRevoke ends a grant.
type grantRevoke struct {
	clientRef
	Grant oauth.GrantID `arg:"" name:"grant-id" help:"The grant's id, as client grants list shows it."`
}

// Run ends the grant.
func (f *grantRevoke) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		if err := ops.RevokeClientGrant(ctx, a, string(cl.ID), f.Grant); err != nil {
			return err
		}
		doc := object{{"client_id", cl.ID}, {"grant_id", f.Grant}, {"result", "revoked"}}
		return c.done(doc, "Grant %s of client %s is revoked.", f.Grant, cl.ID)
	})
}
