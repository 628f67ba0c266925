// Package access decides who may pass the gateway: routes, compiled into a table that is looked at without a lock, and rules that
// are pure functions of a target and a caller. It reads no clock, no network and no storage.
//
//	Target ──► Table.Match ──► Compiled ──► Decide(Target, Caller) ──► Pass, Login, StepUp, Deny
//
// A kind of rule is a file rule_*.go and a line in the table of rules. A route is compiled when it is made and when it is loaded: one
// that cannot be is refused with the reason, and never half in force.
package access

import (
	"net/netip"
	"time"
)

// Route says where requests of one address go, and who may make them. Values in a Table are shared and must not be changed.
type Route struct {
	ID      string `json:"id" yaml:"id"`                               // UUIDv7, or "file:" and its name for one from a file
	Name    string `json:"name,omitempty" yaml:"name,omitempty"`       // for people; default domain/version
	Domain  string `json:"domain,omitempty" yaml:"domain,omitempty"`   // with Version: the route is /{domain}/{version}
	Version string `json:"version,omitempty" yaml:"version,omitempty"` // for example v1
	Prefix  string `json:"prefix,omitempty" yaml:"prefix,omitempty"`   // instead of both: a path such as /shop, or / for all of a host
	Host    string `json:"host,omitempty" yaml:"host,omitempty"`       // a host name, *.example.com, or "" for any

	Upstreams []string `json:"upstreams" yaml:"upstreams"`                       // http, https or h2c (HTTP/2 without TLS) URLs, a path allowed
	KeepPath  bool     `json:"keep_path,omitempty" yaml:"keep_path,omitempty"`   // the prefix is not cut
	KeepHost  bool     `json:"keep_host,omitempty" yaml:"keep_host,omitempty"`   // the upstream sees the caller's Host
	Inactive  bool     `json:"inactive,omitempty" yaml:"inactive,omitempty"`     // answers 404 as if it did not exist
	Browser   bool     `json:"browser,omitempty" yaml:"browser,omitempty"`       // a page of people: who is not signed in is sent to the login
	Methods   []string `json:"methods,omitempty" yaml:"methods,omitempty"`       // empty: all
	Timeout   Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`       // until the upstream's answer begins; 0: 30 s
	BodyLimit int64    `json:"body_limit,omitempty" yaml:"body_limit,omitempty"` // bytes of a request body; 0: no bound
	CORS      []string `json:"cors,omitempty" yaml:"cors,omitempty"`             // origins that scripts may call from; "*" is any, without cookies

	Scopes       []string `json:"scopes,omitempty" yaml:"scopes,omitempty"`                         // all are needed
	Roles        []string `json:"roles,omitempty" yaml:"roles,omitempty"`                           // one of them, of the user, or of the client that acts for itself
	Clients      []string `json:"clients,omitempty" yaml:"clients,omitempty"`                       // one of them
	Networks     []string `json:"networks,omitempty" yaml:"networks,omitempty"`                     // CIDR, one of them
	Audiences    []string `json:"audiences,omitempty" yaml:"audiences,omitempty"`                   // one must be in a token's aud; empty: the route's own resource identifier or the issuer
	Issuers      []string `json:"issuers,omitempty" yaml:"issuers,omitempty"`                       // names of foreign issuers whose tokens pass; ours always do
	ACR          string   `json:"acr,omitempty" yaml:"acr,omitempty"`                               // least authentication context class: aal1, aal2
	MaxAge       Duration `json:"max_age,omitempty" yaml:"max_age,omitempty"`                       // since the person last proved who they are; with ACR aal2: a recent second factor
	Unidentified bool     `json:"allow_unidentified,omitempty" yaml:"allow_unidentified,omitempty"` // nobody need say who they are
	ClientID     bool     `json:"allow_client_id,omitempty" yaml:"allow_client_id,omitempty"`       // X-Client-Id without a proof is enough

	Rate    int      `json:"rate,omitempty" yaml:"rate,omitempty"`         // requests per RatePer; 0: none, but one a second and address for unidentified callers; -1: none at all
	RatePer Duration `json:"rate_per,omitempty" yaml:"rate_per,omitempty"` // 0: a minute
	RateBy  string   `json:"rate_by,omitempty" yaml:"rate_by,omitempty"`   // RateBy…; "": by client or user or address, whichever is known first

	HealthPath  string   `json:"health_path,omitempty" yaml:"health_path,omitempty"`   // asked by GET of each upstream; "": only failures of requests count
	HealthEvery Duration `json:"health_every,omitempty" yaml:"health_every,omitempty"` // 0: 10 s

	CreatedAt time.Time `json:"created_at,omitzero" yaml:"-"`
	UpdatedAt time.Time `json:"updated_at,omitzero" yaml:"-"`
}

// What a rate is counted by.
const (
	RateByAddress = "address"
	RateByClient  = "client"
	RateByUser    = "user"
)

// Target is what a request is for, whoever makes it. In forward-auth it is what the proxy says of the request that it holds.
type Target struct {
	Method string
	Scheme string     // http or https, as the caller sees it
	Host   string     // as the caller sent it, lower case, without port
	Path   string     // raw, as on the request line: see CleanPath
	Query  string     // raw, for the way back after a login; never looked at by a rule
	IP     netip.Addr // the caller's
	Origin string     // of a browser's script, or ""
	Page   bool       // a browser opens a page: a redirect to the login makes sense
	Now    time.Time
}

// Ways in which a caller has said who it is.
const (
	ByNothing  = ""
	ByToken    = "token"     // an access token of ours
	ByForeign  = "foreign"   // an access token of another issuer
	BySecret   = "secret"    // a client's id and secret
	ByClientID = "client_id" // a client's id alone, unproven
	BySession  = "session"   // a browser session of ours
	ByApp      = "app"       // a browser app's session, whose tokens are kept here
)

// Caller is who makes a request. The zero value is nobody.
type Caller struct {
	By           string // how it is known
	Client       string
	ClientRoles  []string
	Proven       bool // the client has authenticated, or its token is good
	User         string
	UserName     string // to show; never to decide by
	UserRoles    []string
	Organization string
	Session      string
	Scopes       []string
	Audience     []string
	Issuer       string // the name of the foreign issuer, or "" for ours
	Subject      string // sub
	TokenID      string // jti, or ""
	ACR          string
	AMR          []string
	AuthTime     time.Time
	Expires      time.Time // of what it is known by; zero: unknown

	Networks []netip.Prefix // where this client may call from; empty: anywhere
	Hosts    []string       // hosts this client may call; empty: any
	Routes   []string       // routes this client may call, as domain/version, domain, or a route's id; empty: any
}
