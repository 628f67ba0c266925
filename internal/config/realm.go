package config

import (
	"fmt"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
)

// A RealmSource holds the settings of one realm, as REALMS_FILE has them.
type RealmSource struct {
	Name   string
	File   string // its name in messages
	Values []RealmValue
}

// A RealmValue is one setting of a realm.
type RealmValue struct {
	Key  string // as in a file of settings, or with _file at the end
	Text string
	Line int
}

// ofProcess returns the settings that a process has once, whatever realms it serves.
func ofProcess() []string {
	return []string{
		"ENVIRONMENT", "HOST", "PORT", "TRUSTED_PROXIES", "SSL_CERT", "SSL_KEY", "TLS_CLIENT_CERTS",
		"LOG_LEVEL", "LOG_FORMAT", "DRAIN_DELAY", "SHUTDOWN_TIMEOUT", "PPROF_PORT", "HTTP_PORT",
		"METRICS_PORT", "METRICS_HOST", "LOGIN_HASH_QUEUE", "REDIS_URL",
	}
}

// ofProcessPrefixes returns how the names of further such settings begin.
func ofProcessPrefixes() []string { return []string{"ACME_", "OTEL_", "REALMS_"} }

// ofRealm returns the settings that a realm does not take from the process: what names its issuer,
// its database and its keys, who administers it, and where its data go.
func ofRealm() []string {
	return []string{
		"BASE_URL", "DATABASE_URL", "DATABASE_LISTEN_URL", "SECRET_KEY", "SECRET_KEY_PREVIOUS",
		"ROUTES_FILE", "ADMIN_EMAIL", "ADMIN_PASSWORD", "ALERT_MAIL", "NOTIFICATION_WEBHOOK",
		"NOTIFICATION_WEBHOOK_SECRET", "DYNAMIC_CLIENT_REGISTRATION_TOKEN", "PASSWORD_GRANT_ALLOWED_CLIENTS",
		"PASSKEY_RP_ID", "PASSKEY_RELATED_ORIGINS", "DEFAULT_SCOPES", "OPEN_REGISTRATION_SCOPES",
		"OPEN_REGISTRATION_RESOURCES", "REQUIRE_MFA_ROLES", "OUTBOUND_ALLOW",
	}
}

// ofRealmPrefixes returns how the names of further such settings begin.
func ofRealmPrefixes() []string {
	return []string{
		"AUDIT_LOG_FILE", "AUDIT_LOG_SYSLOG", "AUDIT_LOG_SPLUNK", "AUDIT_LOG_ELASTICSEARCH",
		"SYSLOG_", "AUDIT_CHECKPOINT_", "BACKUP_",
	}
}

func named(name string, names, prefixes []string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return slices.Contains(names, name) || slices.ContainsFunc(prefixes, begins)
}

// OfProcess reports whether a process has a setting once, so that a realm cannot change it.
func OfProcess(name string) bool { return named(name, ofProcess(), ofProcessPrefixes()) }

// OfRealm reports whether a realm has a setting for itself alone, and not from the process.
func OfRealm(name string) bool { return named(name, ofRealm(), ofRealmPrefixes()) }

// ForRealm returns the settings of a realm of the server that these are the settings of: its own
// ones, and for what it does not set those of the server, unless they are OfRealm.
func (c *Config) ForRealm(r RealmSource) (*Config, error) {
	src := *c.source
	l := newLoader()
	l.skip = OfRealm
	l.cfg.Realm = r.Name
	l.all(src)
	l.cfg.strangers = nil // the server has told them
	l.skip = nil
	l.realm(r, src.ReadFile)
	if !l.cfg.isSet("BASE_URL") && len(l.problems) == 0 {
		l.problems.add("%s: the realm %s needs base_url, the address of its issuer", r.File, r.Name)
	}
	if !l.cfg.isSet("DATABASE_URL") && len(l.problems) == 0 {
		l.realmDatabase(c, r)
	}
	return l.finish()
}

