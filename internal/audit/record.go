package audit

import (
	"bytes"
	"encoding/json"
	"time"
)

// Record is an event as other programs read it: at the interface, in exports, in shipped lines and
// in webhooks. Names of members are stable.
type Record struct {
	ID           string            `json:"id"`
	Timestamp    string            `json:"timestamp"` // RFC 3339 in UTC, with milliseconds
	Event        string            `json:"event"`     // the dotted name, such as user.login
	Type         Type              `json:"type"`      // the name of the catalogue, such as LOGIN_SUCCEEDED
	ActorID      string            `json:"actor_id"`
	ActorType    string            `json:"actor_type"`
	ResourceType string            `json:"resource_type"`
	ResourceID   string            `json:"resource_id"`
	UserID       string            `json:"user_id,omitempty"`
	ClientID     string            `json:"client_id,omitempty"`
	SessionID    string            `json:"session_id,omitempty"`
	GrantID      string            `json:"grant_id,omitempty"`
	IPAddress    string            `json:"ip_address"`
	UserAgent    string            `json:"user_agent"`
	RequestID    string            `json:"request_id,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Changes      []Change          `json:"changes,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
}

// Record returns the event as other programs read it.
func (e *Event) Record() Record {
	kind, target := e.Target()
	return Record{
		ID:           e.ID,
		Timestamp:    Timestamp(e.At),
		Event:        e.Type.Name(),
		Type:         e.Type,
		ActorID:      e.Actor,
		ActorType:    e.ActorKind(),
		ResourceType: kind,
		ResourceID:   target,
		UserID:       e.User,
		ClientID:     e.Client,
		SessionID:    e.Session,
		GrantID:      e.Grant,
		IPAddress:    e.IP,
		UserAgent:    e.Agent,
		RequestID:    e.RequestID,
		Reason:       e.Reason,
		Changes:      e.Changes,
		Metadata:     e.Detail,
	}
}

// JSON returns the record of the event as one line of JSON without its end.
func (e *Event) JSON() []byte { return encode(e.Record()) }

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // not for a struct of texts
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Timestamp returns a time as records have it.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
