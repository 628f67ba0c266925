package webhook

import (
	"bytes"
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// Body returns the message about an event: its type, its time, and the event as the audit log
// shows it. It is the same at each attempt.
func Body(ev *audit.Event) []byte {
	record := ev.Record()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Type      string       `json:"type"`
		Timestamp string       `json:"timestamp"`
		Data      audit.Record `json:"data"`
	}{record.Event, record.Timestamp, record})
	if err != nil { // not for a struct of texts
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
