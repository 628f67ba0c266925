package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// Bounds of a registration request.
const (
	maxMembers = 100 // of the JSON object
	maxItems   = 64  // of a list
)

// Metadata is the client metadata of a registration request (RFC 7591 §2, RFC 7592 §2.2): the
// fields of a registration that it sets, and what is not a field.
type Metadata struct {
	Fields        field.Patch[Client]
	ResponseTypes []string
	ID            ID     // client_id, or ""
	Secret        string // client_secret, or ""
	Statement     string // software_statement, or ""
	Members       []string
}

// Has reports whether the request has a member with that name and a value.
func (m *Metadata) Has(name string) bool { return slices.Contains(m.Members, name) }

// aliases are the names of OpenID Connect Dynamic Client Registration 1.0 §2, and of other servers,
// for fields that have another name here.
var aliases = map[string]string{
	"id_token_signed_response_alg": "alg",
	"refresh_token_rotation":       "refresh_rotation",
}

// unsupported are members that must not be ignored: the client would believe that they count. A
// value that is listed asks for what this server does anyway.
var unsupported = map[string][]string{
	"subject_type":                      {"public"},
	"sector_identifier_uri":             nil,
	"userinfo_signed_response_alg":      {"none"},
	"userinfo_encrypted_response_alg":   nil,
	"id_token_encrypted_response_alg":   nil,
	"request_object_encryption_alg":     nil,
	"introspection_signed_response_alg": nil,
	"authorization_signed_response_alg": nil,
}

// ParseMetadata reads client metadata. Members that it does not know are ignored (RFC 7591 §2), a
// null counts as an absent member (RFC 7592 §2.2). It rejects a body that is not one JSON object in
// UTF-8, repeated members, and values of the wrong type.
func ParseMetadata(raw []byte, r Rules) (*Metadata, error) {
	members, err := readObject(raw)
	if err != nil {
		return nil, err
	}
	m := &Metadata{}
	fields := Fields(r)
	for _, member := range members {
		if string(member.value) == "null" {
			continue
		}
		if err := m.add(fields, member.name, member.value); err != nil {
			return nil, err
		}
		m.Members = append(m.Members, member.name)
	}
	return m, nil
}

type jsonMember struct {
	name  string
	value json.RawMessage
}

// readObject returns the members of a JSON object in their order.
func readObject(raw []byte) ([]jsonMember, error) {
	bad := fault.New(fault.Invalid, "The body is not a JSON object.")
	if !utf8.Valid(raw) {
		return nil, fault.New(fault.Invalid, "The body is not UTF-8 text.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, bad
	}
	var members []jsonMember
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, bad
		}
		if seen[name] {
			return nil, fault.New(fault.Invalid, "The member %.64q occurs twice.", name)
		}
		if len(members) == maxMembers {
			return nil, fault.New(fault.Invalid, "The body has more than %d members.", maxMembers)
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, bad
		}
		members = append(members, jsonMember{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "The body has more than one JSON value.")
	}
	return members, nil
}

// add reads one member.
func (m *Metadata) add(fields []Field, name string, value json.RawMessage) error {
	var text string
	switch name {
	case "response_types":
		list, err := textList(name, value)
		m.ResponseTypes = list
		return err
	case "client_id", "client_secret", "software_statement":
		if err := json.Unmarshal(value, &text); err != nil {
			return wrongType(name, "a text")
		}
		switch name {
		case "client_id":
			m.ID = ID(text)
		case "client_secret":
			m.Secret = text
		default:
			m.Statement = text
		}
		return nil
	}
	if allowed, known := unsupported[name]; known {
		if err := json.Unmarshal(value, &text); err != nil || !slices.Contains(allowed, text) {
			return fault.InvalidField(name, "This server does not support this value of %s.", name)
		}
		return nil
	}
	if other, ok := aliases[name]; ok {
		name = other
	}
	f, ok := field.Named(fields, name)
	if !ok || name == "public" { // the authentication method says it
		return nil
	}
	return m.set(f, value)
}

// set stores the value of a field.
func (m *Metadata) set(f Field, value json.RawMessage) error {
	var values []string
	switch {
	case f.List != nil && f.Joined, f.Text != nil:
		text, err := scalarText(value)
		if err != nil {
			return wrongType(f.Name, "a text")
		}
		values = []string{text}
	case f.List != nil:
		list, err := textList(f.Name, value)
		if err != nil {
			return err
		}
		values = list
	case f.Switch != nil:
		var on bool
		if err := json.Unmarshal(value, &on); err != nil {
			return wrongType(f.Name, "true or false")
		}
		values = []string{strconv.FormatBool(on)}
	case f.TTL != nil:
		var seconds int64
		if err := json.Unmarshal(value, &seconds); err != nil || seconds < 0 || seconds > int64(maxRefreshTTL/time.Second) {
			return wrongType(f.Name, "a number of seconds")
		}
		values = []string{strconv.FormatInt(seconds, 10)}
	case f.JSON != nil:
		if len(value) == 0 || value[0] != '{' {
			return wrongType(f.Name, "an object")
		}
		values = []string{string(value)}
	}
	return m.Fields.Set(f, values...)
}

// scalarText returns a text, or "on" and "off" for true and false.
func scalarText(value json.RawMessage) (string, error) {
	switch string(value) {
	case "true":
		return "on", nil
	case "false":
		return "off", nil
	}
	var text string
	err := json.Unmarshal(value, &text)
	if err == nil && strings.ContainsRune(text, 0) {
		err = errors.New("it contains U+0000")
	}
	return text, err
}

func textList(name string, value json.RawMessage) ([]string, error) {
	var list []string
	if err := json.Unmarshal(value, &list); err != nil {
		return nil, wrongType(name, "a list of texts")
	}
	if len(list) > maxItems {
		return nil, fault.InvalidField(name, "has more than %d items", maxItems)
	}
	for _, item := range list {
		if strings.ContainsRune(item, 0) {
			return nil, wrongType(name, "a list of texts")
		}
	}
	return list, nil
}

func wrongType(name, want string) error {
	return fault.InvalidField(name, "%s must be %s", name, want)
}

// SelfServiceFields returns the names of the fields that a client may set of itself: the metadata
// of RFC 7591 §2, RFC 8705 §3.4, RFC 9449 §5.2 and OpenID Connect Dynamic Client Registration 1.0.
// All others belong to administrators.
func SelfServiceFields() []string {
	return []string{
		"client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri", "contacts",
		"redirect_uris", "post_logout_redirect_uris", "grant_types", "scope", "resources",
		"token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks", "jwks_uri",
		"request_object_signing_alg", "dpop_bound_access_tokens",
		"tls_client_certificate_bound_access_tokens", "alg",
	}
}

// ResponseTypes returns the response types that belong to the client's grant types (RFC 7591 §2.1).
func (c *Client) ResponseTypes() []string {
	if c.CanUseGrant(GrantTypeCode) {
		return []string{"code"}
	}
	return []string{}
}
