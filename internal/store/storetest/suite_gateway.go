package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// route returns a route with a value in every field, which is not stored.
func (s *suite) route() *access.Route {
	return &access.Route{
		ID:           secret.NewID(s.now),
		Name:         s.name("Shop "),
		Domain:       s.name("shop"),
		Version:      "v1",
		Host:         "*.example.com",
		Upstreams:    []string{"http://10.0.0.1:8000", "h2c://[2001:db8::1]:9000/base"},
		KeepPath:     true,
		KeepHost:     true,
		Inactive:     true,
		Browser:      true,
		Methods:      []string{"GET", "PUT"},
		Timeout:      access.Duration(1500 * time.Millisecond),
		BodyLimit:    1 << 40,
		CORS:         []string{"https://app.example.com"},
		Scopes:       []string{"a:b", "c"},
		Roles:        []string{"staff"},
		Clients:      []string{"app"},
		Networks:     []string{"10.0.0.0/8"},
		Audiences:    []string{"urn:x"},
		Issuers:      []string{"other"},
		ACR:          "aal2",
		MaxAge:       access.Duration(time.Hour),
		Unidentified: true,
		ClientID:     true,
		Rate:         -1,
		RatePer:      access.Duration(time.Second),
		RateBy:       access.RateByUser,
		HealthPath:   "/up?x=\u0000é",
		HealthEvery:  access.Duration(time.Minute),
		CreatedAt:    s.now,
		UpdatedAt:    s.now,
	}
}

// stored finds a route in memory.
func stored(db *store.DB, id string) *access.Route {
	all := db.Routes()
	if i := slices.IndexFunc(all, func(r access.Route) bool { return r.ID == id }); i >= 0 {
		return &all[i]
	}
	return nil
}

func (s *suite) routes(t *testing.T) {
	ctx := t.Context()
	url := s.url(t)
	db, other := Open(t, store.Options{URL: url}), Open(t, store.Options{URL: url})
	follow(t, other)
	r := s.route()
	testkit.Must(t, db.CreateRoute(ctx, r, nil, audit.Event{At: s.now, Type: audit.RouteCreated}))
	if d := cmp.Diff(r, stored(db, r.ID)); d != "" { // in memory when CreateRoute returns
		t.Fatal(d)
	}
	want(t, db.CreateRoute(ctx, r, nil), fault.Conflict)
	testkit.Eventually(t, "the new route", func() bool { return stored(other, r.ID) != nil })

	changed := *r
	changed.Upstreams, changed.Unidentified, changed.UpdatedAt = []string{
		"https://10.0.0.2",
	}, false, s.now.Add(
		time.Hour,
	)
	changed.CreatedAt = s.now.Add(time.Hour) // is not updated
	testkit.Must(t, db.UpdateRoute(ctx, r, &changed, nil, audit.Event{At: s.now, Type: audit.RouteUpdated}))
	changed.CreatedAt = s.now
	if d := cmp.Diff(&changed, stored(db, r.ID)); d != "" {
		t.Fatal(d)
	}
	testkit.Eventually(t, "the changed route", func() bool { return cmp.Equal(&changed, stored(other, r.ID)) })
	want(t, db.UpdateRoute(ctx, &access.Route{ID: "none"}, &access.Route{ID: "none", Host: "h"}, nil), fault.NotFound)

	testkit.Must(t, db.DeleteRoute(ctx, r.ID, audit.Event{At: s.now, Type: audit.RouteDeleted}))
	testkit.Equal(t, "routes after deletion", len(db.Routes()), 0)
	testkit.Eventually(t, "the deletion", func() bool { return len(other.Routes()) == 0 })
	want(t, db.DeleteRoute(ctx, r.ID), fault.NotFound)
	log, err := db.ListAudit(ctx, store.AuditQuery{})
	testkit.Must(t, err)
	testkit.Equal(t, "audit events", len(log), 3)
}

// A check of all routes together undoes a change, and no other change comes in between.
func (s *suite) routesFit(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	no := errors.New("no")
	r := s.route()
	reject := func(all []access.Route) error {
		testkit.Equal(t, "routes that were checked", len(all), 1)
		testkit.Equal(t, "the route that was checked", all[0].Domain, r.Domain)
		return no
	}
	if err := db.CreateRoute(ctx, r, reject, audit.Event{At: s.now, Type: audit.RouteCreated}); !errors.Is(err, no) {
		t.Fatalf("a rejected route: %v", err)
	}
	testkit.Equal(t, "routes", len(db.Routes()), 0)
	log, _ := db.ListAudit(ctx, store.AuditQuery{})
	testkit.Equal(t, "events of a rejected route", len(log), 0)
	testkit.Must(t, db.CreateRoute(ctx, r, nil))
	changed := *r
	changed.Domain = "changed"
	err := db.UpdateRoute(ctx, r, &changed, func(all []access.Route) error {
		testkit.Equal(t, "the changed route that was checked", all[0].Domain, "changed")
		return no
	})
	if !errors.Is(err, no) || stored(db, r.ID).Domain != r.Domain {
		t.Fatalf("a rejected change: %v", err)
	}
	alone := func(all []access.Route) error {
		if len(all) > 2 {
			return fault.New(fault.Denied, "there is one already")
		}
		return nil
	}
	oneWins(t, "routes of one address", fault.Denied, func(int) error { return db.CreateRoute(ctx, s.route(), alone) })
}

