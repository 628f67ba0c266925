package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

const (
	diagnosisTimeout = 15 * time.Second // of all that is asked over the network
	dialTimeout      = 5 * time.Second
	namedAdmins      = 10 // administrators that a finding may name

	// maxChecked is how many bytes of a database file are read to check it, some seconds' worth.
	maxChecked = 1 << 30
)

// diagnosis gathers the facts about an installation.
type diagnosis struct {
	e   *env
	cfg *config.Config
	out *doctor.Facts

	thorough bool   // the file of the database is checked, which reads all of it
	keyError string // why SECRET_KEY does not open the database, or ""
}

// diagnose examines the installation from the command line. It works without a database, and
// changes nothing: the schema of an older database stays as it is.
func diagnose(ctx context.Context, e *env, cfg *config.Config) *doctor.Report {
	d := newDiagnosis(e, cfg)
	unusable := func(text string) *doctor.Report {
		d.out.Database = &doctor.Database{Engine: cfg.Engine(), Err: text}
		return d.report(ctx, nil, nil)
	}
	if missing := missingFile(ctx, cfg); missing != "" {
		return unusable(missing)
	}
	master, _, err := masterKey(cfg)
	if err != nil {
		return unusable(err.Error())
	}
	keys, err := secret.NewKeys(master)
	if err != nil {
		return unusable(err.Error())
	}
	o := store.Options{
		URL:        string(cfg.Storage.DatabaseURL),
		Statements: cfg.Storage.Statements,
		ListenURL:  string(cfg.Storage.ListenURL),
		Schema:     cfg.Storage.Schema,

		SchemaExists:       true,
		ExternalCheckpoint: cfg.Storage.Checkpoint == "external",
	}
	db, err := store.Open(ctx, o)
	if err != nil { // without it nobody knows the server's keys either
		return unusable(err.Error())
	}
	defer db.Close()
	d.thorough = true
	data, _, err := findDataKey(ctx, db, cfg, keys)
	if err != nil {
		d.keyError = plainError(err)
	}
	return d.report(ctx, db, data)
}

// missingFile returns why an SQLite database cannot be opened as it is: it or the file of its key
// is missing. An examination creates neither.
func missingFile(ctx context.Context, cfg *config.Config) string {
	file := sqliteFile(cfg)
	if file == "" {
		return ""
	}
	if _, err := os.Stat(file); err != nil {
		return "there is none at " + file + " yet; gatehouse serve creates it"
	}
	key := keyFile(cfg, file)
	if _, err := os.Stat(key); err != nil && cfg.MasterKey() == nil {
		if withoutKey(ctx, cfg) {
			return "its schema is there, and no key yet; gatehouse serve creates that"
		}
		return "the key file " + key + " is missing; put back your copy of it, or set SECRET_KEY"
	}
	return ""
}

// withoutKey reports whether no server has opened a database with a key yet.
func withoutKey(ctx context.Context, cfg *config.Config) bool {
	db, err := store.Open(ctx, store.Options{URL: string(cfg.Storage.DatabaseURL)})
	if err != nil {
		return false
	}
	defer db.Close()
	names, err := db.DataKeyNames(ctx)
	if err != nil || len(names) > 0 {
		return false
	}
	_, err = db.Meta(ctx, masterCheck)
	return fault.Is(err, fault.NotFound)
}

// facts gathers what a running server knows about itself.
func (p *parts) facts(ctx context.Context, e *env) *doctor.Facts {
	d := newDiagnosis(e, p.cfg)
	d.gather(ctx, p.db, p.keys)
	return d.out
}

func newDiagnosis(e *env, cfg *config.Config) *diagnosis {
	return &diagnosis{e: e, cfg: cfg, out: &doctor.Facts{
		Now:        e.now(),
		Production: cfg.Production(),
	}}
}

func (d *diagnosis) report(ctx context.Context, db *store.DB, keys *secret.Keys) *doctor.Report {
	d.gather(ctx, db, keys)
	return doctor.Examine(d.out)
}

