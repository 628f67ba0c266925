package ship

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	splunkPath = "/services/collector/event"
	splunkAcks = "/services/collector/ack"
	// ackTimeout is how long the indexers may take to confirm events.
	ackTimeout = 60 * time.Second
	// Codes of answers.
	splunkNoEvent  = 12 // "Event field is required"
	splunkBlank    = 13 // "Event field cannot be blank"
	splunkBadEvent = 6  // "Invalid data format"
)

// SplunkOptions configures a Splunk.
type SplunkOptions struct {
	URL   string
	Token string
	Roots *x509.CertPool // nil for those of the system
}

// Splunk sends events to an HTTP Event Collector. An event is delivered when the collector has
// accepted it; if the token has indexer acknowledgment, when the indexers have confirmed it.
type Splunk struct {
	server  *logServer
	path    string
	channel string
}

// NewSplunk returns a Splunk.
func NewSplunk(o SplunkOptions) *Splunk {
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	s := &Splunk{path: splunkPath, channel: secret.FormatID(raw)}
	base := strings.TrimRight(o.URL, "/")
	if at := strings.Index(base, "/services/collector"); at >= 0 { // the operator wrote the whole address
		base = base[:at]
	}
	s.server = newLogServer(base, o.Roots, http.Header{
		"Authorization":            {"Splunk " + o.Token},
		"X-Splunk-Request-Channel": {s.channel},
	})
	return s
}

// Name returns the name of the sink.
func (s *Splunk) Name() string { return "splunk" }

// Types returns nil: the collector gets all events.
func (s *Splunk) Types() []audit.Type { return nil }

// Close ends connections.
func (s *Splunk) Close() { s.server.close() }

// splunkEvent is an event as the collector takes it.
type splunkEvent struct {
	Time       json.Number     `json:"time"`
	Source     string          `json:"source"`
	SourceType string          `json:"sourcetype"`
	Event      json.RawMessage `json:"event"`
}

// splunkAnswer is what the collector says.
type splunkAnswer struct {
	Text    string `json:"text"`
	Code    int    `json:"code"`
	Invalid *int   `json:"invalid-event-number"`
	Ack     *int64 `json:"ackId"`
}

// Deliver sends events.
func (s *Splunk) Deliver(ctx context.Context, events []audit.Event) (out Outcome) {
	for out.Done < len(events) && out.Err == nil {
		s.send(ctx, events[out.Done:], &out)
	}
	return out
}

// send makes one attempt, and adds what became of it.
func (s *Splunk) send(ctx context.Context, events []audit.Event, out *Outcome) {
	var body bytes.Buffer
	for i := range events {
		line, err := json.Marshal(splunkEvent{
			Time:       json.Number(fmt.Sprintf("%.3f", float64(events[i].At.UnixMilli())/1000)),
			Source:     "gatehouse",
			SourceType: "gatehouse:audit",
			Event:      events[i].JSON(),
		})
		if err != nil { // not for texts
			panic(err)
		}
		body.Write(line)
		body.WriteByte('\n')
	}
	res, err := s.server.post(ctx, s.path, "application/json", body.Bytes())
	if err != nil {
		out.Err = err
		return
	}
	var answer splunkAnswer
	parsed := json.Unmarshal(res.body, &answer) == nil
	switch {
	case res.status == http.StatusOK && parsed && answer.Code == 0:
		if out.Err = s.acknowledged(ctx, answer.Ack); out.Err == nil {
			out.Done += len(events)
		}
	case res.status == http.StatusRequestEntityTooLarge && len(events) > 1:
		s.send(ctx, events[:len(events)/2], out)
	case res.status == http.StatusRequestEntityTooLarge,
		res.status == http.StatusBadRequest && parsed && answer.aboutEvent(len(events)):
		i := 0
		if answer.Invalid != nil {
			i = *answer.Invalid
		}
		if i > 0 { // whether it has taken those before, its answer does not say
			s.send(ctx, events[:i], out)
			return
		}
		out.Refused = append(out.Refused, Rejection{out.Done + i, fmt.Sprintf("Splunk refuses the event: %s (code %d)",
			excerpt([]byte(answer.Text), 100), answer.Code)})
		out.Done += i + 1
	default:
		out.Err, out.RetryAfter = res.failure(), res.retryAfter
	}
}

// aboutEvent reports whether the answer rejects one event of n, rather than all of them.
func (a *splunkAnswer) aboutEvent(n int) bool {
	bad := a.Code == splunkBadEvent || a.Code == splunkNoEvent || a.Code == splunkBlank
	if a.Invalid == nil {
		return bad && n == 1
	}
	return bad && *a.Invalid >= 0 && *a.Invalid < n
}

// acknowledged waits until the indexers have confirmed a request, if they do.
func (s *Splunk) acknowledged(ctx context.Context, ack *int64) error {
	if ack == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	path := splunkAcks + "?channel=" + url.QueryEscape(s.channel)
	body := fmt.Appendf(nil, `{"acks":[%d]}`, *ack)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		res, err := s.server.post(ctx, path, "application/json", body)
		if err != nil {
			return err
		}
		if res.status != http.StatusOK {
			return res.failure()
		}
		var answer struct {
			Acks map[string]bool `json:"acks"`
		}
		if err := json.Unmarshal(res.body, &answer); err != nil {
			return fault.Wrap(fault.Unavailable, err, "the answer about acknowledgments is not JSON")
		}
		if answer.Acks[strconv.FormatInt(*ack, 10)] {
			return nil
		}
		if !pause(ctx, wait, nil) {
			return fault.New(fault.Unavailable, "the indexers did not confirm the events in time")
		}
	}
}
