package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Bounds of a record: strangers choose what it repeats.
const (
	maxRecordText = 512 // bytes of a path or a sentence
	maxRecordWord = 200 // bytes of a name, an id or an element of a list
	maxRecordList = 20  // elements of a list
)

// DenialRecord is a denial as it is stored, with the request that it was for. `gatehouse explain`
// shows it. It holds neither the query nor a header of the request, and so no secret.
type DenialRecord struct {
	RequestID string         `json:"request_id"`
	At        time.Time      `json:"at"`
	Method    string         `json:"method"`
	Host      string         `json:"host"`
	Path      string         `json:"path"`
	Route     string         `json:"route,omitempty"` // its id, or "" if none matched
	RouteName string         `json:"route_name,omitempty"`
	Caller    RecordedCaller `json:"caller"`
	IP        string         `json:"ip"`
	Status    int            `json:"status"` // of the answer
	Denial    RecordedDenial `json:"refusal"`
}

// RecordedCaller is who made a denied request, as far as that was known.
type RecordedCaller struct {
	By     string `json:"by,omitempty"` // one of the By… ways
	Client string `json:"client,omitempty"`
	User   string `json:"user,omitempty"` // an id
}

// RecordedDenial is the part of a Denial that is stored.
type RecordedDenial struct {
	Rule   string   `json:"rule"`
	Reason string   `json:"reason"`
	Needed []string `json:"needed,omitempty"`
	Had    []string `json:"had,omitempty"`
	Remedy string   `json:"remedy"`
	Code   string   `json:"code,omitempty"` // an error code that an RFC defines
	Scope  []string `json:"scope,omitempty"`
	ACR    string   `json:"acr,omitempty"`
	MaxAge Duration `json:"max_age,omitempty"`
}

// Recorded returns the part of the denial that is stored.
func (d *Denial) Recorded() RecordedDenial {
	r := RecordedDenial{
		Rule:   d.Rule,
		Reason: d.Reason,
		Needed: d.Needed,
		Had:    d.Had,
		Remedy: d.Remedy,
		Code:   d.Code,
		Scope:  d.Challenge.Scope,
		ACR:    d.Challenge.ACR,
		MaxAge: d.Challenge.MaxAge,
	}
	if ownCode(r.Code) {
		r.Code = ""
	}
	return r
}

// ownCode reports whether an error code is this server's own, which no RFC defines.
func ownCode(code string) bool {
	switch code {
	case CodeLoginRequired, CodeAccessDenied, CodeNotFound, CodeMethod, CodeRate, CodeUnavailable,
		CodeServer, CodeRequestTooLarge, CodeUpstream:
		return true
	}
	return false
}

// Encode returns the record as JSON of bounded length: longer texts and lists are cut and end in
// an ellipsis.
func (r *DenialRecord) Encode() ([]byte, error) {
	out := *r
	for _, s := range []*string{
		&out.RequestID, &out.Method, &out.Host, &out.Route, &out.RouteName, &out.IP,
		&out.Caller.By, &out.Caller.Client, &out.Caller.User,
		&out.Denial.Rule, &out.Denial.Code, &out.Denial.ACR,
	} {
		*s = cut(*s, maxRecordWord)
	}
	for _, s := range []*string{&out.Path, &out.Denial.Reason, &out.Denial.Remedy} {
		*s = cut(*s, maxRecordText)
	}
	for _, list := range []*[]string{&out.Denial.Needed, &out.Denial.Had, &out.Denial.Scope} {
		*list = cutList(*list)
	}
	out.At = out.At.UTC()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an escape is six times as long
	if err := enc.Encode(out); err != nil {
		return nil, fmt.Errorf("a denial cannot be encoded: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ReadDenialRecord returns the record that Encode has written.
func ReadDenialRecord(data []byte) (*DenialRecord, error) {
	var r DenialRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("a stored denial cannot be decoded: %w", err)
	}
	return &r, nil
}

// cut returns a text shortened to n bytes, without characters that do not print.
func cut(s string, n int) string {
	more := len(s) > n
	if more {
		s = s[:n]
	}
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if more {
		s += "…"
	}
	return s
}

// cutList returns a shortened copy of a list and of its elements.
func cutList(list []string) []string {
	out := make([]string, 0, min(len(list), maxRecordList+1))
	for i, s := range list {
		if i == maxRecordList {
			return append(out, "…")
		}
		out = append(out, cut(s, maxRecordWord))
	}
	return out
}
