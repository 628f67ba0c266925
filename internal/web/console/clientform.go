package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// ClientFormView registers a client or changes its registration. The fields are those of
// client.Fields; `public` is a choice, and each of the grant types a check box, `grant_types-` with
// its name. A new client may also have a `client_id`.
type ClientFormView struct {
	Base
	Types       []Choice
	Grants      []ScopeChoice
	Groups      []InputGroup
	Consent     []InputGroup // what people see when they are asked
	OpenConsent bool         // the part about consent is shown at once
	Advanced    []InputGroup
	Open        bool // the advanced groups are shown at once
	Create      bool
	Action      string
	Back        Link
	Same        Same
}

// Page names the template.
func (*ClientFormView) Page() string { return "clientform" }

// fieldGrants is the field with check boxes.
const fieldGrants = "grant_types"

// clientGroups returns the inputs that most clients need.
func clientGroups(scopes string) []fieldInputs {
	return []fieldInputs{
		{"", []fieldInput{
			{name: "redirect_uris", label: "Redirect URIs", hint: "Where people are sent back to, exactly " +
				"as the app sends it."},
			{name: "post_logout_redirect_uris", label: "Redirect URIs after signing out"},
			{name: "scope", label: "Scopes", hint: scopes},
			{name: "first_party", label: "This app is our own: do not ask people for consent", hint: " "},
			{name: "description", label: "Note for administrators"},
		}},
	}
}

// consentGroup returns the inputs of what people see of a client when they are asked.
func consentGroup() fieldInputs {
	return fieldInputs{"", []fieldInput{
		{name: "client_uri", label: "Home page"},
		{name: "logo_uri", label: "Logo"},
		{name: "brand_color", label: "Color"},
		{name: "tos_uri", label: "Terms of service"},
		{name: "policy_uri", label: "Privacy policy"},
		{name: "contacts", label: "Contacts"},
	}}
}

// choicesOf returns values as a list to choose from, after a text for none of them.
func choicesOf(none string, values ...string) []string {
	out := []string{"", none}
	for _, v := range values {
		out = append(out, v, v)
	}
	return out
}

// advancedClientGroups returns the inputs that few clients need.
func advancedClientGroups(r client.Rules) []fieldInputs {
	methods := []string{"", "Usual for the type"}
	for _, m := range r.AuthMethods {
		if !m.Public { // public clients have no choice
			methods = append(methods, m.Name, m.Name)
		}
	}
	algs := choicesOf("Any", jose.AssertionAlgorithms()...)
	onOff := choicesOf("As the server's settings say", "on", "off")
	return []fieldInputs{
		{"How it authenticates", []fieldInput{
			{name: "token_endpoint_auth_method", label: "Method", choices: methods, hint: "Usual are " +
				"client_secret_basic and client_secret_post, or none for a public client."},
			{name: "jwks", label: "Public keys", hint: "A JSON Web Key Set, for private_key_jwt."},
			{name: "jwks_uri", label: "Address of its public keys"},
			{name: "token_endpoint_auth_signing_alg", label: "Algorithm of its assertions", choices: algs, hint: " "},
			{name: "request_object_signing_alg", label: "Algorithm of its request objects", choices: algs, hint: " "},
			{name: "strict_assertion_audience", label: "Only assertions for the issuer alone"},
		}},
		{"Tokens", []fieldInput{
			{name: "access_token_ttl", label: "Access tokens are valid for"},
			{name: "id_token_ttl", label: "ID tokens are valid for"},
			{name: "refresh_token_ttl", label: "Refresh tokens are valid for"},
			{name: "refresh_rotation", label: "Replace refresh tokens at each use", choices: onOff, hint: " "},
			{name: "token_format", label: "Format of access tokens", choices: choicesOf("As the server's "+
				"settings say", "jwt", "opaque"), hint: " "},
			{name: "token_typ", label: "Type header of access tokens", choices: choicesOf("at+jwt", client.TypJWT)},
			{name: "alg", label: "Signature algorithm", choices: choicesOf("As the server's settings say", r.Algorithms...), hint: " "},
			{name: "id_token_profile", label: "Profile in ID tokens", choices: choicesOf("on", "off")},
			{name: "keep_refresh", label: "Keep refresh tokens on the server"},
		}},
		{"Protection", []fieldInput{
			{name: "require_pkce", label: "Require PKCE"},
			{name: "allow_plain_pkce", label: "Accept plain PKCE"},
			{name: "dpop_bound_access_tokens", label: "Bind tokens to its key (DPoP)"},
			{name: "tls_client_certificate_bound_access_tokens", label: "Bind tokens to its TLS certificate"},
			{name: "allow_custom_schemes", label: "Accept custom schemes in redirect URIs"},
			{name: "loopback_only", label: "Serve it on this machine only"},
			{name: "disabled", label: "Disabled"},
		}},
		{"APIs and gateway", []fieldInput{
			{name: "resources", label: "APIs that its tokens may be for"},
			{name: "roles", label: "Roles when it acts for itself"},
			{name: "rate_limits", label: "Rate limits", hint: `As in {"token":{"max":1000,"window":60}}: requests in a window of seconds, at the token endpoint or through the gateway.`},
			{name: "from_networks", label: "Networks"},
			{name: "from_origins", label: "Origins"},
			{name: "to_hosts", label: "Hosts of the gateway"},
			{name: "to_routes", label: "Routes of the gateway"},
			{name: "introspect_any", label: "May see every token"},
		}},
	}
}

