package ship

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ElasticOptions configures an Elastic.
type ElasticOptions struct {
	URL            string
	Index          string
	APIKey         string // "" for none
	User, Password string // "" for none
	Roots          *x509.CertPool
}

// Elastic writes events to an index or data stream of Elasticsearch or OpenSearch. The id of a
// document is that of the event, so that one sent twice is there once. An event is delivered when
// its document is created.
type Elastic struct {
	server *logServer
	index  string
}

// NewElastic returns an Elastic.
func NewElastic(o ElasticOptions) *Elastic {
	header := http.Header{}
	switch {
	case o.APIKey != "":
		header.Set("Authorization", "ApiKey "+o.APIKey)
	case o.User != "":
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(o.User+":"+o.Password)))
	}
	return &Elastic{server: newLogServer(o.URL, o.Roots, header), index: o.Index}
}

// Name returns the name of the sink.
func (s *Elastic) Name() string { return "elasticsearch" }

// Types returns nil: the index gets all events.
func (s *Elastic) Types() []audit.Type { return nil }

// Close ends connections.
func (s *Elastic) Close() { s.server.close() }

// elasticAnswer is the answer of the bulk interface.
type elasticAnswer struct {
	Errors bool `json:"errors"`
	Items  []struct {
		Create struct {
			Status int `json:"status"`
			Error  struct {
				Type   string `json:"type"`
				Reason string `json:"reason"`
			} `json:"error"`
		} `json:"create"`
	} `json:"items"`
}

// Deliver creates documents. Those that are there already count; of the others, what the index
// rejects for good is refused, and from the first that may pass later on the rest is sent again.
func (s *Elastic) Deliver(ctx context.Context, events []audit.Event) (out Outcome) {
	res, err := s.server.post(ctx, "/_bulk", "application/x-ndjson", s.body(events))
	if err != nil {
		return Outcome{Err: err}
	}
	if res.status == http.StatusRequestEntityTooLarge {
		return s.halves(ctx, events)
	}
	if res.status != http.StatusOK {
		return Outcome{Err: res.failure(), RetryAfter: res.retryAfter}
	}
	var answer elasticAnswer
	if err := json.Unmarshal(res.body, &answer); err != nil || len(answer.Items) != len(events) {
		return Outcome{Err: fault.New(fault.Unavailable, "the answer is not one of the bulk interface: %s",
			excerpt(res.body, maxError/2))}
	}
	for i := range answer.Items {
		item := &answer.Items[i].Create
		text := fmt.Sprintf("Elasticsearch answers with status %d: %s: %s", item.Status,
			excerpt([]byte(item.Error.Type), 60), excerpt([]byte(item.Error.Reason), 160))
		switch {
		case item.Status/100 == 2 || item.Status == http.StatusConflict:
		case item.Status == http.StatusBadRequest:
			out.Refused = append(out.Refused, Rejection{i, text})
		default: // too busy, not allowed, no such index
			out.Err = fault.New(fault.Unavailable, "%s", text)
			return out
		}
		out.Done++
	}
	return out
}

// halves sends a batch in two parts: the server rejects it as too large.
func (s *Elastic) halves(ctx context.Context, events []audit.Event) Outcome {
	if len(events) == 1 {
		return Outcome{Done: 1, Refused: []Rejection{{0, "Elasticsearch refuses the event as too large"}}}
	}
	n := len(events) / 2
	out := s.Deliver(ctx, events[:n])
	if out.Err != nil {
		return out
	}
	rest := s.Deliver(ctx, events[n:])
	out.Done += rest.Done
	for _, x := range rest.Refused {
		out.Refused = append(out.Refused, Rejection{n + x.Index, x.Error})
	}
	out.Err, out.RetryAfter = rest.Err, rest.RetryAfter
	return out
}

// elasticDocument adds the time under the name that data streams need.
type elasticDocument struct {
	Timestamp string `json:"@timestamp"`
	audit.Record
}

func (s *Elastic) body(events []audit.Event) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i := range events {
		r := events[i].Record()
		_ = enc.Encode(map[string]any{"create": map[string]string{"_index": s.index, "_id": r.ID}})
		_ = enc.Encode(elasticDocument{r.Timestamp, r})
	}
	return b.Bytes()
}
