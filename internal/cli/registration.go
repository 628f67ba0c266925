package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// registrationCommands manage the tokens by which programs register clients.
type registrationCommands struct {
	Create registrationCreate `cmd:"" help:"Create an initial access token; prints it once only."`
	List   registrationList   `cmd:"" aliases:"ls" help:"List the initial access tokens, newest first."`
	Revoke registrationRevoke `cmd:"" help:"Delete an initial access token. The clients that it registered stay."`
}

// registrationCreate creates an initial access token.
type registrationCreate struct {
	Count        int      `default:"1" help:"How many clients it registers."`
	ExpiresIn    duration `default:"24h" placeholder:"DURATION" help:"How long it is valid, such as 7d."`
	Description  string   `placeholder:"TEXT" help:"A note for administrators."`
	Grant        []string `sep:"none" placeholder:"GRANT" help:"A grant type that the clients may have. Default: authorization_code and refresh_token. May be repeated."`
	Scope        []string `sep:"none" placeholder:"SCOPES" help:"The scopes that they may have, separated by spaces. Default: openid profile email offline_access. May be repeated."`
	RedirectHost []string `sep:"none" placeholder:"HOST" help:"A host of their redirect URIs, or a wildcard such as *.example.com. Default: any. May be repeated."`
	AuthMethod   []string `sep:"none" placeholder:"METHOD" help:"A client authentication method that they may have. Default: any. May be repeated."`
	Resource     []string `sep:"none" placeholder:"URI" help:"An API that their tokens may be meant for. May be repeated."`
}

// Run stores the token and prints it.
func (f *registrationCreate) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		t, text, err := ops.CreateInitialToken(ctx, a, admin.NewInitialToken{
			Description: f.Description,
			Count:       f.Count,
			ExpiresIn:   time.Duration(f.ExpiresIn),
			Policy: admin.RegistrationPolicy{
				Grants:        f.Grant,
				Scopes:        strings.Fields(strings.Join(f.Scope, " ")),
				RedirectHosts: f.RedirectHost,
				AuthMethods:   f.AuthMethod,
				Resources:     f.Resource,
			},
		})
		if fault.Is(err, fault.Invalid) {
			return usageError{err}
		}
		if err != nil {
			return err
		}
		doc := append(initialTokenMembers(t), member{"token", text})
		return c.show(doc, func(s *table) {
			s.pair("id", t.ID)
			s.pair("expires_at", timestamp{t.ExpiresAt}.String())
			s.pair("token", text)
			s.line("Save this token now: it is not shown again.")
		})
	})
}

// initialTokenMembers returns an initial access token as JSON, without its text.
func initialTokenMembers(t *admin.InitialToken) object {
	return object{
		{"id", t.ID},
		{"description", t.Description},
		{"count", t.Count},
		{"used", t.Used},
		{"policy", t.Policy},
		{"created_by", t.CreatedBy},
		{"created_at", timestamp{t.CreatedAt}},
		{"expires_at", timestamp{t.ExpiresAt}},
	}
}

// registrationList lists initial access tokens.
type registrationList struct{ pageFlags }

// Run prints a page of tokens.
func (f *registrationList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		all, total, err := ops.ListInitialTokens(ctx, a, f.Limit, f.Offset)
		if err != nil {
			return err
		}
		docs := make([]object, 0, len(all))
		for i := range all {
			docs = append(docs, initialTokenMembers(&all[i]))
		}
		return showList(c, docs, total, func(s *table) {
			s.row("ID", "DESCRIPTION", "USED", "EXPIRES", "STATE")
			for i := range all {
				t := &all[i]
				state := "active"
				if !t.Usable(c.Now()) {
					state = "ended"
				}
				s.row(t.ID, t.Description, fmt.Sprintf("%d of %d", t.Used, t.Count), s.when(t.ExpiresAt), state)
			}
			s.more(len(all), f.Offset, total)
		})
	})
}

// registrationRevoke deletes an initial access token.
type registrationRevoke struct {
	ID string `arg:"" name:"id" help:"The token's id."`
}

// Run deletes the token.
func (f *registrationRevoke) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if err := ops.RevokeInitialToken(ctx, a, f.ID); err != nil {
			return withHint(err, fault.NotFound, "see %s registration list", program)
		}
		return c.done(map[string]string{"id": f.ID, "result": "revoked"}, "Initial access token %s is revoked.", f.ID)
	})
}
