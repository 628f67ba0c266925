package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// A load drives a server for a while. Frozen is said where the server is the bare one.
type load interface {
	run(ctx context.Context, address string, d time.Duration, frozen bool) (sample, error)
}

// A row is one kind of work that is measured on each engine.
type row struct {
	name     string
	settings []string // of the server, beyond the usual ones
	plan     func(ctx context.Context, st *stage) (plan, error)
	goals    func(e engine) []goal

	routes    int     // of the gateway, which is what the row is about; 0: it is about something else
	only      engine  // the one that it is measured on, or "" for each
	fresh     bool    // the server is started anew, and its memory looked at while it has nothing to do
	megabytes float64 // of one unit of work, where that is what counts
}

// A plan is how a row is measured.
type plan struct {
	load    load
	probe   request // one request of the load, whose answer the bare server repeats
	status  int     // of that answer
	noBare  bool    // the answers differ, so the bare server cannot repeat them
	ceiling *ceiling

	// yardstick starts what the real server is compared with; nil: the bare server, which repeats
	// its answer.
	yardstick func(ctx context.Context) (*server, error)
}

// A ceiling is what the machine can do of the one thing that bounds a row.
type ceiling struct {
	name    string
	measure func(ctx context.Context, d time.Duration) (rate float64, err error)
}

// A goal is what a row must reach.
type goal struct {
	text   string
	bound  float64
	most   bool // at most, not at least
	actual func(r *result) float64
}

func (g goal) met(r *result) bool {
	v := g.actual(r)
	if g.most {
		return v <= g.bound
	}
	return v >= g.bound
}

// ofBare asks for a part of what the bare server does.
func ofBare(least float64) goal {
	return goal{fmt.Sprintf("%.2f of bare", least), least, false, func(r *result) float64 { return ratio(r.Real.Rate, r.Bare.Rate) }}
}

// ofCeiling asks for a part of what the machine can do.
func ofCeiling(least float64, name string) goal {
	return goal{fmt.Sprintf("%.2f of %s", least, name), least, false, func(r *result) float64 { return ratio(r.Real.Rate, r.Ceiling) }}
}

// even asks for latencies that do not scatter.
func even(times float64) goal {
	return goal{fmt.Sprintf("p99 < %.0f × p50", times), times, true, func(r *result) float64 { return ratio(float64(r.Real.P99), float64(r.Real.P50)) }}
}

func always(goals ...goal) func(engine) []goal { return func(engine) []goal { return goals } }

// on sets goals for one engine only.
func on(e engine, goals ...goal) func(engine) []goal {
	return func(of engine) []goal {
		if of == e {
			return goals
		}
		return nil
	}
}

// ofEngine leaves out what is measured on another engine.
func ofEngine(list []row, e engine) []row {
	return slices.DeleteFunc(slices.Clone(list), func(r row) bool { return r.only != "" && r.only != e })
}

// rows lists what is measured. Rows with the same settings share a server.
func rows() []row {
	list := []row{
		{name: "discovery", plan: static(get(pathDiscovery)), goals: always(ofBare(0.85))},
		{name: "JWKS", plan: static(get(pathKeys)), goals: always(ofBare(0.85))},
		{name: "introspection, user's JWT seen before", plan: introspection(true), goals: always(ofBare(0.5))},
		{name: "introspection, client's JWT seen before", plan: introspection(false), goals: always(ofBare(0.5))},
		{name: "tokeninfo", plan: withToken(pathTokenInfo), goals: always(ofBare(0.5))},
		{name: "userinfo", plan: withToken(pathUserInfo), goals: always(ofBare(0.4))},
		{name: "client credentials RS256", plan: credentials("RS256"), goals: always(ofCeiling(0.85, "RSA signing"), even(3))},
		{name: "client credentials ES256", plan: credentials("ES256"), goals: on(sqlite, ofBare(0.15))},
		{name: "client credentials EdDSA", plan: credentials("EdDSA")},
		{name: "refresh ES256", plan: refreshing(scopesAPI), goals: refreshGoals},
		{name: "refresh ES256 with ID token", plan: refreshing(scopesPerson), goals: refreshGoals},
		{name: "code exchange ES256 with ID token", plan: exchanging},
		{name: "device poll, pending", plan: polling},
		{name: "password login", plan: signingIn, goals: always(ofCeiling(0.9, "argon2id"))},
		{name: "passkey sign-in", plan: passkeySignIn, goals: always(ofCeiling(0.5, passkeyFloorName))},
	}
	if hasSetting(settingIssuance) {
		aggregate := []string{settingIssuance + "=aggregate"}
		list = append(list,
			row{name: "client credentials ES256, audited in aggregate", settings: aggregate, plan: credentials("ES256"), goals: always(ofBare(0.3))},
			row{name: "client credentials EdDSA, audited in aggregate", settings: aggregate, plan: credentials("EdDSA")},
			row{name: "client credentials RS256, audited in aggregate", settings: aggregate, plan: credentials("RS256"), goals: always(ofCeiling(0.85, "RSA signing"), even(3))},
		)
	}
	return append(append(list, pageRows()...), gatewayRows()...)
}

func refreshGoals(e engine) []goal {
	if e == sqlite {
		return []goal{ofBare(0.08)}
	}
	return []goal{ofCeiling(0.5, pgbenchName)}
}

// static returns a request that never changes, driven by wrk.
func static(r request) func(context.Context, *stage) (plan, error) {
	return func(_ context.Context, st *stage) (plan, error) { return st.byWrk(r), nil }
}

