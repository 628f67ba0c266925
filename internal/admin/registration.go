package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Registration is what the settings say about dynamic client registration.
type Registration struct {
	Enabled   bool          // by initial access tokens, and by anybody if Open
	Token     string        // an initial access token without a limit, or ""
	Open      bool          // anybody may register public clients
	Scopes    []string      // that such clients get
	Resources []string      // that such clients may request tokens for
	AppName   string        // which such clients may not take
	MaxOpen   int           // how many such clients there may be
	Unused    time.Duration // after which such clients are deleted
}

// RegistrationStore is what registration needs of storage.
type RegistrationStore interface {
	// SyncCache brings the clients in memory up to date with the changes of other processes.
	SyncCache(ctx context.Context) error
	// Registration returns the state of a client's registration as it is stored now, or
	// fault.NotFound.
	Registration(ctx context.Context, id client.ID) (*client.Registration, error)
	// OfferRegistrationToken stores the successor of a registration access token, if that is the
	// current one.
	OfferRegistrationToken(ctx context.Context, id client.ID, current, next secret.Hash) error
	// AdvanceRegistrationToken makes the successor of a registration access token the current one.
	// It changes nothing if the successor is another one.
	AdvanceRegistrationToken(ctx context.Context, id client.ID, next secret.Hash) error
	// EndRegistrationTokens ends a series of registration access tokens.
	EndRegistrationTokens(ctx context.Context, id client.ID, chain string, ev ...audit.Event) error
	// UnusedClients returns clients that anybody has registered and that have no grant: those that
	// nobody has signed in to since a time, and those registered before another one that nobody
	// ever has signed in to.
	UnusedClients(ctx context.Context, since, registered time.Time, limit int) ([]client.ID, error)
	// VerifiedNames returns the names of the clients that somebody has checked.
	VerifiedNames(ctx context.Context) ([]string, error)
	// CountUnverified returns how many clients anybody has registered.
	CountUnverified(ctx context.Context) (int, error)

	CreateInitialToken(ctx context.Context, t *InitialToken, ev ...audit.Event) error
	// ListInitialTokens returns initial access tokens, newest first, and how many there are.
	ListInitialTokens(ctx context.Context, limit, offset int) ([]InitialToken, int, error)
	// InitialToken returns the token with a hash, or fault.NotFound.
	InitialToken(ctx context.Context, h secret.Hash) (*InitialToken, error)
	// ConsumeInitialToken counts one use of a token. It returns fault.Consumed if the token has no
	// use left or has expired.
	ConsumeInitialToken(ctx context.Context, id string, now time.Time) error
	// RestoreInitialToken takes back one use that led to nothing.
	RestoreInitialToken(ctx context.Context, id string) error
	// DeleteInitialToken returns fault.NotFound for an unknown id.
	DeleteInitialToken(ctx context.Context, id string, ev ...audit.Event) error
}

// Registrar serves dynamic client registration, by the operations on clients: it decides what
// programs without an administrator may register, and manage of themselves.
type Registrar struct{ *Operations }

// NewRegistrar returns a Registrar.
func NewRegistrar(o *Operations) *Registrar { return &Registrar{o} }

// Registrant is the caller of a registration: an administrator, a program with an initial or a
// registration access token, or anybody.
type Registrant struct {
	Actor         Actor  // of an administrator with scopes; of others the address and the like
	Administrator bool   // the caller has shown an access token
	Token         string // an initial or registration access token, or ""
}

// IsToken reports whether a bearer token is an initial or a registration access token,
// and not an access token. It says nothing about whether it is valid.
func (r *Registrar) IsToken(token string) bool {
	own := r.cfg.Registration.Token
	return strings.HasPrefix(token, secret.PrefixInitialAccess) ||
		strings.HasPrefix(token, secret.PrefixRegistrationAccess) ||
		own != "" && secret.Equal(token, own)
}

// RegisteredClient is a client with what only its own registration requests are answered.
type RegisteredClient struct {
	Client    *client.Client
	Secret    string    // a new secret, or ""
	SecretID  string    // of the new secret, or ""
	ExpiresAt time.Time // of the secret; zero: never
	Token     string    // the registration access token to use next; "" for administrators
}

// permission is what a caller may register.
type permission struct {
	actor  Actor
	by     string              // client.Registration.By
	policy *RegistrationPolicy // nil: an administrator decides
	has    []string            // scopes that the client has already
	token  string              // the id of the initial access token to count, or ""
}

// anybody reports whether the caller has shown nothing.
func (p *permission) anybody() bool { return p.by == client.ByAnybody }

