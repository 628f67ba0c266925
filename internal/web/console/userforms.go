package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// NewUserView creates an account. The fields are `email`, `username`, `name`, `roles`,
// `email_verified`, `by` (invite, link or password) and `password`.
type NewUserView struct {
	Base
	Roles  []ScopeChoice
	Ways   []Choice // how the person gets in
	Result *Result  // the account that was created, with what is shown this once; or nil
	Same   Same
}

// Result is what is shown once after something was created.
type Result struct {
	Text   string
	Secret string // to copy, or ""
	Next   Link
}

// Page names the template.
func (*NewUserView) Page() string { return "newuser" }

// Ways in which a new account is handed to its owner.
const (
	byInvitation = "invite"
	byLink       = "link"
	byPassword   = "password"
)

func (s *Server) newUserView(r *http.Request, q *request) (*NewUserView, error) {
	v := &NewUserView{Base: s.begin(r, q, "New user")}
	v.Notice = ""
	v.Crumbs = []Link{{"Users", Root + "/users"}}
	chosen := q.form.Get("by")
	if chosen == "" {
		chosen = byLink
		if s.cfg.CanMail {
			chosen = byInvitation
		}
	}
	if s.cfg.CanMail {
		v.Ways = append(v.Ways, Choice{byInvitation, "Send an invitation by mail", chosen == byInvitation})
	}
	v.Ways = append(v.Ways,
		Choice{byLink, "Show a one-time link, for you to pass on", chosen == byLink},
		Choice{byPassword, "Set a password now", chosen == byPassword},
	)
	v.Same = s.newUserSame(q)
	var err error
	var further string
	v.Roles, further, err = s.roleChoices(r.Context(), q, chosenRoles(q))
	q.form.Set("roles", further)
	return v, err
}

// newUserSame returns what creates an account with the values of a form.
func (s *Server) newUserSame(q *request) Same {
	form := q.form
	body := map[string]any{"email": "EMAIL"}
	args := []string{"user", "create", "--email=EMAIL"}
	for _, name := range []string{"email", "username", "name"} {
		value := form.Get(name)
		if value == "" {
			continue
		}
		body[name] = value
		if name == "email" {
			args[2] = "--email=" + value
		} else {
			args = append(args, "--"+name+"="+value)
		}
	}
	if roles := chosenRoles(q); len(roles) > 0 {
		body["roles"] = roles
		for _, role := range roles {
			args = append(args, "--role="+role)
		}
	}
	if form.Get("email_verified") != "" {
		body["email_verified"] = true
		args = append(args, "--email-verified")
	}
	return s.same("POST", "/api/v1/users", body, args...)
}

func (s *Server) showNewUser(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeUsersWrite); err != nil {
		return err
	}
	v, err := s.newUserView(r, q)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

// mayChange returns an error for a form that the administrator may not send.
func (s *Server) mayChange(q *request, scope admin.Scope) error {
	if q.actor.Can(scope) {
		return nil
	}
	return fault.New(fault.Denied, "Your roles do not allow this. It needs %s.", scope)
}