// scopeHint names the scopes that are defined, but for those of the management API.
func (s *Server) scopeHint(r *http.Request, q *request) (string, error) {
	hint := "What it may request."
	if !q.actor.Can(admin.ScopeScopesRead) {
		return hint, nil
	}
	all, err := s.ops.Scopes(r.Context(), q.actor)
	if err != nil {
		return "", err
	}
	var names []string
	for i := range all {
		name := all[i].Name
		if name != oauth.ScopeAdmin && !strings.HasPrefix(name, oauth.ScopeAdmin+":") {
			names = append(names, name)
		}
	}
	return hint + " There are " + strings.Join(names, ", ") + ".", nil
}

// clientFormView returns the form with the values of q.form.
func (s *Server) clientFormView(r *http.Request, q *request, b Base) (*ClientFormView, error) {
	v := &ClientFormView{Base: b}
	v.Form, v.Version = q.form, q.form.Get("version")
	rules := s.ops.Rules()
	fields := client.Fields(rules)
	v.Types = []Choice{
		{"", "Confidential: a server that can keep a secret", q.form.Get("public") == ""},
		{"on", "Public: a browser, mobile or command-line app", q.form.Get("public") != ""},
	}
	v.Grants = grantChoices(rules, q)
	hint, err := s.scopeHint(r, q)
	if err != nil {
		return nil, err
	}
	groups, advanced := clientGroups(hint), advancedClientGroups(rules)
	rest := restOf(fields, slices.Concat(groups, []fieldInputs{consentGroup()}, advanced), "client_name", "public", fieldGrants)
	v.Groups = groupsOf(v.Base, fields, groups)
	v.Consent = groupsOf(v.Base, fields, []fieldInputs{consentGroup()})
	v.OpenConsent = opened(v.Consent)
	v.Advanced = groupsOf(v.Base, fields, append(advanced, rest))
	v.Open = opened(v.Advanced)
	return v, nil
}

func (s *Server) showNewClient(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeClientsWrite); err != nil {
		return err
	}
	if len(q.form) == 0 { // what most new clients are
		q.form = url.Values{fieldGrants + "-authorization_code": {"on"}, fieldGrants + "-refresh_token": {"on"}}
	}
	return s.writeNewClient(w, r, q, s.begin(r, q, "New client"))
}

