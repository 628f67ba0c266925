package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// A Source holds everything that settings are read from. Each part may be empty.
type Source struct {
	File     []byte            // the contents of a YAML file
	FileName string            // its name in messages
	Env      []string          // NAME=value, as in os.Environ
	Flags    map[string]string // by flag name without dashes; each must be a setting
	// ReadFile reads the files that …_FILE variables name. If it is nil, they are errors.
	ReadFile func(path string) ([]byte, error)
}

// Problems lists everything that is wrong with the settings, one sentence each.
type Problems []string

// Error returns one line per problem.
func (p Problems) Error() string { return strings.Join(p, "\n") }

func (p *Problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Load returns a Config with the defaults, overridden by the file, the environment and the flags,
// in this order. The error is a Problems that lists all mistakes. Unknown names are errors in the
// file and among the flags. The environment is shared with other programs: a name there that looks
// like a setting is a warning (see [Config.Warnings]), and others are ignored.
func Load(src Source) (*Config, error) {
	l := newLoader()
	l.all(src)
	l.cfg.source = &src
	return l.finish()
}

// newLoader returns a loader with the defaults.
func newLoader() *loader {
	l := &loader{
		cfg:    &Config{origins: map[string]string{}, texts: map[string]string{}},
		byName: map[string]Setting{},
	}
	for _, s := range Settings() {
		l.byName[s.Name] = s
		l.names = append(l.names, s.Name)
		if s.Default != "" {
			if err := s.place(l.cfg).parse(s.Default); err != nil {
				l.problems.add("the built-in default of %s %v", s.Name, err)
			}
		}
	}
	return l
}

// all reads all sources.
func (l *loader) all(src Source) {
	l.file(src.File, src.FileName)
	l.env(src.Env, src.ReadFile)
	l.flags(src.Flags)
}

// finish settles and checks what was read.
func (l *loader) finish() (*Config, error) {
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	l.cfg.settle()
	l.cfg.settleDatabase("DATABASE_URL", &l.cfg.Storage.DatabaseURL, &l.problems)
	l.cfg.settleDatabase("DATABASE_LISTEN_URL", &l.cfg.Storage.ListenURL, &l.problems)
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	if err := l.cfg.Validate(); err != nil {
		return nil, err
	}
	return l.cfg, nil
}

type loader struct {
	cfg      *Config
	byName   map[string]Setting
	names    []string // in the order of the table
	problems Problems
	skip     func(name string) bool // settings that are not read; nil: none
}

// set stores one value. An empty value counts as not set.
func (l *loader) set(s Setting, raw, origin, shown string) {
	raw = strings.TrimSpace(raw)
	if raw == "" || l.skip != nil && l.skip(s.Name) {
		return
	}
	if strings.ContainsRune(raw, 0) {
		l.problems.add("%s: %s holds a zero byte", origin, shown)
		return
	}
	err := s.place(l.cfg).parse(raw)
	switch {
	case err == nil:
		l.cfg.origins[s.Name] = origin
		if !s.Secret {
			l.cfg.texts[s.Name] = raw
		}
	case s.Secret:
		l.problems.add("%s: %s %v", origin, shown, err)
	default:
		l.problems.add("%s: %s is %q; it %v", origin, shown, clip(raw), err)
	}
}

func (l *loader) env(env []string, readFile func(string) ([]byte, error)) {
	vars := map[string]string{}
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if w := l.stranger(name); w != "" && vars[name] != "" {
			l.cfg.strangers = append(l.cfg.strangers, w)
		}
	}
	l.serviceLinks(vars)
	for _, name := range l.names {
		s := l.byName[name]
		direct, path := strings.TrimSpace(vars[name]), ""
		if !s.path { // SSL_CERT_FILE means something else to every TLS library on the machine
			path = strings.TrimSpace(vars[name+"_FILE"])
		}
		switch {
		case direct != "" && path != "":
			l.problems.add("environment: %s and %s_FILE are both set; keep one of them", name, name)
		case path != "":
			l.fromFile(s, valueFile{"environment", name + "_FILE", path}, readFile)
		default:
			l.set(s, direct, "environment", name)
		}
	}
}

