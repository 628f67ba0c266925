package accounts

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// userView is an account.
type userView struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Name      string    `json:"name"`
	Roles     []string  `json:"roles"`
	TwoFactor bool      `json:"2fa"`
	CreatedMs *int64    `json:"createdMs"`
	BannedMs  *int64    `json:"bannedMs"`
	DeletedMs *int64    `json:"deletedMs"`
	Emails    emailList `json:"emails"`
}

type emailList struct {
	Data []emailView `json:"data"`
}

// emailView is an address of an account.
type emailView struct {
	ID         string `json:"id"` // the address itself
	Type       string `json:"type"`
	VerifiedMs *int64 `json:"verifiedMs"`
	CreatedMs  *int64 `json:"createdMs"`
}

// view returns the caller's account.
func (s *Server) view(c *call, u *identity.User) (*userView, error) {
	f, err := s.Account.Factors(c.r.Context(), c.caller())
	if err != nil {
		return nil, err
	}
	v := &userView{
		ID:        string(u.ID),
		Type:      "users",
		Name:      u.Name,
		Roles:     append([]string{}, u.Roles...),
		TwoFactor: f.Enabled(),
		CreatedMs: millis(u.CreatedAt),
	}
	v.Emails.Data, err = s.emails(c, u)
	return v, err
}

// listUsers lists the users that the caller may see: the caller alone.
func (s *Server) listUsers(w http.ResponseWriter, c *call) error {
	v, err := s.view(c, c.user)
	if err != nil {
		return err
	}
	return writeAll(w, c, []userView{*v})
}

func (s *Server) getUser(w http.ResponseWriter, c *call) error {
	if err := c.own(); err != nil {
		return err
	}
	v, err := s.view(c, c.user)
	if err != nil {
		return err
	}
	return writeOne(w, c, http.StatusOK, v)
}

// patchUser changes the name of the caller.
func (s *Server) patchUser(w http.ResponseWriter, c *call) error {
	if err := c.own(); err != nil {
		return err
	}
	b, err := c.read("id", "name", "2fa")
	if err != nil {
		return err
	}
	if _, ok := b["2fa"]; ok {
		return invalidField("2fa", "Two-step verification is set up and turned off in the browser, "+
			"on the security page of the account.")
	}
	name, err := b.text("name")
	if err != nil {
		return err
	}
	if _, ok := b["name"]; !ok {
		name = c.user.Name
	}
	u, err := s.Account.ChangeProfile(c.r.Context(), c.caller(), func(input string) string {
		if input == "name" {
			return name
		}
		return profileInput(c.user, input)
	})
	if err != nil {
		return err
	}
	v, err := s.view(c, u)
	if err != nil {
		return err
	}
	return writeOne(w, c, http.StatusOK, v)
}

// profileInput returns the present value of a field of the profile.
func profileInput(u *identity.User, input string) string {
	for _, f := range identity.ProfileFields() {
		if f.Input() == input {
			return *f.Text(u)
		}
	}
	return ""
}

// roleView is a role of the caller.
type roleView struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

func (s *Server) listRoles(w http.ResponseWriter, c *call) error {
	if err := c.own(); err != nil {
		return err
	}
	var out []roleView
	for _, r := range c.user.Roles {
		out = append(out, roleView{r, "user-roles"})
	}
	return writeAll(w, c, out)
}

// sysadmin is what programs may call the role super_admin.
const sysadmin = "sysadmin"

// addRole adds a role to those of a user, as an administrator does.
func (s *Server) addRole(w http.ResponseWriter, c *call) error {
	b, err := c.read("id")
	if err != nil {
		return err
	}
	role, err := b.text("id")
	if err != nil {
		return err
	}
	if role == "" {
		return invalidField("id", "Enter the name of a role.")
	}
	if err := s.updateRoles(c, admin.UserUpdate{AddRoles: []string{roleOf(role)}}); err != nil {
		return err
	}
	return writeOne(w, c, http.StatusCreated, roleView{roleOf(role), "user-roles"})
}

// removeRole removes a role from those of a user, as an administrator does.
func (s *Server) removeRole(w http.ResponseWriter, c *call) error {
	role := roleOf(c.r.PathValue("role"))
	if err := s.updateRoles(c, admin.UserUpdate{RemoveRoles: []string{role}}); err != nil {
		return err
	}
	return writeNothing(w, c)
}

func roleOf(name string) string {
	if name == sysadmin {
		return identity.RoleSuperAdmin
	}
	return name
}

// updateRoles changes the roles of the user that an address names, with the rights of the access
// token. A session has none: it was made to manage one's own account.
func (s *Server) updateRoles(c *call, in admin.UserUpdate) error {
	if c.access == nil {
		return newProblem(http.StatusForbidden, codeScope,
			"Roles are given and taken with an access token of an administrator that carries the scopes "+
				"accounts and admin:users:write.")
	}
	ctx, v := c.r.Context(), c.visit()
	ip, _ := netip.ParseAddr(v.IP) // an address that cannot be read is not an allowed one
	if err := s.Administration.AllowAddress(ip); err != nil {
		return accessProblem(err)
	}
	who, err := s.Administration.ActorOf(ctx, c.access, v)
	if err != nil {
		return err
	}
	id := c.r.PathValue("id")
	if id == "current" {
		id = string(c.user.ID)
	}
	_, err = s.Administration.UpdateUser(ctx, who, id, in)
	return accessProblem(err)
}

// accessProblem returns the error of an administrator who may not do something, or has to sign in
// again for it.
func accessProblem(err error) error {
	var denied *admin.AccessError
	if !errors.As(err, &denied) {
		return err
	}
	code := codeScope
	if denied.MaxAge > 0 {
		code = codeLoginRequired
	}
	return newProblem(http.StatusForbidden, code, fault.Text(err))
}

// changePassword sets a new password: that of the caller, who enters the present one, or that of
// the person who was sent a link.
func (s *Server) changePassword(w http.ResponseWriter, c *call) error {
	b, err := c.read("currentPassword", "newPassword", "token")
	if err != nil {
		return err
	}
	in, err := b.texts("t", "type", "currentPassword", "newPassword", "token")
	if err != nil {
		return err
	}
	kind := in["type"]
	if kind == "" {
		kind = in["t"]
	}
	switch kind {
	case "change-password":
		err = s.changeOwnPassword(c, in)
	case "forgot-password":
		if err := s.Kit.Allow(w, c.r, "password_reset", web.Subject{}); err != nil {
			return err
		}
		_, err = s.Login.UsePasswordLink(c.r.Context(), c.visit(), in["token"], in["newPassword"])
		if fault.Is(err, fault.Consumed) {
			err = newProblem(http.StatusUnauthorized, codeTokenInvalid, fault.Text(err))
		}
	default:
		return invalidField("type", "This must be change-password or forgot-password.")
	}
	if err != nil {
		return renamed(renamed(err, "new_password", "newPassword"), "password", "currentPassword")
	}
	return writeNothing(w, c)
}

func (s *Server) changeOwnPassword(c *call, in map[string]string) error {
	if c.user == nil {
		return newProblem(http.StatusUnauthorized, codeSessionRequired,
			"Sign in first, and send the session token as Bearer session:TOKEN.")
	}
	if err := c.own(); err != nil {
		return err
	}
	err := s.Login.ChangePassword(c.r.Context(), c.visit(), c.user, login.Change{
		Current: in["currentPassword"],
		New:     in["newPassword"],
		Keep:    c.session,
	})
	return wrongPassword(err)
}
