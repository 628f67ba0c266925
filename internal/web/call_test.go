package web_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

func request(method, target, kind, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	return r
}

// RFC 6749 §3.1, §3.2: where parameters come from, and what becomes of repeats and empty ones.
func TestParseCall(t *testing.T) {
	all := web.FromQuery | web.FromForm | web.FromJSON
	for name, c := range map[string]struct {
		r    *http.Request
		from web.Bodies
		want url.Values // nil: refused
	}{
		"query of a GET":             {request("GET", "/?a=1&b=x+y", "", ""), all, url.Values{"a": {"1"}, "b": {"x y"}}},
		"query of a HEAD":            {request("HEAD", "/?a=1", "", ""), all, url.Values{"a": {"1"}}},
		"query where none is read":   {request("GET", "/?a=1", "", ""), web.FromForm, url.Values{}},
		"body of a GET is not read":  {request("GET", "/?a=1", formType, "b=2"), all, url.Values{"a": {"1"}}},
		"form":                       {request("POST", "/", formType, "a=1&b=%C3%BC"), all, url.Values{"a": {"1"}, "b": {"ü"}}},
		"form with a charset":        {request("POST", "/", formType+"; charset=UTF-8", "a=1"), all, url.Values{"a": {"1"}}},
		"form in capitals":           {request("POST", "/", "Application/X-WWW-Form-Urlencoded", "a=1"), all, url.Values{"a": {"1"}}},
		"form beside another query":  {request("POST", "/?x=1", formType, "a=1"), all, url.Values{"a": {"1"}}},
		"nothing at all":             {request("POST", "/", "", ""), all, url.Values{}},
		"empty form":                 {request("POST", "/", formType, ""), all, url.Values{}},
		"empty value is left out":    {request("POST", "/", formType, "a=&b=1"), all, url.Values{"b": {"1"}}},
		"resource may repeat":        {request("POST", "/", formType, "resource=a&resource=b&resource="), all, url.Values{"resource": {"a", "b"}}},
		"JSON":                       {request("POST", "/", jsonType, `{"a":"1","b":2,"c":true,"d":null}`), all, url.Values{"a": {"1"}, "b": {"2"}, "c": {"true"}}},
		"JSON with a charset":        {request("POST", "/", jsonType+"; charset=utf-8", `{}`), all, url.Values{}},
		"repeat in the query":        {request("GET", "/?a=1&a=1", "", ""), all, nil},
		"repeat in the form":         {request("POST", "/", formType, "a=1&a=2"), all, nil},
		"repeat of an empty one":     {request("POST", "/", formType, "a=&a=2"), all, nil},
		"repeat by escapes":          {request("POST", "/", formType, "a=1&%61=2"), all, nil},
		"semicolons":                 {request("POST", "/", formType, "a=1;b=2"), all, url.Values{"a": {"1;b=2"}}},
		"semicolons in the address":  {request("GET", "/?state=a;b&utm=%3B;", "", ""), all, url.Values{"state": {"a;b"}, "utm": {";;"}}},
		"secret with a semicolon":    {request("POST", "/?client_secret=a;b", formType, "a=1"), all, nil},
		"bad escape":                 {request("POST", "/", formType, "a=%zz"), all, nil},
		"bad escape in the address":  {request("GET", "/?a=%zz&b=%41", "", ""), all, url.Values{"a": {"%zz"}, "b": {"A"}}},
		"repeat with a bad escape":   {request("GET", "/?a=1&a=%", "", ""), all, nil},
		"secret with a bad escape":   {request("POST", "/?client_secret=%zz", formType, "a=1"), all, nil},
		"value not UTF-8":            {request("POST", "/", formType, "a=%ff"), all, nil},
		"name not UTF-8":             {request("POST", "/", formType, "%ff=a"), all, nil},
		"NUL":                        {request("POST", "/", formType, "a=x%00y"), all, nil},
		"too many":                   {request("POST", "/", formType, strings.Repeat("a&", 64)), all, nil},
		"JSON where none is read":    {request("POST", "/", jsonType, `{"a":"1"}`), web.FromForm, nil},
		"form where none is read":    {request("POST", "/", formType, `a=1`), web.FromJSON, nil},
		"multipart":                  {request("POST", "/", "multipart/form-data; boundary=x", "--x--"), all, nil},
		"text":                       {request("POST", "/", "text/plain", "a=1"), all, nil},
		"no body of any type":        {request("POST", "/", "text/plain;charset=UTF-8", ""), all, url.Values{}},
		"no body, no content type":   {request("POST", "/", "", ""), all, url.Values{}},
		"no content type":            {request("POST", "/", "", "a=1"), all, nil},
		"content type unreadable":    {request("POST", "/", ";;;", "a=1"), all, nil},
		"client_secret in address":   {request("POST", "/?client_secret=x", formType, "a=1"), all, nil},
		"code in the address":        {request("POST", "/?code=x", formType, "a=1"), all, nil},
		"an empty one in address":    {request("POST", "/?token", formType, "a=1"), all, nil},
		"password in address":        {request("POST", "/?password=x", jsonType, "{}"), all, nil},
		"JSON repeat":                {request("POST", "/", jsonType, `{"a":"1","a":"2"}`), all, nil},
		"JSON repeat by escapes":     {request("POST", "/", jsonType, `{"a":"1","\u0061":"2"}`), all, nil},
		"JSON repeat of null":        {request("POST", "/", jsonType, `{"a":null,"a":"2"}`), all, nil},
		"JSON repeat of no resource": {request("POST", "/", jsonType, `{"resource":[],"resource":["a"]}`), all, nil},
		"JSON nested":                {request("POST", "/", jsonType, `{"a":{"b":"c"}}`), all, nil},
		"JSON list":                  {request("POST", "/", jsonType, `{"a":["b"]}`), all, nil},
		"JSON resources":             {request("POST", "/", jsonType, `{"resource":["a","b"]}`), all, url.Values{"resource": {"a", "b"}}},
		"JSON resource nested":       {request("POST", "/", jsonType, `{"resource":[["a"]]}`), all, nil},
		"JSON resource of numbers":   {request("POST", "/", jsonType, `{"resource":[1]}`), all, nil},
		"JSON not an object":         {request("POST", "/", jsonType, `["a"]`), all, nil},
		"JSON null":                  {request("POST", "/", jsonType, `null`), all, nil},
		"JSON cut":                   {request("POST", "/", jsonType, `{"a":"1"`), all, nil},
		"JSON with a tail":           {request("POST", "/", jsonType, `{"a":"1"}{"b":"2"}`), all, nil},
		"JSON not UTF-8":             {request("POST", "/", jsonType, "{\"a\":\"\xff\"}"), all, nil},
		"JSON NUL":                   {request("POST", "/", jsonType, `{"a":"\u0000"}`), all, nil},
		"JSON empty":                 {request("POST", "/", jsonType, ``), all, nil},
		"JSON too many":              {request("POST", "/", jsonType, manyMembers(65)), all, nil},
		"JSON too many resources":    {request("POST", "/", jsonType, `{"resource":["a"`+strings.Repeat(`,"a"`, 70)+`]}`), all, nil},
		"JSON deep":                  {request("POST", "/", jsonType, strings.Repeat(`{"a":`, 20000)), all, nil},
		"form too many resources":    {request("POST", "/", formType, strings.Repeat("resource=a&", 64)), all, nil},
		"Authorization twice":        {twice(), all, nil},
	} {
		t.Run(name, func(t *testing.T) {
			call, err := kit(t).ParseCall(c.r, c.from, nil)
			if c.want == nil {
				if !fault.Is(err, fault.Invalid) || fault.Text(err) == "" {
					t.Fatalf("%v %v", call, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, call.Form); d != "" {
				t.Fatal(d)
			}
		})
	}
}

// WHATWG URL §1.3: a percent sign that begins no escape is itself. Everything is decoded once, so
// each value could have been sent with escapes, too.
func TestLonePercentSigns(t *testing.T) {
	for query, want := range map[string]url.Values{
		"utm=100%":                  {"utm": {"100%"}},
		"utm=100%&state=s":          {"utm": {"100%"}, "state": {"s"}},
		"a=%":                       {"a": {"%"}},
		"a=%4":                      {"a": {"%4"}},
		"a=%4g%g4%GG":               {"a": {"%4g%g4%GG"}},
		"a=%%41":                    {"a": {"%A"}},
		"a=%2%35":                   {"a": {"%25"}}, // not "%"
		"a=%25zz":                   {"a": {"%zz"}},
		"a=%2541":                   {"a": {"%41"}},
		"a=%26b=1%":                 {"a": {"&b=1%"}},
		"a=%&b=1":                   {"a": {"%"}, "b": {"1"}},
		"a=%;b":                     {"a": {"%;b"}},
		"a=%+":                      {"a": {"% "}},
		"client_id%=x&%=y":          {"client_id%": {"x"}, "%": {"y"}},
		"%63lient_id=x":             {"client_id": {"x"}},
		"client_id=x&%63li%=y":      {"client_id": {"x"}, "cli%": {"y"}},
		"client_id=x&%63lient_id=%": nil, // sent twice
		"a=%ff%":                    nil, // not UTF-8
		"a=%00%":                    nil,
	} {
		got, err := web.ParseQuery(query)
		if want == nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %q, %v", query, got, err)
			}
			continue
		}
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%q: %v %s", query, err, d)
		}
		again, err := web.Parse(got.Encode())
		if d := cmp.Diff(got, again); err != nil || d != "" {
			t.Errorf("%q cannot be sent with escapes: %v %s", query, err, d)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"k` + strings.Repeat("x", i) + `":"v"`)
	}
	return "{" + b.String()[1:] + "}"
}

func twice() *http.Request {
	r := request("POST", "/", formType, "a=1")
	r.Header["Authorization"] = []string{"Basic YTpi", "Bearer x"}
	return r
}

func TestParseCallReadsTheRequest(t *testing.T) {
	k := kit(t)
	var seen bool
	h := k.Stack(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, err := k.ParseCall(r, web.FromForm, nil)
		if err != nil {
			t.Error(err)
			return
		}
		seen = true
		if c.Method != "POST" || c.IP != "192.0.2.1" || c.Agent != "Agent/1" || c.RequestID == "" || !c.Now.Equal(now) || c.Authorization != "Bearer x" || c.Session != nil {
			t.Errorf("%+v", c)
		}
	}))
	r := request("POST", "/", formType, "a=1")
	r.Header.Set("User-Agent", "Agent/1\x01")
	r.Header.Set("Authorization", "Bearer x")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if !seen {
		t.Fatal("not reached")
	}
}

// RFC 9449 §4.3, RFC 8705 §3: every DPoP header, the address as the client sees it whatever the
// request says of its host, and the certificate.
func TestParseCallReadsProofs(t *testing.T) {
	k := kit(t, func(o *web.Options) { o.Origin = "https://id.example" })
	cert := &x509.Certificate{Raw: []byte("a certificate")}
	r := request("POST", "http://proxied.internal/oauth/token%2F?a=1", formType, "a=1")
	r.Header.Add("DPoP", "one")
	r.Header.Add("dpop", "two")
	r.Header.Set("X-Forwarded-Host", "evil.example")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert, {}}}
	c, err := k.ParseCall(r, web.FromForm, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.DPoP, []string{"one", "two"}) || c.URL != "https://id.example/oauth/token%2F" || c.Cert != cert {
		t.Errorf("%q %s %v", c.DPoP, c.URL, c.Cert)
	}
	plain, err := k.ParseCall(request("POST", "/", formType, "a=1"), web.FromForm, nil)
	if err != nil || len(plain.DPoP) != 0 || plain.Cert != nil {
		t.Errorf("%+v, %v", plain, err)
	}
}

func TestParseCallRejectsABrokenBody(t *testing.T) {
	r := request("POST", "/", formType, "")
	r.Body, r.ContentLength = io.NopCloser(broken{}), 5
	if _, err := kit(t).ParseCall(r, web.FromForm, nil); !fault.Is(err, fault.Invalid) {
		t.Fatal(err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a=1&a=2", "resource=a&resource=b", "%ff=1", "a=%00", "&&&", "=", "a;b", "a=%zz", "a=%2%35"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := web.ParseQuery(s); err == nil {
			sound(t, got)
		}
		got, err := web.Parse(s)
		if err == nil {
			sound(t, got)
			return
		}
		if !fault.Is(err, fault.Invalid) {
			t.Fatal(err)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{"a":"1"}`, `{"a":null,"a":1}`, `{"resource":["a","b"]}`, `[]`, `{"a":1e999}`, `{"a":"\ud800"}`, `{"a":true}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := web.ParseJSON(body)
		if err == nil {
			sound(t, got)
			return
		}
		if !fault.Is(err, fault.Invalid) {
			t.Fatal(err)
		}
	})
}

// sound is what every reader of parameters relies on.
func sound(t *testing.T, form url.Values) {
	t.Helper()
	for name, vs := range form {
		if len(vs) == 0 || (len(vs) > 1 && name != "resource") || slices.Contains(vs, "") {
			t.Fatalf("%q: %q", name, vs)
		}
		for _, v := range vs {
			if strings.ToValidUTF8(v, "") != v || strings.ContainsRune(v, 0) {
				t.Fatalf("%q: %q", name, v)
			}
		}
	}
}
