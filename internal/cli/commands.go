package cli

import "context"

// command is one row of the table: a word on the command line and what it reads into. The grammar is a pointer to a
// struct of flags and arguments with a Run method, or of further commands.
type command struct {
	name, help string
	grammar    any
}

// commands is the table, in the order of the usage text.
func commands() []command {
	return []command{
		{"serve", "Run the server until it is told to stop.", &serveCommand{}},
		{"migrate", "Bring the database schema up to date.", &migrateCommand{}},
		{"user", "Manage the people who can sign in.", &userCommands{}},
		{"client", "Manage the applications that may ask for tokens.", &clientCommands{}},
		{"scope", "Manage what clients can ask for.", &scopeCommands{}},
		{"route", "Manage what the gateway passes on, and for whom.", &routeCommands{}},
		{"key", "Manage the keys that sign tokens.", &keyCommands{}},
		{"session", "See who is signed in, and end sessions.", &sessionCommands{}},
		{"audit", "Read the record of what happened.", &auditCommands{}},
		{"explain", "Say why a request was refused, and what would let it pass.", &explainCommand{}},
		{"healthcheck", "Ask the server on this machine whether it is well.", &healthCommand{}},
		{"version", "Print the version.", &versionCommand{}},
		{"help", "Explain a command, or the settings.", &helpCommand{}},
	}
}

// serveCommand runs the server.
type serveCommand struct{}

// Run serves until ctx ends.
func (*serveCommand) Run(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	return c.Serve(ctx, cfg)
}
