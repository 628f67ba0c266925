package access

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/field"
)

// RouteField is one field of a route.
type RouteField = field.Field[Route]

// RouteFields returns the fields of a route that can be set, in the order in which they are shown.
// Flags, views, patches and the reader of the routes file derive from it.
func RouteFields() []RouteField {
	return slices.Concat(addressFields(), upstreamFields(), ruleFields(), limitFields(),
		healthFields())
}

// addressFields returns what a route is called, and the addresses that it serves.
func addressFields() []RouteField {
	return []RouteField{
		{
			Name: "name", Audited: true, Flag: "name", Placeholder: "TEXT",
			Help: "The name for people. Default: DOMAIN/VERSION.",
			Text: func(r *Route) *string { return &r.Name },
			Show: hidden,
		},
		{
			Name: "domain", Audited: true, Flag: "domain", Placeholder: "NAME",
			Help: "With --version: the route serves the paths below /DOMAIN/VERSION.",
			Text: func(r *Route) *string { return &r.Domain },
			Show: hidden,
		},
		{
			Name: "version", Audited: true, Flag: "version", Placeholder: "NAME",
			Help: "For example v1.",
			Text: func(r *Route) *string { return &r.Version },
			Show: hidden,
		},
		{
			Name: "prefix", Audited: true, Flag: "prefix", Placeholder: "PATH",
			Help: "Instead of --domain and --version: a path such as /shop, or / for a whole host.",
			Text: func(r *Route) *string { return &r.Prefix },
			Show: hidden,
		},
		{
			Name: "host", Audited: true, Flag: "host", Placeholder: "HOST",
			Help: "A host name, or a wildcard such as *.example.com. Default: any host.",
			Text: func(r *Route) *string { return &r.Host },
			Show: hidden,
		},
	}
}

// upstreamFields returns where a route sends requests, and how.
func upstreamFields() []RouteField {
	return []RouteField{
		{
			Name: "upstreams", Audited: true, Flag: "upstream", Label: "upstream", Placeholder: "URL", Rows: true, Required: true,
			Help: "A server that requests go to: http://HOST:PORT, https://HOST, or h2c:// for HTTP/2 without TLS. " +
				"May be repeated.",
			List: func(r *Route) *[]string { return &r.Upstreams },
		},
		{
			Name: "keep_path", Audited: true, Flag: "keep-path",
			Help:   "Pass the whole path on, without cutting the prefix off.",
			Switch: func(r *Route) *bool { return &r.KeepPath },
			Show:   yes(func(r *Route) bool { return r.KeepPath }),
		},
		{
			Name: "keep_host", Audited: true, Flag: "keep-host",
			Help:   "Send the caller's Host header to the upstream.",
			Switch: func(r *Route) *bool { return &r.KeepHost },
			Show:   yes(func(r *Route) bool { return r.KeepHost }),
		},
		{
			Name: "rewrite_location", Audited: true, Flag: "rewrite-location",
			Help: "Change the upstream's own addresses in Location, Content-Location and the paths and domains of " +
				"cookies into the route's.",
			Switch: func(r *Route) *bool { return &r.RewriteLocation },
			Show:   yes(func(r *Route) bool { return r.RewriteLocation }),
		},
		{
			Name: "allow_encoded_slash", Audited: true, Flag: "allow-encoded-slash",
			Help:   "Pass paths with an escaped slash (%2F) on as they are, instead of rejecting them.",
			Switch: func(r *Route) *bool { return &r.EncodedSlash },
			Show:   yes(func(r *Route) bool { return r.EncodedSlash }),
		},
		{
			Name: "inactive", Audited: true, Flag: "inactive",
			Help:   "Answer as if the route did not exist.",
			Switch: func(r *Route) *bool { return &r.Inactive },
			Show:   hidden,
		},
		{
			Name: "browser", Audited: true, Flag: "browser",
			Help:   "The route serves web pages: redirect unauthenticated users to sign in.",
			Switch: func(r *Route) *bool { return &r.Browser },
			Show:   yes(func(r *Route) bool { return r.Browser }),
		},
		{
			Name: "methods", Audited: true, Flag: "method", Placeholder: "METHOD",
			Help:      "A method to pass on. Default: all. May be repeated.",
			List:      func(r *Route) *[]string { return &r.Methods },
			Normalize: strings.ToUpper,
		},
	}
}

