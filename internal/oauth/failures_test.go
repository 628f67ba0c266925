package oauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// TestMismatchIsRecordedForTheOperator shows the operator both addresses and the person neither,
// and records no more than a few of them.
func TestMismatchIsRecordedForTheOperator(t *testing.T) {
	w := newWorld(t)
	cl := w.client()
	try := func(uri string) error {
		c := w.authorizationRequest(cl, "redirect_uri", uri)
		c.RequestID = "REQUEST1"
		_, err := w.srv.Authorize(t.Context(), c)
		if fault.Reason(err) != oauth.ReasonRedirectUnknown || fault.KindOf(err) != fault.Invalid {
			t.Fatalf("%s: got %v", uri, err)
		}
		return err
	}
	events := func() []audit.Event {
		list, err := w.db.ListAudit(t.Context(), store.AuditQuery{Client: string(cl.ID), Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if text := try("https://app.example/other").Error(); strings.Contains(text, "https://") {
		t.Errorf("the person reads %q", text)
	}
	found := events()
	if len(found) != 1 {
		t.Fatalf("got %d events", len(found))
	}
	e := found[0]
	if e.Client != string(cl.ID) || e.RequestID != "REQUEST1" || e.Reason != audit.ReasonRedirectUnknown ||
		e.Detail["sent"] != "https://app.example/other" || e.Detail["registered"] != strings.Join(cl.Redirects, " ") {
		t.Errorf("got %+v", e)
	}
	for range 50 {
		try("https://evil.example/" + strings.Repeat("x", 1500))
	}
	found = events()
	if len(found) != 10 {
		t.Errorf("got %d events in a minute, want 10", len(found))
	}
	if n := len(found[0].Detail["sent"]); n > 520 {
		t.Errorf("the address sent has %d bytes", n)
	}
	w.now = w.now.Add(time.Minute)
	try("https://app.example/other")
	if n := len(events()); n != 11 {
		t.Errorf("got %d events after a minute, want 11", n)
	}
}