// gather asks everything that can be asked. db and keys may be nil.
func (d *diagnosis) gather(ctx context.Context, db *store.DB, keys *secret.Keys) {
	ctx, cancel := context.WithTimeout(ctx, diagnosisTimeout)
	defer cancel()
	d.server()
	d.passwords()
	d.masterKey()
	d.files()
	d.redis(ctx)
	d.out.Clock = &doctor.Clock{Unsynchronized: clockUnsynchronized()}
	if keys != nil {
		client := &http.Client{
			Timeout:       dialTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		d.out.Probe = probe(ctx, client, keys, d.cfg.Server.BaseURL, d.out.Now)
		d.mail(ctx, keys)
	}
	if u, err := url.Parse(d.cfg.Server.BaseURL); err == nil {
		d.out.DNS = lookUp(ctx, u)
	}
	d.certificate(ctx)
	if db != nil {
		d.database(ctx, db)
		d.backups(ctx, db)
	}
}

func (d *diagnosis) server() {
	c := d.cfg
	u, err := url.Parse(c.Server.BaseURL)
	if err != nil { // the settings were validated
		return
	}
	d.out.Server = &doctor.Server{
		BaseURL:        c.Server.BaseURL,
		Scheme:         u.Scheme,
		Host:           u.Host,
		Local:          c.Local(),
		TrustedProxies: c.Server.TrustedProxies,
		AdminNetworks:  len(c.Administration.AllowedIPs) > 0,
		MetricsOpen:    c.Monitoring.Open(),
		AccessTTL:      c.Tokens.AccessTTL,
	}
}

func (d *diagnosis) passwords() {
	c := d.cfg
	d.out.Passwords = &doctor.Passwords{
		Allowed:      slices.Contains(c.Accounts.LoginMethods, "password"),
		MinLength:    c.Passwords.MinLength,
		Characters:   !c.Passwords.Nist() && (c.Passwords.Uppercase || c.Passwords.Numbers || c.Passwords.Special),
		ExpiryDays:   int(c.Passwords.Expiry / (24 * time.Hour)),
		BreachedList: c.Passwords.Breached != "",
		MFARequired:  c.MFA.Require,
		LockoutOff:   c.Lockout.Threshold == 0,
		RateLimitOff: !c.RateLimits.Enabled,
	}
	if info, err := os.Stat(c.Passwords.Breached); err == nil {
		d.out.Passwords.BreachedFrom = info.ModTime()
	}
}

// masterKey notes how random SECRET_KEY looks, without a byte of it.
func (d *diagnosis) masterKey() {
	key := d.cfg.MasterKey()
	if key == nil {
		d.out.MasterKey = &doctor.MasterKey{Err: d.keyError, Generated: true}
		return
	}
	seen := map[byte]bool{}
	for _, b := range key {
		seen[b] = true
	}
	d.out.MasterKey = &doctor.MasterKey{
		Err:      d.keyError,
		Distinct: len(seen),
		Previous: d.cfg.PreviousMasterKey() != nil,
	}
}

// sqliteFile returns the path of the database file, or "" for PostgreSQL and databases in memory.
func sqliteFile(c *config.Config) string {
	path, ok := strings.CutPrefix(string(c.Storage.DatabaseURL), "sqlite:")
	if !ok || path == ":memory:" {
		return ""
	}
	return path
}

func (d *diagnosis) files() {
	add := func(path, what string, secret bool) {
		if path == "" {
			return
		}
		f := examineFile(path, what)
		f.Secret = secret
		d.out.Files = append(d.out.Files, f)
	}
	if path := sqliteFile(d.cfg); path != "" {
		dir := filepath.Dir(path)
		for _, name := range []string{path, path + "-wal"} {
			if _, err := os.Stat(name); err == nil {
				add(name, "the database", true)
			}
		}
		if key := keyFile(d.cfg, path); d.cfg.MasterKey() == nil {
			if _, err := os.Stat(key); err == nil {
				add(key, "the master key", true)
			}
		}
		if disk, err := diskSpace(dir); err == nil {
			d.out.Disks = append(d.out.Disks, disk)
		}
	}
	add(d.cfg.Server.KeyFile, "the private key of the certificate", true)
	add(d.cfg.Server.CertFile, "the certificate", false)
	add(d.cfg.Gateway.RoutesFile, "the routes", false)
}

func (d *diagnosis) redis(ctx context.Context) {
	address := string(d.cfg.Storage.RedisURL)
	if address == "" {
		return
	}
	out := &doctor.Redis{}
	d.out.Redis = out
	if u, err := url.Parse(address); err == nil {
		host, _ := netip.ParseAddr(u.Hostname())
		out.Plain = (u.Scheme == "redis" || u.Scheme == "valkey") && u.Hostname() != "localhost" &&
			!netaddr.Canonical(host).IsLoopback()
	}
	shared, err := cache.OpenRedis(address, cache.RedisOptions{Now: d.e.now, Fallback: cache.NewMemory(0, d.e.now)})
	if err != nil {
		out.Err = err.Error()
		return
	}
	defer shared.Close()
	begin := time.Now()
	if err := shared.Ping(ctx); err != nil {
		out.Err = plainError(err)
	}
	out.Latency = time.Since(begin)
}

// certificate reads the certificate that callers of the public address get.
func (d *diagnosis) certificate(ctx context.Context) {
	u, err := url.Parse(d.cfg.Server.BaseURL)
	if err != nil || u.Scheme != "https" {
		return
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	// The verification follows, so that the end of a certificate is known that is not accepted.
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: dialTimeout},
		Config:    &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return // the probe says why
	}
	defer conn.Close()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	leaf := chain[0]
	out := &doctor.Certificate{
		NotAfter: leaf.NotAfter,
		Managed:  slices.Contains(d.cfg.HTTPS.Domains, u.Hostname()),
	}
	d.out.Certificate = out
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	o := x509.VerifyOptions{DNSName: u.Hostname(), Intermediates: between, CurrentTime: d.out.Now}
	if _, err := leaf.Verify(o); err != nil && d.out.Now.Before(leaf.NotAfter) {
		out.Err = plainError(err)
	}
}

