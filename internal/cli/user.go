package cli

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// userCommands manage the people who can sign in.
type userCommands struct {
	Create      userCreate      `cmd:"" help:"Make an account."`
	List        userList        `cmd:"" help:"List accounts."`
	Show        userShow        `cmd:"" help:"Show one account."`
	SetPassword userSetPassword `cmd:"" help:"Give an account a new password, or a one-time link to choose one."`
	Unlock      userUnlock      `cmd:"" help:"Lift a lock after too many failed attempts to sign in."`
	Disable     userDisable     `cmd:"" help:"Keep an account from signing in, and end its sessions and tokens."`
	Enable      userEnable      `cmd:"" help:"Let a disabled account sign in again."`
	Delete      userDelete      `cmd:"" help:"Delete an account with all that belongs to it."`
}

// userRef names an account.
type userRef struct {
	Ref string `arg:"" name:"user" help:"The account's id, email address or user name."`
}

func (r userRef) find(ctx context.Context, p *Parts) (*identity.User, error) {
	return findUser(ctx, p, r.Ref)
}

func findUser(ctx context.Context, p *Parts, ref string) (*identity.User, error) {
	u, err := p.DB.UserByRef(ctx, ref)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "there is no user %q; see %s user list", ref, program)
	}
	return u, err
}

// userCreate makes an account.
type userCreate struct {
	Email         string   `required:"" help:"The email address to sign in with."`
	Username      string   `help:"A user name to sign in with as well."`
	Name          string   `help:"The person's full name."`
	Role          []string `sep:"none" help:"A role, such as admin, who administers the server. May be repeated."`
	PasswordStdin bool     `help:"Read the password from stdin. Without it the answer is a one-time link to choose one."`
	EmailVerified bool     `help:"Take the address as proved."`
}

// Run creates the account and prints its id.
func (f *userCreate) Run(ctx context.Context, c *call) error {
	now := c.Now()
	u, err := f.user(now)
	if err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		if f.PasswordStdin {
			if err := c.firstPassword(ctx, p, u); err != nil {
				return err
			}
		}
		ev := c.event(audit.UserCreated, now)
		ev.User = string(u.ID)
		if err := p.DB.CreateUser(ctx, u, ev); err != nil {
			return err
		}
		v := viewUser(u)
		if !f.PasswordStdin {
			link, err := passwordLink(ctx, p, u, now)
			if err != nil {
				return fmt.Errorf("user %s was made, but no link; run %s user set-password %s: %w", u.ID, program, u.ID, err)
			}
			v.PasswordLink = link
		}
		return c.show(v, func(s *sheet) {
			s.pair("id", string(u.ID))
			s.pair("password_link", v.PasswordLink)
			if v.PasswordLink != "" {
				s.line("The link works once, for an hour.")
			}
		})
	})
}

// user checks what was given.
func (f *userCreate) user(now time.Time) (*identity.User, error) {
	u := &identity.User{
		ID: identity.UserID(secret.NewID(now)), Email: strings.TrimSpace(f.Email), EmailVerified: f.EmailVerified,
		Username: strings.TrimSpace(f.Username), Name: strings.TrimSpace(f.Name), CreatedAt: now, UpdatedAt: now,
	}
	for _, r := range f.Role {
		if !slices.Contains(u.Roles, r) {
			u.Roles = append(u.Roles, r)
		}
	}
	if err := u.Validate(); err != nil {
		return nil, usageError{err}
	}
	return u, nil
}

// firstPassword sets a password that the policy accepts, before the account is stored: an account
// whose password is refused is not made at all.
func (c *call) firstPassword(ctx context.Context, p *Parts, u *identity.User) error {
	password, err := c.password()
	if err != nil {
		return err
	}
	if faults := p.Policy(u).Check(password, u.Username, u.Email, program, p.Config.Server.BaseURL); len(faults) > 0 {
		return fault.InvalidField("password", "the password is refused: %s", strings.Join(faults, " "))
	}
	u.PasswordHash, err = p.Passwords.Hash(ctx, identity.NormalizePassword(password))
	u.PasswordChangedAt = u.CreatedAt
	return err
}

// passwordLink makes a one-time link to choose a password.
func passwordLink(ctx context.Context, p *Parts, u *identity.User, now time.Time) (string, error) {
	token, err := p.Login.PasswordLink(ctx, visit(now), u)
	if err != nil {
		return "", err
	}
	return p.Config.Server.BaseURL + "/reset-password?token=" + url.QueryEscape(token), nil
}

// userList lists accounts.
type userList struct {
	Search string `help:"Only accounts whose user name, address or name contains this."`
	pageFlags
}

// Run prints a page of accounts.
func (f *userList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		users, total, err := p.DB.ListUsers(ctx, store.UserQuery{Search: f.Search, Limit: f.Limit, Offset: f.Offset})
		if err != nil {
			return err
		}
		views := make([]userView, 0, len(users))
		for i := range users {
			views = append(views, viewUser(&users[i]))
		}
		return showList(c, views, total, func(s *sheet) {
			s.row("ID", "EMAIL", "USERNAME", "NAME", "ROLES", "STATE", "LAST LOGIN")
			for _, v := range views {
				s.row(string(v.ID), v.Email, v.Username, v.Name, strings.Join(v.Roles, " "), v.state(), v.LastLoginAt.String())
			}
			s.more(len(views), f.Offset, total)
		})
	})
}

