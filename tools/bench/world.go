package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

const (
	password    = "Correct-Horse-17-Battery"
	redirectURI = "https://app.example/callback"
	userAgent   = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	address4    = "192.0.2.10" // TEST-NET-1
)

// Scopes of the grants: of an application that only calls an API, and of one that also signs a
// person in.
const (
	scopesAPI    = "read offline_access"
	scopesPerson = "openid profile email offline_access"
)

// A world is a database with clients, users and grants in it, and what is needed to speak for them.
type world struct {
	engine engine
	url    string
	keys   *secret.Keys
	size   int // users and grants
	begin  time.Time
	pace   time.Duration // between the making of two users

	clients map[string]string // id → secret
	// Rows that the store has written, to be copied: a user, a grant, a session, codes by scopes
	// and a device.
	user, grant, session, device string
	codes                        map[string]template
}

// template is a code that was stored with certain ids in it.
type template struct{ hash, grant, user string }

// Clients are named after the signature of their tokens.
func clientID(alg string) string { return "bench-" + strings.ToLower(alg) }

// newWorld migrates a database and fills it with clients, and users and grants of the given number.
func (b *bench) newWorld(ctx context.Context, e engine, url string, size int) (*world, error) {
	keys, err := secret.NewKeys(b.masterKey)
	if err != nil {
		return nil, err
	}
	const age = 300 * 24 * time.Hour // the first users came so long ago
	w := &world{
		engine: e, url: url, keys: keys, size: size, begin: time.Now().Add(-age).Truncate(time.Second),
		pace: max(age/time.Duration(size), time.Millisecond).Truncate(time.Millisecond), clients: map[string]string{}, codes: map[string]template{},
	}
	db, err := store.Open(ctx, store.Options{URL: url})
	if err != nil {
		return nil, err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := errors.Join(w.originals(ctx, db), db.Close()); err != nil {
		return nil, err
	}
	return w, w.populate(ctx)
}

// originals stores one of each kind by the store's own methods.
func (w *world) originals(ctx context.Context, db *store.DB) error {
	now := time.Now()
	if err := db.CreateScope(ctx, &oauth.Scope{Name: "read", Description: "read what there is", CreatedAt: now}); err != nil {
		return err
	}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		if err := w.putClient(ctx, db, alg, now); err != nil {
			return err
		}
	}
	u, err := w.putUser(ctx, db, now)
	if err != nil {
		return err
	}
	s := identity.NewSession(u, []string{"pwd"}, now, 7*24*time.Hour, identity.Browser{IP: address4, Agent: userAgent})
	w.session = string(s.ID)
	if err := db.PutSession(ctx, w.keys.Hash(secret.NewToken(secret.PrefixSession)), s, identity.SessionTerms{}); err != nil {
		return err
	}
	g := newGrant(u, s.ID, scopesPerson, now)
	g.RefreshHash, g.PrevHash, g.RotatedAt = w.keys.Hash("refresh"), w.keys.Hash("before"), now
	g.ExpiresAt, g.AbsoluteEnd = now.Add(30*24*time.Hour), now.Add(365*24*time.Hour)
	w.grant = string(g.ID)
	if err := db.PutGrant(ctx, g); err != nil {
		return err
	}
	for _, scopes := range []string{scopesAPI, scopesPerson} {
		if err := w.putCode(ctx, db, newGrant(u, s.ID, scopes, now), scopes); err != nil {
			return err
		}
	}
	device := w.keys.Hash(secret.NewToken(secret.PrefixDeviceCode))
	w.device = string(device)
	return db.PutDevice(ctx, &oauth.Device{
		Hash: device, UserCode: "BENCHCDE", Client: client.ID(clientID("ES256")), Scopes: strings.Fields(scopesPerson), State: oauth.DevicePending,
		Interval: 5 * time.Second, IP: address4, Agent: "bench", CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
	})
}

func (w *world) putClient(ctx context.Context, db *store.DB, alg string, now time.Time) error {
	id, plain := clientID(alg), secret.NewToken(secret.PrefixClientSecret)
	w.clients[id] = plain
	return db.CreateClient(ctx, &client.Client{
		ID: client.ID(id), Name: "Measured by " + alg, AuthMethod: "client_secret_basic", Alg: alg,
		Grants:    []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeClient, client.GrantTypeDevice},
		Redirects: []string{redirectURI}, Scopes: strings.Fields("read " + scopesPerson), FirstParty: true,
		Secrets:   []client.Secret{{ID: secret.NewID(now), Hash: w.keys.Hash(plain), CreatedAt: now}},
		CreatedAt: now, UpdatedAt: now,
	}, audit.Event{At: now, Type: audit.ClientCreated, Client: id})
}

