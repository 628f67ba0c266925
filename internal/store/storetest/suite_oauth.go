package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func fieldOf(err error) string {
	var fe *fault.Error
	if errors.As(err, &fe) {
		return fe.Field
	}
	return ""
}

func (s *suite) grants(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c, "openid", "email")
	g.Claims = json.RawMessage(`{"userinfo":{"email":null}}`)
	g.Resources, g.Bound = []string{"https://api.example"}, "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	testkit.Must(t, s.db.PutGrant(ctx, g, event(audit.AccessTokenIssued, u, s.now)))
	got, err := s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	if d := cmp.Diff(g, got); d != "" {
		t.Fatal(d)
	}
	alone := s.grant(u, c)
	alone.User, alone.Kind = "", "client_credentials"
	testkit.Must(t, s.db.PutGrant(ctx, alone))
	want(t, s.db.PutGrant(ctx, alone), fault.Conflict)
	testkit.Must(t, s.db.EndGrant(ctx, g.ID, s.now))
	testkit.Must(t, s.db.EndGrant(ctx, g.ID, s.now))
	_, err = s.db.Grant(ctx, g.ID)
	want(t, err, fault.NotFound)
	testkit.Equal(t, "token of an ended grant revoked", s.db.Revoked(token(g, s.now.Add(time.Hour))), true)
	testkit.Equal(t, "token of another grant revoked", s.db.Revoked(token(alone, s.now)), false)
	log, err := s.db.RevocationsSince(ctx, 0, 1000)
	testkit.Must(t, err)
	n := 0
	for _, r := range log {
		if r.ID == string(g.ID) {
			n++
			testkit.Equal(t, "until", r.Until, s.now.Add(24*time.Hour))
			testkit.Equal(t, "client", r.Client, g.Client)
			same(t, "audience", r.Audience, g.Resources, nilIsEmpty())
		}
	}
	testkit.Equal(t, "entries for a grant that was ended twice", n, 1)
}

// A revocation is stored as long as any token issued before it can be valid, also after the TTL
// has been shortened.
func (s *suite) tokenTTL(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	until := func() time.Time {
		testkit.Must(t, db.EndGrant(ctx, oauth.GrantID(secret.NewID(s.now)), s.now))
		log, err := db.RevocationsSince(ctx, 0, 1000)
		testkit.Must(t, err)
		return log[len(log)-1].Until
	}
	testkit.Equal(t, "until", until(), s.now.Add(24*time.Hour))
	testkit.Must(t, db.RaiseTokenTTL(ctx, 48*time.Hour))
	testkit.Must(t, db.RaiseTokenTTL(ctx, time.Hour))
	testkit.Equal(t, "until", until(), s.now.Add(48*time.Hour))
	c := &client.Client{
		ID:        "long",
		Name:      "Long",
		AccessTTL: 72 * time.Hour,
		CreatedAt: s.now,
		UpdatedAt: s.now,
	}
	testkit.Must(t, db.CreateClient(ctx, c))
	short := *c
	short.AccessTTL = time.Minute
	testkit.Must(t, db.UpdateClient(ctx, c, &short))
	testkit.Equal(t, "until", until(), s.now.Add(72*time.Hour))
}

