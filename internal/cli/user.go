package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userCommands manage the people who can sign in.
type userCommands struct {
	Create       userCreate       `cmd:"" help:"Create an account."`
	List         userList         `cmd:"" aliases:"ls" help:"List accounts."`
	Show         userShow         `cmd:"" help:"Show one account."`
	Update       userUpdate       `cmd:"" help:"Change an account. Only what is named changes."`
	Invite       userInvite       `cmd:"" help:"Invite a person by email to take over an account."`
	SetPassword  userSetPassword  `cmd:"" help:"Set a new password for an account, or get a one-time link to choose one."`
	Lock         userLock         `cmd:"" help:"Keep an account from signing in until it is unlocked, and end its sessions and tokens."`
	Unlock       userUnlock       `cmd:"" help:"Lift the lock of an account, whoever or whatever has locked it."`
	ResetTwoStep userResetTwoStep `cmd:"" name:"reset-two-step" help:"Remove all second factors and backup codes of an account, and end its sessions."`
	StopRecovery userStopRecovery `cmd:"" name:"stop-recovery" help:"End the request of a person about a lost second step or lost passkeys. Nothing else changes."`
	Disable      userDisable      `cmd:"" help:"Keep an account from signing in, and end its sessions and tokens."`
	Enable       userEnable       `cmd:"" help:"Let a disabled account sign in again."`

	Impersonate userImpersonate `cmd:"" help:"Get a one-time link to act as a person for a while."`

	SendPasswordReset userSendPasswordReset     `cmd:"" help:"Mail a person a link to set a new password."`
	SendVerification  userSendVerification      `cmd:"" help:"Mail a person a link that proves the email address."`
	RevokeTokens      userRevokeTokens          `cmd:"" help:"Revoke all tokens of an account. Browsers stay signed in, and consents stay."`
	Factors           userFactorCommands        `cmd:"" help:"Manage the second factors of an account one by one."`
	Authorizations    userAuthorizationCommands `cmd:"" help:"Manage what an account has allowed applications."`
	Bulk              userBulkCommands          `cmd:"" help:"Act on many accounts at once."`

	Import userImport `cmd:"" help:"Create the accounts of a file."`
	Export userExport `cmd:"" help:"Write accounts to a file."`
	Delete userDelete `cmd:"" aliases:"rm" help:"Delete an account with all that belongs to it."`
}

func newUserCommands() *userCommands {
	return &userCommands{Create: userCreate{fieldFlags: fieldFlags[identity.User]{
		fields:   identity.UserFields(),
		required: []string{"email"},
	}}, Update: userUpdate{fieldFlags: fieldFlags[identity.User]{fields: identity.UserFields()}}}
}

// userRef names an account.
type userRef struct {
	Ref string `arg:"" name:"user" help:"The account's id, email address or username."`
}

// noUser adds where to look to the error for an account that does not exist.
func noUser(err error) error { return withHint(err, fault.NotFound, "see %s user list", program) }

// userCreate creates an account.
type userCreate struct {
	fieldFlags[identity.User]
	PasswordStdin bool `help:"Read the password from stdin. Default: print a one-time link to choose one."`
}

// Run creates the account and prints its id.
func (f *userCreate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	in := admin.NewUser{Fields: p}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if f.PasswordStdin {
			if in.Password, err = c.password(); err != nil {
				return err
			}
		}
		u, err := ops.CreateUser(ctx, a, in)
		if err != nil {
			return f.explainUser(err)
		}
		c.warn(u.Warnings)
		doc := userMembers(u.User)
		if u.Link != "" {
			doc = append(doc, member{"password_link", u.Link})
		}
		return c.show(doc, func(s *table) {
			s.pair("id", string(u.User.ID))
			printLink(s, u.Link)
		})
	})
}

// userInvite invites a person.
type userInvite struct {
	Email string   `arg:"" help:"The person's email address."`
	Role  []string `sep:"none" placeholder:"ROLE" help:"A role that the account has. May be repeated."`
	Name  string   `help:"The person's full name."`
}

// inviteResult is an invitation.
type inviteResult struct {
	ID   identity.UserID `json:"id"`
	Link string          `json:"invitation_link"`
}

// Run sends the invitation and prints its link.
func (f *userInvite) Run(ctx context.Context, c *call) error {
	p := admin.UserPatch{
		Values: identity.User{Email: f.Email, Name: f.Name, Roles: f.Role},
		Names:  []string{"email", "name", "roles"},
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		out, err := ops.InviteUser(ctx, a, admin.NewUser{Fields: p})
		if err != nil {
			return err
		}
		c.warn(out.Warnings)
		return c.show(inviteResult{out.User.ID, out.Link}, func(s *table) {
			s.pair("id", string(out.User.ID))
			s.pair("invitation_link", out.Link)
			s.line("The link works once, for 7 days. It is sent by email, too, if the server has mail.")
		})
	})
}

