package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Outbound holds what the server may connect to.
type Outbound struct {
	// Allow is the networks besides public ones; nil means this machine in development, and none
	// in production.
	Allow []netip.Prefix
}

// Shipping holds where the audit log is delivered to.
type Shipping struct {
	File     string
	Format   string // json, text
	FileSize int    // megabytes after which the file is rotated; 0: never
	FileKeep int    // rotated files that stay

	Syslog         bool
	SyslogHost     string
	SyslogPort     int
	SyslogProtocol string // udp, tcp, tls
	SyslogCA       string // a PEM file, or ""

	SplunkURL   string
	SplunkToken Secret

	ElasticURL      string
	ElasticIndex    string
	ElasticAPIKey   Secret
	ElasticUser     string
	ElasticPassword Secret

	CA string // a PEM file, or ""
}

// Notices holds what administrators are told.
type Notices struct {
	Webhook       Secret // an address, which often contains a token
	WebhookSecret Secret // whsec_…, or ""
	Alerts        bool   // by mail
	SecretTTL     time.Duration
	SecretWarning time.Duration
}

func outboundRows() []Setting {
	return []Setting{
		{
			Name: "OUTBOUND_ALLOW",
			Doc: "Networks besides public ones that the server may fetch key sets of clients from and " +
				"send webhooks to, and in a realm also those of routes that are not from ROUTES_FILE. A realm " +
				"does not take it from the server. The default is none in production, and this machine in development.",
			place: func(c *Config) value { return prefixes{&c.Outbound.Allow} },
		},
	}
}

func fileSinkRows() []Setting {
	return []Setting{
		{
			Name:  "AUDIT_LOG_FILE",
			path:  true,
			Doc:   "A file that audit records are appended to. SIGHUP opens it anew, for logrotate.",
			place: func(c *Config) value { return text{&c.Shipping.File, "a path"} },
		},
		{
			Name:    "AUDIT_LOG_FORMAT",
			Default: "json",
			Doc:     "How a line of AUDIT_LOG_FILE shows a record: a JSON object, or name=value.",
			place: func(c *Config) value {
				return choice[string]{&c.Shipping.Format, []string{"json", "text"}}
			},
		},
		{
			Name:    "AUDIT_LOG_FILE_MAX_MB",
			Default: "0",
			Doc: "The size in megabytes at which AUDIT_LOG_FILE is moved to AUDIT_LOG_FILE.1, and that " +
				"to .2 and so on; 0 leaves rotation to another program.",
			place: func(c *Config) value { return number[int]{&c.Shipping.FileSize, 0, 1 << 20} },
		},
		{
			Name:    "AUDIT_LOG_FILE_KEEP",
			Default: "10",
			Doc:     "How many moved files stay.",
			place:   func(c *Config) value { return number[int]{&c.Shipping.FileKeep, 1, 1000} },
		},
	}
}

func syslogRows() []Setting {
	return []Setting{
		{
			Name:    "AUDIT_LOG_SYSLOG",
			Default: "false",
			Doc:     "Send audit records to the syslog server SYSLOG_HOST (RFC 5424).",
			place:   func(c *Config) value { return boolean{&c.Shipping.Syslog} },
		},
		{
			Name:  "SYSLOG_HOST",
			Doc:   "The syslog server.",
			place: func(c *Config) value { return text{&c.Shipping.SyslogHost, "a host name or an address"} },
		},
		{
			Name:    "SYSLOG_PORT",
			Default: "514",
			Doc:     "The port of the syslog server: usually 514, with tls 6514.",
			place:   func(c *Config) value { return number[int]{&c.Shipping.SyslogPort, 1, 65535} },
		},
		{
			Name:    "SYSLOG_PROTOCOL",
			Default: "udp",
			Doc:     "How records reach the syslog server. udp loses records without a word.",
			place: func(c *Config) value {
				return choice[string]{&c.Shipping.SyslogProtocol, []string{"udp", "tcp", "tls"}}
			},
		},
		{
			Name:  "SYSLOG_CA",
			path:  true,
			Doc:   "A PEM file with the authorities of the syslog server's certificate. The default is those of the system.",
			place: func(c *Config) value { return text{&c.Shipping.SyslogCA, "a path"} },
		},
	}
}