func (s *suite) refresh(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, g))
	rotation := oauth.RefreshRotation{
		Grant:     g.ID,
		Client:    c.ID,
		Old:       g.RefreshHash,
		New:       "r2",
		Now:       s.now.Add(time.Minute),
		ExpiresAt: s.now.Add(3 * time.Hour),
		IP:        "192.0.2.9",
		Agent:     "App/2",
	}
	testkit.Must(t, s.db.RotateRefresh(ctx, rotation, event(audit.RefreshTokenUsed, u, s.now)))
	got, err := s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	wanted := *g
	wanted.RefreshHash, wanted.PrevHash, wanted.RotatedAt, wanted.LastUsedAt = "r2", g.RefreshHash, rotation.Now, rotation.Now
	wanted.ExpiresAt, wanted.IP, wanted.Agent = g.AbsoluteEnd, rotation.IP, rotation.Agent
	if d := cmp.Diff(&wanted, got); d != "" {
		t.Fatal(d)
	}
	want(t, s.db.RotateRefresh(ctx, rotation, event(audit.RefreshTokenUsed, u, s.now)), fault.Consumed) // the old token again

	same := rotation
	same.Old, same.New, same.Now = "r2", "r2", s.now.Add(2*time.Minute)
	testkit.Must(t, s.db.RotateRefresh(ctx, same))
	got, err = s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	if got.PrevHash != g.RefreshHash || !got.RotatedAt.Equal(rotation.Now) || !got.LastUsedAt.Equal(same.Now) {
		t.Fatalf("without rotation the grant became %+v", got)
	}
	for name, change := range map[string]func(*oauth.RefreshRotation){
		"another client": func(r *oauth.RefreshRotation) { r.Client = "other" },
		"another grant":  func(r *oauth.RefreshRotation) { r.Grant = "other" },
		"expired":        func(r *oauth.RefreshRotation) { r.Now = g.AbsoluteEnd },
	} {
		bad := same
		change(&bad)
		if err := s.db.RotateRefresh(ctx, bad); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	testkit.Must(t, s.db.EndGrant(ctx, g.ID, s.now))
	err = s.db.RotateRefresh(ctx, same)
	want(t, err, fault.NotFound)
	none := s.grant(u, c)
	none.RefreshHash = ""
	testkit.Must(t, s.db.PutGrant(ctx, none))
	err = s.db.RotateRefresh(ctx, oauth.RefreshRotation{
		Grant:     none.ID,
		Client:    c.ID,
		New:       "x",
		Now:       s.now,
		ExpiresAt: s.now.Add(time.Hour),
	})
	want(t, err, fault.NotFound)
}

func (s *suite) revokedGrants(t *testing.T) {
	ctx, c := t.Context(), s.client(t)
	u := s.user(t)
	v := s.session(t, u)
	ended := s.grant(u, c)
	testkit.Must(t, s.db.EndGrant(ctx, ended.ID, s.now)) // a code replayed before its first use was finished
	want(t, s.db.PutGrant(ctx, ended, event(audit.AccessTokenIssued, u, s.now)), fault.Consumed)

	inSession := s.grant(u, c)
	inSession.Session = v.ID
	testkit.Must(t, s.db.EndSession(ctx, v.ID, s.now, true))
	want(t, s.db.PutGrant(ctx, inSession), fault.Consumed)

	early, late := s.grant(u, c), s.grant(u, c)
	late.CreatedAt = s.now.Add(2 * time.Second)
	testkit.Must(t, s.db.EndUserAccess(ctx, u.ID, s.now.Add(time.Second), ""))
	want(t, s.db.PutGrant(ctx, early), fault.Consumed)
	testkit.Must(t, s.db.PutGrant(ctx, late))

	testkit.Must(t, s.db.DeleteUser(ctx, u.ID, s.now.Add(time.Minute)))
	gone := s.grant(u, c)
	want(t, s.db.PutGrant(ctx, gone), fault.Consumed)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{User: string(u.ID), Type: audit.AccessTokenIssued})
	testkit.Must(t, err)
	testkit.Equal(t, "events of grants that were not stored", len(events), 0)
}