func (s *Server) writeNewClient(w http.ResponseWriter, r *http.Request, q *request, b Base) error {
	v, err := s.clientFormView(r, q, b)
	if err != nil {
		return err
	}
	v.Notice = ""
	v.Create, v.Action, v.Back = true, Root+"/clients", Link{"Clients", Root + "/clients"}
	v.Crumbs = []Link{v.Back}
	fields := client.Fields(s.ops.Rules())
	p, _ := fieldPatch(fields, q) // what cannot be read is left out
	args, body := clientSame(fields, &client.Client{}, &p.Values)
	if p.Values.Name == "" {
		args, body["client_name"] = append([]string{"--name=NAME"}, args...), "NAME"
	}
	if id := q.form.Get("client_id"); id != "" {
		args, body["client_id"] = append(args, "--id="+id), id
	}
	v.Same = s.same("POST", "/api/v1/clients", body, append([]string{"client", "create"}, args...)...)
	return s.show(w, v.status(), v)
}

// clientSame returns the flags and the members that make a client out of an old one. The API calls
// the rotation of refresh tokens by another name.
func clientSame(fields []client.Field, old, c *client.Client) ([]string, map[string]any) {
	args, body := fieldSame(fields, old, c)
	if _, changed := body["refresh_rotation"]; changed {
		delete(body, "refresh_rotation")
		body["refresh_token_rotation"] = c.Rotation != "off"
	}
	return args, body
}

func (s *Server) postNewClient(w http.ResponseWriter, r *http.Request, q *request) error {
	p, err := fieldPatch(client.Fields(s.ops.Rules()), q)
	if err == nil {
		if q.form.Get("scope") == "" { // the operation chooses those that its grants need
			p.Names = slices.DeleteFunc(p.Names, func(n string) bool { return n == "scope" })
		}
		var out *admin.ChangedClient
		id := client.ID(strings.TrimSpace(q.form.Get("client_id")))
		if out, err = s.ops.CreateClient(r.Context(), q.actor, admin.NewClient{ID: id, Fields: p}); err == nil {
			return s.showClientResult(w, r, q, out, "created")
		}
	}
	b := s.begin(r, q, "New client")
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeNewClient(w, r, q, b)
}

func (s *Server) loadClient(r *http.Request, q *request) (*client.Client, error) {
	return s.ops.Client(r.Context(), q.actor, r.PathValue("client"))
}

func (s *Server) showEditClient(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeClientsWrite); err != nil {
		return err
	}
	c, err := s.loadClient(r, q)
	if err != nil {
		return err
	}
	if !q.draft {
		q.form = fieldValues(client.Fields(s.ops.Rules()), c, fieldGrants)
		if c.Public { // it follows from the type
			q.form.Del("token_endpoint_auth_method")
		}
		for name := range q.form { // the boxes have the words for people
			if wire, ok := strings.CutPrefix(name, fieldGrants+"-"); ok {
				q.form.Del(name)
				q.form.Set(fieldGrants+"-"+s.ops.Rules().ShortGrants([]string{wire})[0], "on")
			}
		}
		q.form.Set("version", strconv.FormatInt(c.Version, 10))
	}
	return s.writeEditClient(w, r, q, c, s.begin(r, q, "Edit "+clientName(c)))
}

func (s *Server) writeEditClient(
	w http.ResponseWriter, r *http.Request, q *request, c *client.Client, b Base,
) error {
	v, err := s.clientFormView(r, q, b)
	if err != nil {
		return err
	}
	v.Back = Link{clientName(c), at("/clients", string(c.ID))}
	v.Action = at("/clients", string(c.ID), "edit")
	v.Crumbs = []Link{{"Clients", Root + "/clients"}, v.Back}
	fields := client.Fields(s.ops.Rules())
	p, _ := fieldPatch(fields, q) // what cannot be read is left out
	entered := p.Values
	_ = entered.Normalize(s.ops.Rules()) // the page says what is wrong
	args, body := clientSame(fields, c, &entered)
	if len(body) == 0 {
		args, body["client_name"] = []string{"--name=" + c.Name}, c.Name
	}
	v.Same = s.same("PATCH", "/api/v1/clients/"+url.PathEscape(string(c.ID)), body,
		append([]string{"client", "update", string(c.ID)}, args...)...)
	return s.show(w, v.status(), v)
}