func (s *Server) postNewUser(w http.ResponseWriter, r *http.Request, q *request) error {
	in := admin.NewUser{Fields: admin.UserPatch{
		Values: identity.User{
			Email:         q.form.Get("email"),
			Username:      q.form.Get("username"),
			Name:          q.form.Get("name"),
			EmailVerified: q.form.Get("email_verified") != "",
			Roles:         chosenRoles(q),
		},
		Names: []string{"email", "username", "name", "email_verified", "roles"},
	}}
	create := s.ops.CreateUser
	switch q.form.Get("by") {
	case byInvitation:
		create = s.ops.InviteUser
	case byPassword:
		if in.Password = q.form.Get("password"); in.Password == "" {
			return s.retryNewUser(w, r, q, fault.InvalidField("password", "Enter a password."))
		}
	}
	out, err := create(r.Context(), q.actor, in)
	if err != nil {
		return s.retryNewUser(w, r, q, err)
	}
	page := at("/users", string(out.User.ID))
	if out.Link == "" || q.form.Get("by") == byInvitation {
		return seeOther(w, r, with(page, "done", "created"))
	}
	v, err := s.newUserView(r, q)
	if err != nil {
		return err
	}
	v.Title = "The account was created"
	v.Result = &Result{
		Text:   "Pass this link on to " + out.User.Label() + ". It works once, for an hour, and is not shown again.",
		Secret: out.Link,
		Next:   Link{"Open the account", page},
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) retryNewUser(w http.ResponseWriter, r *http.Request, q *request, err error) error {
	v, viewErr := s.newUserView(r, q)
	if viewErr != nil {
		return viewErr
	}
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.show(w, v.status(), v)
}

// EditUserView changes the profile and the roles of an account.
type EditUserView struct {
	Base
	Inputs []Input
	Roles  []ScopeChoice
	Back   Link
	Same   Same
}

// Page names the template.
func (*EditUserView) Page() string { return "edituser" }

// editedFields returns the fields of the form, in its order.
func editedFields() []string {
	return []string{
		"name", "given_name", "family_name", "username", "email", "email_verified", "phone",
		"locale", "zoneinfo", "roles", "must_change_password",
	}
}

// userInputs returns the inputs of the form that changes an account.
func userInputs(b Base) ([]Input, error) {
	labels := map[string][]string{
		"name":                 {"Full name", "autocomplete=off"},
		"given_name":           {"Given name", "autocomplete=off"},
		"family_name":          {"Family name", "autocomplete=off"},
		"username":             {"Username", "plain", "autocomplete=off"},
		"email":                {"Email", "type=email", "plain", "autocomplete=off"},
		"email_verified":       {"The email address is known to belong to the person"},
		"phone":                {"Phone", "type=tel", "autocomplete=off"},
		"locale":               {"Language", "plain", "hint=A language tag, such as en or pt-BR.", "autocomplete=off"},
		"zoneinfo":             {"Time zone", "plain", "hint=As in Europe/Berlin.", "autocomplete=off"},
		"roles":                {"Further roles", "plain", "hint=Of your own apps, separated by spaces.", "autocomplete=off"},
		"must_change_password": {"The next sign-in must set a new password"},
	}
	var out []Input
	for _, name := range editedFields() {
		make := newInput
		if isSwitch(name) {
			make = newCheck
		}
		in, err := make(b, name, labels[name][0], labels[name][1:]...)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// isSwitch reports whether a field of the form is a check box.
func isSwitch(name string) bool { return name == "email_verified" || name == "must_change_password" }

// userValues returns the values of the form as they are stored.
func userValues(u *identity.User) url.Values {
	form := url.Values{}
	for _, f := range identity.UserFields() {
		if !slices.Contains(editedFields(), f.Name) {
			continue
		}
		value := f.String(u)
		if isSwitch(f.Name) {
			if value != "true" {
				continue
			}
			value = "on"
		}
		form.Set(f.Name, value)
	}
	return form
}

// userPatch returns the change that a form asks for: all of its fields, as absent ones are empty.
func userPatch(q *request) admin.UserPatch {
	var p admin.UserPatch
	for _, f := range identity.UserFields() {
		if !slices.Contains(editedFields(), f.Name) {
			continue
		}
		p.Names = append(p.Names, f.Name)
		value := strings.TrimSpace(q.form.Get(f.Name))
		switch {
		case f.Switch != nil:
			*f.Switch(&p.Values) = value != ""
		case f.List != nil:
			*f.List(&p.Values) = chosenRoles(q)
		default:
			*f.Text(&p.Values) = value
		}
	}
	return p
}

func (s *Server) showEditUser(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeUsersWrite); err != nil {
		return err
	}
	u, err := s.ops.User(r.Context(), q.actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	if !q.draft {
		q.form = userValues(u)
		q.form.Set("version", strconv.FormatInt(u.Version, 10))
	}
	return s.writeEditUser(r.Context(), w, q, u, s.begin(r, q, "Edit "+u.Label()))
}

func (s *Server) writeEditUser(
	ctx context.Context, w http.ResponseWriter, q *request, u *identity.User, b Base,
) error {
	b.Form, b.Version = q.form, q.form.Get("version")
	v := &EditUserView{Base: b, Back: Link{u.Label(), at("/users", string(u.ID))}}
	v.Crumbs = []Link{{"Users", Root + "/users"}, v.Back}
	var err error
	var further string
	if v.Roles, further, err = s.roleChoices(ctx, q, chosenRoles(q)); err != nil {
		return err
	}
	q.form.Set("roles", further)
	if v.Inputs, err = userInputs(v.Base); err != nil {
		return err
	}
	v.Same = s.same("PATCH", "/api/v1/users/"+string(u.ID), map[string]any{"name": q.form.Get("name")},
		"user", "update", string(u.ID), "--name="+q.form.Get("name"))
	return s.show(w, v.status(), v)
}

// userMoves returns where a form differs from what is stored.
func userMoves(q *request, u *identity.User) []Move {
	var out []Move
	p := userPatch(q)
	for _, f := range identity.UserFields() {
		if slices.Contains(p.Names, f.Name) && !f.Equal(&p.Values, u) {
			out = append(out, Move{Name: f.Title(), Entered: f.String(&p.Values), Stored: f.String(u)})
		}
	}
	return out
}

func (s *Server) postEditUser(w http.ResponseWriter, r *http.Request, q *request) error {
	id := r.PathValue("id")
	patch := userPatch(q)
	var err error
	if patch.IfVersion, err = versionOf(q); err != nil {
		return err
	}
	out, err := s.ops.UpdateUser(r.Context(), q.actor, id, admin.UserUpdate{Fields: patch})
	if err == nil {
		return seeOther(w, r, with(at("/users", string(out.User.ID)), "done", "updated"))
	}
	u, readErr := s.ops.User(r.Context(), q.actor, id)
	if readErr != nil {
		return readErr
	}
	b := s.begin(r, q, "Edit "+u.Label())
	if fault.Is(err, fault.Stale) {
		return s.showStale(w, b, at("/users", id, "edit"), userMoves(q, u))
	}
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeEditUser(r.Context(), w, q, u, b)
}

// PasswordView sets a password, or makes a link to choose one.
type PasswordView struct {
	Base
	Ends   []string
	Result *Result // or nil
	Back   Link
	Same   Same
}

// Page names the template.
func (*PasswordView) Page() string { return "password" }

func (s *Server) passwordView(r *http.Request, q *request) (*PasswordView, error) {
	d, err := s.ops.UserDetail(r.Context(), q.actor, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	v := &PasswordView{Base: s.begin(r, q, "Set password"), Back: userLink(d), Ends: userEnds(d, false)}
	v.Crumbs = []Link{{"Users", Root + "/users"}, v.Back}
	api := "/api/v1/users/" + userID(d)
	set := s.same("PATCH", api, map[string]any{"password": "NEW-PASSWORD"},
		"user", "set-password", userID(d), "--password-stdin")
	set.Input = "password.txt"
	link := s.same("POST", api+"/password-link", nil, "user", "set-password", userID(d))
	link.Form = "Make a link"
	v.Same = link.also("Set password", set)
	return v, nil
}

func (s *Server) showPassword(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeUsersWrite); err != nil {
		return err
	}
	v, err := s.passwordView(r, q)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) postPassword(w http.ResponseWriter, r *http.Request, q *request) error {
	ctx, id := r.Context(), r.PathValue("id")
	if q.form.Get("by") == byLink {
		return s.passwordLink(w, r, q)
	}
	err := error(fault.InvalidField("password", "Enter a password."))
	if password := q.form.Get("password"); password != "" {
		_, err = s.ops.SetPassword(ctx, q.actor, id, password)
	}
	if err == nil {
		return seeOther(w, r, with(at("/users", id), "done", "password"))
	}
	v, viewErr := s.passwordView(r, q)
	if viewErr != nil {
		return viewErr
	}
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.show(w, v.status(), v)
}

func (s *Server) passwordLink(w http.ResponseWriter, r *http.Request, q *request) error {
	out, err := s.ops.CreatePasswordLink(r.Context(), q.actor, r.PathValue("id"))
	if err != nil {
		return err
	}
	v, err := s.passwordView(r, q)
	if err != nil {
		return err
	}
	v.Result = &Result{
		Text:   "Pass this link on to " + out.User.Label() + ". It works once, for an hour, and is not shown again.",
		Secret: out.Link,
		Next:   v.Back,
	}
	return s.show(w, http.StatusOK, v)
}
