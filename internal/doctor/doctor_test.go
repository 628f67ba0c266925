package doctor_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

var now = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

// healthy returns the facts of an installation in production of which nothing is to be said.
func healthy() *doctor.Facts {
	return &doctor.Facts{
		Now:        now,
		Production: true,
		Server: &doctor.Server{
			BaseURL: "https://id.example", Scheme: "https", Host: "id.example",
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			AdminNetworks:  true, AccessTTL: time.Hour,
		},
		Probe: &doctor.Probe{
			Peer: "10.0.0.7", Scheme: "https", Host: "id.example",
			Forwarded: []string{"X-Forwarded-For"}, Took: 20 * time.Millisecond, Cookies: &doctor.Cookies{},
		},
		DNS:         &doctor.DNS{Host: "id.example", Addresses: []string{"192.0.2.1", "2001:db8::1"}},
		Certificate: &doctor.Certificate{NotAfter: now.Add(60 * 24 * time.Hour)},
		Clock:       &doctor.Clock{Database: new(time.Duration)},
		Database: &doctor.Database{
			Engine: "postgres", Version: "17.2", Latency: time.Millisecond, MaxConnections: 100,
			Settings:   map[string]string{"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8", "synchronous_commit": "on"},
			Statements: "prepared",
		},
		Redis:     &doctor.Redis{Latency: time.Millisecond},
		Files:     []doctor.File{{Path: "/etc/key.pem", What: "the private key", Mode: 0o600, Secret: true}},
		Disks:     []doctor.Disk{{Path: "/", Free: 50 << 30, Total: 100 << 30}},
		MasterKey: &doctor.MasterKey{Distinct: 30},
		Backups: &doctor.Backups{
			Place: "s3://safe/", Every: 24 * time.Hour, Bucket: true, Encrypted: true, Newest: now.Add(-20 * time.Hour), Size: 12e6,
		},
		SigningKeys: []doctor.SigningKey{
			{ID: "k2", Algorithm: "ES256", Since: now.Add(-24 * time.Hour), Active: true},
			{ID: "k1", Algorithm: "ES256", Since: now.Add(-800 * 24 * time.Hour)},
		},
		Mail: &doctor.Mail{Host: "smtp.example", Security: "starttls", From: "id@example.com", SPF: []string{"v=spf1 -all"}, DMARC: []string{"v=DMARC1"}},
		Deliveries: &doctor.Deliveries{
			Sinks: []doctor.Sink{{Name: "syslog"}}, Checkpoint: &doctor.CheckpointTarget{Last: now},
		},
		Admins:    &doctor.Admins{Super: 2, RequireMFA: true},
		Passwords: &doctor.Passwords{Allowed: true, MinLength: 15, BreachedList: true, BreachedFrom: now},
		Clients:   []doctor.Client{{ID: "a", Name: "App", Public: true, Grants: []string{"authorization_code"}, Redirects: []string{"http://127.0.0.1/cb"}}},
	}
}

// A healthy installation has no finding that needs anybody; every area has been looked at.
func TestHealthy(t *testing.T) {
	r := doctor.Examine(healthy())
	areas := map[string]bool{}
	for _, f := range r.Findings {
		areas[f.Area()] = true
		if f.Level != doctor.Good {
			t.Errorf("%s: %s", f.Check, f.Title)
		}
	}
	for _, area := range []string{"server", "proxy", "tls", "clock", "database", "files", "disk", "backup", "secrets", "mail", "deliveries", "clients"} {
		if !areas[area] {
			t.Errorf("nothing is said about %s", area)
		}
	}
	if r.Worst() != doctor.Good {
		t.Errorf("worst is %s", r.Worst())
	}
}

// Nothing is said of what is not known.
func TestNothingKnown(t *testing.T) {
	if r := doctor.Examine(&doctor.Facts{Now: now}); len(r.Findings) > 0 {
		t.Errorf("%+v", r.Findings)
	}
}