// mail asks the mail server and the domain of the sender.
func (d *diagnosis) mail(ctx context.Context, keys *secret.Keys) {
	c := d.cfg.Mail
	out := &doctor.Mail{Host: c.Host, Security: c.Security, From: c.From, Passwords: c.Password != ""}
	d.out.Mail = out
	if c.Host == "" {
		return
	}
	sender, err := smtpSender(d.cfg, keys, nil)
	if err == nil {
		err = sender.Check(ctx)
		sender.Close()
	}
	if err != nil {
		out.Err = plainError(err)
	}
	_, domain, _ := strings.Cut(c.From, "@")
	if domain == "" {
		return
	}
	texts, err := net.DefaultResolver.LookupTXT(ctx, domain)
	var dns *net.DNSError
	if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
		out.DNSErr = plainError(err)
		return
	}
	for _, t := range texts {
		if t == "v=spf1" || strings.HasPrefix(t, "v=spf1 ") {
			out.SPF = append(out.SPF, t)
		}
	}
	policies, _ := net.DefaultResolver.LookupTXT(ctx, "_dmarc."+domain) // none is a finding
	for _, t := range policies {
		if strings.HasPrefix(t, "v=DMARC1") {
			out.DMARC = append(out.DMARC, t)
		}
	}
}

// database asks the database about itself, and what it holds.
func (d *diagnosis) database(ctx context.Context, db *store.DB) {
	path := sqliteFile(d.cfg)
	small := path != "" && fileSize(path) <= maxChecked
	out := db.Diagnose(ctx, d.thorough && small)
	out.Unchecked = d.thorough && path != "" && !small
	d.out.Database = out
	if out.Err != "" {
		return
	}
	if path != "" {
		out.WAL, out.FileSystem = fileSize(path+"-wal"), fileSystem(path)
	}
	if skew, ok := db.ClockSkew(ctx); ok {
		d.out.Clock.Database = &skew
	}
	pending, err := db.Pending(ctx)
	if err != nil {
		out.Err = err.Error()
		return
	}
	d.out.Migrations = pending
	if len(pending) > 0 { // what follows reads columns that may be missing
		return
	}
	d.people(ctx, db)
	d.clients(db)
	d.keys(ctx, db)
	d.messages(ctx, db)
	d.deliveries(ctx, db)
}

// recentGaps is how far back events count that a target of the audit log does not have.
const recentGaps = 30 * 24 * time.Hour

