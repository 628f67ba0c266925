package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// X-Auth-Info is a JWT of its own type, so that it is never accepted as an access token (RFC 8725
// §3.11).
const (
	typAuthInfo    = "auth-info+jwt"
	authInfoTTL    = 30 * time.Second
	authInfoMargin = 10 * time.Second // it is valid for at least so long when it is sent
)

// authInfo is the payload of X-Auth-Info: the caller of a request.
type authInfo struct {
	Issuer string `json:"iss"`
	// a string, or a list where a route has several upstreams
	Audience     any             `json:"aud"`
	Subject      string          `json:"sub,omitempty"`
	IssuedAt     int64           `json:"iat"`
	Expires      int64           `json:"exp"`
	ID           string          `json:"jti"`
	Route        string          `json:"route"`
	Client       *authInfoClient `json:"client,omitempty"`
	User         *authInfoUser   `json:"user,omitempty"`
	Organization string          `json:"organization,omitempty"`
	Session      string          `json:"session,omitempty"`
	Scopes       []string        `json:"scopes"`
	By           string          `json:"by,omitempty"` // how the caller is identified
	ACR          string          `json:"acr,omitempty"`
	AMR          []string        `json:"amr,omitempty"`
	AuthTime     int64           `json:"auth_time,omitempty"`
	Foreign      string          `json:"issuer,omitempty"` // the name of the external issuer
	Actor        *authInfoActor  `json:"act,omitempty"`    // who acts as the user (RFC 8693 §4.1)
}

type authInfoActor struct {
	Subject string `json:"sub"`
}

type authInfoClient struct {
	ID            string   `json:"id"`
	Roles         []string `json:"roles"`
	Authenticated bool     `json:"authenticated"`
}

type authInfoUser struct {
	ID    string   `json:"id"`
	Name  string   `json:"name,omitempty"`
	Roles []string `json:"roles"`
}

// identityHeaders are the headers that tell an upstream, or a proxy, who makes a request: a signed
// one, and plain ones for proxies. The values are shared and never changed.
type identityHeaders struct {
	route  *Route
	host   string // for forward-auth, where the audience may depend on it; "" for an upstream
	until  time.Time
	info   []string
	user   []string
	name   []string
	client []string
	roles  []string
	scopes []string
}

// headerCache caches a caller's headers for some routes, the newest last.
type headerCache struct {
	list atomic.Pointer[[]*identityHeaders]
}

// maxHeaders bounds the headers that are cached for one caller.
const maxHeaders = 32

func (c *headerCache) find(rt *Route, host string, now time.Time) *identityHeaders {
	list := c.list.Load()
	if list == nil {
		return nil
	}
	for _, h := range *list {
		if h.route == rt && h.host == host && now.Before(h.until) {
			return h
		}
	}
	return nil
}

// add caches headers and drops those that have expired. If two are added at once, one may be lost
// and is signed again.
func (c *headerCache) add(made *identityHeaders, now time.Time) {
	var list []*identityHeaders
	old := c.list.Load()
	if old != nil {
		for _, h := range *old {
			if now.Before(h.until) && (h.route != made.route || h.host != made.host) {
				list = append(list, h)
			}
		}
	}
	if len(list) >= maxHeaders {
		list = list[len(list)-maxHeaders+1:]
	}
	list = append(list, made)
	c.list.CompareAndSwap(old, &list)
}

// identityHeaders returns the headers for a caller and a route, from the cache or newly signed.
// They are signed again every 20 seconds.
func (g *Gateway) identityHeaders(req *Request, rt *Route, c *Caller) (*identityHeaders, error) {
	cache, now := &c.headers, req.Target.Now
	if c.By == access.ByNothing {
		cache = &rt.headers
	}
	host := ""
	if req.ForwardAuth {
		host = req.Target.Host
	}
	if h := cache.find(rt, host, now); h != nil {
		return h, nil
	}
	h, err := g.signHeaders(req.Context(), rt, c, host, now)
	if err != nil {
		return nil, err
	}
	cache.add(h, now)
	return h, nil
}