func TestFindings(t *testing.T) {
	type facts = *doctor.Facts
	for name, c := range map[string]struct {
		spoil func(facts)
		check string
		level doctor.Level
		says  string // a part of the title or of what to do
	}{
		"development, public": {func(f facts) { f.Production = false }, "server.environment", doctor.Problem, "ENVIRONMENT=production"},
		"development, local":  {func(f facts) { f.Production, f.Server.Local = false, true }, "server.environment", doctor.Note, "development"},
		"sink away": {func(f facts) {
			f.Deliveries.Sinks[0].FailingSince, f.Deliveries.Sinks[0].Error = now.Add(-time.Minute*30), "refused"
		}, "deliveries.sink", doctor.Warning, "30 minutes: refused"},
		"sink long away": {func(f facts) { f.Deliveries.Sinks[0].FailingSince = now.Add(-5 * time.Hour) }, "deliveries.sink", doctor.Problem, "5 hours"},
		"gap":            {func(f facts) { f.Deliveries.Sinks[0].Lost = 12 }, "deliveries.gap", doctor.Warning, "12 events"},
		"webhook gone":   {func(f facts) { f.Deliveries.Webhooks = []string{"https://a.example"} }, "deliveries.webhook", doctor.Warning, "https://a.example"},
		"checkpoint away": {func(f facts) {
			f.Deliveries.Checkpoint = &doctor.CheckpointTarget{FailingSince: now.Add(-3 * time.Hour), Error: "status 500"}
		}, "deliveries.checkpoint", doctor.Problem, "3 hours: status 500"},
		"checkpoint never":       {func(f facts) { f.Deliveries.Checkpoint = &doctor.CheckpointTarget{} }, "deliveries.checkpoint", doctor.Note, "yet"},
		"pending migrations":     {func(f facts) { f.Migrations = []string{"x"} }, "server.migrations", doctor.Problem, "gatehouse migrate"},
		"long tokens":            {func(f facts) { f.Server.AccessTTL = 72 * time.Hour }, "server.access-ttl", doctor.Warning, "3 days"},
		"open metrics":           {func(f facts) { f.Server.MetricsOpen = true }, "server.metrics", doctor.Note, "METRICS_HOST"},
		"Redis away":             {func(f facts) { f.Redis.Err = "refused" }, "server.redis", doctor.Problem, "refused"},
		"Redis in the open":      {func(f facts) { f.Redis.Plain = true }, "server.redis", doctor.Warning, "rediss://"},
		"http":                   {func(f facts) { f.Server.Scheme, f.Probe.Scheme = "http", "http" }, "proxy.https", doctor.Problem, "https://"},
		"unreachable":            {func(f facts) { f.Probe = &doctor.Probe{Err: "refused"} }, "proxy.reachable", doctor.Warning, "refused"},
		"somebody else":          {func(f facts) { f.Probe = &doctor.Probe{Other: true} }, "proxy.other", doctor.Problem, "SECRET_KEY"},
		"slow":                   {func(f facts) { f.Probe.Took = 3 * time.Second }, "proxy.slow", doctor.Warning, "3000.0 ms"},
		"untrusted proxy":        {func(f facts) { f.Probe.Peer = "192.0.2.1" }, "proxy.untrusted", doctor.Problem, "Add 192.0.2.1 to TRUSTED_PROXIES"},
		"proxy without headers":  {func(f facts) { f.Probe.Forwarded = nil }, "proxy.headers", doctor.Problem, "X-Forwarded-For"},
		"wrong scheme":           {func(f facts) { f.Probe.Scheme = "http" }, "proxy.scheme", doctor.Problem, "X-Forwarded-Proto"},
		"wrong host":             {func(f facts) { f.Probe.Host = "app:8080" }, "proxy.host", doctor.Warning, "app:8080"},
		"name not found":         {func(f facts) { *f.DNS = doctor.DNS{Host: "id.example", Err: "no such host"} }, "proxy.dns", doctor.Problem, "no such host"},
		"dead address":           {func(f facts) { f.DNS.Dead = []string{"2001:db8::1"} }, "proxy.dns", doctor.Warning, "2001:db8::1"},
		"cookies withheld":       {func(f facts) { f.Probe.Cookies.Withheld = true }, "proxy.cookies", doctor.Problem, "do not reach the server"},
		"cookies lost":           {func(f facts) { f.Probe.Cookies.Missing = true }, "proxy.cookies", doctor.Problem, "do not reach browsers"},
		"cookies changed":        {func(f facts) { f.Probe.Cookies.Changed = []string{"Path", "Secure"} }, "proxy.cookies", doctor.Problem, "Path, Secure"},
		"certificate refused":    {func(f facts) { f.Certificate.Err = "unknown authority" }, "tls.invalid", doctor.Problem, "unknown authority"},
		"certificate expired":    {func(f facts) { f.Certificate.NotAfter = now.Add(-3 * time.Hour) }, "tls.expiry", doctor.Problem, "3 hours ago"},
		"certificate ends":       {func(f facts) { f.Certificate.NotAfter = now.Add(72 * time.Hour) }, "tls.expiry", doctor.Warning, "3 days"},
		"managed certificate":    {func(f facts) { f.Certificate.NotAfter, f.Certificate.Managed = now.Add(72*time.Hour), true }, "tls.expiry", doctor.Warning, "log"},
		"no backups":             {func(f facts) { f.Backups, f.Database.Engine = &doctor.Backups{}, "sqlite" }, "backup.schedule", doctor.Warning, "BACKUP_EVERY"},
		"no backups of ours":     {func(f facts) { f.Backups = &doctor.Backups{} }, "backup.schedule", doctor.Note, "something else"},
		"no backups, Litestream": {func(f facts) { f.Backups, f.Database.Engine, f.Database.Litestream = &doctor.Backups{}, "sqlite", true }, "backup.schedule", doctor.Note, "replica"},
		"no backups of a trial":  {func(f facts) { f.Backups, f.Database.Engine, f.Production = &doctor.Backups{}, "sqlite", false }, "backup.schedule", doctor.Note, "In production"},
		"backups by hand":        {func(f facts) { f.Backups.Every = 0 }, "backup.schedule", doctor.Warning, "BACKUP_EVERY"},
		"old backup by hand":     {func(f facts) { f.Backups.Every, f.Backups.Newest = 0, now.AddDate(0, 0, -9) }, "backup.age", doctor.Problem, "9 days"},
		"old backup":             {func(f facts) { f.Backups.Newest = now.Add(-50 * time.Hour) }, "backup.age", doctor.Problem, "2 days"},
		"no backup yet":          {func(f facts) { f.Backups.Newest = time.Time{} }, "backup.age", doctor.Warning, "no backup yet"},
		"backups fail":           {func(f facts) { f.Backups.Failures, f.Backups.LastError = 2, "403" }, "backup.failed", doctor.Problem, "2 backups failed: 403"},
		"bucket away":            {func(f facts) { f.Backups.Err = "no route" }, "backup.place", doctor.Problem, "no route"},
		"uploads not listed":     {func(f facts) { f.Backups.UploadsErr = "403" }, "backup.uploads", doctor.Note, "s3:ListBucketMultipartUploads"},
		"open bucket":            {func(f facts) { f.Backups.Encrypted = false }, "backup.encrypted", doctor.Warning, "BACKUP_RECIPIENTS"},
		"same disk":              {func(f facts) { f.Backups.SameDisk = true }, "backup.disk", doctor.Warning, "another disk"},
		"a copy":                 {func(f facts) { f.Backups.Copy = true }, "backup.copy", doctor.Note, "trying things out"},
		"no time server":         {func(f facts) { f.Clock.Unsynchronized = true }, "clock.unsynchronized", doctor.Warning, "chrony"},
		"clocks differ":          {func(f facts) { d := -5 * time.Second; f.Clock.Database = &d }, "clock.database", doctor.Problem, "5s"},
		"database away":          {func(f facts) { f.Database = &doctor.Database{Err: "refused"} }, "database.reachable", doctor.Problem, "refused"},
		"database far":           {func(f facts) { f.Database.Latency = 50 * time.Millisecond }, "database.latency", doctor.Warning, "50.0 ms"},
		"standby":                {func(f facts) { f.Database.ReadOnly = true }, "database.read-only", doctor.Problem, "standby"},
		"no fsync":               {func(f facts) { f.Database.Settings["fsync"] = "off" }, "database.settings", doctor.Problem, "fsync"},
		"asynchronous commit":    {func(f facts) { f.Database.Settings["synchronous_commit"] = "off" }, "database.commit", doctor.Problem, "forgotten"},
		"standby lost":           {func(f facts) { f.Database.SynchronousNames = "ANY 1 (a)" }, "database.standby", doctor.Problem, "standby"},
		"no synchronous standby": {func(f facts) { f.Database.Standbys.Asynchronous = 1 }, "database.standby", doctor.Warning, "synchronous_mode_strict"},
		"synchronous standby":    {func(f facts) { f.Database.Standbys.Synchronous = 1 }, "database.standby", doctor.Good, "1 synchronous"},
		"hidden standbys":        {func(f facts) { f.Database.SynchronousNames, f.Database.Standbys.Hidden = "a", 1 }, "database.standby", doctor.Note, "pg_monitor"},
		"few connections":        {func(f facts) { f.Database.MaxConnections = 10 }, "database.connections", doctor.Warning, "PgBouncer"},
		"pooler":                 {func(f facts) { f.Database.Statements, f.Database.Polling = "exec", true }, "database.listen", doctor.Note, "DATABASE_LISTEN_URL"},
		"slow query":             {func(f facts) { f.Database.Slow = []doctor.SlowQuery{{"SELECT 1", time.Second, 9}} }, "database.slow", doctor.Warning, "SELECT 1"},
		"SQLite on NFS":          {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", FileSystem: "nfs"} }, "database.file-system", doctor.Problem, "nfs"},
		"SQLite on a share":      {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", FileSystem: "9p"} }, "database.file-system", doctor.Warning, "9p"},
		"SQLite in a container":  {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", FileSystem: "overlay"} }, "database.file-system", doctor.Warning, "volume"},
		"SQLite in memory":       {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", FileSystem: "tmpfs"} }, "database.file-system", doctor.Warning, "tmpfs"},
		"SQLite damaged":         {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", Corrupt: "page 7"} }, "database.corrupt", doctor.Problem, "page 7"},
		"Litestream":             {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", Litestream: true} }, "database.litestream", doctor.Problem, "external"},
		"nobody checkpoints":     {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", External: true} }, "database.checkpoint", doctor.Warning, "own"},
		"large log":              {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", WAL: 1 << 30} }, "database.wal", doctor.Warning, "1.1 GB"},
		"readable key":           {func(f facts) { f.Files[0].Mode = 0o644 }, "files.mode", doctor.Problem, "chmod 600 /etc/key.pem"},
		"missing file":           {func(f facts) { f.Files[0].Err = "no such file" }, "files.readable", doctor.Problem, "no such file"},
		"file of another":        {func(f facts) { f.Files[0].Owner = 7 }, "files.owner", doctor.Warning, "chown"},
		"little room":            {func(f facts) { f.Disks[0].Free = 5 << 30 }, "disk.space", doctor.Warning, "5.4 GB"},
		"full":                   {func(f facts) { f.Disks[0].Free = 1 << 20 }, "disk.space", doctor.Problem, "1.0 MB"},
		"weak key":               {func(f facts) { f.MasterKey.Distinct = 9 }, "secrets.master", doctor.Problem, "openssl"},
		"another key":            {func(f facts) { f.MasterKey.Err = "it is another" }, "secrets.master", doctor.Problem, "it is another"},
		"large SQLite file":      {func(f facts) { *f.Database = doctor.Database{Engine: "sqlite", Unchecked: true} }, "database.unchecked", doctor.Note, "quick_check"},
		"made key":               {func(f facts) { f.MasterKey.Generated = true }, "secrets.master", doctor.Note, "copy"},
		"previous key":           {func(f facts) { f.MasterKey.Previous = true }, "secrets.previous", doctor.Note, "SECRET_KEY_PREVIOUS"},
		"old signing key":        {func(f facts) { f.SigningKeys[0].Since = now.Add(-400 * 24 * time.Hour) }, "secrets.signing", doctor.Warning, "key rotate"},
		"no mail":                {func(f facts) { *f.Mail = doctor.Mail{} }, "mail.server", doctor.Warning, "SMTP_HOST"},
		"mail server away":       {func(f facts) { f.Mail.Err = "timeout" }, "mail.server", doctor.Problem, "timeout"},
		"mail password":          {func(f facts) { f.Mail.Security, f.Mail.Passwords = "none", true }, "mail.security", doctor.Problem, "starttls"},
		"no SPF":                 {func(f facts) { f.Mail.SPF = nil }, "mail.spf", doctor.Warning, "RFC 7208"},
		"two SPF":                {func(f facts) { f.Mail.SPF = []string{"v=spf1", "v=spf1"} }, "mail.spf", doctor.Problem, "Leave one"},
		"no DMARC":               {func(f facts) { f.Mail.DMARC = nil }, "mail.dmarc", doctor.Note, "_dmarc.example.com"},
		"DNS away":               {func(f facts) { f.Mail.DNSErr = "timeout" }, "mail.dns", doctor.Note, "timeout"},
		"dead mail":              {func(f facts) { f.Mail.Dead = 2 }, "mail.dead", doctor.Warning, "2 messages"},
		"waiting mail":           {func(f facts) { f.Mail.Oldest = now.Add(-5 * time.Hour) }, "mail.queue", doctor.Warning, "5 hours"},
		"nobody":                 {func(f facts) { f.Admins.SetupPending = true }, "people.setup", doctor.Problem, "setup-link"},
		"one administrator":      {func(f facts) { f.Admins.Super = 1 }, "people.single", doctor.Note, "second"},
		"without second step":    {func(f facts) { f.Admins.WithoutMFA = []string{"a", "b", "c", "d"} }, "people.mfa", doctor.Note, "a, b, c and 1 more"},
		"second step not needed": {func(f facts) { f.Admins.RequireMFA = false }, "people.admin-mfa", doctor.Problem, "REQUIRE_ADMIN_MFA"},
		"any network":            {func(f facts) { f.Server.AdminNetworks = false }, "people.networks", doctor.Note, "ADMIN_ALLOWED_IPS"},
		"no lockout":             {func(f facts) { f.Passwords.LockoutOff = true }, "people.lockout", doctor.Warning, "LOCKOUT_THRESHOLD"},
		"no rate limits":         {func(f facts) { f.Passwords.RateLimitOff = true }, "people.rate-limits", doctor.Warning, "RATE_LIMIT_ENABLED"},
		"composition":            {func(f facts) { f.Passwords.Characters = true }, "people.policy", doctor.Note, "PASSWORD_POLICY"},
		"no breached list":       {func(f facts) { f.Passwords.BreachedList = false }, "people.breached", doctor.Note, "passwords build"},
		"old breached list":      {func(f facts) { f.Passwords.BreachedFrom = now.Add(-1000 * 24 * time.Hour) }, "people.breached", doctor.Note, "1000 days"},
		"short passwords":        {func(f facts) { f.Passwords.MinLength = 12 }, "people.length", doctor.Note, "15"},
		"password grant":         {func(f facts) { f.Clients[0].Grants = []string{"password"} }, "clients.password-grant", doctor.Warning, "App"},
		"plain PKCE":             {func(f facts) { f.Clients[0].PlainPKCE = true }, "clients.plain-pkce", doctor.Warning, "App"},
		"PKCE not required":      {func(f facts) { f.Clients[0].Public = false }, "clients.pkce", doctor.Note, "App"},
		"open redirect":          {func(f facts) { f.Clients[0].Redirects = []string{"http://app.example/cb"} }, "clients.redirect", doctor.Warning, "App"},
		"secret expired": {func(f facts) {
			f.Clients[0].HasSecret, f.Clients[0].SecretSince, f.Clients[0].SecretExpires = true, now, now
		}, "clients.expired", doctor.Problem, "rotate-secret"},
		"secret expires": {func(f facts) { f.Clients[0].SecretExpires = now.Add(time.Hour) }, "clients.expiring", doctor.Warning, "30 days"},
		"old secret":     {func(f facts) { f.Clients[0].HasSecret = true }, "clients.old", doctor.Note, "year"},
		"administrating secret": {func(f facts) {
			f.Clients[0].HasSecret, f.Clients[0].SecretSince, f.Clients[0].Administrative = true, now, true
		}, "clients.admin-secret", doctor.Warning, "never expires"},
		"self-registered":  {func(f facts) { f.Clients[0].Unverified = true }, "clients.unverified", doctor.Note, "App"},
		"sees every token": {func(f facts) { f.Clients[0].IntrospectAny = true }, "clients.introspect", doctor.Note, "App"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			c.spoil(f)
			all := doctor.Examine(f).Findings
			i := slices.IndexFunc(all, func(x doctor.Finding) bool { return x.Check == c.check && x.Level == c.level })
			if i < 0 {
				t.Fatalf("no %s %s in %+v", c.level, c.check, all)
			}
			if text := all[i].Title + " " + all[i].Fix; !strings.Contains(text, c.says) {
				t.Errorf("%q does not say %q", text, c.says)
			}
		})
	}
}

// What needs somebody most stands first in its area.
func TestOrder(t *testing.T) {
	f := healthy()
	f.Mail.DMARC, f.Mail.Dead, f.Mail.Err = nil, 1, "timeout"
	var levels []string
	for _, x := range doctor.Examine(f).Findings {
		if x.Area() == "mail" {
			levels = append(levels, string(x.Level))
		}
	}
	if got := strings.Join(levels, " "); got != "problem warning note ok" {
		t.Error(got)
	}
}