// putUser stores an administrator, without whom every start makes a set-up link, and the user that
// is copied.
func (w *world) putUser(ctx context.Context, db *store.DB, now time.Time) (identity.UserID, error) {
	hash, err := secret.NewPasswords(1, 1).Hash(ctx, password)
	if err != nil {
		return "", err
	}
	u := &identity.User{
		ID: identity.UserID(secret.NewID(now)), Email: "admin@bench.example", EmailVerified: true, Name: "Admin", Roles: []string{identity.RoleAdmin},
		PasswordHash: hash, PasswordChangedAt: now, CreatedAt: now, UpdatedAt: now,
	}
	if err := db.CreateUser(ctx, u); err != nil {
		return "", err
	}
	u.ID, u.Email, u.Name, u.Roles = identity.UserID(secret.NewID(now)), "model@bench.example", "Ada Lovelace", []string{"staff"}
	u.GivenName, u.FamilyName, u.Locale, u.Zoneinfo = "Ada", "Lovelace", "en", "Europe/Zurich"
	w.user = string(u.ID)
	return u.ID, db.CreateUser(ctx, u)
}

func (w *world) putCode(ctx context.Context, db *store.DB, g *oauth.Grant, scopes string) error {
	hash := w.keys.Hash(secret.NewToken(secret.PrefixCode))
	w.codes[scopes] = template{string(hash), string(g.ID), string(g.User)}
	return db.PutCode(ctx, hash, &oauth.Code{Grant: *g, RedirectURI: redirectURI, Nonce: "n-0S6_WzA2Mj", ExpiresAt: g.CreatedAt.Add(24 * time.Hour)})
}

func newGrant(u identity.UserID, s identity.SessionID, scopes string, now time.Time) *oauth.Grant {
	return &oauth.Grant{
		ID: oauth.GrantID(secret.NewID(now)), Client: client.ID(clientID("ES256")), User: u, Session: s, Kind: client.GrantTypeCode,
		Scopes: strings.Fields(scopes), AuthTime: now, AMR: []string{"pwd"}, ACR: identity.ACR1, IP: address4, Agent: userAgent,
		CreatedAt: now, LastUsedAt: now,
	}
}

// Kinds of rows, as they stand in the fourth group of the ids that we make.
const (
	kindUser    = "8000"
	kindGrant   = "9000"
	kindSession = "a000"
	kindHot     = "b000" // grants whose tokens we hold
)

// id returns the UUIDv7 of the i-th row of a kind, in order of time, as the server creates them.
func (w *world) id(kind string, i int) string {
	ms := w.begin.UnixMilli() + int64(i)*w.pace.Milliseconds()
	return fmt.Sprintf("%08x-%04x-7000-%s-%012x", ms>>16, ms&0xffff, kind, i)
}

// idText returns the same as an SQL expression over seq.n, or over another expression.
func (w *world) idText(kind string, over ...string) string {
	n := strings.Join(append(over, "seq.n")[:1], "")
	ms := fmt.Sprintf("(%d + %s * %d)", w.begin.UnixMilli(), n, w.pace.Milliseconds())
	if w.engine == postgres {
		return fmt.Sprintf("lpad(to_hex(%[1]s >> 16), 8, '0') || '-' || lpad(to_hex(%[1]s & 65535), 4, '0') || '-7000-%[2]s-' || lpad(to_hex(%[3]s), 12, '0')", ms, kind, n)
	}
	return fmt.Sprintf("printf('%%08x-%%04x-7000-%[2]s-%%012x', %[1]s >> 16, %[1]s & 65535, %[3]s)", ms, kind, n)
}

// timeText returns the SQL expression of the time when row seq.n was created, in milliseconds.
func (w *world) timeText() string {
	return fmt.Sprintf("(%d + seq.n * %d)", w.begin.UnixMilli(), w.pace.Milliseconds())
}

// hashText returns a fresh value of the size of a keyed hash.
func (w *world) hashText() string {
	if w.engine == postgres {
		return "md5(CAST(random() AS TEXT)) || substr(md5(CAST(seq.n AS TEXT)), 1, 11)"
	}
	return "substr(lower(hex(randomblob(22))), 1, 43)"
}

