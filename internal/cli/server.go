package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cli/remote"
	"github.com/gatehouse-id/gatehouse/internal/cli/signin"
)

// Names in the environment that say where commands work, and as whom.
const (
	envServer       = "GATEHOUSE_SERVER"
	envToken        = "GATEHOUSE_TOKEN"
	envClientID     = "GATEHOUSE_CLIENT_ID"
	envClientSecret = "GATEHOUSE_CLIENT_SECRET"
	envClientScope  = "GATEHOUSE_CLIENT_SCOPE"
)

// A place is where a command works whatever server is named.
type place struct {
	reason string
	// administers says that the command changes or judges what it finds on this machine, so that
	// it does not run while GATEHOUSE_SERVER names another server.
	administers bool
}

// places lists the commands that work on this machine only, by their first words. All others work
// on a server elsewhere as well.
func places() map[string]place {
	return map[string]place{
		"serve":       {reason: "it is the server"},
		"realm":       {"it works with REALMS_FILE of the machine that the server runs on", true},
		"migrate":     {"it works on the database itself, before a server of this version runs", true},
		"upgrade":     {"it copies the database of this machine", true},
		"backup list": {"it reads places that only the machine may choose", true},
		"restore":     {"it fills a database that no server uses yet", true},
		"setup-link":  {"it makes the first administrator, whom nobody can sign in as yet", true},
		"passwords":   {reason: "it works with files of the machine that the server runs on"},
		"install":     {reason: "it installs the server on this machine"},
		"healthcheck": {reason: "it asks the server on this machine"},
		"completion":  {reason: "it is about this program"},
		"man":         {reason: "it is about this program"},
		"version":     {reason: "it is about this program"},
		"help":        {reason: "it is about this program"},
		"audit verify": {reason: "it reads the whole database and must not trust the server; for a laptop, make an " +
			"export with --proofs on the server, and give it to --export"},
		"mail preview": {reason: "it shows the templates of this machine"},
		"audit key":    {reason: "it makes a key, for which no server is needed"},
	}
}

// commandOf returns the words of the command that was chosen.
func commandOf(k *kong.Context) string {
	n := k.Selected()
	if n == nil {
		return ""
	}
	return strings.TrimPrefix(pathOf(n), program+" ")
}

// pathOf returns the words of a command after the program, without the aliases that paths of kong
// have.
func pathOf(n *kong.Node) string {
	var words []string
	for ; n.Parent != nil; n = n.Parent {
		if n.Type == kong.CommandNode {
			words = append(words, n.Name)
		}
	}
	words = append(words, program)
	slices.Reverse(words)
	return strings.Join(words, " ")
}

// placeOf returns where a command works, if that is this machine only.
func placeOf(command string) (place, bool) {
	for first, p := range places() {
		if command == first || strings.HasPrefix(command, first+" ") {
			return p, true
		}
	}
	return place{}, false
}

// checkServer returns wrong usage where a server is named for a command that works on this machine
// only. A server in the environment does not stop what has nothing to do with one.
func (c *call) checkServer() error {
	p, ok := placeOf(c.command)
	if c.realm != "" && c.remote() != "" {
		return wrong("--realm names a realm of this machine; to work on one elsewhere, leave it out, and name the " +
			"realm's own address as the server")
	}
	switch {
	case !ok:
		return nil
	case c.server != "":
		return wrong("%s %s works on this machine only: %s; leave out --server", program, c.command, p.reason)
	case p.administers && c.getenv(envServer) != "":
		return wrong("%s %s works on this machine only: %s; run it without %s", program, c.command, p.reason, envServer)
	}
	return nil
}

// remote returns the server that the command works on, or "" for the database of this machine.
func (c *call) remote() string {
	if c.server != "" {
		return strings.TrimSuffix(c.server, "/")
	}
	return strings.TrimSuffix(c.getenv(envServer), "/")
}

// issuer returns the OpenID provider that an argument names, or the server that the commands work
// on.
func (c *call) issuer(arg string) string {
	if arg != "" {
		return strings.TrimSuffix(arg, "/")
	}
	return c.remote()
}

// connect returns the operations on the server elsewhere.
func (c *call) connect() (*remote.Server, error) {
	server := c.remote()
	if err := signin.CheckAddress(server); err != nil {
		return nil, usageError{err}
	}
	if len(c.flags) > 0 || c.file != "" {
		var flags []string
		for name := range c.flags {
			flags = append(flags, "--"+name)
		}
		if c.file != "" {
			flags = append(flags, "--config")
		}
		slices.Sort(flags)
		return nil, wrong("%s has settings of its own; leave out %s", server, strings.Join(flags, ", "))
	}
	tokens, err := c.tokens(server)
	if err != nil {
		return nil, err
	}
	return remote.New(server, nil, tokens, c.Rules), nil
}

// tokens returns what authorizes requests: a token or a client in the environment, or else the
// sign-in of the person.
func (c *call) tokens(server string) (remote.Tokens, error) {
	if token := strings.TrimSpace(c.getenv(envToken)); token != "" {
		return fixedToken(token), nil
	}
	if id := c.getenv(envClientID); id != "" {
		secret, err := c.secret(envClientSecret)
		if err != nil {
			return nil, err
		}
		scopes := strings.Fields(c.getenv(envClientScope))
		return &clientTokens{server: server, id: id, secret: secret, scopes: scopes, now: c.Now}, nil
	}
	file, err := signin.OpenFile("", c.Now)
	if err != nil {
		return nil, err
	}
	return &personTokens{c: c, server: server, file: file}, nil
}