func logServerRows() []Setting {
	return []Setting{
		{
			Name:  "AUDIT_LOG_SPLUNK_URL",
			Doc:   "The address of an HTTP Event Collector of Splunk, such as https://splunk.example.com:8088.",
			place: func(c *Config) value { return text{&c.Shipping.SplunkURL, "an address"} },
		},
		{
			Name:   "AUDIT_LOG_SPLUNK_TOKEN",
			Secret: true,
			Doc:    "The token of the collector.",
			place:  func(c *Config) value { return sealed{&c.Shipping.SplunkToken, "a token"} },
		},
		{
			Name:  "AUDIT_LOG_ELASTICSEARCH_URL",
			Doc:   "The address of Elasticsearch or OpenSearch, such as https://elasticsearch.example.com:9200.",
			place: func(c *Config) value { return text{&c.Shipping.ElasticURL, "an address"} },
		},
		{
			Name:    "AUDIT_LOG_ELASTICSEARCH_INDEX",
			Default: "gatehouse-audit",
			Doc:     "The index or data stream that records are written to.",
			place:   func(c *Config) value { return text{&c.Shipping.ElasticIndex, "a name"} },
		},
		{
			Name:   "AUDIT_LOG_ELASTICSEARCH_API_KEY",
			Secret: true,
			Doc:    "The encoded API key at Elasticsearch.",
			place:  func(c *Config) value { return sealed{&c.Shipping.ElasticAPIKey, "a key"} },
		},
		{
			Name:  "AUDIT_LOG_ELASTICSEARCH_USER",
			Doc:   "The username at Elasticsearch, in place of an API key.",
			place: func(c *Config) value { return text{&c.Shipping.ElasticUser, "a username"} },
		},
		{
			Name:   "AUDIT_LOG_ELASTICSEARCH_PASSWORD",
			Secret: true,
			Doc:    "The password at Elasticsearch.",
			place:  func(c *Config) value { return sealed{&c.Shipping.ElasticPassword, "a password"} },
		},
		{
			Name: "AUDIT_LOG_CA",
			path: true,
			Doc: "A PEM file with the authorities of the certificates of Splunk and Elasticsearch. The " +
				"default is those of the system.",
			place: func(c *Config) value { return text{&c.Shipping.CA, "a path"} },
		},
	}
}

func noticeRows() []Setting {
	return []Setting{
		{
			Name:    "ALERT_MAIL",
			Default: "true",
			Doc: "Email all administrators when something needs their attention: a stolen token, many " +
				"locked accounts, events that cannot be delivered, another administrator. Needs mail.",
			place: func(c *Config) value { return boolean{&c.Notices.Alerts} },
		},
		{
			Name:   "NOTIFICATION_WEBHOOK",
			Secret: true,
			Doc: "An address that receives alerts and notices about client secrets as JSON, such as an " +
				"incoming webhook of Slack. Networks other than public ones must be in OUTBOUND_ALLOW.",
			place: func(c *Config) value { return sealed{&c.Notices.Webhook, "an https address"} },
		},
		{
			Name:   "NOTIFICATION_WEBHOOK_SECRET",
			Secret: true,
			Doc:    "The secret (whsec_…) that signs what is sent to NOTIFICATION_WEBHOOK. The default is no signature.",
			place:  func(c *Config) value { return sealed{&c.Notices.WebhookSecret, "whsec_ and base64"} },
		},
		{
			Name:    "CLIENT_SECRET_LIFETIME_DAYS",
			Default: "0",
			Doc:     "For how many days a new secret of a client can be used; 0 means forever.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Notices.SecretTTL,
					unit:  day,
					max:   100 * year,
					plain: true,
				}
			},
		},
		{
			Name:    "CLIENT_SECRET_WARNING_DAYS",
			Default: "14",
			Doc:     "How many days before a secret of a client expires administrators are warned.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Notices.SecretWarning,
					unit:  day,
					max:   year,
					plain: true,
				}
			},
		},
	}
}

// checkShipping checks what belongs together of the delivery of the audit log.
func (c *Config) checkShipping(p *Problems) {
	s := c.Shipping
	if s.Syslog && s.SyslogHost == "" {
		p.add("AUDIT_LOG_SYSLOG needs SYSLOG_HOST")
	}
	if s.SyslogCA != "" && s.SyslogProtocol != "tls" {
		p.add("SYSLOG_CA needs SYSLOG_PROTOCOL=tls")
	}
	if (s.SplunkURL == "") != (s.SplunkToken == "") {
		p.add("AUDIT_LOG_SPLUNK_URL and AUDIT_LOG_SPLUNK_TOKEN belong together; set both or neither")
	}
	if s.ElasticAPIKey != "" && s.ElasticUser != "" {
		p.add("AUDIT_LOG_ELASTICSEARCH_API_KEY and AUDIT_LOG_ELASTICSEARCH_USER exclude each other")
	}
	if (s.ElasticUser == "") != (s.ElasticPassword == "") {
		p.add("AUDIT_LOG_ELASTICSEARCH_USER and AUDIT_LOG_ELASTICSEARCH_PASSWORD belong together")
	}
	if s.ElasticURL != "" && !indexName(s.ElasticIndex) {
		p.add("AUDIT_LOG_ELASTICSEARCH_INDEX is not the name of an index")
	}
	for name, address := range map[string]string{
		"AUDIT_LOG_SPLUNK_URL":        s.SplunkURL,
		"AUDIT_LOG_ELASTICSEARCH_URL": s.ElasticURL,
		"NOTIFICATION_WEBHOOK":        string(c.Notices.Webhook),
	} {
		if address != "" && !serverAddress(address) {
			p.add("%s must be an address that begins with https:// or http://, without a username or password", name)
		}
	}
	if s := string(c.Notices.WebhookSecret); s != "" && !strings.HasPrefix(s, "whsec_") {
		p.add("NOTIFICATION_WEBHOOK_SECRET must begin with whsec_")
	}
}

func serverAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		u.Fragment == ""
}

func indexName(s string) bool {
	return s != "" && len(s) <= 255 && s == strings.ToLower(s) && !strings.ContainsAny(s, `\/*?"<>| ,#:`) &&
		!strings.ContainsAny(s[:1], "-_+.")
}

// OutboundAllow returns the networks besides public ones that the server may connect to.
func (c *Config) OutboundAllow() (networks []netip.Prefix, loopback bool) {
	return c.Outbound.Allow, c.Outbound.Allow == nil && !c.Production()
}