// signHeaders returns newly signed headers; host is that of forward-auth, or "".
func (g *Gateway) signHeaders(
	ctx context.Context, rt *Route, c *Caller, host string, now time.Time,
) (*identityHeaders, error) {
	issued := now.Truncate(time.Second)
	ends := issued.Add(authInfoTTL)
	until := ends.Add(-authInfoMargin)
	if !c.Expires.IsZero() && c.Expires.Before(ends) {
		ends = c.Expires.Truncate(time.Second)
		until = now // sign it for each request, so that it does not expire on its way
	}
	claims := infoOf(&c.Caller)
	claims.Issuer, claims.Audience = g.Issuer, rt.infoAudience(host)
	claims.IssuedAt, claims.Expires = issued.Unix(), ends.Unix()
	claims.ID, claims.Route = secret.NewID(now), rt.id()
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	token, err := g.Signer.Sign(ctx, g.Alg, typAuthInfo, payload, now)
	if err != nil {
		return nil, err
	}
	return &identityHeaders{
		route:  rt,
		host:   host,
		until:  until,
		info:   []string{token},
		user:   []string{qualified(&c.Caller, c.User)},
		name:   []string{headerText(c.UserName)},
		client: []string{qualified(&c.Caller, c.Client)},
		roles:  []string{plainHeader(strings.Join(rolesOf(&c.Caller), " "))},
		scopes: []string{plainHeader(strings.Join(c.Scopes, " "))},
	}, nil
}

// infoAudience returns the aud of X-Auth-Info: the origin of the upstream, or those of all of them;
// and behind a proxy at a host, which alone knows the upstream, the route's resource identifier.
func (rt *Route) infoAudience(host string) any {
	switch {
	case host != "":
		return rt.ResourceAt(host)
	case len(rt.origins) == 1:
		return rt.origins[0]
	}
	return rt.origins
}

func infoOf(c *access.Caller) *authInfo {
	i := &authInfo{
		Subject:      c.Subject,
		Organization: c.Organization,
		Session:      c.Session,
		Scopes:       orEmpty(c.Scopes),
		By:           c.By,
		ACR:          c.ACR,
		AMR:          c.AMR,
		Foreign:      c.Issuer,
	}
	if !c.AuthTime.IsZero() {
		i.AuthTime = c.AuthTime.Unix()
	}
	if c.Client != "" {
		i.Client = &authInfoClient{ID: c.Client, Roles: orEmpty(c.ClientRoles), Authenticated: c.Proven}
	}
	if c.Actor != "" {
		i.Actor = &authInfoActor{Subject: c.Actor}
	}
	if c.User != "" {
		i.User = &authInfoUser{ID: c.User, Name: c.UserName, Roles: orEmpty(c.UserRoles)}
	}
	return i
}

// orEmpty returns an empty list for nil, because JSON readers in other languages do not expect
// null.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// rolesOf returns the roles of the person, or of a client that acts for itself.
func rolesOf(c *access.Caller) []string {
	if c.User != "" {
		return c.UserRoles
	}
	return c.ClientRoles
}

// Names of the headers that identify the caller, in canonical form.
const (
	headerInfo     = "X-Auth-Info"
	headerUser     = "X-Auth-User"
	headerUserName = "X-Auth-User-Name"
	headerClient   = "X-Auth-Client"
	headerRoles    = "X-Auth-Roles"
	headerScopes   = "X-Auth-Scopes"
)

// qualified returns an id for a header. An id of an external issuer may equal one of this server,
// so it has the issuer's name before it, as in a route's clients.
func qualified(c *access.Caller, id string) string {
	if id == "" || c.Issuer == "" {
		return plainHeader(id)
	}
	return plainHeader(c.Issuer + ":" + id)
}

// write writes all headers, empty ones too: a proxy that copies them then overwrites whatever the
// caller may have sent under these names.
func (i *identityHeaders) write(h http.Header) {
	h[headerInfo], h[headerUser], h[headerUserName] = i.info, i.user, i.name
	h[headerClient], h[headerRoles], h[headerScopes] = i.client, i.roles, i.scopes
}

// plainHeader returns a text without what a header may not contain.
func plainHeader(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r > 0x7e {
					return -1
				}
				return r
			}, s)
		}
	}
	return s
}

// headerText returns a person's name for a header, shortened and percent-encoded: bytes that are
// not printable ASCII, and %, are escaped (RFC 3986 §2.1).
func headerText(s string) string {
	const hex = "0123456789ABCDEF"
	const most = 200 // bytes of the name
	var b strings.Builder
	for i := 0; i < len(s) && i < most; i++ {
		if c := s[i]; c >= 0x20 && c <= 0x7e && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