// A grant that a password stands for is stored only while the account is as it was proved.
func (s *suite) provedGrants(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	state := identity.AccountState{PasswordChangedAt: u.PasswordChangedAt}
	put := func() (*oauth.Grant, error) {
		g := s.grant(u, c)
		return g, s.db.PutProvedGrant(ctx, g, state, event(audit.AccessTokenIssued, u, s.now))
	}
	g, err := put()
	testkit.Must(t, err)
	_, err = s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)

	changed := s.now.Add(time.Second)
	testkit.Must(t, s.db.SetPassword(ctx, u.ID, "another hash", 0, changed))
	_, err = put()
	want(t, err, fault.Consumed)
	state.PasswordChangedAt = changed
	_, err = put()
	testkit.Must(t, err)

	testkit.Must(t, s.db.PutCredential(ctx, &identity.Credential{
		ID: identity.CredentialID(s.name("factor")), User: u.ID, Kind: "totp",
		CreatedAt: s.now, ConfirmedAt: s.now,
	}))
	_, err = put()
	want(t, err, fault.Consumed)
	events, err := s.db.ListAudit(ctx, store.AuditQuery{
		User: string(u.ID), Type: audit.AccessTokenIssued,
	})
	testkit.Must(t, err)
	testkit.Equal(t, "events of stored grants", len(events), 2)
}

func (s *suite) sessionEnd(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	v := s.session(t, u)
	online, offline := s.grant(u, c, "openid"), s.grant(u, c, "openid", "offline_access")
	online.Session, offline.Session = v.ID, v.ID
	testkit.Must(t, s.db.PutGrant(ctx, online))
	testkit.Must(t, s.db.PutGrant(ctx, offline))
	testkit.Must(t, s.db.EndSession(ctx, v.ID, s.now, true, event(audit.Logout, u, s.now)))
	testkit.Must(t, s.db.EndSession(ctx, v.ID, s.now, true))
	_, err := s.db.Grant(ctx, online.ID)
	want(t, err, fault.NotFound)
	_, err = s.db.Grant(ctx, offline.ID)
	testkit.Must(t, err)
	err = s.db.RotateRefresh(ctx, oauth.RefreshRotation{
		Grant:     offline.ID,
		Client:    c.ID,
		Old:       offline.RefreshHash,
		New:       "n",
		Now:       s.now,
		ExpiresAt: s.now.Add(time.Hour),
	})
	testkit.Must(t, err)
	testkit.Equal(t, "token of the session revoked", s.db.Revoked(token(online, s.now)), true)
	offlineToken := token(offline, s.now)
	offlineToken.Session = "" // such a token does not name the session
	testkit.Equal(t, "offline token revoked", s.db.Revoked(offlineToken), false)

	w := s.session(t, u)
	g := s.grant(u, c)
	g.Session = w.ID
	testkit.Must(t, s.db.PutGrant(ctx, g))
	testkit.Must(t, s.db.EndSession(ctx, w.ID, s.now, false))
	if _, err := s.db.Grant(ctx, g.ID); err != nil || s.db.Revoked(token(g, s.now)) {
		t.Fatalf("ending a session without its tokens ended them (%v)", err)
	}
}

func (s *suite) codes(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c, "openid")
	g.RefreshHash = "" // a code's grant has no refresh token yet
	g.Bound = "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	code := &oauth.Code{
		Grant:           *g,
		RedirectURI:     "https://app.example/cb",
		Challenge:       "ch",
		ChallengeMethod: "S256",
		Nonce:           "n",
		ExpiresAt:       s.now.Add(time.Minute),
	}
	h := secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, h, code, event(audit.AuthorizationCodeIssued, u, s.now)))
	got, err := s.db.Code(ctx, h, s.now)
	testkit.Must(t, err)
	code.Hash = h
	if d := cmp.Diff(code, got); d != "" {
		t.Fatal(d)
	}
	testkit.Must(t, s.db.RedeemCode(ctx, h, g, s.now, event(audit.AccessTokenIssued, u, s.now)))
	_, err = s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	got, err = s.db.Code(ctx, h, s.now.Add(time.Hour))
	want(t, err, fault.Consumed)
	testkit.Equal(t, "grant of the consumed code", got.Grant.ID, g.ID)
	other := s.grant(u, c, "openid")
	want(t, s.db.RedeemCode(ctx, h, other, s.now), fault.Consumed)
	_, err = s.db.Grant(ctx, other.ID)
	want(t, err, fault.NotFound)

	_, err = s.db.Code(ctx, "none", s.now)
	want(t, err, fault.NotFound)
	want(t, s.db.ConsumeCode(ctx, "none", s.now), fault.NotFound)
	used, late := secret.Hash(s.name("code")), secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, used, code))
	testkit.Must(t, s.db.ConsumeCode(ctx, used, s.now))
	want(t, s.db.ConsumeCode(ctx, used, s.now), fault.Consumed)
	want(t, s.db.RedeemCode(ctx, used, other, s.now), fault.Consumed)
	testkit.Must(t, s.db.PutCode(ctx, late, code))
	_, err = s.db.Code(ctx, late, s.now.Add(time.Minute))
	want(t, err, fault.NotFound)
	want(t, s.db.RedeemCode(ctx, late, other, s.now.Add(time.Minute)), fault.Consumed)
	t.Run("of one flow", s.codeOfFlow)
}