// deliveries notes where the audit log is delivered to, and what of it has failed.
func (d *diagnosis) deliveries(ctx context.Context, db *store.DB) {
	sinks, err := db.Sinks(ctx)
	if err != nil {
		return
	}
	gaps, err := db.Gaps(ctx, admin.GapQuery{Limit: admin.MaxPage})
	if err != nil {
		return
	}
	lost := map[string]int64{}
	for _, g := range gaps {
		if g.Parked && d.out.Now.Sub(g.CreatedAt) < recentGaps {
			lost[g.Sink] += g.Events
		}
	}
	out := &doctor.Deliveries{}
	for _, x := range sinks {
		if x.Active {
			out.Sinks = append(out.Sinks, doctor.Sink{
				Name: x.Name, FailingSince: x.FailingSince, Error: x.LastError, Lost: lost[x.Name],
			})
		}
	}
	hooks, err := db.ListWebhooks(ctx)
	if err != nil {
		return
	}
	for i := range hooks {
		if u, err := url.Parse(hooks[i].URL); err == nil && hooks[i].Ended != "" {
			out.Webhooks = append(out.Webhooks, u.Scheme+"://"+u.Host)
		}
	}
	if d.cfg.Audit.CheckpointURL != "" {
		sent, err := db.CheckpointSent(ctx)
		if err != nil {
			return
		}
		out.Checkpoint = &doctor.CheckpointTarget{
			FailingSince: sent.FailingSince, Error: sent.Error, Last: sent.At,
		}
	}
	d.out.Deliveries = out
}

func (d *diagnosis) people(ctx context.Context, db *store.DB) {
	n, err := db.CountAdmins(ctx)
	if err != nil {
		return
	}
	out := &doctor.Admins{Super: n, RequireMFA: d.cfg.MFA.RequireAdmin, SetupPending: n == 0}
	if without, err := db.AdminsWithoutFactor(ctx, namedAdmins); err == nil {
		for i := range without {
			out.WithoutMFA = append(out.WithoutMFA, without[i].LoginName())
		}
	}
	d.out.Admins = out
}

func (d *diagnosis) clients(db *store.DB) {
	d.out.Clients = []doctor.Client{}
	for _, c := range db.Clients() {
		if c.Disabled {
			continue
		}
		x := doctor.Client{
			ID:            string(c.ID),
			Name:          c.Name,
			Public:        c.Public,
			Grants:        c.Grants,
			PlainPKCE:     c.PlainPKCE,
			RequirePKCE:   c.RequirePKCE,
			Redirects:     c.Redirects,
			HasSecret:     len(c.Secrets) > 0,
			Unverified:    c.Unverified(),
			IntrospectAny: c.IntrospectAny,
			Administrative: slices.ContainsFunc(c.Scopes, func(s string) bool {
				return s == string(admin.ScopeAll) || strings.HasPrefix(s, string(admin.ScopeAll)+":")
			}),
		}
		for i, s := range c.Secrets {
			if i == 0 {
				x.SecretSince, x.SecretExpires = s.CreatedAt, s.ExpiresAt
			}
			if s.ExpiresAt.IsZero() {
				x.SecretExpires = time.Time{}
				break
			}
			if s.ExpiresAt.After(x.SecretExpires) {
				x.SecretExpires = s.ExpiresAt
			}
		}
		d.out.Clients = append(d.out.Clients, x)
	}
}

func (d *diagnosis) keys(ctx context.Context, db *store.DB) {
	all, err := db.Keys(ctx)
	if err != nil {
		return
	}
	for _, k := range all {
		d.out.SigningKeys = append(d.out.SigningKeys, doctor.SigningKey{
			ID: k.ID, Algorithm: k.Alg, Since: k.ActiveAt, Active: k.RetiredAt.IsZero(),
		})
	}
}

func (d *diagnosis) messages(ctx context.Context, db *store.DB) {
	if d.out.Mail == nil {
		return
	}
	if n, err := db.CountDeliveries(ctx, outbox.Query{Kind: outbox.KindMail, State: outbox.Dead}); err == nil {
		d.out.Mail.Dead = n
	}
	oldest, err := db.OldestDelivery(ctx, outbox.KindMail)
	if err == nil {
		d.out.Mail.Oldest = oldest
	}
}

// plainError returns the text of an error without the address that net/http puts before it.
func plainError(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	return strings.TrimSuffix(err.Error(), ".")
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// repair does what a finding says that can be repaired: it takes the permissions of a file away
// that others have.
func repair(_ context.Context, what string) error {
	words := strings.SplitN(what, " ", 3)
	if len(words) != 3 || words[0] != "chmod" {
		return fault.New(fault.Invalid, "there is no repair %q", what)
	}
	mode, err := strconv.ParseUint(words[1], 8, 32)
	if err != nil {
		return err
	}
	return os.Chmod(words[2], os.FileMode(mode))
}
