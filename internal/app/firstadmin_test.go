package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestFirstAdministratorOfTheSettings starts a server twice at once, and again after the
// administrator has been deleted.
func TestFirstAdministratorOfTheSettings(t *testing.T) {
	for engine, newURL := range map[string]func(testing.TB) string{
		"sqlite": storetest.SQLite, "postgres": storetest.Postgres,
	} {
		t.Run(engine, func(t *testing.T) {
			ctx := t.Context()
			cfg, err := config.Load(config.Source{Env: []string{
				"DATABASE_URL=" + newURL(t), "SECRET_KEY=0123456789abcdef0123456789abcdef",
				"ADMIN_EMAIL=root@example.com", "ADMIN_PASSWORD=a very long passphrase 9A!",
			}})
			testkit.Must(t, err)
			e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now}
			open := func() *parts {
				p, err := openPartsWith(ctx, e, cfg, store.Options{Report: func(err error) { t.Error(err) }}, nil)
				testkit.Must(t, err)
				t.Cleanup(func() { _ = p.Close() })
				return p
			}
			one, two := open(), open()
			errs := make(chan error, 2)
			for _, p := range []*parts{one, two} {
				go func() { errs <- createFirstAdmin(ctx, e, p) }()
			}
			testkit.Must(t, <-errs)
			testkit.Must(t, <-errs)
			n, err := one.db.CountAdmins(ctx)
			testkit.Must(t, err)
			testkit.Equal(t, "administrators", n, 1)
			u, err := one.db.UserByRef(ctx, "root@example.com")
			testkit.Must(t, err)
			second := *u
			second.ID, second.Email = "another", "another@example.com"
			testkit.Must(t, one.db.CreateUser(ctx, &second))
			testkit.Must(t, one.db.DeleteUser(ctx, u.ID, time.Now()))
			testkit.Must(t, createFirstAdmin(ctx, e, two))
			if _, err := one.db.UserByRef(ctx, "root@example.com"); err == nil {
				t.Error("a later start creates the administrator again")
			}
		})
	}
}

// TestManagementAddresses asks for pages and interfaces from allowed and other addresses.
func TestManagementAddresses(t *testing.T) {
	for p, want := range map[string]bool{
		"/admin": true, "/admin/": true, "/admin/users": true, "/admin/audit/api": true, "/api/v1/users": true,
		"/api/users": true, "/api": true, "/api/v1/client/x": true, "//admin/users": true, "/x/../admin": true,
		"/api/v1/token": false, "/api/validate-password": false, "/api/password-reset": false,
		"/administer": false, "/account": false, "/login": false, "/apiary": false, "/oauth/token": false,
	} {
		testkit.Equal(t, p, managementPath(p), want)
	}
	d := &callers{}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a, b := "192.0.2.1", "192.0.2.2"
	got := []bool{d.first(a, now), d.first(a, now), d.first(b, now), d.first(a, now.Add(time.Minute))}
	testkit.Equal(t, "recorded", got, []bool{true, false, true, true})
	for value, valid := range map[string]bool{
		"any": true, "10.0.0.0/8": true, "10.0.0.0/8, ::1": true, "10.1.2.3,": false, ",": false, "x": false,
	} {
		_, err := config.Load(config.Source{Env: []string{"ADMIN_ALLOWED_IPS=" + value}})
		testkit.Equal(t, value+" is valid", err == nil, valid)
	}
}

// TestAllowedAddressesAreThoseOfThePeer: an address in X-Forwarded-For of a stranger does not
// count, and one of a network that is written in IPv6 does.
func TestAllowedAddressesAreThoseOfThePeer(t *testing.T) {
	h := newTestServer(t, "ADMIN_ALLOWED_IPS=10.0.0.0/8")
	for _, tt := range []struct {
		peer, forwarded string
		status          int
	}{
		{"[::ffff:10.1.2.3]:5", "", http.StatusUnauthorized},
		{"10.1.2.3:5", "", http.StatusUnauthorized},
		{"192.0.2.1:5", "10.1.2.3", http.StatusForbidden},
		{"192.0.2.1:5", "", http.StatusForbidden},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/users", nil)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		testkit.Equal(t, tt.peer+" "+tt.forwarded, w.Code, tt.status)
	}
	// Behind a proxy, the address before it counts, and nothing that a stranger has written.
	h = newTestServer(t, "ADMIN_ALLOWED_IPS=198.51.100.0/24", "TRUSTED_PROXIES=10.0.0.0/8")
	for forwarded, status := range map[string]int{
		"198.51.100.1":                 http.StatusUnauthorized,
		"203.0.113.9":                  http.StatusForbidden,
		"198.51.100.1, 203.0.113.9":    http.StatusForbidden,
		"198.51.100.1, unknown":        http.StatusForbidden,
		"unknown":                      http.StatusForbidden,
		"198.51.100.1,":                http.StatusForbidden,
		"[::ffff:203.0.113.9]":         http.StatusForbidden,
		"198.51.100.1.evil.example":    http.StatusForbidden,
		"203.0.113.9, 198.51.100.1":    http.StatusUnauthorized,
		"198.51.100.1:99999999, 10.1.": http.StatusForbidden,
	} {
		for _, path := range []string{"/api/v1/users", "/api/users", "/api/v1/users/x", "/api/v1/keys", "/admin/audit/api"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr = "10.1.2.3:5"
			r.Header.Set("X-Forwarded-For", forwarded)
			r.Header.Set("X-Real-IP", "198.51.100.1")
			r.Header.Set("Forwarded", "for=198.51.100.1")
			r.Header.Set("CF-Connecting-IP", "198.51.100.1")
			w := httptest.NewRecorder()
			h.handler.ServeHTTP(w, r)
			testkit.Equal(t, path+" "+forwarded, w.Code, status)
		}
	}
	h = newTestServer(t, "ADMIN_ALLOWED_IPS=10.0.0.0/8")
	ops, err := h.parts.operations(&env{now: time.Now})
	testkit.Must(t, err)
	a := admin.Actor{Scopes: []admin.Scope{admin.ScopeUsersRead}, IP: netip.MustParseAddr("192.0.2.1")}
	if _, err := ops.User(t.Context(), a, "x"); err == nil || ops.AllowAddress(a.IP) == nil {
		t.Error("an operation is called from an address that is not allowed")
	}
}