// A flow has one code, however many ask for it at once; the losers store nothing.
func (s *suite) codeOfFlow(t *testing.T) {
	ctx, u, c := t.Context(), s.user(t), s.client(t)
	use := oauth.FlowUse{ID: s.name("flow"), Until: s.now.Add(time.Hour)}
	put := func(h secret.Hash, now time.Time) error {
		g := s.grant(u, c, "openid")
		g.CreatedAt = now
		code := &oauth.Code{Grant: *g, ExpiresAt: now.Add(time.Minute)}
		return s.db.PutFlowCode(ctx, h, code, use, event(audit.AuthorizationCodeIssued, u, now))
	}
	const many = 20
	hashes, errs := make([]secret.Hash, many), make([]error, many)
	var wg sync.WaitGroup
	for i := range many {
		hashes[i] = secret.Hash(s.name("code"))
		wg.Go(func() { errs[i] = put(hashes[i], s.now) })
	}
	wg.Wait()
	stored := 0
	for i, err := range errs {
		if err != nil {
			want(t, err, fault.Consumed)
			_, err = s.db.Code(ctx, hashes[i], s.now)
			want(t, err, fault.NotFound)
			continue
		}
		stored++
		_, err = s.db.Code(ctx, hashes[i], s.now)
		testkit.Must(t, err)
	}
	testkit.Equal(t, "codes of one flow", stored, 1)
	want(t, put(secret.Hash(s.name("code")), s.now.Add(59*time.Minute)), fault.Consumed)
	use.ID = s.name("flow")
	testkit.Must(t, put(secret.Hash(s.name("code")), s.now))
}

// A code whose session ended before it was redeemed yields no grant, and cannot be used again.
func (s *suite) codeOfEndedSession(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	sess := s.session(t, u)
	g := s.grant(u, c, "openid")
	g.Session = sess.ID
	h := secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, h, &oauth.Code{Grant: *g, ExpiresAt: s.now.Add(time.Minute)}))
	testkit.Must(t, s.db.EndSession(ctx, sess.ID, s.now, true))
	want(t, s.db.RedeemCode(ctx, h, g, s.now), fault.Denied)
	_, err := s.db.Code(ctx, h, s.now)
	want(t, err, fault.Consumed)
}

func (s *suite) device(c *client.Client) *oauth.Device {
	return &oauth.Device{
		Hash:      secret.Hash(s.name("device")),
		UserCode:  s.name("CODE"),
		Client:    c.ID,
		Scopes:    []string{"openid"},
		State:     oauth.DevicePending,
		Interval:  5 * time.Second,
		IP:        "192.0.2.1",
		Agent:     "TV",
		CreatedAt: s.now,
		ExpiresAt: s.now.Add(10 * time.Minute),
	}
}

