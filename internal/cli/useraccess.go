package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userFactorCommands manage the second factors of an account one by one.
type userFactorCommands struct {
	List   userFactorList   `cmd:"" aliases:"ls" help:"List the second factors of an account."`
	Remove userFactorRemove `cmd:"" aliases:"rm" help:"Remove one second factor of an account; with the last one go the backup codes."`
}

// userFactorList lists second factors.
type userFactorList struct{ userRef }

// listedFactor is a second factor with its id.
type listedFactor struct {
	ID identity.CredentialID `json:"id"`
	factorView
}

// Run prints the second factors.
func (f *userFactorList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		factors, err := ops.UserFactors(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		views := make([]listedFactor, 0, len(factors))
		for i := range factors {
			x := &factors[i]
			views = append(views, listedFactor{x.ID, factorView{
				Kind:       x.Kind,
				Label:      x.Label,
				CreatedAt:  timestamp{x.CreatedAt},
				LastUsedAt: timestamp{x.LastUsedAt},
			}})
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("FACTOR ID", "KIND", "LABEL", "CREATED", "LAST USED")
			for _, v := range views {
				s.row(string(v.ID), v.Kind, v.Label, s.when(v.CreatedAt.Time), s.when(v.LastUsedAt.Time))
			}
		})
	})
}

// userFactorRemove removes a second factor.
type userFactorRemove struct {
	userRef
	Factor identity.CredentialID `arg:"" name:"factor-id" help:"The factor's id, as user factors list shows it."`
	Yes    bool                  `short:"y" help:"Do not ask for confirmation."`
}

// Run removes the factor after confirmation.
func (f *userFactorRemove) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.User(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		if err := c.confirm(f.Yes, "second factor", string(f.Factor)); err != nil {
			return err
		}
		if err := ops.RemoveFactor(ctx, a, string(u.ID), f.Factor); err != nil {
			return err
		}
		doc := object{{"user_id", u.ID}, {"factor_id", f.Factor}, {"result", "removed"}}
		return c.done(doc, "Second factor %s of %s is removed.", f.Factor, u.LoginName())
	})
}

// userAuthorizationCommands manage what an account has allowed applications.
type userAuthorizationCommands struct {
	List   userAuthorizationList   `cmd:"" aliases:"ls" help:"List the applications that act for an account, or may do so."`
	Revoke userAuthorizationRevoke `cmd:"" help:"Disconnect an application from an account, or all of them."`
}

// userAuthorizationList lists applications.
type userAuthorizationList struct{ userRef }

// authorizationView is an application that acts for an account.
type authorizationView struct {
	Client     string    `json:"client_id"`
	ClientName string    `json:"client_name"`
	Scope      string    `json:"scope"`
	CreatedAt  timestamp `json:"created_at"`
	LastUsedAt timestamp `json:"last_used_at"`
	Grants     int       `json:"grants"`
}

// Run prints the applications, the one used last first.
func (f *userAuthorizationList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		all, err := ops.UserAuthorizations(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		views := make([]authorizationView, 0, len(all))
		for _, x := range all {
			views = append(views, authorizationView{
				Client:     string(x.Client),
				ClientName: x.ClientName,
				Scope:      strings.Join(x.Scopes, " "),
				CreatedAt:  timestamp{x.Since},
				LastUsedAt: timestamp{x.LastUsedAt},
				Grants:     x.Grants,
			})
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("CLIENT ID", "NAME", "ALLOWED", "LAST USED", "GRANTS", "SCOPES")
			for _, v := range views {
				s.row(v.Client, v.ClientName, s.when(v.CreatedAt.Time), s.when(v.LastUsedAt.Time), strconv.Itoa(v.Grants), v.Scope)
			}
		})
	})
}

// userAuthorizationRevoke disconnects applications.
type userAuthorizationRevoke struct {
	userRef
	Client string `arg:"" optional:"" help:"The application's id or name."`
	All    bool   `help:"Disconnect all applications, and revoke every token of the account."`
}

// Run deletes the consents and ends the access that they gave.
func (f *userAuthorizationRevoke) Run(ctx context.Context, c *call) error {
	if (f.Client == "") != f.All {
		return wrong("name one application, or use --all")
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.User(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		n, err := ops.RevokeUserAuthorizations(ctx, a, string(u.ID), f.Client)
		if err != nil {
			return err
		}
		doc := object{{"user_id", u.ID}, {"revoked", n}}
		return c.done(doc, "Applications disconnected from %s: %d.", u.LoginName(), n)
	})
}

// userRevokeTokens ends tokens.
type userRevokeTokens struct{ userRef }

// Run revokes all tokens of the account. Browsers stay signed in.
func (f *userRevokeTokens) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.RevokeUserTokens(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		doc := object{{"id", u.ID}, {"result", "tokens revoked"}}
		return c.done(doc, "All tokens of %s are revoked.", u.LoginName())
	})
}

// userSendPasswordReset mails a link.
type userSendPasswordReset struct{ userRef }

// Run queues a message with a link to set a new password.
func (f *userSendPasswordReset) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.SendPasswordReset(ctx, a, f.Ref)
		return c.mailDone(u, "set a new password", err)
	})
}

// userSendVerification mails a link.
type userSendVerification struct{ userRef }

// Run queues a message with a link that proves the email address.
func (f *userSendVerification) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.SendVerification(ctx, a, f.Ref)
		return c.mailDone(u, "confirm the address", err)
	})
}

// mailDone prints that a message to the person is queued, or returns the error.
func (c *call) mailDone(u *identity.User, purpose string, err error) error {
	if err != nil {
		return noUser(err)
	}
	doc := object{{"id", u.ID}, {"email", u.Email}, {"result", "queued"}}
	return c.done(doc, "A message to %s with a link to %s is queued.", u.Email, purpose)
}
