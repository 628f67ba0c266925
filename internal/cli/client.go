package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// clientCommands manage the applications that may ask for tokens.
type clientCommands struct {
	Create       clientCreate       `cmd:"" help:"Register a client; prints its id and, once only, its secret."`
	List         clientList         `cmd:"" help:"List clients."`
	Show         clientShow         `cmd:"" help:"Show one client."`
	Update       clientUpdate       `cmd:"" help:"Change a client's registration. Only what is named changes; lists are replaced."`
	RotateSecret clientRotateSecret `cmd:"" help:"Give a client a new secret; the old one works on for a while."`
	Delete       clientDelete       `cmd:"" help:"Delete a client, and revoke all its tokens."`
}

// clientFields are what a registration says, besides its name. What is nil is left as it is.
type clientFields struct {
	Public                *bool    `negatable:"" help:"The client cannot keep a secret: a browser, mobile or command-line app."`
	Grant                 []string `sep:"none" placeholder:"GRANT" help:"How it gets tokens: authorization_code (code), refresh_token (refresh), client_credentials, device_code (device), password. May be repeated."`
	RedirectURI           []string `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Where a person is sent back to, exactly. May be repeated."`
	PostLogoutRedirectURI []string `name:"post-logout-redirect-uri" sep:"none" placeholder:"URI" help:"Where a person may be sent after signing out. May be repeated."`
	Scope                 []string `sep:"none" placeholder:"SCOPES" help:"What it may ask for: names separated by spaces. May be repeated."`
	Resource              []string `sep:"none" placeholder:"URI" help:"An API, besides the issuer, that its tokens may be meant for. May be repeated."`
	AuthMethod            *string  `placeholder:"METHOD" help:"How it proves itself: client_secret_basic, client_secret_post, private_key_jwt or none. Without it a secret is taken either way."`
	JWKS                  *string  `name:"jwks" placeholder:"FILE" help:"A file with its public keys, for private_key_jwt."`
	JWKSURI               *string  `name:"jwks-uri" placeholder:"URL" help:"Where to read its public keys, for private_key_jwt."`
	AccessTokenTTL        *span    `name:"access-token-ttl" placeholder:"DURATION" help:"How long its access tokens live."`
	IDTokenTTL            *span    `name:"id-token-ttl" placeholder:"DURATION" help:"How long its ID tokens live."`
	RefreshTokenTTL       *span    `name:"refresh-token-ttl" placeholder:"DURATION" help:"How long its refresh tokens live after their last use."`
	RefreshRotation       *string  `placeholder:"on|off" help:"Whether a refresh token works once."`
	TokenFormat           *string  `placeholder:"jwt|opaque" help:"What its access tokens are."`
	Alg                   *string  `placeholder:"ALG" help:"What its tokens are signed with: RS256, ES256, EdDSA or PS256."`
	FirstParty            *bool    `negatable:"" help:"It is our own: people are not asked for consent."`
	AllowPlainPKCE        *bool    `name:"allow-plain-pkce" negatable:"" help:"Take the PKCE method plain, for old clients."`
	RequirePKCE           *bool    `name:"require-pkce" negatable:"" help:"Require PKCE though it is confidential."`
	URI                   *string  `name:"uri" placeholder:"URL" help:"Its home page, shown on the consent page."`
	LogoURI               *string  `name:"logo-uri" placeholder:"URL" help:"Its logo, shown on the consent page."`
	Description           *string  `placeholder:"TEXT" help:"A note for administrators."`
	Role                  []string `sep:"none" placeholder:"ROLE" help:"A role that it has when it acts for itself. May be repeated."`
	FromNetwork           []string `sep:"none" placeholder:"CIDR" help:"A network that it may call the gateway from; anywhere if left out. May be repeated."`
	ToHost                []string `sep:"none" placeholder:"HOST" help:"A host of the gateway that it may call, or a wildcard such as *.example.com; any if left out. May be repeated."`
	ToRoute               []string `sep:"none" placeholder:"ROUTE" help:"A route of the gateway that it may call, as DOMAIN/VERSION, DOMAIN or an id; any if left out. May be repeated."`
	DPoPBound             *bool    `name:"dpop-bound" negatable:"" help:"Give it only tokens that are bound to its key (RFC 9449)."`
	CertificateBound      *bool    `negatable:"" help:"Give it only tokens that are bound to its TLS certificate (RFC 8705)."`
	KeepRefresh           *bool    `negatable:"" help:"Keep its refresh tokens here: it exchanges an old access token for a new one."`
}

