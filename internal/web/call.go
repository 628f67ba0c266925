package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Bodies is a set of places that a route takes its parameters from.
type Bodies uint8

// The sources of parameters.
const (
	FromQuery Bodies = 1 << iota // the address, on GET
	FromForm                     // a form body, on POST
	FromJSON                     // a JSON object of strings, on POST
)

// maxParams bounds the number of parameters in a request.
const maxParams = 64

// ParseCall turns a request into a Call. It is the only place that reads parameters from HTTP. It
// rejects a repeated parameter (RFC 6749 §3.1), except `resource` (RFC 8707 §2), treats an empty
// one as absent (RFC 6749 §3.1), and rejects text that is not UTF-8.
func (k *Kit) ParseCall(r *http.Request, from Bodies, sess *identity.Session) (*oauth.Call, error) {
	form, err := params(r, from)
	if err != nil {
		return nil, err
	}
	ev := EventOf(r.Context())
	c := &oauth.Call{
		Form:          form,
		Authorization: r.Header.Get("Authorization"),
		DPoP:          r.Header["Dpop"],
		Method:        r.Method,
		Session:       sess,
		Local:         k.Local(r),
		IP:            ev.IP,
		Agent:         ev.Agent,
		RequestID:     ev.ID,
		Now:           ev.Now,
	}
	if len(c.DPoP) > 0 { // only a proof is compared with the address
		c.URL = k.Origin + r.URL.EscapedPath()
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return nil, fault.New(fault.Invalid, "The Authorization header is sent more than once.")
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		c.Cert = r.TLS.PeerCertificates[0]
	}
	return c, nil
}

// params reads the parameters of a request from the places that its route allows.
func params(r *http.Request, from Bodies) (url.Values, error) {
	if r.Method != http.MethodPost {
		if from&FromQuery == 0 {
			return url.Values{}, nil
		}
		return ParseQuery(r.URL.RawQuery)
	}
	if err := noSecretsInAddress(r); err != nil {
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ContentLength == 0 && kind != "application/json" { // no body has no wrong type
		return url.Values{}, nil
	}
	if err != nil {
		return nil, badType(from)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, readFault(err)
	}
	switch {
	case kind == "application/x-www-form-urlencoded" && from&FromForm != 0:
		return Parse(string(body))
	case kind == "application/json" && from&FromJSON != 0:
		return ParseJSON(body)
	}
	return nil, badType(from)
}

func badType(from Bodies) error {
	if from&FromJSON != 0 {
		return fault.New(fault.Invalid,
			"The body must be application/x-www-form-urlencoded or application/json.")
	}
	return fault.New(fault.Invalid, "The body must be application/x-www-form-urlencoded.")
}

func readFault(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return fault.Wrap(fault.Invalid, err, "The request body is larger than %d bytes.", tooBig.Limit)
	}
	return fault.Wrap(fault.Invalid, err, "The request body could not be read to its end.")
}

// secretParams are parameters that a POST may not carry in its address.
var secretParams = [...]string{
	"client_id", "client_secret", "client_assertion", "grant_type", "code", "refresh_token", "token",
	"access_token", "subject_token", "assertion", "username", "password", "device_code",
}

// noSecretsInAddress rejects credentials in the address of a POST, because addresses end up in logs
// and browser histories (RFC 6749 §2.3.1).
func noSecretsInAddress(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	q, _ := url.ParseQuery(literalPercents(dataSemicolons(r.URL.RawQuery)))
	for _, name := range secretParams {
		if q.Has(name) {
			return fault.New(fault.Invalid, "Parameter %s is in the address. Send it in the body.", name)
		}
	}
	return nil
}

// ParseQuery reads the parameters of an address as Parse does, but a percent sign that begins no
// escape stands for itself: browsers keep it in addresses (WHATWG URL §1.3), as in utm=100%.
func ParseQuery(s string) (url.Values, error) { return Parse(literalPercents(s)) }