func (s *suite) devices(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	v := s.device(c)
	testkit.Must(t, s.db.PutDevice(ctx, v))
	duplicate := s.device(c)
	duplicate.UserCode = v.UserCode
	want(t, s.db.PutDevice(ctx, duplicate), fault.Conflict)
	got, err := s.db.DeviceByUserCode(ctx, v.UserCode, s.now)
	testkit.Must(t, err)
	if d := cmp.Diff(v, got, cmp.Transformer("nil", func(l []string) []string { return slices.Concat([]string{}, l) })); d != "" {
		t.Fatal(d)
	}
	poll := func(after time.Duration) *oauth.DevicePoll {
		t.Helper()
		p, err := s.db.PollDevice(ctx, v.Hash, c.ID, s.now.Add(after))
		testkit.Must(t, err)
		return p
	}
	if p := poll(0); p.TooFast || p.State != oauth.DevicePending {
		t.Fatalf("first poll: %+v", p)
	}
	if p := poll(4 * time.Second); !p.TooFast || p.Device.Interval != 10*time.Second {
		t.Fatalf("a poll that came too soon: %+v", p)
	}
	if p := poll(14 * time.Second); p.TooFast {
		t.Fatalf("a poll in time: %+v", p)
	}
	_, err = s.db.PollDevice(ctx, v.Hash, "other", s.now)
	want(t, err, fault.NotFound)
	if p := poll(10 * time.Minute); !p.Expired {
		t.Fatalf("an expired one: %+v", p)
	}
	g := s.grant(u, c, "openid")
	yes := oauth.DeviceDecision{UserCode: v.UserCode, Approve: true, Grant: g, Now: s.now}
	lateYes := yes
	lateYes.Now = s.now.Add(time.Hour)
	want(t, s.db.DecideDevice(ctx, lateYes), fault.NotFound)
	testkit.Must(t, s.db.DecideDevice(ctx, yes))
	want(t, s.db.DecideDevice(ctx, yes), fault.Consumed)
	if p := poll(15 * time.Second); p.State != oauth.DeviceApproved || p.Grant == nil || p.Grant.ID != g.ID ||
		p.Grant.User != u.ID {
		t.Fatalf("an approved one: %+v", p)
	}
	testkit.Must(t, s.db.RedeemDevice(ctx, v.Hash, g, s.now, event(audit.AccessTokenIssued, u, s.now)))
	_, err = s.db.Grant(ctx, g.ID)
	testkit.Must(t, err)
	want(t, s.db.RedeemDevice(ctx, v.Hash, s.grant(u, c), s.now), fault.Consumed)
	_, err = s.db.PollDevice(ctx, v.Hash, c.ID, s.now)
	want(t, err, fault.NotFound)

	no := s.device(c)
	testkit.Must(t, s.db.PutDevice(ctx, no))
	testkit.Must(t, s.db.DecideDevice(ctx, oauth.DeviceDecision{UserCode: no.UserCode, Now: s.now}))
	p, err := s.db.PollDevice(ctx, no.Hash, c.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "state", p.State, oauth.DeviceDenied)
	_, err = s.db.DeviceByUserCode(ctx, no.UserCode, s.now)
	want(t, err, fault.NotFound)
}

func (s *suite) boundedDevices(t *testing.T) {
	db := s.newDB(t, store.Options{MaxPendingDevices: 3})
	c := &client.Client{ID: "c", CreatedAt: s.now}
	testkit.Must(t, db.CreateClient(t.Context(), c))
	for range 3 {
		testkit.Must(t, db.PutDevice(t.Context(), s.device(c)))
	}
	want(t, db.PutDevice(t.Context(), s.device(c)), fault.Limited)
	want(t, s.db.PutDevice(t.Context(), s.device(&client.Client{ID: "nobody"})), fault.NotFound)
}

