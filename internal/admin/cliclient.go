package admin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// CommandLineClient is the id of the client through which the command line signs people in.
const CommandLineClient = "gatehouse-cli"

// commandLineMark is the name of the mark that the client has been created.
const commandLineMark = "command_line_client"

// CreateCommandLineClient registers the client of the command line, once in the life of a
// database: where an administrator has deleted it, it stays deleted.
func (o *Operations) CreateCommandLineClient(ctx context.Context) error {
	now := o.parts.Now()
	c := &client.Client{
		ID:        CommandLineClient,
		Name:      "Gatehouse command line",
		Public:    true,
		Grants:    []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeDevice},
		Redirects: []string{"http://127.0.0.1/callback"}, // of any port (RFC 8252 §7.3)
		Scopes:    []string{"openid", "profile", "email", "offline_access", string(ScopeAll)},
		CreatedAt: now,
		UpdatedAt: now,
	}
	ev := Actor{name: "system"}.event(audit.ClientCreated, now)
	ev.Client = string(c.ID)
	return o.store.CreateClientOnce(ctx, commandLineMark, c, ev)
}