// valueFile is a file that holds the value of a setting.
type valueFile struct {
	origin string // where it is named
	shown  string // the name under which it is named there
	path   string
}

func (l *loader) fromFile(s Setting, f valueFile, readFile func(string) ([]byte, error)) {
	if l.skip != nil && l.skip(s.Name) {
		return
	}
	if readFile == nil {
		l.problems.add("%s: %s is set, but files cannot be read here", f.origin, f.shown)
		return
	}
	data, err := readFile(f.path)
	if err != nil {
		l.problems.add("%s: %s cannot be read: %v", f.origin, f.shown, err)
		return
	}
	if strings.TrimSpace(string(data)) == "" {
		l.problems.add("%s: %s names %q, which is empty", f.origin, f.shown, f.path)
		return
	}
	l.set(s, string(data), f.origin, f.shown)
}

func (l *loader) flags(flags map[string]string) {
	seen := 0
	for _, name := range l.names {
		s := l.byName[name]
		if v, ok := flags[s.Flag()]; ok {
			seen++
			l.set(s, v, "command line", "--"+s.Flag())
		}
	}
	if seen == len(flags) {
		return
	}
	for _, flag := range slices.Sorted(maps.Keys(flags)) {
		name := strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		if s, ok := l.byName[name]; !ok || s.Flag() != flag {
			l.unknown("command line", "--"+flag, name, func(s Setting) string { return "--" + s.Flag() })
		}
	}
}

// unknown reports a name that is not in the table, with the one that was probably meant.
func (l *loader) unknown(origin, shown, name string, form func(Setting) string) {
	msg := fmt.Sprintf("%s: %s is not a setting", origin, clip(shown))
	if near := spell.Nearest(name, l.names); near != "" {
		msg += "; did you mean " + form(l.byName[near]) + "?"
	}
	l.problems = append(l.problems, msg)
}

// settle sets defaults that depend on other settings, and canonicalizes BASE_URL.
func (c *Config) settle() {
	production := c.Production()
	if !c.isSet("HOST") {
		if c.Server.Host = "localhost"; production {
			c.Server.Host = "*"
		}
	}
	c.Server.Host = bareHost(c.Server.Host)
	if !c.isSet("LOG_FORMAT") {
		if c.Server.LogFormat = "text"; production {
			c.Server.LogFormat = "json"
		}
	}
	if !c.isSet("REQUIRE_ADMIN_MFA") {
		c.MFA.RequireAdmin = production
	}
	if c.isSet("BASE_URL") {
		c.Server.BaseURL = canonicalURL(c.Server.BaseURL)
	} else {
		c.Server.BaseURL = c.ownAddress()
	}
}

// bareHost removes the brackets of an IPv6 address, which are part of URLs only.
func bareHost(h string) string {
	if strings.HasPrefix(h, "[") && strings.HasSuffix(h, "]") {
		return h[1 : len(h)-1]
	}
	return h
}

// canonicalURL returns an origin in the form that browsers use (RFC 6454 §6.1): lower case, no
// default port, no trailing slash. It returns an invalid address unchanged, for Validate to
// reject.
func canonicalURL(s string) string {
	s = strings.TrimRight(s, "/")
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return s
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), asciiHost(strings.ToLower(u.Host))
	if p := u.Port(); p == "" || (u.Scheme == "https" && p == "443") || (u.Scheme == "http" && p == "80") {
		u.Host = strings.TrimSuffix(u.Host, ":"+p)
	}
	return u.String()
}

// asciiHost returns a host, which may have a port, with its name as it is in the DNS and in
// certificates: münchen.example is xn--mnchen-3ya.example (RFC 5891 §4.4). It returns a name that
// cannot be one unchanged.
func asciiHost(host string) string {
	if strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return host
	}
	name, port, found := strings.Cut(host, ":")
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
	ascii, err := profile.ToASCII(name)
	if err != nil {
		return host
	}
	if found {
		ascii += ":" + port
	}
	return ascii
}

func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}