func (s *suite) opaque(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	a := token(s.grant(u, c), s.now)
	a.Subject, a.Scopes, a.Audience, a.Roles, a.AuthTime, a.AMR = string(
		u.ID,
	), []string{
		"openid",
	}, []string{
		"https://api",
	}, []string{
		"staff",
	}, s.now, []string{
		"pwd",
	}
	a.Claims, a.Bound = json.RawMessage(`{"a":1}`), "x5t:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	h := secret.Hash(s.name("opaque"))
	testkit.Must(t, s.db.PutOpaque(ctx, h, a))
	got, err := s.db.Opaque(ctx, h, s.now)
	testkit.Must(t, err)
	if d := cmp.Diff(a, got, cmpopts.IgnoreUnexported(*a)); d != "" {
		t.Fatal(d)
	}
	_, err = s.db.Opaque(ctx, h, a.Expires)
	want(t, err, fault.NotFound)
}

// The tokens of a client end; those that it gets later do not.
func (s *suite) clientTokens(t *testing.T) {
	ctx, c, other, u := t.Context(), s.client(t), s.client(t), s.user(t)
	mine, others := s.grant(u, c, "openid", "offline_access"), s.grant(u, other)
	testkit.Must(t, s.db.PutGrant(ctx, mine))
	testkit.Must(t, s.db.PutGrant(ctx, others))
	code := secret.Hash(s.name("code"))
	testkit.Must(t, s.db.PutCode(ctx, code, &oauth.Code{
		Grant: *s.grant(u, c), ExpiresAt: s.now.Add(time.Minute),
	}))
	at := s.now.Add(time.Second)
	testkit.Must(t, s.db.RevokeClientTokens(ctx, c.ID, at))
	_, err := s.db.Grant(ctx, mine.ID)
	want(t, err, fault.NotFound)
	_, err = s.db.Code(ctx, code, at)
	want(t, err, fault.NotFound)
	_, err = s.db.Grant(ctx, others.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "revoked", s.db.Revoked(token(mine, s.now)), true)
	testkit.Equal(t, "another client's", s.db.Revoked(token(others, s.now)), false)
	_, err = s.db.Client(ctx, c.ID)
	testkit.Must(t, err)
	later := s.grant(u, c)
	later.CreatedAt = at.Add(time.Second)
	testkit.Must(t, s.db.PutGrant(ctx, later))
	testkit.Equal(t, "issued later", s.db.Revoked(token(later, later.CreatedAt)), false)
	want(t, s.db.RevokeClientTokens(ctx, "nobody", at), fault.NotFound)
}

func (s *suite) consents(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	_, err := s.db.Consent(ctx, u.ID, c.ID)
	want(t, err, fault.NotFound)
	testkit.Must(t, s.db.AddConsent(ctx, &oauth.Consent{
		User:      u.ID,
		Client:    c.ID,
		Scopes:    []string{"openid"},
		CreatedAt: s.now,
		UpdatedAt: s.now,
	}))
	later := s.now.Add(time.Hour)
	testkit.Must(t, s.db.AddConsent(ctx, &oauth.Consent{
		User:      u.ID,
		Client:    c.ID,
		Scopes:    []string{"openid", "email"},
		CreatedAt: later,
		UpdatedAt: later,
	}))
	got, err := s.db.Consent(ctx, u.ID, c.ID)
	testkit.Must(t, err)
	if len(got.Scopes) != 2 || !got.CreatedAt.Equal(s.now) || !got.UpdatedAt.Equal(later) {
		t.Fatalf("consent is %+v", got)
	}
	all, err := s.db.UserConsents(ctx, u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "consents", len(all), 1)
	g := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, g))
	testkit.Must(t, s.db.DeleteConsent(ctx, u.ID, c.ID, s.now))
	_, err = s.db.Grant(ctx, g.ID)
	want(t, err, fault.NotFound)
	testkit.Equal(t, "token revoked", s.db.Revoked(token(g, s.now)), true)
	want(t, s.db.DeleteConsent(ctx, u.ID, c.ID, s.now), fault.NotFound)

	// Consents at once all count, and what was deleted before does not come back.
	race(t, func(i int) error {
		return s.db.AddConsent(ctx, &oauth.Consent{
			User:      u.ID,
			Client:    c.ID,
			Scopes:    []string{fmt.Sprint("scope", i)},
			CreatedAt: later,
			UpdatedAt: later,
		})
	})
	got, err = s.db.Consent(ctx, u.ID, c.ID)
	testkit.Must(t, err)
	if len(got.Scopes) != racers || slices.Contains(got.Scopes, "openid") {
		t.Fatalf("%d scopes after %d consents: %v", len(got.Scopes), racers, got.Scopes)
	}
	want(t, s.db.AddConsent(ctx, &oauth.Consent{User: "nobody", Client: c.ID}), fault.NotFound)
}

