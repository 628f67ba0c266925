package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// UserView shows one account with what belongs to it.
type UserView struct {
	Base
	Locked   *Lock // or nil
	Profile  []Fact
	Access   []Fact
	Factors  Table
	Apps     Table
	Sessions Table
	Events   Table
	More     string   // the address of all events of the account, or ""
	Actions  []Link   // pages that ask before they act
	Buttons  []Button // what can be done at once, since it can be undone
	Same     Same
}

// Lock is why an account cannot sign in at the moment.
type Lock struct {
	Since  Moment
	Until  Moment // unknown: until an administrator unlocks it
	Reason string
}

// Page names the template.
func (*UserView) Page() string { return "user" }

func (s *Server) showUser(w http.ResponseWriter, r *http.Request, q *request) error {
	ctx, ref := r.Context(), r.PathValue("id")
	d, err := s.ops.UserDetail(ctx, q.actor, ref)
	if err != nil {
		return err
	}
	u := d.User
	v := &UserView{Base: s.begin(r, q, u.Label())}
	v.Crumbs = []Link{{"Users", Root + "/users"}}
	v.Undo = userUndo(u, q.form.Get("done"))
	switch {
	case !u.LockedAt.IsZero():
		v.Locked = &Lock{Since: v.When(u.LockedAt), Reason: sentence(u.LockReason)}
	case !d.LockedUntil.IsZero():
		v.Locked = &Lock{Since: v.When(d.LockedAt), Until: v.When(d.UnlockAt)}
	}
	password, err := s.ops.PasswordStatus(ctx, q.actor, string(u.ID))
	if err != nil {
		return err
	}
	v.Profile, v.Access = v.profileFacts(u, d.Emails), v.accessFacts(d, password)
	write := q.actor.Can(admin.ScopeUsersWrite)
	v.Factors = v.factorTable(d, write)
	apps, err := s.ops.UserAuthorizations(ctx, q.actor, string(u.ID))
	if err != nil {
		return err
	}
	v.Apps = v.appTable(u, apps, write)
	if q.actor.Can(admin.ScopeSessionsRead) {
		if v.Sessions, err = s.userSessions(ctx, &v.Base, q, u); err != nil {
			return err
		}
	}
	if q.actor.Can(admin.ScopeAuditRead) {
		if v.Events, err = s.userEvents(ctx, &v.Base, q, u); err != nil {
			return err
		}
		v.More = with(Root+"/audit", "user", string(u.ID))
	}
	if write {
		v.Primary = &Link{Text: "Edit", URL: at("/users", string(u.ID), "edit")}
		v.Actions, v.Buttons = s.userActionsOf(d)
	}
	v.Same = s.userSame(d, v)
	return s.show(w, http.StatusOK, v)
}

// profileFacts returns who a person is.
func (b *Base) profileFacts(u *identity.User, others []identity.OtherEmail) []Fact {
	facts := []Fact{{Name: "Email", Cell: textCell(u.Email)}}
	switch {
	case u.Email == "":
	case u.EmailVerified:
		facts[0].Note = &Cell{Badge: "good", Text: "Verified"}
	default:
		facts[0].Note = &Cell{Badge: "warn", Text: "Not verified"}
	}
	for _, e := range others {
		facts = append(facts, Fact{
			Name: "Further email",
			Cell: textCell(e.Email),
			Note: &Cell{Badge: "good", Text: "Verified"},
		})
	}
	for _, f := range []struct{ name, value string }{
		{"Username", u.Username},
		{"Name", u.Name},
		{"Phone", u.Phone},
		{"Language", u.Locale},
		{"Time zone", u.Zoneinfo},
	} {
		if f.value != "" {
			facts = append(facts, Fact{Name: f.name, Cell: textCell(f.value)})
		}
	}
	return append(facts,
		Fact{Name: "Roles", Cell: textCell(strings.Join(u.Roles, ", "))},
		Fact{Name: "Created", Cell: b.timeCell(u.CreatedAt, "")},
		Fact{Name: "ID", Cell: codeCell(string(u.ID))},
	)
}

