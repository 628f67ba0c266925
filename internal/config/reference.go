package config

import "strings"

// Reference renders the settings as a page of Markdown, docs/SETTINGS.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	group := ""
	for _, s := range Settings() {
		if s.Group != group {
			group = s.Group
			b.WriteString("\n## " + group + "\n\n| environment | default | what it does | accepts | YAML | flag |\n| --- | --- | --- | --- | --- | --- |\n")
		}
		def := "–"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		b.WriteString("| `" + s.Name + "` | " + def + " | " + cell(s.Doc) + " | " + cell(s.Accepts()) + " | `" + s.Key() + "` | `--" + s.Flag() + "` |\n")
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const referenceHead = `# Settings

<!-- Generated from internal/config; go test ./internal/config -update writes it. -->

Each setting has one name and is read from four places. The last one that has it wins:

1. its default;
2. the YAML file given with ` + "`--config FILE`" + `, in lower case: ` + "`access_token_ttl: 1h`" + `;
3. the environment, in upper case: ` + "`ACCESS_TOKEN_TTL=1h`" + `;
4. a flag: ` + "`--access-token-ttl 1h`" + `.

In the environment, ` + "`NAME_FILE=/run/secrets/name`" + ` reads the value from a file, which suits container secrets; spaces and line
ends around it are dropped. (` + "`SSL_CERT`, `SSL_KEY` and `ROUTES_FILE`" + ` are paths already and have no such form.) An empty value counts as not set.

Durations are a number of seconds (` + "`3600`" + `) or a form like ` + "`1h30m`" + `; where the name or the text says minutes or days, a plain number
is that. Lists are separated by commas or spaces, and may be YAML lists. An unknown name in the file or on the command line, or a value that does not
parse, stops the start and says where it stands. Values of secrets are never printed.
`