func (s *suite) revocations(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	one, other := token(g, s.now), token(g, s.now)
	other.ID = "another"
	testkit.Must(t, s.db.Revoke(ctx, oauth.Revocation{
		Kind:  oauth.RevokeToken,
		ID:    one.ID,
		Until: s.now.Add(time.Hour),
	}, event(audit.TokenRevoked, u, s.now)))
	testkit.Equal(t, "the token revoked", s.db.Revoked(one), true)
	testkit.Equal(t, "another token revoked", s.db.Revoked(other), false)
	log, err := s.db.RevocationsSince(ctx, 0, 1000)
	testkit.Must(t, err)
	for i, r := range log {
		testkit.Equal(t, "sequence number", r.Seq, int64(i+1))
	}
}

// revokeAll covers the second in which a user's tokens are revoked.
func (s *suite) revokeAll(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	current, other := s.session(t, u), s.session(t, u)
	when := s.now.Add(500 * time.Millisecond)
	before := s.grant(u, c, "offline_access")
	testkit.Must(t, s.db.PutGrant(ctx, before))
	testkit.Must(t, s.db.EndUserAccess(ctx, u.ID, when, current.ID))
	if _, err := s.db.Session(ctx, current.ID, when); err != nil {
		t.Fatal(err)
	}
	_, err := s.db.Session(ctx, other.ID, when)
	want(t, err, fault.NotFound)
	testkit.Equal(t, "token issued in an earlier second", s.db.Revoked(token(before, s.now.Add(-time.Minute))), true)
	testkit.Equal(t, "token issued in the second before the revocation", s.db.Revoked(token(before, s.now)), true)
	testkit.Equal(
		t, "token of an old grant with a later time",
		s.db.Revoked(token(before, when.Add(100*time.Millisecond))), true,
	)
	after := s.grant(u, c)
	after.ID, after.CreatedAt = oauth.GrantID(secret.NewID(when.Add(time.Millisecond))), when.Add(time.Millisecond)
	testkit.Must(t, s.db.PutGrant(ctx, after))
	testkit.Equal(t, "token of a new sign-in in the same second", s.db.Revoked(token(after, after.CreatedAt)), false)
	testkit.Equal(t, "token issued later", s.db.Revoked(token(after, when.Add(time.Second))), false)
	testkit.Equal(
		t, "token of an old grant issued by a clock that is ahead",
		s.db.Revoked(token(before, when.Add(time.Minute))), true,
	)
	testkit.Equal(t, "token of an unknown kind of grant in the same second", s.db.Revoked(&oauth.AccessToken{
		User:     u.ID,
		Grant:    "g",
		IssuedAt: s.now,
	}), true)
	want(t, s.db.EndUserAccess(ctx, "nobody", when, ""), fault.NotFound)
}

