package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// Bounds of a request object.
const (
	maxRequestObject     = 12 << 10 // bytes
	maxObjectMembers     = 64
	requestObjectSkew    = 60 * time.Second
	requestObjectMaxTTL  = time.Hour // from now to exp, and from nbf to now
	requestObjectType    = "oauth-authz-req+jwt"
	requestObjectMistake = "The request object is not a JWT signed with an accepted algorithm."
)

// InvalidRequestObject returns an invalid_request_object error (RFC 9101 §7).
func InvalidRequestObject(format string, args ...any) *Error {
	return NewError("invalid_request_object", 400, format, args...)
}

// requestParams returns the parameters of a new authorization request: those of its request object
// if it has one, else its own. Nothing outside a request object counts but client_id (RFC 9101
// §6.3), and the parameters that are refused by name.
//
// If the object is refused, the error says why, and the parameters are those of which a response
// may be made: the ones inside if the client has signed them, else the ones outside.
func (s *Server) requestParams(ctx context.Context, c *Call) (url.Values, error) {
	outside := knownParams(c.Form)
	object := c.Get("request")
	if object == "" {
		return outside, nil
	}
	cl, err := s.clients.Lookup(ctx, client.ID(c.Get("client_id")))
	if err != nil {
		return outside, nil // it has no keys, and the person is told that the client is unknown
	}
	members, err := s.verifyRequestObject(ctx, cl, object)
	if err != nil {
		return outside, err
	}
	inside, err := members.params()
	for _, name := range unsupportedParams {
		if outside.Has(name) {
			inside.Set(name, outside.Get(name))
		}
	}
	if err == nil {
		err = members.check(cl, s.cfg.Issuer, c.Now)
	}
	inside.Set("client_id", string(cl.ID))
	return inside, err
}

// refuseObject answers a request whose request object is refused, and records it for the operator.
// The client reads the reason if the parameters name a registered address, else the person does:
// an address of an object that the client has not signed is never used.
func (s *Server) refuseObject(
	ctx context.Context, c *Call, form url.Values, refused error,
) (*Step, error) {
	cl, err := s.clients.Lookup(ctx, client.ID(form.Get("client_id")))
	if err != nil {
		return nil, pageError(err)
	}
	err = s.recordFailure(ctx, c, cl, audit.Event{
		Type:   audit.AuthorizationFailed,
		Reason: audit.ReasonRequestObject,
		Detail: map[string]string{"problem": Wire(refused).Description},
	})
	if err != nil {
		return nil, err
	}
	if !form.Has("redirect_uri") || !cl.MatchRedirect(form.Get("redirect_uri")) {
		return nil, invalidBecause(refused, ReasonRequestObject, "The app sent a signed request that "+
			"this server does not accept. If you run it: its operator finds the cause with the request "+
			"ID below.")
	}
	req, err := s.newAuthorization(ctx, form)
	if err != nil {
		return nil, err
	}
	return s.replyError(req, refused)
}

// verifyRequestObject checks the signature and the typ of a request object, and returns its
// members (RFC 9101 §6.2, RFC 8725 §3.11).
func (s *Server) verifyRequestObject(
	ctx context.Context, cl *client.Client, object string,
) (objectMembers, error) {
	if len(object) > maxRequestObject {
		return nil, InvalidRequestObject("The request object has more than %d bytes.", maxRequestObject)
	}
	// A token that no key could verify must not cause a fetch of the client's keys.
	if _, err := jose.Peek(object, jose.AssertionAlgorithms()); err != nil {
		return nil, InvalidRequestObject("%s", requestObjectMistake)
	}
	payload, head, err := s.clientKeys.Verify(ctx, cl, object)
	if err != nil {
		return nil, InvalidRequestObject("%s", keyProblem(err))
	}
	if cl.RequestAlg != "" && head.Alg != cl.RequestAlg { // OpenID Connect Registration §2
		return nil, InvalidRequestObject("The client's request objects must be signed with %s.",
			cl.RequestAlg)
	}
	typ := strings.TrimPrefix(strings.ToLower(head.Type), "application/")
	if typ != "" && typ != "jwt" && typ != requestObjectType {
		return nil, InvalidRequestObject("The typ of the request object must be %s.", requestObjectType)
	}
	members, err := readMembers(payload)
	if err != nil {
		return nil, InvalidRequestObject("The payload of the request object is not a JSON object " +
			"whose members occur once.")
	}
	return members, nil
}

// keyProblem returns what is wrong with a signature, or with the keys that it is checked with.
func keyProblem(err error) string {
	switch fault.Reason(err) {
	case audit.ReasonNoKeysRegistered:
		return "The client has no registered keys; register jwks or jwks_uri. " +
			"A client secret cannot sign request objects."
	case audit.ReasonJWKSURIUnreachable:
		return "The key set at the client's jwks_uri cannot be fetched."
	case audit.ReasonJWKSUnusable:
		return "The client's key set holds no key that can verify a signature."
	}
	return "The signature of the request object does not match a registered key of the client."
}