// email returns the email address of the i-th user.
func email(i int) string { return fmt.Sprintf("user%d@bench.example", i) }

// indexedFrom is the number of rows from which it is worth while to make the indexes afterwards.
const indexedFrom = 100_000

// populate makes the users and the grants.
func (w *world) populate(ctx context.Context) error {
	l, err := openLoader(ctx, w.engine, w.url, true)
	if err != nil {
		return err
	}
	name := "'user' || seq.n || '@bench.example'"
	load := func(table, key string, own map[string]string) error {
		fill := func() error { return l.clone(ctx, table, "id", key, w.size, own) }
		if w.size < indexedFrom {
			return fill()
		}
		return l.withoutIndexes(ctx, table, fill)
	}
	err = load("users", w.user, map[string]string{
		"id": w.idText(kindUser), "email": name, "email_key": name, "search_key": name, "created_at": w.timeText(), "updated_at": w.timeText(),
	})
	if err == nil {
		err = load("grants", w.grant, map[string]string{
			"id": w.idText(kindGrant), "user_id": w.idText(kindUser), "session_id": w.idText(kindSession), "refresh_hash": w.hashText(),
			"prev_hash": w.hashText(), "created_at": w.timeText(), "last_used_at": w.timeText(),
			"expires_at": fmt.Sprintf("(%s + %d)", w.timeText(), (366 * 24 * time.Hour).Milliseconds()),
		})
	}
	return errors.Join(err, l.close(ctx))
}

// makeCodes stores n codes, ready to be redeemed, and gives their redemptions as they go over the
// wire. Their grants are spread evenly over the users, and by their ids over the grants: a code
// gets the grant id after the one of its user.
func (w *world) makeCodes(ctx context.Context, n int, scopes string, serial int) ([][]byte, error) {
	l, err := openLoader(ctx, w.engine, w.url, false)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	t := w.codes[scopes]
	_, row, err := l.template(ctx, "codes", "hash", t.hash)
	if err != nil {
		return nil, err
	}
	data := ""
	for _, v := range row {
		if s, ok := v.(string); ok && strings.HasPrefix(s, "{") {
			data = s
		}
	}
	id, requests := clientID("ES256"), make([][]byte, n)
	err = l.copies(ctx, "codes", "hash", t.hash, n, func(i int) map[string]any {
		at := int(int64(i) * int64(w.size) / int64(n))
		code := secret.NewToken(secret.PrefixCode)
		grant := fmt.Sprintf("%s-%04x%08x", w.id(kindHot, at)[:23], serial, i)
		requests[i] = form(pathToken, id, w.clients[id], "grant_type", client.GrantTypeCode, "code", code, "redirect_uri", redirectURI).raw()
		return map[string]any{
			"hash": string(w.keys.Hash(code)), "grant_id": grant,
			"data": strings.NewReplacer(t.grant, grant, t.user, w.id(kindUser, at)).Replace(data),
		}
	})
	return requests, err
}

// makeDevices stores n devices that wait for their person, and gives their polls. They may be
// polled at any pace.
func (w *world) makeDevices(ctx context.Context, n int) ([][]byte, error) {
	l, err := openLoader(ctx, w.engine, w.url, false)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	id, polls := clientID("ES256"), make([][]byte, n)
	err = l.copies(ctx, "devices", "hash", w.device, n, func(i int) map[string]any {
		code := secret.NewToken(secret.PrefixDeviceCode)
		polls[i] = form(pathToken, id, w.clients[id], "grant_type", client.GrantTypeDevice, "device_code", code).raw()
		return map[string]any{"hash": string(w.keys.Hash(code)), "user_code": fmt.Sprintf("BENCH%07d", i), "interval_ms": int64(0)}
	})
	return polls, err
}

// makeSessions signs n browsers in and gives their cookies.
func (w *world) makeSessions(ctx context.Context, n int) ([]string, error) {
	l, err := openLoader(ctx, w.engine, w.url, false)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	cookies := make([]string, n)
	err = l.copies(ctx, "sessions", "id", w.session, n, func(i int) map[string]any {
		cookies[i] = secret.NewToken(secret.PrefixSession)
		return map[string]any{
			"id": fmt.Sprintf("%s-%012x", w.id(kindSession, i%w.size)[:23], i), "hash": string(w.keys.Hash(cookies[i])), "user_id": w.id(kindUser, i%w.size),
		}
	})
	return cookies, err
}
