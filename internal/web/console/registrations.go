package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// registrationSection lists the tokens by which programs register clients.
func (s *Server) registrationSection() section {
	return section{
		path:  "/registrations",
		name:  "Registration",
		icon:  "list",
		group: "Apps",
		scope: admin.ScopeRegistrationsRead,
		routes: append([]route{
			{"GET /admin/registrations", []string{"ListInitialTokens"}, s.showRegistrations},
			{"GET /admin/registrations/new", nil, s.showNewInitialToken},
			{"POST /admin/registrations", []string{"CreateInitialToken"}, s.postNewInitialToken},
		}, actionRoutes("/admin/registrations/{initial}", s.revokeInitialAction(), s.loadInitial)...),
		views: []View{&RegistrationsView{}, &InitialTokenView{}, &OnceView{}},
		notes: map[string]string{"revoked": "The token was deleted. The clients that it registered stay."},
	}
}

// RegistrationsView lists initial access tokens.
type RegistrationsView struct {
	Base
	Table Table
	Pager Pager
	Empty *Empty // instead of the list, or nil
	Same  Same
}

// Page names the template.
func (*RegistrationsView) Page() string { return "registrations" }

func (s *Server) showRegistrations(w http.ResponseWriter, r *http.Request, q *request) error {
	offset, err := strconv.Atoi(q.form.Get("offset"))
	if err != nil || offset < 0 || offset > admin.MaxOffset {
		offset = 0
	}
	all, total, err := s.ops.ListInitialTokens(r.Context(), q.actor, pageSize, offset)
	if err != nil {
		return err
	}
	v := &RegistrationsView{Base: s.begin(r, q, "Registration of clients")}
	v.Lead = "Initial access tokens, by which programs register clients themselves, within limits."
	write := q.actor.Can(admin.ScopeRegistrationsWrite)
	if write {
		v.Primary = &Link{"New token", Root + "/registrations/new"}
	}
	v.Table = Table{Caption: "Initial access tokens", Columns: []Column{
		{Name: "Token"}, {Name: "State"}, {Name: "Used"}, {Name: "Grants", Wide: true}, {Name: "Expires", Wide: true},
	}}
	for i := range all {
		row := s.initialRow(&v.Base, &all[i])
		if write {
			row.Links = []Link{{"Delete", at("/registrations", all[i].ID, "revoke")}}
		}
		v.Table.Rows = append(v.Table.Rows, row)
	}
	v.Pager.Total = count(total, "token")
	if offset > 0 {
		v.Pager.First = Root + "/registrations"
	}
	if next := offset + len(all); next < total {
		v.Pager.Next = with(Root+"/registrations", "offset", strconv.Itoa(next))
	}
	if total == 0 {
		v.Empty = &Empty{
			Icon: "list", Title: "There are no initial access tokens",
			Text:    "A program that registers clients by RFC 7591 presents one. It works for as many clients as you say, until it expires.",
			Command: "gatehouse registration create --count 10 --expires-in 7d",
		}
	}
	v.Same = s.same("GET", "/api/v1/registrations", nil, "registration", "list")
	return s.show(w, http.StatusOK, v)
}

// initialRow returns the line of a token in the list.
func (s *Server) initialRow(b *Base, t *admin.InitialToken) Row {
	name, state := Cell{Text: t.ID, Code: true}, badgeCell("good", "Active")
	if t.Description != "" {
		name = Cell{Text: t.Description, Sub: t.ID}
	}
	switch {
	case !t.ExpiresAt.After(b.Now):
		state = badgeCell("plain", "Expired")
	case !t.Usable(b.Now):
		state = badgeCell("plain", "Used up")
	}
	return Row{ID: t.ID, Name: name.Text, Cells: []Cell{
		name, state,
		textCell(grouped(t.Used) + " of " + grouped(t.Count)),
		textCell(strings.Join(s.ops.Rules().ShortGrants(t.Policy.Grants), ", ")),
		b.timeCell(t.ExpiresAt, ""),
	}}
}