// A route with a rule that this release does not know is not applied without that rule.
func (s *suite) newerRoutes(t *testing.T) {
	ctx, url := t.Context(), s.url(t)
	db := Open(t, store.Options{URL: url})
	r := s.route()
	testkit.Must(t, db.CreateRoute(ctx, r, nil))
	direct, err := sqldb.Open(ctx, url, sqldb.Options{})
	testkit.Must(t, err)
	defer direct.Close()
	for _, definition := range []string{`{"upstreams":["http://x"],"moon_phase":"full"}`, `{`, `[]`} {
		_, err = direct.Exec(ctx, "UPDATE routes SET definition = $1", definition)
		testkit.Must(t, err)
		if err := db.Load(ctx); err == nil || !strings.Contains(err.Error(), r.ID) {
			t.Fatalf("%s: error %v; want one that names the route", definition, err)
		}
		if d := cmp.Diff(r, stored(db, r.ID)); d != "" {
			t.Fatal("what was in force before has changed:", d)
		}
	}
}

func (s *suite) denials(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	var all []*access.DenialRecord
	for i := range 40 {
		at := s.now.Add(time.Duration(i) * time.Second)
		all = append(all, &access.DenialRecord{
			RequestID: fmt.Sprint("r", i),
			At:        at,
			Status:    403,
			Path:      "/\x00\xff",
		})
	}
	testkit.Must(t, db.PutDenials(ctx, nil))
	testkit.Must(t, db.PutDenials(ctx, all))
	testkit.Must(t, db.PutDenials(ctx, []*access.DenialRecord{{RequestID: "r7", At: s.now}})) // the first stays
	got, err := db.Denial(ctx, "r7")
	testkit.Must(t, err)
	stored := *all[7]
	stored.Path = "/" // what does not print is left out
	if d := cmp.Diff(&stored, got); d != "" {
		t.Fatal(d)
	}
	for _, id := range []string{"", "r40", "r7\x00", "r\xff", strings.Repeat("r", 10_000)} {
		if _, err := db.Denial(ctx, id); !fault.Is(err, fault.NotFound) && id != "r7\x00" {
			t.Errorf("request %.20q: %v; want none to be found", id, err)
		}
	}
	long := strings.Repeat("a", 1<<20)
	testkit.Must(t, db.PutDenials(ctx, []*access.DenialRecord{{RequestID: "long", Path: long}}))
	got, err = db.Denial(ctx, "long")
	testkit.Must(t, err)
	if len(got.Path) > 1<<10 {
		t.Errorf("a path of %d bytes was stored", len(got.Path))
	}
}

// The denials of a client are listed page by page, newest first, whatever others were denied.
func (s *suite) denialsOfClient(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	var all []*access.DenialRecord
	for i := range 30 {
		all = append(all, &access.DenialRecord{
			RequestID: fmt.Sprintf("r%02d", i),
			At:        s.now.Add(time.Duration(i/4) * time.Second), // several at one time
			Caller:    access.RecordedCaller{Client: []string{"shop", "other", ""}[i%3]},
		})
	}
	all = append(all, &access.DenialRecord{RequestID: "long", Caller: access.RecordedCaller{Client: strings.Repeat("c", 300)}})
	testkit.Must(t, db.PutDenials(ctx, all))
	read := func(client string, n int) (ids string) {
		var after *admin.Position
		for {
			rows, err := db.Denials(ctx, admin.DenialQuery{Client: client}, admin.Page{Limit: n}, after)
			testkit.Must(t, err)
			for _, r := range rows.Items {
				ids += " " + r.RequestID
			}
			if client != "" {
				testkit.Equal(t, "total", rows.Total, 10)
			}
			if after = rows.Next; after == nil {
				return ids
			}
		}
	}
	testkit.Equal(t, "of the client", read("shop", 3), " r27 r24 r21 r18 r15 r12 r09 r06 r03 r00")
	testkit.Equal(t, "all", strings.Count(read("", 7), " "), 31)
	if ids := read("", 100); !strings.HasPrefix(ids, " r29 r28 r27") {
		t.Errorf("all: %s", ids)
	}
	rows, err := db.Denials(ctx, admin.DenialQuery{Client: "nobody\x00"}, admin.Page{}, nil)
	testkit.Must(t, err)
	testkit.Equal(t, "of nobody", len(rows.Items)+rows.Total, 0)
}

// Only the newest 10,000 denials are stored, and none for longer than a day.
func (s *suite) boundedDenials(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	const limit, more = 10_000, 700
	all := make([]*access.DenialRecord, limit+more)
	for i := range all {
		at := s.now.Add(time.Duration(i) * time.Millisecond)
		all[i] = &access.DenialRecord{RequestID: fmt.Sprint("r", i), At: at}
	}
	testkit.Must(t, db.PutDenials(ctx, all))
	n, err := db.Sweep(ctx, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "denials beyond the bound", n, more)
	_, err = db.Denial(ctx, fmt.Sprint("r", more-1))
	want(t, err, fault.NotFound)
	_, err = db.Denial(ctx, fmt.Sprint("r", more))
	testkit.Must(t, err)
	n, err = db.Sweep(ctx, s.now.Add(25*time.Hour))
	testkit.Must(t, err)
	testkit.Equal(t, "denials older than a day", n, limit)
}