// apply writes what was given into a registration.
func (f *clientFields) apply(cl *client.Client) error {
	var err error
	if f.Grant != nil {
		if cl.Grants, err = readGrants(f.Grant); err != nil {
			return err
		}
	}
	if f.JWKS != nil {
		if cl.JWKS, err = readKeys(*f.JWKS); err != nil {
			return err
		}
	}
	setList(&cl.Redirects, f.RedirectURI)
	setList(&cl.PostLogout, f.PostLogoutRedirectURI)
	setList(&cl.Resources, f.Resource)
	setList(&cl.Scopes, splitWords(f.Scope, ""))
	set(&cl.Public, f.Public)
	set(&cl.AuthMethod, f.AuthMethod)
	set(&cl.JWKSURI, f.JWKSURI)
	setSpan(&cl.AccessTTL, f.AccessTokenTTL)
	setSpan(&cl.IDTokenTTL, f.IDTokenTTL)
	setSpan(&cl.RefreshTTL, f.RefreshTokenTTL)
	set(&cl.Rotation, f.RefreshRotation)
	set(&cl.TokenFormat, f.TokenFormat)
	set(&cl.Alg, f.Alg)
	set(&cl.FirstParty, f.FirstParty)
	set(&cl.PlainPKCE, f.AllowPlainPKCE)
	set(&cl.RequirePKCE, f.RequirePKCE)
	set(&cl.URI, f.URI)
	set(&cl.LogoURI, f.LogoURI)
	set(&cl.Description, f.Description)
	f.applyAccess(cl)
	return nil
}

// applyAccess writes what concerns the gateway, and what the tokens are bound to.
func (f *clientFields) applyAccess(cl *client.Client) {
	setList(&cl.Roles, f.Role)
	setList(&cl.Networks, f.FromNetwork)
	setList(&cl.Hosts, lower(f.ToHost))
	setList(&cl.Routes, f.ToRoute)
	set(&cl.DPoPBound, f.DPoPBound)
	set(&cl.CertBound, f.CertificateBound)
	set(&cl.ServerSideRefresh, f.KeepRefresh)
}

// lower writes host names as they are compared.
func lower(hosts []string) []string {
	var out []string
	for _, h := range hosts {
		out = append(out, strings.ToLower(h))
	}
	return out
}

func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

func setSpan(to *time.Duration, given *span) {
	if given != nil {
		*to = time.Duration(*given)
	}
}

// setList replaces a list, without repeats.
func setList(to *[]string, given []string) {
	if given == nil {
		return
	}
	*to = nil
	for _, s := range given {
		if !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
}

func readKeys(path string) (json.RawMessage, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, wrong("--jwks: %w", err)
	}
	if info.Size() > jose.MaxKeySet {
		return nil, wrong("--jwks: %s is larger than %d bytes", path, jose.MaxKeySet)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, wrong("--jwks: %w", err)
	}
	return raw, nil
}

// clientCreate registers a client.
type clientCreate struct {
	Name string `required:"" help:"The name that people see when they are asked for consent."`
	ID   string `name:"id" help:"The client_id; made if left out."`
	clientFields
}

