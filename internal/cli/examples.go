package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// example is a command line that a person may want to copy.
type example struct {
	line string // without the program
	what string
}

// examplesOf returns the examples of a command.
func examplesOf(command string) []example {
	for _, table := range []map[string][]example{
		userExamples(), appExamples(), accessExamples(), serverExamples(), auditExamples(), machineExamples(),
	} {
		if found, ok := table[command]; ok {
			return found
		}
	}
	return nil
}

// helpWithExamples prints the usage text of a command, and its examples.
func helpWithExamples(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	command := commandOf(ctx)
	if n := ctx.Selected(); n != nil && n.DefaultCmd != nil {
		command += " " + n.DefaultCmd.Name
	}
	return printExamples(ctx.Stdout, examplesOf(command))
}

func printExamples(w io.Writer, examples []example) error {
	if len(examples) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\nExamples:\n")
	for _, x := range examples {
		fmt.Fprintf(&b, "  # %s\n  %s %s\n", x.what, program, x.line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func userExamples() map[string][]example {
	return map[string][]example{
		"user create": {
			{"user create --email ada@example.com --name 'Ada Lovelace'", "Prints a link with which the person sets a password"},
			{"user create --email bob@example.com --role staff --password-stdin < password.txt", "With a password from a file"},
		},
		"user list": {
			{"user list --search ada", "People whose name or address has a word that begins so"},
			{"user list --status locked --json", "Locked accounts, for a program"},
		},
		"user impersonate":         {{"user impersonate ada@example.com --reason 'ticket 7'", "Prints a link to act as the person"}},
		"user show":                {{"user show ada@example.com", "By email address, user name or id"}},
		"user update":              {{"user update ada@example.com --add-role billing --unset phone", "Adds a role and removes the telephone number"}},
		"user invite":              {{"user invite ada@example.com --name 'Ada Lovelace' --role staff", "Mails an invitation"}},
		"user set-password":        {{"user set-password ada@example.com", "Prints a link; using it ends the person's sessions"}},
		"user lock":                {{"user lock ada@example.com --reason 'laptop stolen'", "Ends sessions and tokens until user unlock"}},
		"user unlock":              {{"user unlock ada@example.com", "After too many wrong passwords, or a lock"}},
		"user reset-two-step":      {{"user reset-two-step ada@example.com", "Phone and backup codes are lost"}},
		"user stop-recovery":       {{"user stop-recovery ada@example.com", "Somebody else has asked for it"}},
		"user disable":             {{"user disable ada@example.com", "Nobody signs in with it until user enable"}},
		"user enable":              {{"user enable ada@example.com", "Undoes user disable"}},
		"user send-password-reset": {{"user send-password-reset ada@example.com", "Mails a link for a new password"}},
		"user send-verification":   {{"user send-verification ada@example.com", "Mails a link that proves the address"}},
		"user revoke-tokens":       {{"user revoke-tokens ada@example.com", "Apps must ask again; browsers stay signed in"}},
		"user factors list":        {{"user factors list ada@example.com", "Authenticator apps, passkeys and their ids"}},
		"user factors remove":      {{"user factors remove ada@example.com FACTOR_ID --yes", "Removes one, without a question"}},
		"user authorizations list": {{"user authorizations list ada@example.com", "Apps that may act for the person"}},
		"user authorizations revoke": {
			{"user authorizations revoke ada@example.com shop", "Disconnects one app"},
			{"user authorizations revoke ada@example.com --all", "Disconnects all"},
		},
		"user bulk run": {
			{"user bulk run disable ada@example.com bob@example.com", "Named accounts"},
			{"user bulk run lock --role contractor --reason 'contract ended' --count 12", "A selection, and how many you expect"},
		},
		"user bulk show": {{"user bulk show JOB_ID", "How far it is, and what was refused"}},
		"user bulk stop": {{"user bulk stop JOB_ID", "What is done stays done"}},
		"user import": {
			{"user import people.csv --format csv --dry-run", "Says what would happen"},
			{"user import people.jsonl --on-error skip", "Goes on after lines that are wrong"},
		},
		"import keycloak": {{"import keycloak realm-export.json --dry-run", "Says what would happen"}},
		"import auth0":    {{"import auth0 users.ndjson --on-error skip", "Goes on after lines that are wrong"}},
		"import authgate": {{"import authgate authgate.db --results results.jsonl", "With what became of each line"}},
		"user export":     {{"user export people.csv --format csv", "For a spreadsheet"}},
		"user delete":     {{"user delete ada@example.com --yes", "The account and all its data, without a question"}},
	}
}

func appExamples() map[string][]example {
	return map[string][]example{
		"client create": {
			{"client create --name Shop --grant authorization_code --grant refresh_token --redirect-uri https://shop.example.com/callback", "An app that people sign in to"},
			{"client create --name CI --grant client_credentials --scope 'admin:clients:read admin:clients:write'", "A program that acts for itself"},
		},
		"client list":              {{"client list --search shop", "By the beginning of a word of the name, or by id"}},
		"client show":              {{"client show shop", "All of its settings"}},
		"client update":            {{"client update shop --redirect-uri https://shop.example.com/callback --unset access-token-ttl", "Replaces the redirect URIs, and returns a TTL to the default"}},
		"client rotate-secret":     {{"client rotate-secret shop --grace 24h", "The old secret works for a day more"}},
		"client secret add":        {{"client secret add shop --expires 90d", "One more, beside the others"}},
		"client secret list":       {{"client secret list shop", "Ages and ids, never the secrets"}},
		"client secret remove":     {{"client secret remove shop SECRET_ID --yes", "Without a question"}},
		"client secret remove-old": {{"client secret remove-old shop --yes", "All but the newest"}},
		"client revoke-tokens":     {{"client revoke-tokens shop --yes", "Everybody signs in to the app again"}},
		"client export":            {{"client export clients.csv", "For a spreadsheet"}},
		"client grants list":       {{"client grants list shop --user ada@example.com", "The access that the app has in the name of one person"}},
		"client grants revoke":     {{"client grants revoke shop GRANT_ID", "By the id that the list shows"}},
		"client delete":            {{"client delete shop blog --yes", "Both, without a question"}},
		"registration create":      {{"registration create --description CI --count 3 --redirect-host '*.example.com'", "A token that registers up to three clients"}},
		"registration list":        {{"registration list", "Tokens, and how often each was used"}},
		"registration revoke":      {{"registration revoke TOKEN_ID", "By the id that the list shows"}},
	}
}

func accessExamples() map[string][]example {
	return map[string][]example{
		"scope create": {{"scope create notes:read --description 'read your notes'", "People read the description when an app asks"}},
		"scope list":   {{"scope list", "What apps can request"}},
		"scope show": {
			{"scope show metrics:read", "What it says, and what is granted with it"},
		},
		"scope update": {{"scope update notes:read --description 'read all your notes' --default", "New apps get it by default"}},
		"scope delete": {{"scope delete notes:read --yes", "Without a question"}},
		"role create":  {{"role create desk --description 'Help desk' --scope admin:users:read", "People with it may look at accounts"}},
		"role list":    {{"role list", "Roles and what they allow"}},
		"role show":    {{"role show desk", "One scope a line"}},
		"role update":  {{"role update desk --scope 'admin:users:read admin:sessions:read'", "Exactly these scopes"}},
		"role delete":  {{"role delete desk --yes", "Only a role that nobody has"}},
		"route create": {
			{"route create --domain shop --version v1 --upstream http://127.0.0.1:9000 --scope orders:read", "Forwards /shop/v1 to an API, for tokens with the scope"},
			{"route create --prefix /wiki --upstream http://127.0.0.1:8081 --browser --role staff", "A site for people with a role, who sign in"},
		},
		"route list":   {{"route list", "What is forwarded, and for whom"}},
		"route show":   {{"route show shop/v1", "By address, name or id"}},
		"route update": {{"route update shop/v1 --timeout 90s --rate 600", "Other settings stay"}},
		"route delete": {{"route delete shop/v1 --yes", "Without a question"}},
	}
}

func serverExamples() map[string][]example {
	return map[string][]example{
		"export": {
			{"export --output gatehouse.yaml", "All that is configured, as a document"},
			{"export --schema > gatehouse.schema.json", "For an editor"},
		},
		"plan":       {{"plan gatehouse.yaml", "What the document would change"}},
		"apply":      {{"apply gatehouse.yaml", "All of it or nothing"}},
		"key list":   {{"key list", "Keys that sign tokens, and until when"}},
		"key rotate": {{"key rotate --publish-ahead 1h", "Services fetch the new key before it signs"}},
		"key retire": {{"key retire KEY_ID --yes", "Withdraws a key that somebody else may have"}},
		"overview":   {{"overview --period 7d", "Sign-ins, failures and tokens of a week"}},
		"settings":   {{"settings", "What is not at its default"}, {"settings --all --json", "Everything, for a program"}},
		"session list": {
			{"session list --user ada@example.com", "Where a person is signed in"},
			{"session list --ip 192.0.2.0/24 --older-than 30d", "Old sessions of a network"},
		},
		"session show": {{"session show SESSION_ID", "By the id that the list shows"}},
		"session revoke": {
			{"session revoke SESSION_ID", "Signs one browser out"},
			{"session revoke --all-of-user ada@example.com", "Ends all sessions, grants and tokens of a person"},
		},
		"session metrics": {{"session metrics", "How many there are"}},
		"mail test":       {{"mail test --to me@example.com", "Says what the mail server answers"}},
		"mail preview": {
			{"mail preview password-reset > reset.html", "Open the file in a browser"},
			{"mail preview invitation --locale de --text", "In German, in plain text"},
		},
		"mail list":             {{"mail list --state dead", "Messages that were given up"}},
		"mail retry":            {{"mail retry MESSAGE_ID", "Sends it again"}},
		"webhook create":        {{"webhook create --url https://crm.example.com/in --event 'user.*'", "Prints the secret that signs, once"}},
		"webhook list":          {{"webhook list", "Who is told what"}},
		"webhook show":          {{"webhook show WEBHOOK_ID", "With its state"}},
		"webhook update":        {{"webhook update WEBHOOK_ID --description CRM", "Other settings stay"}},
		"webhook delete":        {{"webhook delete WEBHOOK_ID --yes", "Without a question"}},
		"webhook rotate-secret": {{"webhook rotate-secret WEBHOOK_ID --overlap 24h", "Both secrets sign for a day"}},
		"webhook deliveries":    {{"webhook deliveries WEBHOOK_ID", "What was sent and what was answered"}},
		"webhook resend":        {{"webhook resend WEBHOOK_ID DELIVERY_ID", "Sends one again"}},
		"webhook test":          {{"webhook test WEBHOOK_ID", "Sends an event of no meaning"}},
	}
}

func auditExamples() map[string][]example {
	return map[string][]example{
		"audit list": {
			{"audit list --user ada@example.com --since 7d", "What happened to an account in a week"},
			{"audit list --type 'user.*' --reason wrong_password", "Failures for one reason"},
		},
		"audit show":       {{"audit show EVENT_ID", "With what it changed"}},
		"audit export":     {{"audit export --from 2026-11-01 --to 2026-12-01 > november.jsonl", "A month as JSON lines"}},
		"audit denials":    {{"audit denials --client shop", "What the gateway has denied to a client"}},
		"audit sinks":      {{"audit sinks", "How far each target of the log has come"}},
		"audit cleanup":    {{"audit cleanup", "At once, and not at night"}},
		"audit proof":      {{"audit proof EVENT_ID", "A proof that others can check"}},
		"audit checkpoint": {{"audit checkpoint", "To keep outside of the server"}},
		"audit verify":     {{"audit verify", "Reads the whole log"}},
		"audit key":        {{"audit key", "Prints the private and the public part"}},
		"explain":          {{"explain REQUEST_ID", "The id is on the error page and in X-Request-Id"}},
	}
}

func machineExamples() map[string][]example {
	return map[string][]example{
		"backup make": {
			{"backup /backups/tonight.backup", "While the server runs"},
			{"backup --verify /backups/tonight.backup", "Can it be restored?"},
		},
		"backup list":   {{"backup list /backups", "What there is at a place"}},
		"backup status": {{"backup status", "What the servers have backed up"}},
		"restore": {
			{"restore /backups/tonight.backup --recover", "After a loss: everybody signs in again"},
			{"restore /backups/move.backup --move", "To another place: everything stays as it is"},
		},
		"serve": {
			{"serve", "In development: http://localhost:8080, data in ./data"},
			{"serve --config /etc/gatehouse/gatehouse.yaml", "With settings from a file"},
		},
		"migrate": {{"migrate --dry-run", "What an upgrade would change"}},
		"upgrade": {
			{"upgrade --rehearse", "With the new program, while the present one serves"},
			{"upgrade --rehearse --from /backups --json", "With last night's backup, for a script"},
		},
		"realm create":    {{"realm create acme --at https://acme.example.com", "An issuer of its own in the same process"}},
		"realm list":      {{"realm list", "Realms and their addresses"}},
		"realm delete":    {{"realm delete acme", "Its database stays"}},
		"setup-link":      {{"setup-link", "For the first administrator"}},
		"passwords build": {{"passwords build pwned.txt breached.bin", "Makes the file for BREACHED_PASSWORDS_FILE"}},
		"passwords check": {{"passwords check", "Reads the password that you type"}},
		"install systemd": {{"install systemd", "Writes the units and says what to do next"}},
		"healthcheck":     {{"healthcheck", "For a container's health check: exit status 0 or 1"}},
		"login":           {{"login --server https://login.example.com", "Signs you in, to manage a server from here"}},
		"token":           {{"token --valid-for 10m", `For a script, as in: curl -H "Authorization: Bearer $(gatehouse token)"`}},
		"logout":          {{"logout", "Revokes your tokens and forgets them"}},
		"doctor":          {{"doctor --all", "Also what is as it should be"}, {"doctor --strict --json", "For monitoring: warnings fail as well"}},
		"completion bash": {{"completion bash > /etc/bash_completion.d/gatehouse", "For everybody, from the next shell on"}},
		"completion zsh":  {{"completion zsh > ~/.zsh/functions/_gatehouse", "Into a directory of your fpath"}},
		"completion fish": {{"completion fish > ~/.config/fish/completions/gatehouse.fish", "For you"}},
		"man":             {{"man /usr/local/share/man/man1", "Then: man gatehouse-user-create"}},
		"version":         {{"version --json", "With what it was built with"}},
		"help":            {{"help settings", "All settings and what they take"}, {"help client create", "The same as client create --help"}},
	}
}
