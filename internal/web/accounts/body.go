package accounts

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxMembers bounds the members of a body.
const maxMembers = 32

// body is the members of a request's body, by name. Their values are not yet decoded.
type body map[string]json.RawMessage

// read returns the members of a request's body: a JSON object, which may be the only member `data`
// of another. Members that the operation does not take are rejected, except `t` and `type`, which
// callers may use to say what the body is.
func (c *call) read(names ...string) (body, error) {
	raw, err := c.readJSON()
	if err != nil {
		return nil, err
	}
	b, err := object(raw)
	if err != nil {
		return nil, err
	}
	if inner, ok := b["data"]; ok && len(b) == 1 && !slices.Contains(names, "data") {
		if b, err = object(inner); err != nil {
			return nil, err
		}
	}
	for name := range b {
		if name != "t" && name != "type" && !slices.Contains(names, name) {
			return nil, badBody("The body has a member that this operation does not take: %s.", name)
		}
	}
	return b, nil
}

// readJSON returns the body of a request, which must be JSON in UTF-8.
func (c *call) readJSON() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, newProblem(http.StatusUnsupportedMediaType, codeBody,
			"The body must be application/json.")
	}
	raw, err := io.ReadAll(c.r.Body)
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return nil, newProblem(http.StatusRequestEntityTooLarge, codeBody, "The body is too large.")
	}
	if err != nil {
		return nil, badBody("The body could not be read to its end.")
	}
	if !utf8.Valid(raw) {
		return nil, badBody("The body is not UTF-8.")
	}
	return raw, nil
}

// object returns the members of a JSON object. A repeated member is rejected: two programs may read
// different ones of it.
func object(raw []byte) (body, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, badBody("The body is not a JSON object.")
	}
	b := body{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, badBody("The body is not valid JSON.")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, badBody("The body is not valid JSON.")
		}
		if _, twice := b[name]; twice || len(b) == maxMembers {
			return nil, badBody("The body has a member twice, or too many members.")
		}
		b[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, badBody("The body is not valid JSON.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, badBody("Something follows the JSON object.")
	}
	return b, nil
}

// text returns a member that is a string, and "" if it is missing or null. Another kind of value is
// an error, and so is a control character.
func (b body) text(name string) (string, error) {
	raw, ok := b[name]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil || strings.ContainsRune(s, 0) {
		return "", invalidField(name, "This must be a text.")
	}
	return s, nil
}

// texts returns members that are strings. Those that are missing are "".
func (b body) texts(names ...string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range names {
		s, err := b.text(name)
		if err != nil {
			return nil, err
		}
		out[name] = s
	}
	return out, nil
}