func (s *Server) postEditClient(w http.ResponseWriter, r *http.Request, q *request) error {
	fields := client.Fields(s.ops.Rules())
	p, err := fieldPatch(fields, q)
	version, versionErr := versionOf(q)
	if versionErr != nil {
		return versionErr
	}
	if err == nil {
		p.IfVersion = version
		var out *admin.ChangedClient
		if out, err = s.ops.UpdateClient(r.Context(), q.actor, r.PathValue("client"), p); err == nil {
			return s.showClientResult(w, r, q, out, "updated")
		}
	}
	c, readErr := s.loadClient(r, q)
	if readErr != nil {
		return readErr
	}
	b := s.begin(r, q, "Edit "+clientName(c))
	if fault.Is(err, fault.Stale) {
		entered := p.Values
		_ = entered.Normalize(s.ops.Rules()) // it was valid
		return s.showStale(w, b, at("/clients", string(c.ID), "edit"), fieldMoves(fields, &entered, c))
	}
	if err := retry(&b, q, err); err != nil {
		return err
	}
	return s.writeEditClient(w, r, q, c, b)
}

// ClientResultView shows what is shown once after a client was created, changed or given a secret.
type ClientResultView struct {
	Base
	ID       string
	Secret   string // or ""
	Ends     Moment // when the secret expires; unknown: never
	Previous Moment // when the secret before it expires; unknown: there was none, or it has ended
	Warnings []string
	Env      string // a file with the settings of the app, or ""
	Next     Link
}

// Page names the template.
func (*ClientResultView) Page() string { return "clientresult" }

// showClientResult shows a secret and warnings, or leads to the page of the client without them.
func (s *Server) showClientResult(
	w http.ResponseWriter, r *http.Request, q *request, out *admin.ChangedClient, done string,
) error {
	c := out.Client
	page := at("/clients", string(c.ID))
	if out.Secret == "" && len(out.Warnings) == 0 {
		return seeOther(w, r, with(page, "done", done))
	}
	title := strings.TrimSuffix(s.clientSection().notes[done], ".")
	v := &ClientResultView{Base: s.begin(r, q, title), ID: string(c.ID), Secret: out.Secret}
	v.Notice, v.Previous = "", v.When(out.Previous)
	if len(c.Secrets) > 0 && done == "created" {
		v.Ends = v.When(c.Secrets[0].ExpiresAt)
	}
	return s.writeClientResult(w, c, v, out.Warnings)
}

func (s *Server) writeClientResult(
	w http.ResponseWriter, c *client.Client, v *ClientResultView, warnings []admin.Warning,
) error {
	v.Next = Link{"Open " + clientName(c), at("/clients", string(c.ID))}
	v.Crumbs = []Link{{"Clients", Root + "/clients"}, {clientName(c), v.Next.URL}}
	for _, x := range warnings {
		v.Warnings = append(v.Warnings, warningText(x))
	}
	if v.Secret != "" {
		v.Env = envSnippet(s.cfg.Issuer, c, v.Secret)
	}
	return s.show(w, http.StatusOK, v)
}

// warningText returns a warning in words.
func warningText(x admin.Warning) string {
	text := map[string]string{
		admin.WarnPasswordGrantOff: "The password grant works once ENABLE_PASSWORD_GRANT is true and " +
			"PASSWORD_GRANT_ALLOWED_CLIENTS names the client",
		admin.WarnNoSecret:       "The client has no secret yet. Add one on its page",
		admin.WarnNoActiveSecret: "The client has no active secret and cannot authenticate. Add one on its page",
		admin.WarnSecretEnded: "A further secret has ended: a rotation leaves the new secret and the " +
			"one before it",
		admin.WarnCustomScheme: "Any other app on a person's device can register the scheme of a redirect " +
			"URI and receive the responses. " +
			"A domain name in reverse is safer",
		admin.WarnFirstKey: "The first key of this algorithm is published now and signs at once. " +
			"Programs that have cached the key set must fetch it again",
		admin.WarnUnknownClient: "There is no such client yet",
		admin.WarnUnknownRole:   "No account has this role, and no route names it",
		admin.WarnUnknownScope:  "This scope is not defined",
	}[x.Code]
	if text == "" {
		text = fieldLabel(x.Code)
	}
	text += ": " + x.Subject
	if x.Nearest != "" {
		return text + ". Did you mean " + x.Nearest + "?"
	}
	return sentence(text)
}
