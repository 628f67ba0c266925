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

// X-Auth-Info is a JWT of its own type, so that it never passes for an access token (RFC 8725 §3.11).
const (
	typAuthInfo  = "auth-info+jwt"
	authInfoLife = 30 * time.Second
	authInfoSpan = 10 * time.Second // what is left of it, at least, when it is sent
)

// authInfo is the payload of X-Auth-Info: who makes the request, as the gateway knows it.
type authInfo struct {
	Issuer       string          `json:"iss"`
	Audience     any             `json:"aud"` // a string, or a list where a route has several upstreams
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
	By           string          `json:"by,omitempty"` // how the caller is known
	ACR          string          `json:"acr,omitempty"`
	AMR          []string        `json:"amr,omitempty"`
	AuthTime     int64           `json:"auth_time,omitempty"`
	Foreign      string          `json:"issuer,omitempty"` // the name of the other issuer whose token it was
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

// pass is what a caller's requests to a route carry, ready to be put into headers. The values are shared and never changed.
type pass struct {
	entry  *entry
	host   string // for forward-auth, where the audience may depend on it; "" for the upstream
	until  time.Time
	info   []string
	user   []string
	name   []string
	client []string
	roles  []string
	scopes []string
}

// passes are a caller's, newest last.
type passes struct{ list atomic.Pointer[[]*pass] }

// maxPasses bounds what is kept of one caller: routes times two.
const maxPasses = 32

func (p *passes) find(e *entry, host string, now time.Time) *pass {
	list := p.list.Load()
	if list == nil {
		return nil
	}
	for _, one := range *list {
		if one.entry == e && one.host == host && now.Before(one.until) {
			return one
		}
	}
	return nil
}

// add keeps a pass, in the place of those that have run out. Of two at once, one may be lost: it is made again.
func (p *passes) add(made *pass, now time.Time) {
	var kept []*pass
	old := p.list.Load()
	if old != nil {
		for _, one := range *old {
			if now.Before(one.until) && (one.entry != made.entry || one.host != made.host) {
				kept = append(kept, one)
			}
		}
	}
	if len(kept) >= maxPasses {
		kept = kept[len(kept)-maxPasses+1:]
	}
	kept = append(kept, made)
	p.list.CompareAndSwap(old, &kept)
}

// pass is the pass of a.caller for a.entry. It is signed once in twenty seconds.
func (g *Gateway) pass(a *asked) (*pass, error) {
	of, now := &a.caller.passes, a.target.Now
	if a.caller.caller.By == access.ByNothing {
		of = &a.entry.passes
	}
	host := ""
	if a.asker {
		host = a.target.Host
	}
	if p := of.find(a.entry, host, now); p != nil {
		return p, nil
	}
	p, err := g.sign(a.r.Context(), a, now)
	if err != nil {
		return nil, err
	}
	p.host = host
	of.add(p, now)
	return p, nil
}

// sign makes a pass. It ends with the credential, where that is sooner.
func (g *Gateway) sign(ctx context.Context, a *asked, now time.Time) (*pass, error) {
	c := &a.caller.caller
	issued := now.Truncate(time.Second)
	ends := issued.Add(authInfoLife)
	until := ends.Add(-authInfoSpan)
	if !c.Expires.IsZero() && c.Expires.Before(ends) {
		ends = c.Expires.Truncate(time.Second)
		until = now // to be made anew each time, rather than to run out on its way
	}
	claims := infoOf(c)
	claims.Issuer, claims.Audience, claims.IssuedAt, claims.Expires = g.Issuer, a.audience(), issued.Unix(), ends.Unix()
	claims.ID, claims.Route = secret.NewID(now), a.entry.Route().ID
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	token, err := g.Signer.Sign(ctx, g.Alg, typAuthInfo, payload, now)
	if err != nil {
		return nil, err
	}
	p := &pass{entry: a.entry, until: until, info: []string{token}}
	p.user, p.client, p.name = []string{qualified(c, c.User)}, []string{qualified(c, c.Client)}, []string{headerText(c.UserName)}
	p.roles, p.scopes = []string{plainHeader(strings.Join(rolesOf(c), " "))}, []string{plainHeader(strings.Join(c.Scopes, " "))}
	return p, nil
}

// audience is who may believe X-Auth-Info: the upstream, named by its origin, or by those of all upstreams that are asked in turn; and
// behind a proxy, which alone knows the upstream, who knows the route's resource identifier.
func (a *asked) audience() any {
	switch {
	case a.asker:
		return a.entry.ResourceAt(a.target.Host)
	case len(a.entry.origins) == 1:
		return a.entry.origins[0]
	}
	return a.entry.origins
}

func infoOf(c *access.Caller) *authInfo {
	i := &authInfo{
		Subject: c.Subject, Organization: c.Organization, Session: c.Session, Scopes: listed(c.Scopes), By: c.By, ACR: c.ACR, AMR: c.AMR, Foreign: c.Issuer,
	}
	if !c.AuthTime.IsZero() {
		i.AuthTime = c.AuthTime.Unix()
	}
	if c.Client != "" {
		i.Client = &authInfoClient{ID: c.Client, Roles: listed(c.ClientRoles), Authenticated: c.Proven}
	}
	if c.User != "" {
		i.User = &authInfoUser{ID: c.User, Name: c.UserName, Roles: listed(c.UserRoles)}
	}
	return i
}

// listed makes an empty list of none: JSON readers in other languages stumble over null.
func listed(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// rolesOf are the roles of the person, or of a client that acts for itself.
func rolesOf(c *access.Caller) []string {
	if c.User != "" {
		return c.UserRoles
	}
	return c.ClientRoles
}

// Names of the headers that say who makes a request, in canonical form.
const (
	headerInfo     = "X-Auth-Info"
	headerUser     = "X-Auth-User"
	headerUserName = "X-Auth-User-Name"
	headerClient   = "X-Auth-Client"
	headerRoles    = "X-Auth-Roles"
	headerScopes   = "X-Auth-Scopes"
)

// qualified is an id for a header, which cannot say beside it whose it is: another issuer's has that issuer's name before it, as in a
// route's clients, because it may be equal to one of ours.
func qualified(c *access.Caller, id string) string {
	if id == "" || c.Issuer == "" {
		return plainHeader(id)
	}
	return plainHeader(c.Issuer + ":" + id)
}

// put writes all of them, empty ones too: a proxy that copies them then has nothing left of what the caller may have sent under
// these names.
func (p *pass) put(h http.Header) {
	h[headerInfo], h[headerUser], h[headerUserName] = p.info, p.user, p.name
	h[headerClient], h[headerRoles], h[headerScopes] = p.client, p.roles, p.scopes
}

// plainHeader keeps what a header may hold of text that should be plain.
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

// headerText writes a person's name into a header: bytes that are not printable ASCII, and %, as in an address (RFC 3986 §2.1).
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