// InitialTokenView creates an initial access token. The fields are those of its inputs, and a check
// box for each grant type, `grant_types-` with its name.
type InitialTokenView struct {
	Base
	Inputs []Input
	Grants []ScopeChoice
	Policy []Input
	Back   Link
	Same   Same
}

// Page names the template.
func (*InitialTokenView) Page() string { return "initialtoken" }

// initialInputs returns the inputs of the form, each with the options of newInput.
func initialInputs() (token, policy [][]string) {
	token = [][]string{
		{"description", "Note for administrators", "autocomplete=off"},
		{"count", "How many clients it registers", "inputmode=numeric", "autocomplete=off", "hint=Empty: 1."},
		{"expires_in", "Valid for", "plain", "autocomplete=off", "hint=Such as 12h or 7d. Empty: a day."},
	}
	policy = [][]string{
		{"scopes", "Scopes", "plain", "autocomplete=off", "hint=Separated by spaces. Empty: openid profile email offline_access."},
		{"redirect_hosts", "Hosts of redirect URIs", "plain", "area", "hint=Such as *.example.com. Empty: any. One a line."},
		{
			"token_endpoint_auth_methods", "Authentication methods", "plain", "autocomplete=off",
			"hint=Separated by spaces. Empty: any.",
		},
		{"resources", "APIs that their tokens may be for", "plain", "area", "hint=One a line."},
	}
	return token, policy
}