// explainUser returns an error about a field as wrong usage; one about the password depends on
// the policy, not on the command line.
func (f *userCreate) explainUser(err error) error {
	var found *fault.Error
	if errors.As(err, &found) && found.Field == "password" {
		return err
	}
	return f.explain(err)
}

func printLink(s *table, link string) {
	s.pair("password_link", link)
	if link != "" {
		s.line("The link works once, for an hour.")
	}
}

// userList lists accounts.
type userList struct {
	Search   string `help:"Only accounts with words in username, address or name that begin like this."`
	Status   string `placeholder:"STATUS" help:"Only active, locked or disabled accounts."`
	Role     string `placeholder:"ROLE" help:"Only accounts with this role."`
	Verified string `enum:",yes,no" default:"" placeholder:"yes|no" help:"Only accounts whose address is verified, or is not."`
	Sort     string `placeholder:"ORDER" help:"The order: created (default), name or last_login. A minus before it reverses it."`
	listFlags
}

// query returns what the flags select.
func (f *userList) query() admin.UserQuery {
	q := admin.UserQuery{Search: f.Search, Status: f.Status, Role: f.Role, Sort: sortOf(f.Sort), Page: f.page()}
	if f.Verified != "" {
		yes := f.Verified == "yes"
		q.Verified = &yes
	}
	return q
}

// Run prints a page of accounts.
func (f *userList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Users(ctx, a, f.query())
		if err != nil {
			return explainQuery(err)
		}
		users := page.Items
		ids := make([]identity.UserID, len(users))
		for i := range users {
			ids[i] = users[i].ID
		}
		locks, err := ops.Locks(ctx, a, ids)
		if err != nil {
			return err
		}
		docs := make([]object, 0, len(users))
		for i := range users {
			docs = append(docs, append(userMembers(&users[i]), member{"locked_until", timestamp{locks[ids[i]]}}))
		}
		return showPage(c, f.listFlags, page, docs, func(s *table) {
			s.row("ID", "EMAIL", "USERNAME", "NAME", "ROLES", "STATE", "LAST LOGIN")
			for _, u := range users {
				s.row(string(u.ID), u.Email, u.Username, u.Name, strings.Join(u.Roles, " "), userState(&u, locks[u.ID]),
					s.when(u.LastLoginAt))
			}
		})
	})
}

// userShow shows one account.
type userShow struct{ userRef }

// Run prints the account, its second factors and its lock.
func (f *userShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		d, err := ops.UserDetail(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		p, err := ops.PasswordStatus(ctx, a, string(d.User.ID))
		if err != nil {
			return noUser(err)
		}
		return c.show(userDetailMembers(d, p), func(s *table) { printUser(s, d, p) })
	})
}

// userUpdate changes an account.
type userUpdate struct {
	userRef
	Unset      []string `sep:"none" placeholder:"FLAG" help:"Clear what a flag sets, as in --unset picture. May be repeated."`
	AddRole    []string `sep:"none" placeholder:"ROLE" help:"A role to give beside those that the account has. May be repeated."`
	RemoveRole []string `sep:"none" placeholder:"ROLE" help:"A role to take from those that the account has. May be repeated."`
	fieldFlags[identity.User]
}

// Run stores the changed account.
func (f *userUpdate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	if err := f.unset(&p, f.Unset); err != nil {
		return err
	}
	if p.Has("roles") && len(f.AddRole)+len(f.RemoveRole) > 0 {
		return wrong("--role and --unset role replace all roles; leave out --add-role and --remove-role, or --role")
	}
	in := admin.UserUpdate{Fields: p, AddRoles: f.AddRole, RemoveRoles: f.RemoveRole}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		out, err := ops.UpdateUser(ctx, a, f.Ref, in)
		switch {
		case fault.Reason(err) == admin.ReasonLastAdministrator:
			return c.userDone(nil, "", err)
		case err != nil:
			return noUser(f.explain(err))
		case len(out.Changed) == 0:
			c.note("nothing differs from what is stored; nothing was changed")
		}
		c.warn(out.Warnings)
		return c.show(userMembers(out.User), func(s *table) {
			s.pair("id", string(out.User.ID))
			printFields(s, identity.UserFields(), out.User)
		})
	})
}

// userSetPassword replaces a password.
type userSetPassword struct {
	userRef
	PasswordStdin bool `help:"Read the password from stdin. Default: print a one-time link to choose one."`
}

