package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Bounds of what is kept of a refused request: everything in it came from a stranger.
const (
	maxKeptText  = 512 // bytes of a path or a sentence
	maxKeptWord  = 200 // bytes of a name, an id or an element of a list
	maxKeptWords = 20  // elements of a list
)

// Refused is a request that was turned away: the gateway keeps it, and `gatehouse explain` shows it. It holds neither the query
// nor a header, and so no secret.
type Refused struct {
	RequestID string        `json:"request_id"`
	At        time.Time     `json:"at"`
	Method    string        `json:"method"`
	Host      string        `json:"host"`
	Path      string        `json:"path"`
	Route     string        `json:"route,omitempty"` // its id, or "" if none matched
	RouteName string        `json:"route_name,omitempty"`
	Caller    RefusedCaller `json:"caller"`
	IP        string        `json:"ip"`
	Status    int           `json:"status"` // of the answer
	Refusal   Refusal       `json:"refusal"`
}

// RefusedCaller is who made a refused request, as far as that was known.
type RefusedCaller struct {
	By     string `json:"by,omitempty"` // one of the By… ways
	Client string `json:"client,omitempty"`
	User   string `json:"user,omitempty"` // an id
}

// Encode writes it as JSON of bounded length: longer texts and lists are cut, and end in an ellipsis.
func (r *Refused) Encode() ([]byte, error) {
	kept := *r
	for _, s := range []*string{
		&kept.RequestID, &kept.Method, &kept.Host, &kept.Route, &kept.RouteName, &kept.Caller.By, &kept.Caller.Client, &kept.Caller.User,
		&kept.IP, &kept.Refusal.Rule, &kept.Refusal.Code, &kept.Refusal.ACR,
	} {
		*s = cut(*s, maxKeptWord)
	}
	for _, s := range []*string{&kept.Path, &kept.Refusal.Reason, &kept.Refusal.Remedy} {
		*s = cut(*s, maxKeptText)
	}
	for _, list := range []*[]string{&kept.Refusal.Needed, &kept.Refusal.Had, &kept.Refusal.Scope} {
		*list = cutList(*list)
	}
	kept.At = kept.At.UTC()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an escape is six times as long
	if err := enc.Encode(kept); err != nil {
		return nil, fmt.Errorf("a refused request cannot be written down: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ReadRefused reads what Encode has written.
func ReadRefused(data []byte) (*Refused, error) {
	var r Refused
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("what was kept of a refused request cannot be read: %w", err)
	}
	return &r, nil
}

// cut bounds a text to n bytes and leaves out what does not print.
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

// cutList bounds a list and its elements, without touching the one given.
func cutList(list []string) []string {
	out := make([]string, 0, min(len(list), maxKeptWords+1))
	for i, s := range list {
		if i == maxKeptWords {
			return append(out, "…")
		}
		out = append(out, cut(s, maxKeptWord))
	}
	return out
}