func inputsOf(b Base, all [][]string) ([]Input, error) {
	var out []Input
	for _, x := range all {
		in, err := newInput(b, x[0], x[1], x[2:]...)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// initialToken returns the token that a form asks for.
func initialToken(q *request) (admin.NewInitialToken, error) {
	grants := q.picked(fieldGrants + "-")
	slices.Sort(grants)
	lines := func(name string) []string { return strings.Fields(q.form.Get(name)) }
	in := admin.NewInitialToken{
		Description: strings.TrimSpace(q.form.Get("description")),
		Policy: admin.RegistrationPolicy{
			Grants:        grants,
			Scopes:        lines("scopes"),
			RedirectHosts: lines("redirect_hosts"),
			AuthMethods:   lines("token_endpoint_auth_methods"),
			Resources:     lines("resources"),
		},
	}
	var wrongCount, wrongTime error
	if value := strings.TrimSpace(q.form.Get("count")); value != "" {
		if in.Count, wrongCount = strconv.Atoi(value); wrongCount != nil || in.Count < 1 {
			wrongCount = fault.InvalidField("count", "Enter a whole number from 1 on.")
		}
	}
	in.ExpiresIn, wrongTime = secondsOf(q, "expires_in")
	return in, fault.Join(wrongCount, wrongTime)
}

func (s *Server) showNewInitialToken(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeRegistrationsWrite); err != nil {
		return err
	}
	if len(q.form) == 0 {
		q.form = url.Values{fieldGrants + "-authorization_code": {"on"}, fieldGrants + "-refresh_token": {"on"}}
	}
	return s.writeInitialToken(w, q, s.begin(r, q, "New initial access token"))
}

func (s *Server) writeInitialToken(w http.ResponseWriter, q *request, b Base) error {
	v := &InitialTokenView{Base: b, Back: Link{"Registration", Root + "/registrations"}}
	v.Form, v.Crumbs, v.Notice = q.form, []Link{v.Back}, ""
	token, policy := initialInputs()
	var err error
	if v.Inputs, err = inputsOf(v.Base, token); err != nil {
		return err
	}
	if v.Policy, err = inputsOf(v.Base, policy); err != nil {
		return err
	}
	v.Grants = grantChoices(s.ops.Rules(), q)
	in, _ := initialToken(q) // what cannot be read is left out
	v.Same = s.initialSame(in)
	return s.show(w, v.status(), v)
}

// grantChoices returns the grant types with those that a form selects.
func grantChoices(rules client.Rules, q *request) []ScopeChoice {
	chosen, _ := rules.ResolveGrants(q.picked(fieldGrants + "-")) // the operation says what is wrong
	var out []ScopeChoice
	for _, g := range rules.Grants {
		out = append(out, ScopeChoice{Name: g.Title(), Text: g.Summary, Chosen: slices.Contains(chosen, g.Name)})
	}
	return out
}

// initialSame returns what creates a token.
func (s *Server) initialSame(in admin.NewInitialToken) Same {
	args := []string{"registration", "create", "--description=" + in.Description}
	policy, body := map[string]any{}, map[string]any{}
	if in.Description != "" {
		body["description"] = in.Description
	}
	if in.Count > 0 {
		args, body["count"] = append(args, "--count="+strconv.Itoa(in.Count)), in.Count
	}
	if in.ExpiresIn > 0 {
		args, body["expires_in"] = append(args, "--expires-in="+in.ExpiresIn.String()), int64(in.ExpiresIn/time.Second)
	}
	for _, x := range []struct {
		member, flag string
		values       []string
	}{
		{"grant_types", "--grant=", in.Policy.Grants},
		{"scopes", "--scope=", in.Policy.Scopes},
		{"redirect_hosts", "--redirect-host=", in.Policy.RedirectHosts},
		{"token_endpoint_auth_methods", "--auth-method=", in.Policy.AuthMethods},
		{"resources", "--resource=", in.Policy.Resources},
	} {
		if len(x.values) > 0 {
			policy[x.member] = x.values
		}
		for _, value := range x.values {
			args = append(args, x.flag+value)
		}
	}
	if len(policy) > 0 {
		body["policy"] = policy
	}
	return s.same("POST", "/api/v1/registrations", body, args...)
}

func (s *Server) postNewInitialToken(w http.ResponseWriter, r *http.Request, q *request) error {
	in, err := initialToken(q)
	if err == nil {
		var t *admin.InitialToken
		var text string
		if t, text, err = s.ops.CreateInitialToken(r.Context(), q.actor, in); err == nil {
			v := &OnceView{Base: s.begin(r, q, "The token was created"), Label: "Initial access token", Secret: text}
			v.Crumbs = []Link{{"Registration", Root + "/registrations"}}
			v.Text = "Whoever has it registers " + count(t.Count, "client") + " at " + s.cfg.Issuer +
				"/oauth/register, until " + v.When(t.ExpiresAt).Absolute + "."
			v.Next = Link{"Back to the list", Root + "/registrations"}
			return s.show(w, http.StatusOK, v)
		}
	}
	b := s.begin(r, q, "New initial access token")
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeInitialToken(w, q, b)
}

// loadInitial returns the id of a token that may be deleted.
func (s *Server) loadInitial(r *http.Request, q *request) (string, error) {
	return r.PathValue("initial"), s.mayChange(q, admin.ScopeRegistrationsWrite)
}

func (s *Server) revokeInitialAction() action[string] {
	return action[string]{
		server: s, ops: []string{"RevokeInitialToken"},
		name: "revoke", title: "Delete the token", button: "Delete the token", danger: true,
		text: func(id string) string {
			return "Deletes the initial access token " + id + ": nobody can register clients by it any more."
		},
		ends: func(string) []string { return []string{"The clients that it registered stay."} },
		same: func(id string, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/registrations/"+url.PathEscape(id), nil, "registration", "revoke", id)
		},
		do: func(ctx context.Context, q *request, id string) error {
			return s.ops.RevokeInitialToken(ctx, q.actor, id)
		},
		done: func(string) string { return Root + "/registrations?done=revoked" },
		back: func(string) Link { return Link{"Registration", Root + "/registrations"} },
		at:   func(id string) string { return at("/registrations", id, "revoke") },
	}
}
