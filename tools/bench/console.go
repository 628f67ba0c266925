package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Goals of the console.
const (
	consoleReads = 100
	consoleGoal  = 50 * time.Millisecond
	consoleBytes = 60_000 // on a first visit, with style sheets and scripts
)

// consolePages returns the addresses of the main pages of the console by what they show.
func (w *world) consolePages() [][2]string {
	return [][2]string{
		{"overview", "/admin"},
		{"users", "/admin/users"},
		{"users, a word", "/admin/users?search=listed7"},
		{"a user", "/admin/users/" + w.id(kindListed, 7)},
		{"users with a role, by name", "/admin/users?role=medium&sort=name"},
		{"users, far", "/admin/users?offset=10000"},
		{"a user, form", "/admin/users/" + w.id(kindListed, 7) + "/edit"},
		{"a user, before the end", "/admin/users/" + w.id(kindListed, 7) + "/delete"},
		{"new user", "/admin/users/new"},
		{"users, an action on all", "/admin/users/bulk?action=disable&all=on"},
		{"sessions", "/admin/sessions"},
		{"sessions of an address", "/admin/sessions?ip=192.0.2.7"},
		{"sessions of a network", "/admin/sessions?ip=192.0.2.0/24"},
		{"sessions, before the end", "/admin/sessions/end?ip=192.0.2.7"},
		{"clients", "/admin/clients"},
		{"a client", "/admin/clients/" + url.PathEscape(clientID("ES256"))},
		{"clients, a word", "/admin/clients?search=number7"},
		{"a client, form", "/admin/clients/" + url.PathEscape(clientID("ES256")) + "/edit"},
		{"scopes", "/admin/scopes"},
		{"registration", "/admin/registrations"},
		{"audit log", "/admin/audit"},
		{"audit log, a text", "/admin/audit?text=nothing"},
		{"audit log, delivery", "/admin/audit/sinks"},
		{"audit log, an event", "/admin/audit?event=LOGIN_FAILED"},
		{"webhooks", "/admin/webhooks"},
		{"routes", "/admin/routes"},
		{"roles", "/admin/roles"},
		{"a role", "/admin/roles/admin"},
		{"mail", "/admin/mail"},
		{"signing keys", "/admin/keys"},
		{"backups", "/admin/backups"},
		{"settings", "/admin/settings"},
		{"configuration", "/admin/config"},
		{"doctor", "/admin/doctor"},
	}
}

// console measures pages of administrators on a database that lists have filled: the time until
// the last byte on one connection, and the bytes of a first visit.
func (b *bench) console(ctx context.Context, w *world) (facts []fact, err error) {
	cookies, err := w.makeSessions(ctx, 1)
	if err != nil {
		return nil, err
	}
	l, err := openLoader(ctx, w.engine, w.url, false)
	if err != nil {
		return nil, err
	}
	_, err = l.db.ExecContext(ctx, "UPDATE users SET roles = '"+identity.RoleSuperAdmin+"' WHERE id = '"+w.id(kindUser, 0)+"'")
	if err = errors.Join(err, l.close(ctx)); err != nil {
		return nil, err
	}
	s, err := b.startServer(ctx, w.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return nil, err
	}
	headers := append(asBrowser("en"), [2]string{"Cookie", web.CookieSession + "_" + port + "=" + cookies[0]})
	for _, page := range w.consolePages() {
		f, err := timePage(ctx, s.address, page[1], headers)
		if err != nil {
			return facts, fmt.Errorf("%s: %w", page[1], err)
		}
		f.name, f.engine = "console, "+page[0], w.engine
		facts = append(facts, f)
	}
	return facts, nil
}

// asset finds the addresses of style sheets and scripts in a page.
var asset = regexp.MustCompile(`(?:href|src)="(/[^"]+\.(?:css|js)[^"]*)"`)

// timePage asks for a page again and again, and once for what it needs.
func timePage(ctx context.Context, address, path string, headers [][2]string) (fact, error) {
	var times []time.Duration
	var body []byte
	for range consoleReads {
		begun := time.Now()
		a, err := get(path, headers...).expect(ctx, address, http.StatusOK)
		if err != nil {
			return fact{}, err
		}
		times, body = append(times, time.Since(begun)), a.Body
	}
	slices.Sort(times)
	size := len(body)
	for _, m := range asset.FindAllSubmatch(body, -1) {
		a, err := get(string(m[1]), asBrowser("en")...).expect(ctx, address, http.StatusOK)
		if err != nil {
			return fact{}, err
		}
		size += len(a.Body)
	}
	p99 := times[len(times)*99/100]
	return fact{
		value: fmt.Sprintf("p50 %s, p99 %s, %d kB", brief(times[len(times)/2]), brief(p99), (size+999)/1000),
		goal:  "p99 at most " + brief(consoleGoal) + ", 60 kB", met: p99 <= consoleGoal && size <= consoleBytes,
	}, nil
}