// ruleFields returns who may make requests.
func ruleFields() []RouteField {
	return slices.Concat([]RouteField{
		{
			Name: "scopes", Audited: true, Flag: "scope", Placeholder: "SCOPES",
			Help: "The scopes that a token must have, separated by spaces; all are " +
				"needed. May be repeated.",
			List:       func(r *Route) *[]string { return &r.Scopes },
			Separators: " \t\n",
		},
		{
			Name: "roles", Audited: true, Flag: "role", Placeholder: "ROLE",
			Help: "A role that the user must have, or the client when it acts for itself; one of them is enough. " +
				"May be repeated.",
			List: func(r *Route) *[]string { return &r.Roles },
		},
		{
			Name: "clients", Audited: true, Flag: "client", Placeholder: "ID",
			Help: "A client that may call. Default: any. May be repeated.",
			List: func(r *Route) *[]string { return &r.Clients },
		},
		{
			Name: "networks", Audited: true, Flag: "from-network", Placeholder: "CIDR",
			Help: "A network that callers must be in; one of them is enough. May be repeated.",
			List: func(r *Route) *[]string { return &r.Networks },
		},
		{
			Name: "origins", Audited: true, Flag: "from-origin", Placeholder: "ORIGIN",
			Help: "An origin such as https://app.example.com that the Origin header of requests must be; one of them " +
				"is enough. May be repeated.",
			List: func(r *Route) *[]string { return &r.Origins },
		},
		{
			Name: "audiences", Audited: true, Flag: "audience", Placeholder: "URI",
			Help: "An audience that a token may have, instead of the issuer and the route's own resource identifier. " +
				"May be repeated.",
			List: func(r *Route) *[]string { return &r.Audiences },
		},
		{
			Name: "issuers", Audited: true, Flag: "issuer", Placeholder: "NAME",
			Help: "An external issuer of ROUTES_FILE whose tokens are accepted, too. May be " +
				"repeated.",
			List: func(r *Route) *[]string { return &r.Issuers },
		},
	}, loginFields())
}

// loginFields returns how a caller must have identified itself.
func loginFields() []RouteField {
	return []RouteField{
		{
			Name: "acr", Audited: true, Flag: "acr", Placeholder: "aal1|aal2",
			Help: "How strongly a person must have signed in: aal2 requires two-step verification.",
			Text: func(r *Route) *string { return &r.ACR },
		},
		{
			Name: "max_age", Audited: true, Flag: "max-age", Placeholder: "DURATION",
			Help:    "How long ago the person may have signed in.",
			TTL:     func(r *Route) *time.Duration { return (*time.Duration)(&r.MaxAge) },
			Spelled: true,
		},
		{
			Name: "allow_unidentified", Audited: true, Flag: "allow-unidentified",
			Help:   "Allow unauthenticated requests.",
			Switch: func(r *Route) *bool { return &r.Unidentified },
			Show:   yes(func(r *Route) bool { return r.Unidentified }),
		},
		{
			Name: "allow_client_id", Audited: true, Flag: "allow-client-id",
			Help:   "Accept a client's id in X-Client-Id without proof.",
			Switch: func(r *Route) *bool { return &r.ClientID },
			Show:   yes(func(r *Route) bool { return r.ClientID }),
		},
		{
			Name: "pass_basic", Audited: true, Flag: "pass-basic",
			Help: "HTTP Basic is the upstream's own: pass it on, and do not read it as a client's id " +
				"and secret.",
			Switch: func(r *Route) *bool { return &r.PassBasic },
			Show:   yes(func(r *Route) bool { return r.PassBasic }),
		},
	}
}

