// Package access decides which requests may pass the gateway. It holds routes, compiled into a
// table that is read without a lock, and rules that are pure functions of a target and a caller. It
// reads no clock, no network and no storage.
//
//	Target ──► Table.Match ──► Compiled ──► Decide(Target, Caller) ──► nil or a Denial
//
// A kind of rule is a file rule_*.go and a line in the table of rules. A route is compiled when it
// is created and when it is loaded. A route that does not compile is rejected with the reason; no
// part of it is in force.
package access

import (
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// Route says where requests to one address go, and who may make them. Values in a Table are shared
// and must not be changed. RouteFields describes the fields.
type Route struct {
	// UUIDv7; "file:" and the name for a route from a file
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`    // for people; default domain/version
	Domain  string `json:"domain,omitempty"`  // with Version: the route is /{domain}/{version}
	Version string `json:"version,omitempty"` // for example v1
	Prefix  string `json:"prefix,omitempty"`  // instead of both: a path, or / for a whole host
	Host    string `json:"host,omitempty"`    // a host name, *.example.com, or "" for any

	// Upstreams are http, https or h2c (HTTP/2 without TLS) URLs, which may have a path.
	Upstreams []string `json:"upstreams"`
	KeepPath  bool     `json:"keep_path,omitempty"` // the prefix is not cut off
	KeepHost  bool     `json:"keep_host,omitempty"` // the upstream receives the caller's Host
	// the upstream's own addresses in Location, Content-Location and cookies become the caller's
	RewriteLocation bool `json:"rewrite_location,omitempty"`
	// escaped slashes in paths pass, escaped
	EncodedSlash bool     `json:"allow_encoded_slash,omitempty"`
	Inactive     bool     `json:"inactive,omitempty"` // answers 404 as if it did not exist
	Browser      bool     `json:"browser,omitempty"`  // serves web pages: people are sent to sign in
	Methods      []string `json:"methods,omitempty"`  // empty: all
	// until the upstream's response begins; 0: 30 s
	Timeout   Duration `json:"timeout,omitempty"`
	BodyLimit int64    `json:"body_limit,omitempty"` // bytes of a request body; 0: no limit
	// origins of scripts; "*": any, without cookies
	CORS []string `json:"cors,omitempty"`

	Scopes   []string `json:"scopes,omitempty"`   // all are needed
	Roles    []string `json:"roles,omitempty"`    // one of them
	Clients  []string `json:"clients,omitempty"`  // one of them
	Networks []string `json:"networks,omitempty"` // CIDR, one of them
	Origins  []string `json:"origins,omitempty"`  // the Origin header is one of them
	// one of them; empty: resource identifier or issuer
	Audiences []string `json:"audiences,omitempty"`
	// external issuers whose tokens pass, too
	Issuers []string `json:"issuers,omitempty"`
	// least authentication context class: aal1, aal2
	ACR    string   `json:"acr,omitempty"`
	MaxAge Duration `json:"max_age,omitempty"` // since the person signed in
	// requests without a credential pass
	Unidentified bool `json:"allow_unidentified,omitempty"`
	// X-Client-Id without proof is enough
	ClientID bool `json:"allow_client_id,omitempty"`
	// HTTP Basic is for the upstream, not a client's credential
	PassBasic bool `json:"pass_basic,omitempty"`

	// Rate is requests per RatePer. 0 is the default: one per second and address for
	// unauthenticated callers, no limit for others. -1 is no limit.
	Rate    int      `json:"rate,omitempty"`
	RatePer Duration `json:"rate_per,omitempty"` // 0: a minute
	RateBy  string   `json:"rate_by,omitempty"`  // RateBy…; "": by client, else user, else address

	// requested of each upstream; "": no checks
	HealthPath  string   `json:"health_path,omitempty"`
	HealthEvery Duration `json:"health_every,omitempty"` // 0: 10 s

	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	Revision  int64     `json:"-"` // raised by changes; 0: not stored
}

// What a rate is counted by.
const (
	RateByAddress = "address"
	RateByClient  = "client"
	RateByUser    = "user"
)

// Target is what a request is for, whoever makes it. In forward-auth it is the request that the
// proxy describes.
type Target struct {
	Method string
	Scheme string     // http or https, as the caller sees it
	Host   string     // as the caller sent it, in lower case and without a port
	Path   string     // raw, as on the request line; see Clean
	Query  string     // raw, for the way back after signing in; no rule reads it
	IP     netip.Addr // the caller's
	Origin string     // of a browser's script, or ""
	Page   bool       // a browser opens a page, so that a redirect makes sense
	Local  bool       // a program on this machine calls, past no proxy
	Now    time.Time
}

// Ways in which a caller is identified.
const (
	ByNothing  = ""
	ByToken    = "token"     // an access token of this server
	ByForeign  = "foreign"   // an access token of an external issuer
	BySecret   = "secret"    // a client's id and secret
	ByClientID = "client_id" // a client's id alone, without proof
	BySession  = "session"   // a browser session of this server
	ByApp      = "app"       // the session of a browser app whose tokens stay on the server
)

// Caller is who makes a request. The zero value is an unauthenticated caller.
type Caller struct {
	By           string // how the caller is identified
	Client       string
	ClientRoles  []string
	Proven       bool // the client has authenticated, or its token is valid
	User         string
	UserName     string // to show; no rule reads it
	UserRoles    []string
	Organization string
	Session      string
	Scopes       []string
	Audience     []string
	Issuer       string // the name of the external issuer, or "" for this server
	Subject      string // sub
	TokenID      string // jti, or ""
	ACR          string
	AMR          []string
	AuthTime     time.Time
	Expires      time.Time // of the credential; zero: unknown
	Actor        string    // who acts as the user, or ""

	Networks []netip.Prefix // where this client may call from; empty: anywhere
	Origins  []string       // the Origin header of this client's calls is one of them; empty: any
	Hosts    []string       // the hosts that this client may call; empty: any
	Routes   []string       // domain/version, domain or id of routes it may call; empty: any

	LoopbackOnly bool             // this client's calls come from this machine only
	Rate         client.RateLimit // of this client on all routes together; zero: none
}
