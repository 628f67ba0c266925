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

// Bodies says what a route takes its parameters from.
type Bodies uint8

// The sources of parameters.
const (
	FromQuery Bodies = 1 << iota // the address, on GET
	FromForm                     // a form body, on POST
	FromJSON                     // a JSON object of strings, on POST
)

// maxParams bounds the number of parameters in a request.
const maxParams = 64

// Lift turns a request into a Call. It is the only place that reads parameters off HTTP: a repeated
// one is refused (RFC 6749 §3.1) but `resource` (RFC 8707 §2), an empty one counts as left out (RFC 6749 §3.1), and
// text that is not UTF-8 is refused.
func (k *Kit) ParseCall(r *http.Request, from Bodies, sess *identity.Session) (*oauth.Call, error) {
	form, err := params(r, from)
	if err != nil {
		return nil, err
	}
	ev := EventOf(r.Context())
	c := &oauth.Call{
		Form: form, Authorization: r.Header.Get("Authorization"), DPoP: r.Header["Dpop"], Method: r.Method,
		Session: sess, IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Now: ev.Now,
	}
	if len(c.DPoP) > 0 { // nothing else asks for it
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

// params reads the parameters of a request from where its route allows them.
func params(r *http.Request, from Bodies) (url.Values, error) {
	if r.Method != http.MethodPost {
		if from&FromQuery == 0 {
			return url.Values{}, nil
		}
		return Parse(r.URL.RawQuery)
	}
	if err := noSecretsInAddress(r); err != nil {
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Header.Get("Content-Type") == "" && r.ContentLength == 0 {
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
		return fault.New(fault.Invalid, "The body must be application/x-www-form-urlencoded or application/json.")
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

// noSecretsInAddress refuses credentials in the address of a POST: addresses end up in logs and histories (RFC 6749 §2.3.1).
func noSecretsInAddress(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	q := r.URL.Query()
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "grant_type", "code", "refresh_token", "token", "access_token", "subject_token", "username", "password", "device_code"} {
		if q.Has(name) {
			return fault.New(fault.Invalid, "Parameter %s is in the address. Send it in the body.", name)
		}
	}
	return nil
}

// Parse reads form-encoded parameters.
func Parse(s string) (url.Values, error) {
	if strings.Count(s, "&") >= maxParams {
		return nil, fault.New(fault.Invalid, "The request has more than %d parameters.", maxParams)
	}
	all, err := url.ParseQuery(s)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The parameters are not form-encoded.")
	}
	return once(all)
}

// once refuses repeats and broken text, and drops empty values.
func once(all url.Values) (url.Values, error) {
	for name, vs := range all {
		if !utf8.ValidString(name) {
			return nil, fault.New(fault.Invalid, "A parameter's name is not UTF-8.")
		}
		kept := vs[:0]
		for _, v := range vs {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return nil, fault.New(fault.Invalid, "Parameter %s is not UTF-8 text.", clean(name, 64))
			}
			if v != "" {
				kept = append(kept, v)
			}
		}
		if len(vs) > 1 && name != "resource" {
			return nil, fault.New(fault.Invalid, "Parameter %s is sent more than once.", clean(name, 64))
		}
		if len(kept) == 0 {
			delete(all, name)
			continue
		}
		all[name] = kept
	}
	return all, nil
}

// ParseJSON reads parameters from a flat JSON object: strings, numbers and booleans, and lists of strings for `resource`.
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
	return once(all)
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
