package access

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const issuer = "https://id.example.com"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// options are those of a server at id.example.com.
func options() Options {
	return Options{
		Reserved: []string{"oauth", ".well-known", "login"},
		OwnHosts: []string{"id.example.com", "localhost:8080"},
		Issuer:   issuer,
		Issuers:  []string{"auth0", "keycloak"},
	}
}

// shop is a sound route.
func shop(change func(*Route)) Route {
	r := Route{ID: "0190-1", Domain: "shop", Version: "v1", Upstreams: []string{"http://10.0.0.5:8000"}}
	if change != nil {
		change(&r)
	}
	return r
}

func compiled(t testing.TB, r Route) *Compiled {
	t.Helper()
	c, err := Compile(r, options())
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return c
}

// routeAt makes a sound route of a host and a prefix.
func routeAt(t testing.TB, host, prefix string) *Compiled {
	t.Helper()
	return compiled(t, Route{ID: host + prefix, Host: host, Prefix: prefix, Upstreams: []string{"http://10.0.0.5:8000"}})
}

func table(t testing.TB, routes ...*Compiled) *Table {
	t.Helper()
	tab, err := NewTable(routes)
	if err != nil {
		t.Fatalf("NewTable: %v", err)
	}
	return tab
}

// target is a request that a sound route takes.
func target() *Target {
	return &Target{
		Method: "GET",
		Scheme: "https",
		Host:   "id.example.com",
		Path:   "/shop/v1/items",
		IP:     netip.MustParseAddr("192.0.2.7"),
		Now:    noon,
	}
}

// byToken is a user who calls with a token of ours for the issuer.
func byToken() *Caller {
	return &Caller{
		By: ByToken, Client: "web", Proven: true, User: "u1", Subject: "u1", Scopes: []string{"openid", "read"}, UserRoles: []string{"buyer"},
		ClientRoles: []string{
			"robot",
		}, Audience: []string{issuer}, ACR: "aal1", AuthTime: noon.Add(-time.Hour), Expires: noon.Add(time.Minute),
	}
}

// invalid checks that err is the kind that names an input, and gives the input's name.
func invalid(t testing.TB, err error) string {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Invalid {
		t.Fatalf("err = %v (%v), want an Invalid one", err, fault.KindOf(err))
	}
	return e.Field
}