// Run stores the client and prints its id and secret.
func (f *clientCreate) Run(ctx context.Context, c *call) error {
	now := c.Now()
	cl, err := f.client(now)
	if err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		v := &clientView{}
		if hasSecret(cl) {
			v.ClientSecret = secret.NewToken(secret.PrefixClientSecret)
			cl.Secrets = []client.Secret{newSecret(p, v.ClientSecret, now)}
		}
		err := p.DB.CreateClient(ctx, cl, c.clientEvent(audit.ClientCreated, cl.ID, now))
		if fault.Is(err, fault.Conflict) {
			return fault.New(fault.Conflict, "there is a client %q already; choose another --id, or change it with %s client update", cl.ID, program)
		}
		if err != nil {
			return err
		}
		c.notePasswordGrant(p, cl)
		v.fill(cl, now)
		return c.show(v, v.printNew)
	})
}

// client checks what was given and fills in what was not.
func (f *clientCreate) client(now time.Time) (*client.Client, error) {
	cl := &client.Client{ID: client.ID(f.ID), Name: strings.TrimSpace(f.Name), CreatedAt: now, UpdatedAt: now}
	if f.ID == "" {
		cl.ID = client.ID(secret.NewID(now))
	}
	if err := f.apply(cl); err != nil {
		return nil, err
	}
	if cl.Public && cl.AuthMethod == "" {
		cl.AuthMethod = client.MethodNone
	}
	if f.Scope == nil && (cl.CanUseGrant(client.GrantTypeCode) || cl.CanUseGrant(client.GrantTypeDevice)) {
		cl.Scopes = []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeOffline}
	}
	return cl, checkClient(cl)
}

// hasSecret reports whether a client proves itself by a shared secret.
func hasSecret(cl *client.Client) bool { return !cl.Public && cl.AuthMethod != client.MethodPrivateKey }

func newSecret(p *Parts, plain string, now time.Time) client.Secret {
	return client.Secret{ID: secret.NewID(now), Hash: p.Keys.Hash(plain), CreatedAt: now}
}

func (c *call) clientEvent(t audit.Type, id client.ID, now time.Time) audit.Event {
	ev := c.event(t, now)
	ev.Client = string(id)
	return ev
}

// notePasswordGrant says when a grant was given that the settings withhold.
func (c *call) notePasswordGrant(p *Parts, cl *client.Client) {
	if cl.CanUseGrant(client.GrantTypePassword) && (!p.Config.Tokens.PasswordGrant || !slices.Contains(p.Config.Tokens.PasswordClients, string(cl.ID))) {
		c.note("the password grant works once ENABLE_PASSWORD_GRANT is true and PASSWORD_GRANT_ALLOWED_CLIENTS names %s", cl.ID)
	}
}

// clientRef names a client.
type clientRef struct {
	Ref string `arg:"" name:"client" help:"The client's id, or its name where no other client has it."`
}

// find gives a copy that may be changed.
func (r clientRef) find(ctx context.Context, p *Parts) (*client.Client, error) {
	cl, err := p.DB.Client(ctx, client.ID(r.Ref))
	if fault.Is(err, fault.NotFound) {
		cl, err = r.byName(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	own := *cl
	return &own, nil
}

func (r clientRef) byName(ctx context.Context, p *Parts) (*client.Client, error) {
	all, _, err := p.DB.ListClients(ctx, store.ClientQuery{Search: r.Ref, Limit: maxPage})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(cl *client.Client) bool { return !strings.EqualFold(cl.Name, r.Ref) })
	switch len(all) {
	case 1:
		return all[0], nil
	case 0:
		return nil, fault.New(fault.NotFound, "there is no client %q; see %s client list", r.Ref, program)
	}
	return nil, fault.New(fault.Conflict, "%d clients are called %q; name the one you mean by its id: see %s client list --search", len(all), r.Ref, program)
}

// clientList lists clients.
type clientList struct {
	Search string `help:"Only clients whose id or name contains this."`
	pageFlags
}

// Run prints a page of clients.
func (f *clientList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		clients, total, err := p.DB.ListClients(ctx, store.ClientQuery{Search: f.Search, Limit: f.Limit, Offset: f.Offset})
		if err != nil {
			return err
		}
		now := c.Now()
		views := make([]*clientView, 0, len(clients))
		for _, cl := range clients {
			v := &clientView{}
			v.fill(cl, now)
			views = append(views, v)
		}
		return showList(c, views, total, func(s *sheet) {
			s.row("CLIENT ID", "NAME", "TYPE", "GRANTS", "STATE")
			for _, v := range views {
				s.row(string(v.ClientID), v.Name, v.kind(), strings.Join(shortGrants(v.Grants), " "), v.state())
			}
			s.more(len(views), f.Offset, total)
		})
	})
}