// secret returns a secret from a variable, or from the file that NAME_FILE names.
func (c *call) secret(name string) (string, error) {
	if secret := c.getenv(name); secret != "" {
		return secret, nil
	}
	file := c.getenv(name + "_FILE")
	if file == "" {
		return "", fmt.Errorf("%s is set, but neither %s nor %s_FILE", envClientID, name, name)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE cannot be read: %w", name, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// fixedToken is an access token from the environment.
type fixedToken string

// Token returns it.
func (t fixedToken) Token(context.Context) (string, error) { return string(t), nil }

// StepUp returns the error of a program, which cannot sign in again.
func (t fixedToken) StepUp(_ context.Context, c *remote.Challenge) error {
	return fmt.Errorf("%s; the token in %s is of an older or weaker sign-in", c.Text, envToken)
}

// Rejected returns an error that names the variable.
func (t fixedToken) Rejected(_ context.Context, text string) error {
	return fmt.Errorf("the server does not accept the token in %s: %s", envToken, text)
}

// clientTokens are the access tokens of a client that acts for itself.
type clientTokens struct {
	server, id, secret string
	scopes             []string // none: all that the client has
	now                func() time.Time
	tokens             *signin.Tokens
}

// spare is for how long a token must stay valid to be used for a request.
const spare = 30 * time.Second

// Token gets a token, or returns the one that it has.
func (t *clientTokens) Token(ctx context.Context) (string, error) {
	if t.tokens != nil && (t.tokens.ExpiresAt.IsZero() || t.now().Add(spare).Before(t.tokens.ExpiresAt)) {
		return t.tokens.AccessToken, nil
	}
	p, err := signin.Discover(ctx, t.server)
	if err != nil {
		return "", err
	}
	t.tokens, err = p.ClientToken(ctx, t.id, t.secret, t.scopes)
	if err != nil {
		return "", err
	}
	return t.tokens.AccessToken, nil
}

// StepUp returns the error of a program, which cannot sign in again.
func (t *clientTokens) StepUp(_ context.Context, c *remote.Challenge) error {
	return errors.New(c.Text)
}

// Rejected returns an error that names the client.
func (t *clientTokens) Rejected(_ context.Context, text string) error {
	return fmt.Errorf("the server does not accept the token of the client %s: %s", t.id, text)
}

// personTokens are the access tokens of the person who has signed in.
type personTokens struct {
	c         *call
	server    string
	file      *signin.File
	refreshed bool // because the server rejected a token
}

// Token returns a token that stays valid for a while. It refreshes and stores it where needed.
func (t *personTokens) Token(ctx context.Context) (string, error) { return t.fresh(ctx, spare) }

func (t *personTokens) fresh(ctx context.Context, atLeast time.Duration) (string, error) {
	a, err := t.file.Fresh(ctx, t.server, atLeast)
	var out *signin.SignedOutError
	switch {
	case errors.As(err, &out):
		return "", fmt.Errorf("you are not signed in at %s, or the sign-in has ended; run: %s", t.server, t.login())
	case err != nil:
		return "", err
	case a.Resource != "" && strings.TrimSuffix(a.Resource, "/") != t.server:
		return "", fmt.Errorf("your sign-in at %s is for the API %s; to manage the server, run: %s",
			t.server, a.Resource, t.login())
	}
	return a.Tokens.AccessToken, nil
}

// login returns the command that signs in, with more flags.
func (t *personTokens) login(flags ...string) string {
	return strings.Join(append([]string{program, "login", "--server", t.server}, flags...), " ")
}

// Rejected refreshes the token once: the clock of this machine may be wrong, or the token revoked.
func (t *personTokens) Rejected(ctx context.Context, text string) error {
	if !t.refreshed {
		t.refreshed = true
		const beyondAny = 10 * 365 * 24 * time.Hour
		_, err := t.fresh(ctx, beyondAny)
		return err
	}
	return fmt.Errorf("the server does not accept the token of your sign-in: %s; run: %s", text, t.login())
}

// StepUp signs the person in again, if they are at a terminal.
func (t *personTokens) StepUp(ctx context.Context, challenge *remote.Challenge) error {
	flags := []string{"--step-up"}
	if challenge.ACR == "" {
		flags = []string{"--max-age", "1s"}
	}
	if !t.c.interactive() {
		return fmt.Errorf("%s; run: %s", challenge.Text, t.login(flags...))
	}
	old, err := t.file.Account(t.server)
	if err != nil {
		return err
	}
	p, err := signin.Discover(ctx, t.server)
	if err != nil {
		return err
	}
	t.c.note("%s", challenge.Text)
	again := &loginCommand{ClientID: old.ClientID, acr: challenge.ACR, again: true}
	if old.ClientID != admin.CommandLineClient { // which is given anew what the roles allow
		again.Scope = strings.Fields(old.Scope)
	}
	a, err := again.signIn(ctx, t.c, p)
	if err != nil {
		return err
	}
	if a.Subject != old.Subject {
		return errors.Join(fmt.Errorf("you signed in as %s, and not as %s as before; nothing was changed",
			a.Label(), old.Label()), p.Revoke(ctx, a))
	}
	if _, err := t.file.Save(ctx, a); err != nil {
		return err
	}
	if err := p.Revoke(ctx, old); err != nil {
		t.c.note("the tokens of your former sign-in are still valid: %v", err)
	}
	return nil
}

// interactive reports whether a person is at a terminal.
func (c *call) interactive() bool {
	_, in := terminal(c.stdin)
	file, ok := c.stderr.(*os.File)
	if !in || !ok {
		return false
	}
	_, out := terminal(file)
	return out
}

// getenv returns a variable of the environment.
func (c *call) getenv(name string) string {
	if c.Getenv == nil {
		return ""
	}
	return c.Getenv(name)
}
