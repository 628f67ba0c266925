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
			b.WriteString("\n## " + group + "\n\n" +
				"| environment | default | what it does | accepts | YAML | flag |\n" +
				"| --- | --- | --- | --- | --- | --- |\n")
		}
		def := "–"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		b.WriteString("| `" + s.Name + "` | " + def + " | " + cell(s.Doc) + " | " + cell(s.Accepts()) +
			" | `" + s.Key() + "` | `--" + s.Flag() + "` |\n")
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const referenceHead = `# Settings

<!-- Generated from internal/config; go test ./internal/config -update writes it. -->

Each setting has one name. Gatehouse reads settings from four sources; a later source overrides the
earlier ones:

1. the default;
2. the YAML file given with ` + "`--config FILE`" + `, in lower case: ` + "`access_token_ttl: 1h`" + `;
3. the environment, in upper case: ` + "`ACCESS_TOKEN_TTL=1h`" + `;
4. a flag: ` + "`--access-token-ttl 1h`" + `.

In the environment, ` + "`NAME_FILE=/run/secrets/name`" + ` reads the value from a file, for example a container
secret; spaces and line ends around the value are dropped. (` + "`SSL_CERT`, `SSL_KEY`, `ROUTES_FILE` and `REALMS_FILE`" + `
are paths already and have no such form.) An empty value counts as not set.

A duration is a number of seconds (` + "`3600`" + `) or a form such as ` + "`1h30m`" + `. If the name or the text says
minutes or days, a plain number means minutes or days. Separate the items of a list by commas or
spaces; in the file a list may also be a YAML list. An unknown name in the file or on the command
line, or an invalid value, stops the start; the message says where it is. Values of secrets are never
printed.
`