// passwordResult is the result of a new password or link.
type passwordResult struct {
	ID           identity.UserID `json:"id"`
	PasswordLink string          `json:"password_link,omitempty"`
}

// Run sets the password, which ends the user's sessions, or prints a link.
func (f *userSetPassword) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if f.PasswordStdin {
			return f.set(ctx, c, ops, a)
		}
		u, err := ops.CreatePasswordLink(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		return c.show(passwordResult{u.User.ID, u.Link}, func(s *table) {
			s.pair("id", string(u.User.ID))
			printLink(s, u.Link)
		})
	})
}

func (f *userSetPassword) set(ctx context.Context, c *call, ops operations, a admin.Actor) error {
	if _, err := ops.User(ctx, a, f.Ref); err != nil { // before a password is typed
		return noUser(err)
	}
	password, err := c.password()
	if err != nil {
		return err
	}
	u, err := ops.SetPassword(ctx, a, f.Ref, password)
	if err != nil {
		return err
	}
	return c.done(passwordResult{
		ID: u.ID,
	}, "The password of %s is set; all sessions of the account have ended.",
		u.LoginName())
}

// userUnlock lifts a lock.
type userUnlock struct{ userRef }

// Run resets the failures counted against the account.
func (f *userUnlock) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.UnlockUser(ctx, a, f.Ref)
		return c.userDone(u, "unlocked", err)
	})
}

// userImpersonate makes a link to act as a person.
type userImpersonate struct {
	userRef
	Reason string `required:"" placeholder:"TEXT" help:"Why. The person sees it, and so does whoever reads the audit log."`
}

// impersonationResult is a link to act as a person.
type impersonationResult struct {
	ID        identity.UserID `json:"id"`
	URL       string          `json:"url"`
	ExpiresAt timestamp       `json:"expires_at"`
}

// Run prints the link.
func (f *userImpersonate) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		made, err := ops.ImpersonateUser(ctx, a, f.Ref, f.Reason)
		if err != nil {
			return noUser(err)
		}
		out := impersonationResult{made.User.ID, made.URL, timestamp{made.ExpiresAt}}
		return c.show(out, func(s *table) {
			s.pair("id", string(out.ID))
			s.pair("url", out.URL)
			s.line("The link works once, for two minutes. Open it in the browser in which you want to act as the person.")
		})
	})
}

// userResetTwoStep removes two-step verification.
type userResetTwoStep struct{ userRef }

// Run removes the second factors and backup codes of the account.
func (f *userResetTwoStep) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.ResetTwoStep(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		doc := map[string]string{"id": string(u.ID), "result": "two-step verification reset"}
		return c.done(doc, "Two-step verification of %s is reset; all sessions of the account have ended.",
			u.LoginName())
	})
}

// userStopRecovery ends a request for recovery.
type userStopRecovery struct{ userRef }

// Run ends the request of the account.
func (f *userStopRecovery) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.StopRecovery(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		doc := map[string]string{"id": string(u.ID), "result": "recovery stopped"}
		return c.done(doc, "The request of %s for recovery has ended; no link of it works any more.", u.LoginName())
	})
}

// userDisable keeps an account from signing in.
type userDisable struct{ userRef }

// Run disables the account and ends all it has open.
func (f *userDisable) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.DisableUser(ctx, a, f.Ref)
		return c.userDone(u, "disabled", err)
	})
}

// userEnable lets an account sign in again.
type userEnable struct{ userRef }

// Run enables the account.
func (f *userEnable) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.EnableUser(ctx, a, f.Ref)
		return c.userDone(u, "enabled", err)
	})
}

// userDelete deletes an account.
type userDelete struct {
	userRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run deletes the account after confirmation.
func (f *userDelete) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		u, err := ops.User(ctx, a, f.Ref)
		if err != nil {
			return noUser(err)
		}
		if err := c.confirm(f.Yes, "user", u.LoginName()); err != nil {
			return err
		}
		_, err = ops.DeleteUser(ctx, a, string(u.ID), 0)
		return c.userDone(u, "deleted", err)
	})
}

// userDone prints what was done to an account, or returns the error with what to do next.
func (c *call) userDone(u *identity.User, verb string, err error) error {
	if fault.Reason(err) == admin.ReasonLastAdministrator {
		return withHint(err, fault.Conflict, "run %s user create --role %s --email …", program, identity.RoleSuperAdmin)
	}
	if err != nil {
		return noUser(err)
	}
	doc := map[string]string{"id": string(u.ID), "result": verb}
	return c.done(doc, "User %s (%s) is %s.", u.LoginName(), u.ID, verb)
}
