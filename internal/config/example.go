package config

import "strings"

// EnvExample renders the settings as deploy/.env.example: a file for containers, in which every
// setting that is not needed is commented out.
func EnvExample() string {
	var b strings.Builder
	b.WriteString(`# Settings for containers, in the form that docker --env-file and compose read. Copy this file to .env
# and set what is not commented out. docs/SETTINGS.md describes everything.
# Generated from internal/config; go test ./internal/config -update writes it.

BASE_URL=http://localhost:8080
# The output of: openssl rand -hex 32
SECRET_KEY=

# For deploy/compose/postgres.yaml.
POSTGRES_PASSWORD=
REDIS_PASSWORD=
`)
	group := ""
	for _, s := range Settings() {
		if s.Name == "BASE_URL" || s.Name == "SECRET_KEY" {
			continue
		}
		if s.Group != group {
			group = s.Group
			b.WriteString("\n# " + group + "\n")
		}
		b.WriteString("#" + s.Name + "=" + s.Default + "\n")
	}
	return b.String()
}