// clientShow shows one client.
type clientShow struct{ clientRef }

// Run prints the registration.
func (f *clientShow) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		cl, err := f.find(ctx, p)
		if err != nil {
			return err
		}
		v := &clientView{}
		v.fill(cl, c.Now())
		return c.show(v, v.print)
	})
}

// clientUpdate changes a registration.
type clientUpdate struct {
	clientRef
	Name     *string  `help:"The name that people see when they are asked for consent."`
	Disabled *bool    `negatable:"" help:"Refuse the client everything, without forgetting it."`
	Unset    []string `sep:"none" placeholder:"FLAG" help:"Empty what another flag sets, as in --unset logo-uri. May be repeated."`
	clientFields
}

// Run stores the changed registration.
func (f *clientUpdate) Run(ctx context.Context, c *call) error {
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		cl, err := f.find(ctx, p)
		if err != nil {
			return err
		}
		registered := *cl
		before := &clientView{}
		before.fill(cl, now)
		if err := f.change(cl); err != nil {
			return err
		}
		cl.UpdatedAt = now
		v := &clientView{}
		v.fill(cl, now)
		ev := c.clientEvent(audit.ClientUpdated, cl.ID, now)
		ev.Detail = map[string]string{"changed": strings.Join(differences(before, v), " ")}
		if err := p.DB.UpdateClient(ctx, &registered, cl, ev); err != nil {
			return err
		}
		c.notePasswordGrant(p, cl)
		if hasSecret(cl) && len(v.Secrets) == 0 {
			c.note("the client has no secret yet; make one with %s client rotate-secret %s", program, cl.ID)
		}
		return c.show(v, v.print)
	})
}

// change applies the flags to a registration and checks what comes of it.
func (f *clientUpdate) change(cl *client.Client) error {
	for _, name := range f.Unset {
		clear := clientUnset()
		if clear[name] == nil {
			return known("flag to unset", name, sortedKeys(clear))
		}
		clear[name](cl)
	}
	wasPublic := cl.Public
	if err := f.apply(cl); err != nil {
		return err
	}
	// The method follows the kind of client unless it is named.
	if f.AuthMethod == nil && cl.Public != wasPublic {
		cl.AuthMethod = ""
		if cl.Public {
			cl.AuthMethod = client.MethodNone
		}
	}
	if f.Name != nil {
		cl.Name = strings.TrimSpace(*f.Name)
	}
	set(&cl.Disabled, f.Disabled)
	return checkClient(cl)
}