// Register registers a client from the metadata of a registration request (RFC 7591 §3.1).
// Errors are those of RegistrationError.
func (r *Registrar) Register(
	ctx context.Context, g Registrant, m *client.Metadata,
) (*RegisteredClient, error) {
	may, err := r.mayRegister(ctx, g)
	if err != nil {
		return nil, err
	}
	in, err := r.newRegistration(ctx, may, m)
	if err != nil {
		return nil, RegistrationError(err)
	}
	if may.token != "" {
		err := r.store.ConsumeInitialToken(ctx, may.token, r.parts.Now())
		if fault.Is(err, fault.Consumed) {
			return nil, invalidRegistrationToken()
		}
		if err != nil {
			return nil, err
		}
	}
	token, first := r.registrationTokens().first(in.ID)
	in.registration.Chain, in.registration.Hash = first.Chain, first.Hash
	done, err := r.createClient(ctx, may.actor, in)
	if err != nil {
		if may.token != "" {
			_ = r.store.RestoreInitialToken(ctx, may.token) // at worst one use is lost
		}
		return nil, RegistrationError(err)
	}
	out := &RegisteredClient{Client: done.Client, Secret: done.Secret, Token: token}
	if len(done.Client.Secrets) > 0 {
		out.SecretID, out.ExpiresAt = done.Client.Secrets[0].ID, done.Client.Secrets[0].ExpiresAt
	}
	return out, nil
}

// Open reports whether anybody may register public clients.
func (r *Registrar) Open() bool {
	return r.cfg.Registration.Enabled && r.cfg.Registration.Open
}

// mayRegister returns what a caller may register, or a denial.
func (r *Registrar) mayRegister(ctx context.Context, g Registrant) (*permission, error) {
	cfg := &r.cfg.Registration
	switch {
	case g.Administrator:
		return &permission{actor: g.Actor}, r.authorize(g.Actor, ScopeClientsWrite)
	case g.Token != "" && !cfg.Enabled:
		return nil, invalidRegistrationToken()
	case g.Token != "" && cfg.Token != "" && secret.Equal(g.Token, cfg.Token):
		may := &permission{actor: g.Actor, by: client.ByInitialToken + "settings", policy: defaultPolicy()}
		may.actor.name = may.by
		return may, nil
	case g.Token != "":
		return r.initialPermission(ctx, g)
	case !r.Open():
		return nil, oauth.InvalidToken(
			"Registration needs an initial access token, or an administrator's access token.")
	}
	may := &permission{actor: g.Actor, by: client.ByAnybody, policy: r.openPolicy()}
	n, err := r.store.CountUnverified(ctx)
	if err == nil && n >= cfg.MaxOpen {
		err = fault.RetryAfter(fault.Limited, time.Hour,
			"The server has as many clients that nobody has checked as it accepts. "+
				"Ask its operator to register this one.")
	}
	return may, err
}

// initialPermission returns what the holder of an initial access token may register.
func (r *Registrar) initialPermission(ctx context.Context, g Registrant) (*permission, error) {
	if !secret.WellFormed(secret.PrefixInitialAccess, g.Token) {
		return nil, invalidRegistrationToken()
	}
	t, err := r.store.InitialToken(ctx, r.parts.Keys.Hash(g.Token))
	if fault.Is(err, fault.NotFound) {
		return nil, invalidRegistrationToken()
	}
	if err != nil {
		return nil, err
	}
	if !t.Usable(r.parts.Now()) {
		return nil, invalidRegistrationToken()
	}
	// The token is worth no more than its maker is now.
	if ok, err := r.mayStill(ctx, t.CreatedBy); err != nil {
		return nil, err
	} else if !ok {
		return nil, invalidRegistrationToken()
	}
	may := &permission{actor: g.Actor, by: client.ByInitialToken + t.ID, policy: &t.Policy, token: t.ID}
	may.actor.name = may.by
	return may, nil
}

// mayStill reports whether the maker of an initial access token may make one now. A maker that has
// been deleted may not.
func (r *Registrar) mayStill(ctx context.Context, maker string) (bool, error) {
	if maker == audit.ActorCLI {
		return true, nil
	}
	u, err := r.store.User(ctx, identity.UserID(maker))
	if err == nil {
		return !u.Blocked() && r.definitions().RoleRights(u.Roles).Has(string(ScopeRegistrationsWrite)), nil
	}
	if !fault.Is(err, fault.NotFound) {
		return false, err
	}
	c, err := r.store.Client(ctx, client.ID(maker))
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && !c.Disabled && r.definitions().Closure(c.Scopes...).Has(string(ScopeRegistrationsWrite)), err
}

// newRegistration returns the client that metadata describes, within what the caller may register.
func (r *Registrar) newRegistration(
	ctx context.Context, may *permission, m *client.Metadata,
) (NewClient, error) {
	if err := checkMembers(m, false); err != nil {
		return NewClient{}, err
	}
	p, err := r.registrationPatch(may, m)
	if err != nil {
		return NewClient{}, err
	}
	in := NewClient{ID: client.ID(secret.NewID(r.parts.Now())), Fields: p}
	in.registration.By = may.by
	if p.Values.Name == "" {
		in.Fields.Values.Name = defaultName(in.ID, &p.Values)
		in.Fields.Names = append(in.Fields.Names, "client_name")
	}
	if may.anybody() {
		if err := r.checkOpenName(ctx, in.Fields.Values.Name); err != nil {
			return NewClient{}, err
		}
	}
	if may.policy != nil {
		if in.registration.Policy, err = json.Marshal(may.policy); err != nil {
			return NewClient{}, err
		}
	}
	return in, nil
}

