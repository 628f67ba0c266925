package accounts

import (
	"net/http"

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
	return writeAll(w, c, []*userView{v})
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