// objectMembers are the members of a request object by their exact names.
type objectMembers map[string]json.RawMessage

// readMembers reads a JSON object. It rejects one that is not UTF-8, repeats a name, has too many
// members or anything after it.
func readMembers(payload []byte) (objectMembers, error) {
	bad := fault.New(fault.Invalid, "the payload is not a JSON object whose members occur once")
	dec := json.NewDecoder(bytes.NewReader(payload))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') || !utf8.Valid(payload) {
		return nil, bad
	}
	out := objectMembers{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if _, repeated := out[name]; err != nil || !ok || repeated || len(out) >= maxObjectMembers {
			return nil, bad
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, bad
		}
		out[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, bad
	}
	return out, nil
}

// params returns the parameters of an authorization request among the members. With an error, it
// returns those that could be read.
func (m objectMembers) params() (url.Values, error) {
	form := url.Values{}
	var failed error
	for _, name := range authorizeParams {
		raw, ok := m[name]
		if !ok {
			continue
		}
		values, ok := paramValues(name, raw)
		if !ok {
			failed = InvalidRequestObject("The member %s of the request object has the wrong type.", name)
			continue
		}
		if len(values) > 0 {
			form[name] = values
		}
	}
	if _, ok := m["registration"]; ok {
		form.Set("registration", "sent")
	}
	return form, failed
}

// paramValues returns the values of one parameter (RFC 9101 §4): a string, a number for max_age,
// an object for claims, a string or a list of strings for resource. An empty string is no value.
func paramValues(name string, raw json.RawMessage) ([]string, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		if text == "" {
			return nil, true
		}
		return []string{text}, !strings.ContainsRune(text, 0)
	}
	switch name {
	case "max_age":
		return []string{string(raw)}, raw[0] >= '0' && raw[0] <= '9' || raw[0] == '-'
	case "claims":
		return []string{string(raw)}, raw[0] == '{'
	case "resource":
		var list []string
		if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
			return nil, false
		}
		return list, !slices.ContainsFunc(list, func(s string) bool { return strings.ContainsRune(s, 0) })
	}
	return nil, false
}

// check checks the claims of a request object whose signature is valid, clause by clause (RFC
// 9101 §4, §6.2, §10.8).
func (m objectMembers) check(cl *client.Client, issuer string, now time.Time) error {
	switch {
	case m["request"] != nil || m["request_uri"] != nil:
		return InvalidRequestObject("A request object must not contain request or request_uri.")
	case m.text("client_id") != string(cl.ID):
		return InvalidRequestObject("client_id in the request object must be that of the request.")
	case m.text("iss") != string(cl.ID):
		return InvalidRequestObject("iss of the request object must be the client_id.")
	case m.text("sub") == string(cl.ID):
		// Such an object could pass for a client assertion elsewhere.
		return InvalidRequestObject("sub of the request object must not be the client_id.")
	}
	var aud Audience
	if json.Unmarshal(m["aud"], &aud) != nil || !slices.Contains(aud, issuer) {
		return InvalidRequestObject("aud of the request object must contain %s.", Printable(issuer))
	}
	return m.checkTimes(now)
}

// checkTimes checks exp, nbf and iat. An object without exp, or with one that is far away, would
// let who finds it in a log or a history start the same request for ever.
func (m objectMembers) checkTimes(now time.Time) error {
	exp, ok := m.date("exp")
	switch {
	case !ok || exp.IsZero():
		return InvalidRequestObject("exp of the request object is missing or not a time.")
	case !exp.Add(requestObjectSkew).After(now):
		return InvalidRequestObject("The request object has expired.")
	case exp.After(now.Add(requestObjectMaxTTL + requestObjectSkew)):
		return InvalidRequestObject("exp of the request object is more than an hour away.")
	}
	for _, name := range []string{"nbf", "iat"} {
		at, ok := m.date(name)
		switch {
		case !ok:
			return InvalidRequestObject("%s of the request object is not a time.", name)
		case at.After(now.Add(requestObjectSkew)):
			return InvalidRequestObject("%s of the request object is in the future.", name)
		case name == "nbf" && !at.IsZero() && now.Sub(at) > requestObjectMaxTTL+requestObjectSkew:
			return InvalidRequestObject("nbf of the request object is more than an hour ago.")
		}
	}
	return nil
}

// text returns a member that is a string, else "".
func (m objectMembers) text(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return s
}

// date returns a member that is a time, or the zero time if there is none. It reports false if the
// member is something else.
func (m objectMembers) date(name string) (time.Time, bool) {
	raw, ok := m[name]
	if !ok {
		return time.Time{}, true
	}
	var d NumericDate
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &d) != nil {
		return time.Time{}, false
	}
	return d.Time(), true
}
