// Package archtest holds the rules about who may import whom, and what the core may
// do, as a test over the source of the whole module. docs/ARCHITECTURE.md says why.
package archtest

import "slices"

// basics are the packages of the core that every other one of the core may use.
var basics = []string{"fault", "secret", "jose", "identity", "outbox", "audit", "client", "field", "netaddr", "palette", "picture", "spell", "spreadsheet", "visitor"}

// core lists the packages that turn values into values. config is as pure, but only cli and app may import it.
var core = with(basics, "backup", "oauth", "oauth/token", "login", "access", "account", "webhook", "doctor", "realm", "plan", "admin")

// policy lists, for every package under internal/, the packages it may import: by their path under internal/, and those
// of bearer/ by their path in the module. A new package needs a line here.
var policy = map[string][]string{
	"fault":   {},
	"netaddr": {},
	"spell":   {},
	"field":   {"fault", "audit"},
	"palette": {},
	"picture": {"fault"},
	"visitor": {},
	"config":  {"netaddr", "palette", "spell"},
	"testkit": {},

	"backup":      {"fault"},
	"secret":      {"fault"},
	"jose":        {"fault", "secret"},
	"guess":       {},
	"identity":    {"fault", "secret", "field", "guess", "netaddr"},
	"outbox":      {"fault", "secret"},
	"audit":       {"fault", "secret", "outbox", "spreadsheet"},
	"spreadsheet": {},
	"client":      {"fault", "secret", "jose", "identity", "audit", "field", "netaddr", "palette", "spell"},
	"oauth":       with(basics, "bearer/dpop"), // not login: both speak identity.Session
	"oauth/token": with(basics, "oauth", "bearer/dpop"),
	"login":       basics,
	"access":      basics,
	"account":     with(basics, "login", "oauth"),
	"webhook":     {"fault", "secret", "field", "audit"},
	"doctor":      {"client"},
	"realm":       {"fault"},
	"plan":        {"fault", "field", "spell"},
	"admin":       with(basics, "oauth", "oauth/token", "login", "access", "account", "webhook", "doctor", "plan", "backup"),

	"testkit/container": {"testkit"},

	"store/sqldb":      {"fault"},
	"store/migrations": {},
	"store":            with(core, "store/sqldb", "store/migrations", "bff/session"),
	"store/storetest":  with(core, "store", "store/sqldb", "store/migrations", "bff/session", "testkit"),
	"cache":            with(core, "cache/redis"),
	"cache/redis":      {},
	"cache/cachetest":  with(core, "cache", "testkit"),
	"fetch":            {"fault", "netaddr"},
	"passkey":          with(basics, "login"),
	"geoip":            {"fault", "visitor"},
	"acme":             {"fault", "secret"},
	"authgate":         {},
	"install":          {"fault", "deploy/systemd"},
	"job":              {"fault"},
	"metric":           {},
	"trace":            {},
	"mail":             with(core, "text"),
	"ship":             with(core, "fetch"),
	"checkpoint":       core,
	"breached":         {},
	"s3":               {"fault"},
	"text":             {},
	"idp":              with(core, "fetch"),
	"web":              with(core, "text"),
	"web/protocol":     with(core, "web"),
	"web/ui":           with(core, "web", "text"),
	"web/console":      with(core, "web"),
	"web/api":          with(core, "web", "web/api/gen", "management"),
	"web/api/gen":      {"management"},               // generated, but for the embedded document
	"web/accounts":     with(core, "web", "gateway"), // reads the same Authorization header
	"bff":              with(core, "web", "bff/session"),
	"bff/session":      with(basics, "oauth"),
	"gateway":          with(core, "web", "trace", "gateway/upstream", "bearer", "bearer/dpop"),
	"gateway/upstream": {"fault"},

	"cli":        with(core, "install", "config", "cli/signin", "cli/remote"), // storage only through admin
	"cli/remote": core,
	"cli/signin": {},
	"app":        {everything},
	"archtest":   {},
}

const everything = "*"

// pure are the packages that look at no outside world: what they need is handed to them.
var pure = with(core, "config", "bearer/dpop", "bff/session")

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
	public   = []string{"bearer", "management", "examples/", "deploy/"}
	drivers  = []string{"tools/", "conformance"}
)

func with(set []string, more ...string) []string { return append(slices.Clone(set), more...) }