// byWrk returns the plan of one request that is sent again and again, and whose answer is 200.
func (st *stage) byWrk(r request) plan {
	return plan{load: wrkLoad{r, st.connections, st.dir}, probe: r, status: http.StatusOK}
}

func introspection(user bool) func(context.Context, *stage) (plan, error) {
	return func(ctx context.Context, st *stage) (plan, error) {
		token := ""
		if user {
			t, err := st.tokens(ctx, 1, scopesPerson)
			if err != nil {
				return plan{}, err
			}
			token = t[0].access
		} else {
			a, err := st.credentials("ES256").expect(ctx, st.server.address, http.StatusOK)
			if err != nil {
				return plan{}, err
			}
			token = string(member(a.Body, "access_token"))
		}
		return st.byWrk(st.form(pathIntrospect, "token", token)), nil
	}
}

func withToken(path string) func(context.Context, *stage) (plan, error) {
	return func(ctx context.Context, st *stage) (plan, error) {
		t, err := st.tokens(ctx, 1, scopesPerson)
		if err != nil {
			return plan{}, err
		}
		return st.byWrk(get(path, bearer(t[0].access))), nil
	}
}

// form returns a POST by the client that signs with ES256.
func (st *stage) form(path string, fields ...string) request {
	id := clientID("ES256")
	return form(path, id, st.world.clients[id], fields...)
}

func (st *stage) credentials(alg string) request {
	id := clientID(alg)
	return form(pathToken, id, st.world.clients[id], "grant_type", client.GrantTypeClient, "scope", "read")
}

func credentials(alg string) func(context.Context, *stage) (plan, error) {
	return func(_ context.Context, st *stage) (plan, error) {
		p := st.byWrk(st.credentials(alg))
		if alg == "RS256" {
			p.ceiling = &ceiling{"RSA signing", rsaRate}
		}
		return p, nil
	}
}

// familiesEach is how many refresh chains a connection rotates one after the other, so that rows
// and pages differ from one request to the next.
const familiesEach = 64

func refreshing(scopes string) func(context.Context, *stage) (plan, error) {
	return func(ctx context.Context, st *stage) (plan, error) {
		families, err := st.families(ctx, st.connections*familiesEach+1, scopes)
		if err != nil {
			return plan{}, err
		}
		last := families[len(families)-1]
		p := plan{
			load:   refreshes(st.connections, families[:len(families)-1]),
			probe:  st.form(pathToken, "grant_type", client.GrantTypeRefresh, "refresh_token", last.current()),
			status: http.StatusOK,
		}
		if st.world.engine == postgres {
			spare, err := st.families(ctx, 1, scopes)
			if err != nil {
				return plan{}, err
			}
			if p.ceiling, err = st.pgbench(ctx, spare[0]); err != nil {
				return plan{}, fmt.Errorf("pgbench: %w", err)
			}
		}
		return p, nil
	}
}

// codesASecond bounds how many codes a pass can use up: far more than any server here has redeemed.
const codesASecond = 6000

func exchanging(ctx context.Context, st *stage) (plan, error) {
	// One for the probe; the others for the warming up and the passes.
	n := int((st.seconds+st.warmUp()).Seconds()*codesASecond) + 1
	requests, err := st.codes(ctx, n, scopesPerson)
	if err != nil {
		return plan{}, err
	}
	id := clientID("ES256")
	probe := requests[0]
	return plan{
		load:   singles(st.connections, requests[1:], nil),
		probe:  form(pathToken, id, st.world.clients[id], fieldsOf(probe)...),
		status: http.StatusOK,
	}, nil
}

// fieldsOf returns the names and values of a form as they are on the wire, decoded.
func fieldsOf(raw []byte) []string {
	var out []string
	body := string(raw[lastLine(raw):])
	values, _ := url.ParseQuery(body) // written by form
	for name, v := range values {
		out = append(out, name, v[0])
	}
	return out
}

func lastLine(raw []byte) int {
	for i := len(raw) - 1; i >= 0; i-- {
		if raw[i] == '\n' {
			return i + 1
		}
	}
	return 0
}

// devices that wait at once; the store itself allows 20,000.
const devices = 2000

func polling(ctx context.Context, st *stage) (plan, error) {
	polls, err := st.world.makeDevices(ctx, devices)
	if err != nil {
		return plan{}, err
	}
	return plan{
		load:  cycles(st.connections, polls, http.StatusBadRequest),
		probe: st.form(pathToken, fieldsOf(polls[0])...), status: http.StatusBadRequest,
	}, nil
}

// signingIn returns the exchanges of a sign-in: the page, then the form, which creates a session.
func signingIn(_ context.Context, st *stage) (plan, error) {
	users := min(st.world.size, 1000)
	return plan{load: st.logins(users), noBare: true, ceiling: &ceiling{"argon2id", argonRate}}, nil
}

// logins signs so many users in, spread over all.
func (st *stage) logins(users int) driveLoad {
	var requests [][]byte
	page := get(pathLogin, [2]string{"User-Agent", userAgent}).raw()
	for i := range users {
		post := form(pathLogin, "", "", "username", email(i*(st.world.size/users)), "password", password)
		post.Header = append(post.Header, [2]string{"User-Agent", userAgent})
		requests = append(requests, page, post.raw())
	}
	return cycles(st.connections, requests, http.StatusOK, http.StatusSeeOther)
}