// literalPercents returns form-encoded parameters with every percent sign encoded that is not
// followed by two hexadecimal digits. All others are decoded once, as before.
func literalPercents(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		if s[i] == '%' && (len(s)-i < len("%xx") || !isHex(s[i+1]) || !isHex(s[i+2])) {
			b.WriteString("25")
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// Parse reads form-encoded parameters.
func Parse(s string) (url.Values, error) {
	if strings.Count(s, "&") >= maxParams {
		return nil, fault.New(fault.Invalid, "The request has more than %d parameters.", maxParams)
	}
	all, err := url.ParseQuery(dataSemicolons(s))
	if err != nil {
		return nil, fault.New(fault.Invalid, "The parameters are not form-encoded.")
	}
	return requireOnce(all)
}

// dataSemicolons returns form-encoded parameters with semicolons encoded: they are data (WHATWG
// URL §5.1, RFC 3986 §3.4), but net/url rejects them.
func dataSemicolons(s string) string { return strings.ReplaceAll(s, ";", "%3B") }

// requireOnce rejects repeated parameters and text that is not UTF-8, and drops empty values.
func requireOnce(all url.Values) (url.Values, error) {
	for name, vs := range all {
		if !utf8.ValidString(name) {
			return nil, fault.New(fault.Invalid, "A parameter's name is not UTF-8.")
		}
		nonEmpty := vs[:0]
		for _, v := range vs {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return nil, fault.New(fault.Invalid, "Parameter %s is not UTF-8 text.", clean(name, 64))
			}
			if v != "" {
				nonEmpty = append(nonEmpty, v)
			}
		}
		if len(vs) > 1 && name != "resource" {
			return nil, fault.New(fault.Invalid, "Parameter %s is sent more than once.", clean(name, 64))
		}
		if len(nonEmpty) == 0 {
			delete(all, name)
			continue
		}
		all[name] = nonEmpty
	}
	return all, nil
}

// ParseJSON reads parameters from a flat JSON object of strings, numbers and booleans. Only
// `resource` may be a list of strings.
func ParseJSON(body []byte) (url.Values, error) {
	bad := fault.New(fault.Invalid, "The body is not a flat JSON object of strings.")
	if !utf8.Valid(body) {
		return nil, fault.New(fault.Invalid, "The body is not UTF-8 text.")
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, bad
	}
	all := url.Values{}
	for dec.More() {
		if len(all) >= maxParams {
			return nil, fault.New(fault.Invalid, "The request has more than %d parameters.", maxParams)
		}
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, bad
		}
		if all.Has(name) {
			return nil, fault.New(fault.Invalid, "Parameter %s is sent more than once.", clean(name, 64))
		}
		if all[name], err = jsonValues(dec, name); err != nil {
			return nil, bad
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, bad
	}
	return requireOnce(all)
}

// jsonValues reads one member's value.
func jsonValues(dec *json.Decoder, name string) ([]string, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := t.(type) {
	case string:
		return []string{v}, nil
	case json.Number:
		return []string{v.String()}, nil
	case bool:
		if v {
			return []string{"true"}, nil
		}
		return []string{"false"}, nil
	case nil:
		return []string{""}, nil
	case json.Delim:
		if v != '[' || name != "resource" {
			return nil, errors.New("nested")
		}
	}
	var out []string
	for dec.More() {
		t, err := dec.Token()
		s, ok := t.(string)
		if err != nil || !ok || len(out) > maxParams {
			return nil, errors.New("not a list of strings")
		}
		out = append(out, s)
	}
	_, err = dec.Token()
	return out, err
}

// WithoutBody returns a copy of a request for reading its headers alone.
func WithoutBody(r *http.Request) *http.Request {
	out := *r
	out.Body, out.ContentLength = http.NoBody, 0
	out.Header = r.Header.Clone()
	out.Header.Del("Content-Type")
	u := *r.URL
	u.RawQuery = ""
	out.URL = &u
	return &out
}
