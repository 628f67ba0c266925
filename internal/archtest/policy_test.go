// Package archtest holds the rules about who may import whom, and what the core may
// do, as a test over the source of the whole module. docs/ARCHITECTURE.md says why.
package archtest

import "slices"

// core is the packages that turn values into values. config is as pure, but only app may import it.
var core = []string{"fault", "secret", "jose", "identity", "audit", "oauth", "login", "access"}

// policy lists, for every package under internal/, the packages it may import: by their path under internal/, and those
// of bearer/ by their path in the module. A new package needs a line here.
var policy = map[string][]string{
	"fault":    {},
	"config":   {},
	"secret":   {"fault"},
	"jose":     {"fault", "secret"},
	"identity": {"fault", "secret"},
	"audit":    {"fault", "secret"},
	"oauth":    {"fault", "secret", "jose", "identity", "audit", "bearer/dpop"}, // not login: both speak identity.Session
	"login":    {"fault", "secret", "jose", "identity", "audit"},
	"access":   {"fault", "secret", "jose", "identity", "audit"},

	"store/sqldb":      {"fault"},
	"store/migrations": {},
	"store":            with(core, "store/sqldb", "store/migrations"),
	"store/storetest":  with(core, "store", "store/sqldb", "store/migrations"),
	"cache":            core,
	"cache/cachetest":  with(core, "cache"),
	"fetch":            {"fault"},
	"job":              {"fault"},
	"mail":             core,
	"idp":              with(core, "fetch"),
	"web":              core,
	"web/protocol":     with(core, "web"),
	"web/ui":           with(core, "web"),
	"web/api":          with(core, "web"),
	"gateway":          with(core, "web", "gateway/upstream", "bearer", "bearer/dpop"),
	"gateway/apps":     with(core, "web"),
	"gateway/upstream": {"fault"},

	"app":      {everything},
	"archtest": {},
}

const everything = "*"

// pure are the packages that look at no outside world: what they need is handed to them.
var pure = with(core, "config", "bearer/dpop")

// impure are the standard packages that are, or lead to, an outside world.
var impure = []string{"net/http", "net", "database/sql", "html/template", "os", "log", "log/slog", "embed"}

// clock are the functions of package time that read the clock; a request reads it once, at the rim.
var clock = []string{"Now", "Since", "Until"}

// vague are names that say nothing about what is inside, so that everything ends up there.
var vague = []string{
	"util", "utils", "common", "helper", "helpers", "type", "types", "model", "models",
	"dto", "service", "services", "manager", "managers", "misc", "shared", "base", "lib",
}

// Outside internal/ stand the command, which knows app only; the parts that users
// import or copy, which know nothing of ours; and drivers that may know anything.
var (
	commands = []string{"cmd/"}
	public   = []string{"bearer", "examples/"}
	drivers  = []string{"bench", "conformance"}
)

func with(set []string, more ...string) []string { return append(slices.Clone(set), more...) }
