package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

func TestFigureIsTheMedianOfItsPasses(t *testing.T) {
	pass := func(n int64, p99, cpu time.Duration) sample {
		return sample{Requests: n, Took: 2 * time.Second, P50: p99 / 2, P99: p99, CPU: cpu}
	}
	f := figureOf([]sample{pass(100, 10, 1000), pass(900, 90, 9000), pass(200, 20, 2000), pass(300, 30, 3000)})
	if f.Rate != 125 || f.P99 != 25 || f.P50 != 12 || f.CPU != 10 || f.Requests != 1500 {
		t.Errorf("%+v", f)
	}
	if f := figureOf(nil); f.Rate != 0 {
		t.Errorf("of nothing: %+v", f)
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, tc := range []struct {
		of   []int
		q    float64
		want int
	}{{nil, 0.5, 0}, {[]int{7}, 0.99, 7}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1}, {[]int{1, 2, 3}, 0.5, 2}} {
		if got := quantile(tc.of, tc.q); got != tc.want {
			t.Errorf("quantile %v of %d values: %d, want %d", tc.q, len(tc.of), got, tc.want)
		}
	}
}

func TestWriting(t *testing.T) {
	for got, want := range map[string]string{
		count(7.25): "7.2", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567",
		brief(0): "–", brief(850 * time.Microsecond): "850 µs", brief(1234 * time.Microsecond): "1.23 ms", brief(45 * time.Millisecond): "45 ms", brief(1500 * time.Millisecond): "1.50 s",
		mebibytes(40 << 20): "40 MiB", email(7): "user7@bench.example", fileName("refresh ES256, with ID token PostgreSQL"): "refresh-es256-with-id-token-postgresql",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

const wrkOutput = `Running 2s test @ http://127.0.0.1:8080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   612.13us    1.01ms  25.02ms   94.51%
    Req/Sec    71.91k     3.12k   78.75k    70.00%
  Latency Distribution
     50%  402.00us
     75%  619.00us
     90%    1.02ms
     99%    4.87ms
  143179 requests in 2.01s, 36.05MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 179
Requests/sec:  71232.87
Transfer/sec:     17.93MB
`

func TestParseWrk(t *testing.T) {
	s, err := parseWrk(wrkOutput)
	want := sample{Requests: 143000, Failed: 185, Took: 2010 * time.Millisecond, P50: 402 * time.Microsecond, P99: 4870 * time.Microsecond}
	if err != nil || s != want {
		t.Errorf("%+v, %v; want %+v", s, err, want)
	}
	if _, err := parseWrk("unable to connect to 127.0.0.1:1 Connection refused"); err == nil {
		t.Error("no error for no figures")
	}
}

func TestParseProc(t *testing.T) {
	stat := "4711 (a (strange) name) S 1 4711 4711 0 -1 4194304 900 0 0 0 250 30 0 0 20 0 9 0 123 4 5"
	if d, err := parseStat(stat); err != nil || d != 2800*time.Millisecond {
		t.Errorf("%v %v", d, err)
	}
	for _, bad := range []string{"", "1 (a) S 1", "1 (a) S 1 1 1 0 1 1 1 1 1 1 x 1 1"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
	if n := parseStatus("Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n", "VmRSS"); n != 10<<20 {
		t.Errorf("%d", n)
	}
}

// What PostgreSQL 15 logs while a refresh token is rotated, shortened, with another connection's
// work in between.
const pgLog = `@@3/7 LOG:  execute stmtcache_1: UPDATE grants SET refresh_hash = $1, last_used_at = $2
	WHERE id = $3 AND refresh_hash = $4
@@3/7 DETAIL:  parameters: $1 = 'NEWNEWNEWNEWNEWNEWNEWNEWNEWNEWNEWNEWNEWNEWN', $2 = '1790000000500', $3 = '019bf748-b540-7000-8000-0000000000ff', $4 = 'OLDOLDOLDOLDOLDOLDOLDOLDOLDOLDOLDOLDOLDOLDO'
@@5/1 LOG:  statement: SELECT 1
@@3/7 LOG:  execute stmtcache_2: INSERT INTO audit_log (id, at, reason, detail) VALUES ($1, $2, $3, $4)
@@3/7 DETAIL:  parameters: $1 = '01a2003c-97ea-7cb5-856e-f9edb57fe47b', $2 = '1790000000500', $3 = NULL, $4 = '{"who":"O''Brien, x"}'
@@3/8 LOG:  checkpoint starting: time
`

func TestStatementsOfARefresh(t *testing.T) {
	logged, err := ofRefresh(parseStatements(pgLog))
	if err != nil || len(logged) != 2 {
		t.Fatalf("%v %v", logged, err)
	}
	if got := logged[1].args; !slices.Equal(got, []string{"'01a2003c-97ea-7cb5-856e-f9edb57fe47b'", "'1790000000500'", "NULL", `'{"who":"O''Brien, x"}'`}) {
		t.Errorf("%q", got)
	}
	grant, former, next := rotatedIn(logged)
	if grant != "019bf748-b540-7000-8000-0000000000ff" || !strings.HasPrefix(former, "OLD") || !strings.HasPrefix(next, "NEW") {
		t.Errorf("%q %q %q", grant, former, next)
	}
	script := scriptOf(logged, map[string]string{grant: "ROW", former: "'" + next + "'"}, "EVENT", time.UnixMilli(1790000000000))
	for _, want := range []string{
		"\\startpipeline\nUPDATE grants", "WHERE id = ROW AND refresh_hash = 'NEWNEW", "AS BIGINT) + 500)", "VALUES (EVENT, ", "(NULL)",
		`('{"who"' || chr(58) || '"O''Brien, x"}'));` + "\n\\endpipeline\n",
	} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
	if _, err := ofRefresh(parseStatements("@@1/1 LOG:  statement: SELECT 1\n")); err == nil {
		t.Error("no error where nothing was rotated")
	}
}

// A transaction that the server itself begins and ends needs no pipeline.
func TestTransactionIsNoPipeline(t *testing.T) {
	logged := []statement{{"1/1", "begin", nil}, {"1/1", "UPDATE grants SET x = 1", nil}, {"1/1", "commit", nil}}
	if got := scriptOf(logged, nil, "", time.Now()); got != "begin;\nUPDATE grants SET x = 1;\ncommit;\n" {
		t.Errorf("%q", got)
	}
}

func TestParsePgbench(t *testing.T) {
	v, err := parsePgbench("latency average = 8.1 ms\ninitial connection time = 20 ms\ntps = 1898.123456 (without initial connection time)\n")
	if err != nil || v != 1898.123456 {
		t.Errorf("%v %v", v, err)
	}
}

func TestParseCost(t *testing.T) {
	c, err := parseCost("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5")
	if err != nil || c != (cost{19456, 2, 1}) {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := parseCost("$2b$10$x"); err == nil {
		t.Error("no error for bcrypt")
	}
}

func TestReadingAnswers(t *testing.T) {
	c := &wire{in: bufio.NewReader(strings.NewReader(
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" +
			"HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n3\r\nxyz\r\nA\r\n0123456789\r\n0\r\n\r\n" +
			"HTTP/1.1 303 See Other\r\nLocation: /\r\nContent-Length: 0\r\n\r\n" + "SMTP"))}
	for _, want := range []struct {
		status int
		body   string
	}{{200, "abc"}, {400, "xyz0123456789"}, {303, ""}} {
		status, body, err := c.read()
		if err != nil || status != want.status || string(body) != want.body {
			t.Errorf("%d %q %v, want %+v", status, body, err, want)
		}
	}
	if _, _, err := c.read(); err == nil {
		t.Error("no error at the end")
	}
}

func TestFamilyRotates(t *testing.T) {
	f := newFamily("c", "s", "gth_rt_AAAA")
	if err := f.rotate([]byte(`{"access_token":"x","refresh_token":"gth_rt_BBBB","scope":"read"}`)); err != nil || f.current() != "gth_rt_BBBB" {
		t.Errorf("%q %v", f.current(), err)
	}
	if !bytes.Contains(f.raw, []byte("refresh_token=gth_rt_BBBB")) {
		t.Errorf("%s", f.raw)
	}
	if err := f.rotate([]byte(`{"error":"invalid_grant"}`)); err == nil {
		t.Error("an error was taken for a successor")
	}
}

// The load generator and the bare server, against each other.
func TestDrivingTheBareServer(t *testing.T) {
	a := &answer{Status: 200, Header: http.Header{"X-Request-Id": {"abc"}, "Content-Type": {"application/json"}}, Body: []byte(`{"refresh_token":"gth_rt_BBBB"}`)}
	s := httptest.NewServer(bareHandler(a))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	probe := form("/oauth/token", "c", "s", "refresh_token", "gth_rt_AAAA")
	got, err := probe.expect(t.Context(), address, 200)
	if err != nil {
		t.Fatal(err)
	}
	got.Header.Del("Content-Length") // the recorded answer of a server has one
	if err := sameAnswer(a, got); err != nil {
		t.Error(err)
	}
	l := refreshes(2, []*family{newFamily("c", "s", "gth_rt_AAAA"), newFamily("c", "s", "gth_rt_CCCC")})
	for _, frozen := range []bool{true, false} {
		p, err := l.run(context.Background(), address, 50*time.Millisecond, frozen)
		if err != nil || p.Requests == 0 || p.Failed != 0 || p.P50 == 0 || p.P99 < p.P50 {
			t.Errorf("%+v %v", p, err)
		}
	}
	if now := l.workers(false)[0].(*refresher).families[0].current(); now != "gth_rt_BBBB" {
		t.Errorf("the chain is at %q", now)
	}
	once := singles(3, [][]byte{probe.raw(), probe.raw()}, nil)
	if p, err := once.run(t.Context(), address, time.Second, false); err != nil || p.Requests != 2 {
		t.Errorf("%+v %v", p, err)
	}
	wrong := cycles(1, [][]byte{probe.raw()}, 404)
	if p, err := wrong.run(t.Context(), address, 20*time.Millisecond, false); err == nil || p.Requests != 0 || p.Failed == 0 {
		t.Errorf("%+v %v", p, err)
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-quick", "-engines", "SQLite", "-rows", "jwks", "-out", ""})
	if err != nil || o.seconds != 2*time.Second || !slices.Equal(o.engines, []engine{sqlite}) || !o.wanted("JWKS") || o.wanted("discovery") || o.out != "" {
		t.Errorf("%+v %v", o, err)
	}
	for _, bad := range [][]string{{"-engines", "oracle"}, {"-rows", "("}, {"-seconds", "1ms"}, {"x"}, {"-users", "1"}} {
		if _, err := parseOptions(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestGoals(t *testing.T) {
	r := &result{Real: figure{Rate: 50, P50: 10, P99: 29}, Bare: figure{Rate: 100}, Ceiling: 60}
	for _, tc := range []struct {
		g    goal
		want bool
	}{{ofBare(0.5), true}, {ofBare(0.51), false}, {ofCeiling(0.83, "x"), true}, {ofCeiling(0.84, "x"), false}, {even(3), true}, {even(2), false}} {
		if got := tc.g.met(r); got != tc.want {
			t.Errorf("%s: %v", tc.g.text, got)
		}
	}
	r.Goals = []goal{ofBare(0.5), even(2)}
	if text, outcome := judge(r); outcome != "short" || text != "0.50 of bare; p99 < 2 × p50" {
		t.Errorf("%q %q", text, outcome)
	}
}

func TestTable(t *testing.T) {
	tab := table{{"µ", "b"}, {"xx", "y"}}
	if got := tab.aligned(); got != "µ   b\nxx  y\n" {
		t.Errorf("%q", got)
	}
	if got := tab.markdown(); got != "| µ | b |\n| --- | --- |\n| xx | y |\n" {
		t.Errorf("%q", got)
	}
}

func TestInsertText(t *testing.T) {
	if got := insertText("t", []string{"a", "b"}, 2); got != "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)" {
		t.Errorf("%q", got)
	}
}

// The gateway's yardstick, the upstream and the streams, against each other.
func TestStreamsThroughTheBareProxy(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(serveUpstream))
	defer behind.Close()
	proxy := httptest.NewServer(proxyHandler(strings.TrimPrefix(behind.URL, "http://")))
	defer proxy.Close()
	address := strings.TrimPrefix(proxy.URL, "http://")
	a, err := get(benchPrefix+"/"+thing, bearer("x")).expect(t.Context(), address, http.StatusOK)
	if err != nil || string(a.Body) != thingBody {
		t.Fatalf("%+v %v", a, err)
	}
	for _, up := range []bool{false, true} {
		l := newStreams([][2]string{bearer("x")}, up)
		if s, err := l.run(t.Context(), address, 50*time.Millisecond, false); err != nil || s.Requests == 0 || s.Failed != 0 || s.P99 < s.P50 {
			t.Errorf("upload %v: %+v %v", up, s, err)
		}
	}
	lost := newStreams(nil, false)
	lost.request.Path = "/nothing"
	if s, err := lost.run(t.Context(), address, 50*time.Millisecond, false); err == nil || s.Requests != 0 || s.Failed == 0 {
		t.Errorf("%+v %v", s, err)
	}
	short := newStreams(nil, false)
	short.size++
	if _, err := short.run(t.Context(), address, 50*time.Millisecond, false); err == nil {
		t.Error("a body that is too short was taken for a whole one")
	}
}

// The server reads the same file.
func TestRoutesFile(t *testing.T) {
	f, err := access.ReadFile([]byte(routesFile(3, "127.0.0.1:8000")))
	if err != nil || len(f.Routes) != 3 {
		t.Fatalf("%+v %v", f, err)
	}
	if r := f.Routes[0]; r.Prefix != benchPrefix || !slices.Equal(r.Upstreams, []string{"http://127.0.0.1:8000"}) || !slices.Equal(r.Scopes, []string{"read"}) {
		t.Errorf("%+v", r)
	}
}

func TestRouteMatch(t *testing.T) {
	m, err := newMatching(20)
	if err != nil {
		t.Fatal(err)
	}
	logged := map[uint16]int{}
	for _, i := range m.order {
		logged[i]++
	}
	if len(logged) != 20 || logged[0] != manyRoutes/20 || logged[19] != manyRoutes/20 {
		t.Errorf("%d routes are matched", len(logged))
	}
	if ns, err := m.time(1000); err != nil || ns <= 0 {
		t.Errorf("%v %v", ns, err)
	}
	m.order[3] = 20
	if _, err := m.time(1000); err == nil {
		t.Error("no error where a route was not found")
	}
	if f, err := routeMatch(t.Context(), 1, 1000); err != nil || len(f) != 1 || !strings.Contains(f[0].value, "times: ") {
		t.Errorf("%+v %v", f, err)
	}
}

func TestRowsOfAnEngine(t *testing.T) {
	list := []row{{name: "a"}, {name: "b", only: sqlite}}
	if got := ofEngine(list, postgres); len(got) != 1 || got[0].name != "a" || len(ofEngine(list, sqlite)) != 2 || list[1].name != "b" {
		t.Errorf("%+v", got)
	}
}

func TestGatewaySection(t *testing.T) {
	r := &report{bench: &bench{}, results: []result{
		{
			Row: row{name: "down", routes: 10, megabytes: 100}, Engine: sqlite, Real: figure{Rate: 18}, Bare: figure{Rate: 20}, Proxy: true,
			Idle: 40 << 20, Memory: 50 << 20, Peak: 60 << 20, Goals: []goal{ofProxy(0.9), beside(20 << 20)},
		},
		{Row: row{name: "JWKS"}, Engine: sqlite, Real: figure{Rate: 9}},
	}}
	got := r.gatewayTable()
	want := []string{"down", "SQLite", "1,800 MB", "–", "–", "–", "50 MiB (60; 40)", "bare proxy", "2,000 MB", "–", "0.90", "0.90 of bare proxy; at most 20 MiB above idle", "met"}
	if len(got) != 2 || !slices.Equal(got[1], want) {
		t.Errorf("%q", got)
	}
	if got := r.resultTable(); len(got) != 2 || got[1][0] != "JWKS" {
		t.Errorf("%q", got)
	}
	r.results[0].Peak++
	if _, outcome := judge(&r.results[0]); outcome != "short" {
		t.Error("too much memory is no shortfall")
	}
	if text := section("Gateway", "about", []table{got, {{"no rows"}}}); !strings.HasPrefix(text, "## Gateway\n\nabout| work |") || strings.Contains(text, "no rows") {
		t.Errorf("%s", text)
	}
	if text := section("Gateway", "about", []table{{{"no rows"}}}); text != "" {
		t.Errorf("%s", text)
	}
}

// The statistic finds a shift, and none where there is none.
func TestRankSum(t *testing.T) {
	var a, shifted []time.Duration
	for i := range 200 {
		a, shifted = append(a, time.Duration(i*7%200)), append(shifted, time.Duration(i*7%200+60))
	}
	if z := rankSum(a, a); z != 0 {
		t.Errorf("the same values differ by %f", z)
	}
	if z := rankSum(a, shifted); z > -5 {
		t.Errorf("a shift gives %f", z)
	}
}

// A client of the measurement of handovers counts what it is answered, and notices a connection
// that was closed meanwhile.
func TestHandoverLoad(t *testing.T) {
	served := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served++
		switch r.URL.Path {
		case pathToken:
			_, _ = io.WriteString(w, `{"access_token":"a","refresh_token":"r"}`)
		case pathIntrospect:
			_, _ = fmt.Fprintf(w, `{"active":%t}`, served < 5)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	l := &handoverLoad{address: address, left: 6, byKind: map[string]*counter{}}
	l.run(t.Context(), []*family{newFamily("c", "s", "r")})
	if got := l.byKind[handoverKinds()[0].name]; len(got.times) != 5 || got.failed != 1 || l.failed != 1 {
		t.Errorf("%+v %v", got, l.errs)
	}
	d := newDirect(address, false, true)
	for range 2 {
		if status, _, err := d.do(t.Context(), get("/")); status != http.StatusOK {
			t.Fatal(status, err)
		}
		server.CloseClientConnections()
	}
}