// clientUnset is what --unset can empty.
func clientUnset() map[string]func(*client.Client) {
	return map[string]func(*client.Client){
		"redirect-uri":             func(cl *client.Client) { cl.Redirects = nil },
		"post-logout-redirect-uri": func(cl *client.Client) { cl.PostLogout = nil },
		"scope":                    func(cl *client.Client) { cl.Scopes = nil },
		"resource":                 func(cl *client.Client) { cl.Resources = nil },
		"auth-method":              func(cl *client.Client) { cl.AuthMethod = "" },
		"jwks":                     func(cl *client.Client) { cl.JWKS = nil },
		"jwks-uri":                 func(cl *client.Client) { cl.JWKSURI = "" },
		"access-token-ttl":         func(cl *client.Client) { cl.AccessTTL = 0 },
		"id-token-ttl":             func(cl *client.Client) { cl.IDTokenTTL = 0 },
		"refresh-token-ttl":        func(cl *client.Client) { cl.RefreshTTL = 0 },
		"refresh-rotation":         func(cl *client.Client) { cl.Rotation = "" },
		"token-format":             func(cl *client.Client) { cl.TokenFormat = "" },
		"alg":                      func(cl *client.Client) { cl.Alg = "" },
		"uri":                      func(cl *client.Client) { cl.URI = "" },
		"logo-uri":                 func(cl *client.Client) { cl.LogoURI = "" },
		"description":              func(cl *client.Client) { cl.Description = "" },
		"role":                     func(cl *client.Client) { cl.Roles = nil },
		"from-network":             func(cl *client.Client) { cl.Networks = nil },
		"to-host":                  func(cl *client.Client) { cl.Hosts = nil },
		"to-route":                 func(cl *client.Client) { cl.Routes = nil },
	}
}

// liveSecrets is how many secrets a client has at once: the new one and the one before it.
const liveSecrets = 2

// clientRotateSecret gives a client a new secret.
type clientRotateSecret struct {
	clientRef
	Grace span `default:"24h" placeholder:"DURATION" help:"How long the old secret still works; 0 ends it now."`
}

// Run stores the new secret and prints it.
func (f *clientRotateSecret) Run(ctx context.Context, c *call) error {
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		cl, err := f.find(ctx, p)
		if err != nil {
			return err
		}
		if !hasSecret(cl) {
			return fault.New(fault.Denied, "client %s proves itself by %s and has no secret", cl.ID, cl.AuthMethod)
		}
		answer := rotatedView{ClientID: cl.ID, ClientSecret: secret.NewToken(secret.PrefixClientSecret)}
		ends := now.Add(time.Duration(f.Grace))
		if len(cl.Secrets) > 0 {
			answer.PreviousExpiresAt = when{ends}
		}
		ev := c.clientEvent(audit.ClientSecretRotated, cl.ID, now)
		ev.Detail = map[string]string{"grace": time.Duration(f.Grace).String()}
		if err := p.DB.AddSecret(ctx, cl.ID, newSecret(p, answer.ClientSecret, now), liveSecrets, ends, ev); err != nil {
			return err
		}
		return c.show(answer, answer.print)
	})
}

// rotatedView is the answer to a rotation.
type rotatedView struct {
	ClientID          client.ID `json:"client_id"`
	ClientSecret      string    `json:"client_secret"`
	PreviousExpiresAt when      `json:"previous_secret_expires_at"`
}

func (v rotatedView) print(s *sheet) {
	s.pair("client_id", string(v.ClientID))
	s.pair("client_secret", v.ClientSecret)
	s.pair("previous_secret_expires_at", v.PreviousExpiresAt.String())
	s.line("Keep the secret now: it is not shown again.")
}

// clientDelete deletes a client.
type clientDelete struct {
	clientRef
	Yes bool `help:"Do not ask."`
}

// Run deletes the client once that is confirmed.
func (f *clientDelete) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		cl, err := f.find(ctx, p)
		if err != nil {
			return err
		}
		if err := c.confirm(f.Yes, "client", string(cl.ID)); err != nil {
			return err
		}
		now := c.Now() // after the answer: what was issued meanwhile ends, too
		ev := c.clientEvent(audit.ClientDeleted, cl.ID, now)
		ev.Detail = map[string]string{"name": cl.Name}
		if err := p.DB.DeleteClient(ctx, cl.ID, now, ev); err != nil {
			return err
		}
		answer := map[string]string{"client_id": string(cl.ID), "result": "deleted"}
		return c.done(answer, "Client %s is deleted.", fmt.Sprintf("%s (%s)", cl.Name, cl.ID))
	})
}