// realmConnections is how many connections to PostgreSQL a realm has at most, unless it says how
// many: there may be many realms.
const realmConnections = "4"

// realmDatabase chooses the database of a realm that names none: a file beside that of the server,
// or a schema of its own in the PostgreSQL database of the server.
func (l *loader) realmDatabase(c *Config, r RealmSource) {
	file, ok := strings.CutPrefix(string(c.Storage.DatabaseURL), "sqlite:")
	switch {
	case !ok:
		l.realmSchema(c, r)
	case file == ":memory:":
		l.cfg.Storage.DatabaseURL = c.Storage.DatabaseURL
	default:
		l.cfg.Storage.DatabaseURL = Secret("sqlite:" + path.Join(path.Dir(file), "realms", r.Name, "gatehouse.db"))
	}
	l.cfg.origins["DATABASE_URL"] = "default of realms"
}

// realmSchema makes the database of a realm a schema in that of the server.
func (l *loader) realmSchema(c *Config, r RealmSource) {
	u, err := url.Parse(string(c.Storage.DatabaseURL))
	if err != nil { // the server itself cannot use it
		l.problems.add("%s: the realm %s needs database_url: the address of the server's database cannot be "+
			"changed to one with a schema", r.File, r.Name)
		return
	}
	l.cfg.Storage.Schema = "realm_" + strings.ReplaceAll(r.Name, "-", "_")
	query := u.Query()
	query.Set("search_path", l.cfg.Storage.Schema)
	query.Set("pool_max_conns", realmConnections)
	query.Del("pool_min_conns")
	u.RawQuery = query.Encode()
	l.cfg.Storage.DatabaseURL = Secret(u.String())
	l.cfg.Storage.ListenURL = c.Storage.ListenURL // notifications are of the whole database
}

// realm reads the settings of a realm.
func (l *loader) realm(r RealmSource, readFile func(string) ([]byte, error)) {
	for _, v := range r.Values {
		origin := fmt.Sprintf("%s line %d", r.File, v.Line)
		name := strings.ToUpper(v.Key)
		s, ok := l.byName[name]
		fromFile := false
		if !ok {
			s, fromFile = l.byName[strings.TrimSuffix(name, "_FILE")]
			ok = fromFile && !s.path
		}
		switch {
		case !ok || v.Key != strings.ToLower(v.Key):
			l.unknown(origin, strings.TrimSpace(v.Key), name, Setting.Key)
		case OfProcess(s.Name):
			l.problems.add("%s: %s belongs to the whole process; set it outside of the realms", origin, v.Key)
		case fromFile:
			l.fromFile(s, valueFile{origin, v.Key, v.Text}, readFile)
		default:
			l.set(s, v.Text, origin, v.Key)
		}
	}
}

// Same reports whether two realms have the same settings, wherever they come from.
func (c *Config) Same(other *Config) bool {
	a, b := *c, *other
	a.source, b.source, a.origins, b.origins = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

func realmRows() []Setting {
	return []Setting{
		{
			Name: "REALMS_FILE",
			path: true,
			Doc: "A YAML file with realms: further issuers that this process serves, each with a host, " +
				"a database, keys and settings of its own. See the guide Realms. The default is none.",
			place: func(c *Config) value { return text{&c.Server.RealmsFile, "a path"} },
		},
		{
			Name:    "REALMS_OPEN",
			Default: "100",
			Doc: "How many realms are open at a time. Further ones open when one that has no request in " +
				"progress has closed. An open realm needs some megabytes.",
			place: func(c *Config) value { return number[int]{&c.Server.RealmsOpen, 1, 1000} },
		},
		{
			Name:    "REALMS_CONNECTIONS",
			Default: "16",
			Doc: "How many connections to PostgreSQL the realms have together that are schemas of the server's " +
				"database.",
			place: func(c *Config) value { return number[int]{&c.Server.RealmsConnections, 4, 1000} },
		},
	}
}