// defaultName returns the name of a client that gives itself none: the host of its redirect URI, or
// its id (RFC 7591 §2).
func defaultName(id client.ID, c *client.Client) string {
	for _, uri := range c.Redirects {
		if _, host, ok := strings.Cut(client.Origin(uri), "://"); ok && strings.HasPrefix(uri, "https:") {
			return host
		}
	}
	return string(id)
}

// registrationPatch returns the fields of a registration that metadata sets, with the defaults of
// RFC 7591 §2 for all others that a client may set of itself, within the policy.
func (r *Registrar) registrationPatch(may *permission, m *client.Metadata) (ClientPatch, error) {
	p := ClientPatch{Values: m.Fields.Values, Names: slices.Clone(m.Fields.Names)}
	own := client.SelfServiceFields()
	if may.policy != nil {
		for _, name := range p.Names {
			if !slices.Contains(own, name) {
				return p, fault.InvalidField(name, "Only an administrator can set %s.", name)
			}
		}
	}
	for _, name := range append([]string{"public"}, own...) {
		if !p.Has(name) {
			p.Names = append(p.Names, name)
		}
	}
	c := &p.Values
	if !m.Fields.Has("grant_types") {
		c.Grants = []string{client.GrantTypeCode}
	}
	c.Public = c.AuthMethod == client.MethodNone
	if err := r.applyPolicy(may, m, c); err != nil {
		return p, err
	}
	if may.policy == nil && !m.Fields.Has("scope") {
		p.Names = slices.DeleteFunc(p.Names, func(name string) bool { return name == "scope" })
	}
	return p, checkResponseTypes(c, m)
}

// checkResponseTypes rejects response types that the server has not, or that do not belong to the
// grant types (RFC 7591 §2.1).
func checkResponseTypes(c *client.Client, m *client.Metadata) error {
	code := slices.Contains(c.Grants, client.GrantTypeCode)
	for _, t := range m.ResponseTypes {
		if t != "code" {
			return fault.InvalidField("response_types", "Only the response type code is supported.")
		}
		if !code {
			return fault.InvalidField("response_types",
				"The response type code needs the grant type authorization_code.")
		}
	}
	return nil
}

// checkMembers rejects members that a registration request may not have: those that only the server
// sets (RFC 7592 §2.2), and a software statement, since the server trusts no issuer of these.
func checkMembers(m *client.Metadata, update bool) error {
	if m.Statement != "" {
		if strings.Count(m.Statement, ".") != 2 {
			return oauth.NewError("invalid_software_statement", 400,
				"The software statement is not a signed JWT.")
		}
		return oauth.NewError("unapproved_software_statement", 400,
			"This server approves no software statements. Send the metadata as members.")
	}
	if !update {
		return nil
	}
	for _, name := range []string{
		"registration_access_token", "registration_client_uri", "client_secret_expires_at",
		"client_id_issued_at",
	} {
		if m.Has(name) {
			return oauth.InvalidRequest("An update may not contain %s (RFC 7592 section 2.2).", name)
		}
	}
	return nil
}

// RegistrationError returns an error in the codes of RFC 7591 §3.2.2.
func RegistrationError(err error) error {
	if !fault.Is(err, fault.Invalid) {
		return err
	}
	code := "invalid_client_metadata"
	if field := faultField(err); field == "redirect_uris" || field == "redirect_uri" {
		code = "invalid_redirect_uri"
	}
	return oauth.NewError(code, 400, "%s", fault.Text(err))
}

func invalidRegistrationToken() error {
	return oauth.InvalidToken("The token is not valid here: it is unknown, has expired or was used up.")
}

// RegisteredMetadata returns the metadata of a client by the names of RFC 7591 §2. Members without
// a value are left out.
func RegisteredMetadata(c *client.Client) map[string]json.RawMessage {
	fields := client.Fields(client.Rules{})
	doc := map[string]json.RawMessage{}
	for _, name := range client.SelfServiceFields() {
		f, _ := field.Named(fields, name)
		if f.IsZero(c) {
			continue
		}
		if value, err := f.MarshalValue(c); err == nil { // texts and lists always encode
			doc[wireName(name)] = value
		}
	}
	for name, value := range map[string]any{
		"grant_types":                c.Grants,
		"response_types":             c.ResponseTypes(),
		"token_endpoint_auth_method": cmp.Or(c.AuthMethod, client.MethodBasic),
	} {
		doc[name], _ = json.Marshal(value) // texts always encode
	}
	return doc
}

// wireName returns the name in registration responses of a field that has another name here.
func wireName(name string) string {
	if name == "alg" {
		return "id_token_signed_response_alg"
	}
	return name
}