// clientGrants lists and ends the grants of one client.
func (s *suite) clientGrants(t *testing.T) {
	ctx, c, other, u, v := t.Context(), s.client(t), s.client(t), s.user(t), s.user(t)
	mine, theirs, expired := s.grant(u, c), s.grant(v, c), s.grant(u, c)
	expired.ExpiresAt = s.now
	for _, g := range []*oauth.Grant{mine, theirs, expired, s.grant(u, other)} {
		testkit.Must(t, s.db.PutGrant(ctx, g))
	}
	count := func(user identity.UserID, limit, n int) {
		t.Helper()
		all, err := s.db.ClientGrants(ctx, c.ID, user, s.now, limit)
		testkit.Must(t, err)
		testkit.Equal(t, "grants", len(all), n)
	}
	count("", 9, 2)
	count("", 1, 1)
	count(u.ID, 9, 1)
	got, err := s.db.ClientGrant(ctx, c.ID, mine.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "user", got.User, u.ID)
	_, err = s.db.ClientGrant(ctx, other.ID, mine.ID, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.ClientGrant(ctx, c.ID, expired.ID, s.now)
	want(t, err, fault.NotFound)
	want(t, s.db.EndClientGrant(ctx, other.ID, mine.ID, s.now), fault.NotFound)
	testkit.Must(t, s.db.EndClientGrant(ctx, c.ID, mine.ID, s.now, event(audit.GrantRevoked, u, s.now)))
	want(t, s.db.EndClientGrant(ctx, c.ID, mine.ID, s.now), fault.NotFound)
	testkit.Equal(t, "revoked", s.db.Revoked(token(mine, s.now)), true)
	testkit.Equal(t, "the other's", s.db.Revoked(token(theirs, s.now)), false)
	count("", 9, 1)
}

func (s *suite) account(t *testing.T) {
	s.clientGrants(t)
	ctx, c, u, stranger := t.Context(), s.client(t), s.user(t), s.user(t)
	v := s.session(t, u)
	g := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, g))
	expired := s.grant(u, c)
	expired.ExpiresAt = s.now
	testkit.Must(t, s.db.PutGrant(ctx, expired))
	all, err := s.db.UserGrants(ctx, u.ID, s.now)
	testkit.Must(t, err)
	if len(all) != 1 || all[0].ID != g.ID {
		t.Fatalf("%d grants; want the one that has not expired", len(all))
	}
	want(t, s.db.EndUserGrant(ctx, stranger.ID, g.ID, s.now), fault.NotFound)
	want(t, s.db.EndUserSession(ctx, stranger.ID, v.ID, s.now, true), fault.NotFound)
	testkit.Must(t, s.db.EndUserGrant(ctx, u.ID, g.ID, s.now, event(audit.GrantRevoked, u, s.now)))
	want(t, s.db.EndUserGrant(ctx, u.ID, g.ID, s.now), fault.NotFound)
	testkit.Equal(t, "revoked", s.db.Revoked(token(g, s.now)), true)
	testkit.Must(t, s.db.EndUserSession(ctx, u.ID, v.ID, s.now, true))

	active := identity.NewSession(u.ID, nil, s.now.Add(time.Hour), time.Hour, identity.Browser{})
	testkit.Must(t, s.db.PutSession(ctx, secret.Hash(s.name("cookie")), active, identity.SessionTerms{}))
	stale, recent := s.grant(u, c, "offline_access"), s.grant(u, c)
	stale.ExpiresAt, recent.LastUsedAt = s.now.Add(9*time.Hour), s.now.Add(time.Hour)
	testkit.Must(t, s.db.PutGrant(ctx, stale))
	testkit.Must(t, s.db.PutGrant(ctx, recent))
	idle := s.session(t, u)
	n, err := s.db.EndInactiveSessions(ctx, u.ID, s.now.Add(time.Minute), s.now.Add(time.Hour))
	testkit.Must(t, err)
	testkit.Equal(t, "ended", n, 3) // idle, stale and the expired one
	testkit.Equal(t, "stale revoked", s.db.Revoked(token(stale, s.now)), true)
	testkit.Equal(t, "recent revoked", s.db.Revoked(token(recent, s.now)), false)
	_, err = s.db.Session(ctx, idle.ID, s.now)
	want(t, err, fault.NotFound)
	_, err = s.db.Session(ctx, active.ID, s.now)
	testkit.Must(t, err)
}