// limitFields returns how much a route accepts.
func limitFields() []RouteField {
	return []RouteField{
		{
			Name: "rate", Audited: true, Flag: "rate", Placeholder: "N",
			Help: "How many requests each caller may make per --rate-per. 0 is the default: one per second and " +
				"address for unauthenticated callers, no limit for others. --rate=-1 is no limit.",
			Int:  func(r *Route) *int { return &r.Rate },
			Show: rateText,
		},
		{
			Name: "rate_per", Audited: true, Flag: "rate-per", Placeholder: "DURATION",
			Help:    "The time that --rate counts over. Default: a minute.",
			TTL:     func(r *Route) *time.Duration { return (*time.Duration)(&r.RatePer) },
			Spelled: true,
			Show:    hidden,
		},
		{
			Name: "rate_by", Audited: true, Flag: "rate-by", Placeholder: "address|client|user",
			Help: "How --rate tells callers apart. Default: by client, or else by user, or else " +
				"by address.",
			Text: func(r *Route) *string { return &r.RateBy },
			Show: hidden,
		},
		{
			Name: "timeout", Audited: true, Flag: "timeout", Placeholder: "DURATION",
			Help:    "How long the upstream may take to begin its response. Default: 30s.",
			TTL:     func(r *Route) *time.Duration { return (*time.Duration)(&r.Timeout) },
			Spelled: true,
		},
		{
			Name: "body_limit", Audited: true, Flag: "body-limit", Placeholder: "BYTES",
			Help:  "The largest request body. 0 is no limit.",
			Bytes: func(r *Route) *int64 { return &r.BodyLimit },
		},
		{
			Name: "cors", Audited: true, Flag: "cors", Placeholder: "ORIGIN",
			Help: "An origin whose scripts may call; * is any origin, without cookies. May be " +
				"repeated.",
			List: func(r *Route) *[]string { return &r.CORS },
		},
	}
}

// healthFields returns how the gateway checks a route's upstreams.
func healthFields() []RouteField {
	return []RouteField{
		{
			Name: "health_path", Audited: true, Flag: "health-path", Placeholder: "PATH",
			Help: "Request this path of each upstream, and skip those that do not answer with " +
				"success.",
			Text: func(r *Route) *string { return &r.HealthPath },
		},
		{
			Name: "health_every", Audited: true, Flag: "health-every", Placeholder: "DURATION",
			Help:    "How often to request it. Default: 10s.",
			TTL:     func(r *Route) *time.Duration { return (*time.Duration)(&r.HealthEvery) },
			Spelled: true,
		},
	}
}

// hidden leaves a field out of tables for people.
func hidden(*Route) string { return "" }

// yes returns what a table shows of a switch: nothing unless it is on.
func yes(on func(*Route) bool) func(*Route) string {
	return func(r *Route) string {
		if on(r) {
			return "yes"
		}
		return ""
	}
}

// rateText returns a route's limit for people, such as "100 in 1m by client", or "" for the
// default.
func rateText(r *Route) string {
	switch {
	case r.Rate == 0:
		return ""
	case r.Rate < 0:
		return "none"
	}
	per := r.RatePer.D()
	if per == 0 {
		per = time.Minute
	}
	text := strconv.Itoa(r.Rate) + " in " + field.FormatDuration(per)
	if r.RateBy != "" {
		text += " by " + r.RateBy
	}
	return text
}

// ApplyPatch stores the changed fields of a patch in the route. A new prefix replaces domain and
// version, and the reverse; clearing the rate or the health path clears what belongs to it.
func (r *Route) ApplyPatch(p *field.Patch[Route]) {
	if p.Values.Prefix != "" && !p.Has("domain") && !p.Has("version") {
		r.Domain, r.Version = "", ""
	}
	if p.Values.Domain != "" && !p.Has("prefix") {
		r.Prefix = ""
	}
	if p.Has("rate") && p.Values.Rate == 0 {
		r.RatePer, r.RateBy = 0, ""
	}
	if p.Has("health_path") && p.Values.HealthPath == "" {
		r.HealthEvery = 0
	}
	p.Apply(RouteFields(), r)
}

// Validate returns what is wrong with the route on a server with these options, as fault.Invalid
// with the name of a field, or nil.
func (r *Route) Validate(o Options) error {
	_, err := Compile(*r, o)
	return err
}

// fileIDPrefix begins the id of a route that comes from a routes file.
const fileIDPrefix = "file:"

// FromFile reports whether the route comes from a routes file.
func (r *Route) FromFile() bool { return strings.HasPrefix(r.ID, fileIDPrefix) }

// Label returns the name and the id of the route for messages. It works for routes that do not
// compile, too, which have no default name.
func (r *Route) Label() string {
	switch {
	case r.Name != "":
		return r.Name + " (" + r.ID + ")"
	case r.Domain != "":
		return r.Domain + "/" + r.Version + " (" + r.ID + ")"
	case r.ID != "":
		return r.ID
	}
	return r.Prefix
}
