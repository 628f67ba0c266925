package cli

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// command is one row of the table: a word on the command line and what it reads into. The grammar
// is a pointer to a struct of flags and arguments with a Run method, or of further commands.
type command struct {
	name, help string
	grammar    any
}

// commands returns the table, in the order of the usage text.
func commands(rules client.Rules) []command {
	return []command{
		{"serve", "Run the server.", &serveCommand{}},
		{"migrate", "Bring the database schema up to date.", &migrateCommand{}},
		{"upgrade", "Try an upgrade to this program on a copy of the database (gatehouse upgrade --rehearse).", &upgradeCommand{}},
		{"realm", "Manage the realms that one process serves: issuers of their own.", &realmCommands{}},
		{"setup-link", "Print a one-time link to become the first administrator.", &setupLinkCommand{}},
		{"user", "Manage the people who can sign in.", newUserCommands()},
		{"client", "Manage the applications that may request tokens.", newClientCommands(rules)},
		{"import", "Take over the users and clients of another server.", &importCommands{}},
		{"registration", "Manage the tokens by which programs register clients.", &registrationCommands{}},
		{"scope", "Manage what clients can request.", newScopeCommands()},
		{"role", "Manage what people with a role may do.", newRoleCommands()},
		{"route", "Manage what the gateway forwards, and for whom.", newRouteCommands()},
		{"key", "Manage the keys that sign tokens.", &keyCommands{}},
		{"overview", "See what has happened on the server.", &overviewCommand{}},
		{"settings", "See the settings in force, and where each comes from.", &settingsCommand{}},
		{"session", "See who is signed in, and end sessions.", &sessionCommands{}},
		{"passwords", "Work with lists of breached passwords.", &passwordCommands{}},
		{"mail", "Test the mail server, and see what became of messages.", &mailCommands{}},
		{"audit", "Read the audit log.", &auditCommands{}},
		{"backup", "Make a backup while the server runs (gatehouse backup [FILE]), verify it, and list backups.", &backupCommands{}},
		{"restore", "Fill an empty database with a backup.", &restoreCommand{}},
		{"webhook", "Manage which addresses receive audit events.", newWebhookCommands()},
		{"export", "Write what is stored as a document: configuration as code.", &exportCommand{}},
		{"plan", "Show what a document would change.", &planCommand{}},
		{"apply", "Make the changes of a document, all or none.", &applyCommand{}},
		{"explain", "Explain why a request was denied, and how to fix it.", &explainCommand{}},
		{"login", "Sign in to a Gatehouse server, or to another OpenID provider.", &loginCommand{}},
		{"token", "Print an access token of the person who is signed in.", &tokenCommand{}},
		{"logout", "Sign out, and revoke the tokens.", &logoutCommand{}},
		{"doctor", "Examine the installation, and say what to do about what is wrong.", &doctorCommand{}},
		{"install", "Set up the server as a service of this machine.", &installCommands{}},
		{"healthcheck", "Check the health of the server on this machine.", &healthCommand{}},
		{"completion", "Let a shell complete command lines.", &completionCommands{}},
		{"man", "Write the manual pages.", &manCommand{}},
		{"version", "Print the version, as gatehouse --version does.", &versionCommand{}},
		{"help", "Show help for a command, or the settings.", &helpCommand{}},
	}
}

// serveCommand runs the server.
type serveCommand struct{}

// Run serves until ctx ends.
func (*serveCommand) Run(ctx context.Context, c *call) error {
	if c.realm != "" {
		return wrong("serve serves all realms of REALMS_FILE; leave --realm out")
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	return c.Serve(ctx, cfg)
}