// userShow shows one account.
type userShow struct{ userRef }

// Run prints the account, its second factors and its lock.
func (f *userShow) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		u, err := f.find(ctx, p)
		if err != nil {
			return err
		}
		v, err := detail(ctx, p, u, c.Now())
		if err != nil {
			return err
		}
		return c.show(v, v.print)
	})
}

// userSetPassword replaces a password.
type userSetPassword struct {
	userRef
	PasswordStdin bool `help:"Read the password from stdin. Without it the answer is a one-time link to choose one."`
}

// Run sets the password, which ends the user's sessions, or prints a link.
func (f *userSetPassword) Run(ctx context.Context, c *call) error {
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		u, err := f.find(ctx, p)
		if err != nil {
			return err
		}
		answer := struct {
			ID           identity.UserID `json:"id"`
			PasswordLink string          `json:"password_link,omitempty"`
		}{ID: u.ID}
		if f.PasswordStdin {
			password, err := c.password()
			if err != nil {
				return err
			}
			if err := p.Login.SetPassword(ctx, visit(now), u, password); err != nil {
				return err
			}
			return c.done(answer, "The password of %s is set; all sessions of the account have ended.", u.LoginName())
		}
		if answer.PasswordLink, err = passwordLink(ctx, p, u, now); err != nil {
			return err
		}
		return c.show(answer, func(s *sheet) {
			s.pair("id", string(u.ID))
			s.pair("password_link", answer.PasswordLink)
			s.line("The link works once, for an hour.")
		})
	})
}

// userUnlock lifts a lock.
type userUnlock struct{ userRef }

// Run forgets the failures counted against the account.
func (f *userUnlock) Run(ctx context.Context, c *call) error {
	return f.change(ctx, c, audit.AccountUnlocked, "unlocked", func(p *Parts, u *identity.User, ev audit.Event) error {
		return p.Login.Unlock(ctx, visit(ev.At), u.ID)
	})
}

// userDisable keeps an account from signing in.
type userDisable struct{ userRef }

// Run disables the account and ends all it has open.
func (f *userDisable) Run(ctx context.Context, c *call) error {
	return f.change(ctx, c, audit.UserDisabled, "disabled", func(p *Parts, u *identity.User, ev audit.Event) error {
		if err := notLastAdmin(ctx, p, u); err != nil {
			return err
		}
		return p.DB.SetUserDisabled(ctx, u.ID, true, ev.At, ev)
	})
}

// userEnable lets an account sign in again.
type userEnable struct{ userRef }

// Run enables the account.
func (f *userEnable) Run(ctx context.Context, c *call) error {
	return f.change(ctx, c, audit.UserEnabled, "enabled", func(p *Parts, u *identity.User, ev audit.Event) error {
		return p.DB.SetUserDisabled(ctx, u.ID, false, ev.At, ev)
	})
}

// userDelete deletes an account.
type userDelete struct {
	userRef
	Yes bool `help:"Do not ask."`
}

// Run deletes the account once that is confirmed.
func (f *userDelete) Run(ctx context.Context, c *call) error {
	return f.change(ctx, c, audit.UserDeleted, "deleted", func(p *Parts, u *identity.User, ev audit.Event) error {
		if err := notLastAdmin(ctx, p, u); err != nil {
			return err
		}
		if err := c.confirm(f.Yes, "user", u.LoginName()); err != nil {
			return err
		}
		ev.At = c.Now() // after the answer: what was issued meanwhile ends, too
		return p.DB.DeleteUser(ctx, u.ID, ev.At, ev)
	})
}

// change finds an account, does something to it and says so.
func (r userRef) change(ctx context.Context, c *call, t audit.Type, verb string, do func(*Parts, *identity.User, audit.Event) error) error {
	return c.with(ctx, func(p *Parts) error {
		u, err := r.find(ctx, p)
		if err != nil {
			return err
		}
		ev := c.event(t, c.Now())
		ev.User = string(u.ID)
		if err := do(p, u, ev); err != nil {
			return err
		}
		answer := map[string]string{"id": string(u.ID), "result": verb}
		return c.done(answer, "User %s (%s) is %s.", u.LoginName(), u.ID, verb)
	})
}

// notLastAdmin keeps somebody able to administer the server.
func notLastAdmin(ctx context.Context, p *Parts, u *identity.User) error {
	if !u.Admin() || u.Disabled {
		return nil
	}
	n, err := p.DB.CountAdmins(ctx)
	if err == nil && n <= 1 {
		err = fault.New(fault.Denied, "%s is the last administrator; make another first: %s user create --role %s …", u.LoginName(), program, identity.RoleAdmin)
	}
	return err
}