// accessFacts returns how a person signs in.
func (b *Base) accessFacts(d *admin.UserDetail, status *admin.PasswordStatus) []Fact {
	u := d.User
	locked := !d.LockedUntil.IsZero()
	password := b.timeCell(u.PasswordChangedAt, "Set")
	if u.PasswordHash == "" {
		password = Cell{Never: "None"}
	}
	facts := []Fact{
		{Name: "Status", Cell: userStatus(u, locked)},
		{Name: "Last sign-in", Cell: b.timeCell(u.LastLoginAt, "Never")},
		{Name: "Password", Cell: password},
		{Name: "Sessions", Cell: textCell(grouped(d.Sessions))},
		{Name: "Connected apps", Cell: textCell(grouped(d.Grants))},
	}
	switch {
	case u.PasswordHash == "":
	case status.RequiresChange:
		facts[2].Note = &Cell{Badge: "warn", Text: "To be changed"}
	case !status.ExpiresAt.IsZero():
		facts[2].Note = &Cell{Badge: "plain", Text: "Expires " + b.When(status.ExpiresAt).Relative}
	}
	if d.Failures > 0 {
		facts = append(facts, Fact{Name: "Failed attempts", Cell: textCell(grouped(d.Failures))})
	}
	if !d.RecoveryReadyAt.IsZero() {
		facts = append(facts, Fact{Name: "Recovery possible from", Cell: b.timeCell(d.RecoveryReadyAt, "")})
	}
	return facts
}

// factorNames returns what people call the kinds of second factors.
func factorNames() map[string]string {
	return map[string]string{
		"totp":        "Authenticator app",
		"passkey":     "Passkey",
		"backup_code": "Backup codes",
		"email":       "Code by email",
	}
}

// factorTable lists the second factors of an account.
func (b *Base) factorTable(d *admin.UserDetail, write bool) Table {
	t := Table{
		Caption: "Second factors and passkeys",
		Columns: []Column{{Name: "Factor"}, {Name: "Added"}, {Name: "Last used", Wide: true}},
	}
	names := factorNames()
	for _, c := range d.Factors {
		name := Cell{Text: names[c.Kind], Sub: c.Label}
		if name.Text == "" {
			name.Text = c.Kind
		}
		row := Row{
			ID:    string(c.ID),
			Name:  name.Text,
			Cells: []Cell{name, b.timeCell(c.ConfirmedAt, ""), b.timeCell(c.LastUsedAt, "Never")},
		}
		if write {
			row.Links = []Link{{"Remove", at("/users", userID(d), "factors", url.PathEscape(string(c.ID)), "remove")}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// appTable lists the apps that a person has connected.
func (b *Base) appTable(u *identity.User, apps []admin.Authorization, write bool) Table {
	t := Table{
		Caption: "Connected apps",
		Columns: []Column{{Name: "App"}, {Name: "Scopes", Wide: true}, {Name: "Last used"}},
	}
	for i := range apps {
		x := &apps[i]
		name := Cell{Text: x.ClientName, Sub: string(x.Client)}
		if name.Text == "" {
			name = Cell{Text: string(x.Client)}
		}
		row := Row{ID: string(x.Client), Name: name.Text, Cells: []Cell{
			name, textCell(strings.Join(x.Scopes, " ")), b.timeCell(x.LastUsedAt, "Not in use"),
		}}
		if write {
			row.Links = []Link{{"Revoke", at("/users", string(u.ID), "apps", url.PathEscape(string(x.Client)), "revoke")}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// device returns what a User-Agent header says in words.
func device(agent string) string {
	a := visitor.Describe(agent)
	switch {
	case a.Program != "" && a.System != "":
		return a.Program + " on " + a.System
	case a.Program != "":
		return a.Program
	case a.System != "":
		return a.System
	}
	return "Unknown device"
}

// place returns an address with where it is, as far as that is known.
func (s *Server) place(ip string) Cell {
	c := Cell{Text: ip, Code: true, Never: "Unknown"}
	if s.cfg.Places == nil || ip == "" {
		return c
	}
	city, country := s.cfg.Places.Find(ip).In("en")
	switch {
	case city != "" && country != "":
		c.Sub = city + ", " + country
	case country != "":
		c.Sub = country
	}
	return c
}

// eventName returns the type of an event in words: LOGIN_FAILED is "Login failed".
func eventName(t audit.Type) string {
	words := strings.ToLower(strings.ReplaceAll(string(t), "_", " "))
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// reasonName returns the reason of a failure in words.
func reasonName(reason string) string { return sentence(strings.ReplaceAll(reason, "_", " ")) }

// userSame returns the commands and calls of the page of an account, and of its buttons.
func (s *Server) userSame(d *admin.UserDetail, v *UserView) Same {
	id := userID(d)
	api := "/api/v1/users/" + id
	out := s.same("GET", api, nil, "user", "show", id)
	for _, b := range v.Buttons {
		switch b.Text {
		case buttonUnlock:
			out = out.also(b.Text, s.same("POST", api+"/unlock", nil, "user", "unlock", id))
		case buttonEnable:
			out = out.also(b.Text, s.same("PATCH", api, map[string]any{"active": true}, "user", "enable", id))
		}
	}
	if v.Sessions.acts() {
		out = out.also("End", s.endSessionSame())
	}
	return out
}
