package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// Names of what a client's own rate limits count.
const (
	RateToken   = "token"   // requests to the token endpoint
	RateGateway = "gateway" // requests through the gateway, on all routes together
)

// Bounds of a client's own rate limits.
const (
	maxRate       = 100_000_000
	maxRateWindow = 30 * 24 * time.Hour
)

// RateLimit is how many requests a client may make in a window. The zero value means that the
// client has no limit of its own.
type RateLimit struct {
	Max    int
	Window time.Duration
}

// rateLimit is the JSON form of a RateLimit; the window is in seconds.
type rateLimit struct {
	Max    int   `json:"max"`
	Window int64 `json:"window"`
}

func rateNames() []string { return []string{RateToken, RateGateway} }

// RateLimit returns the client's own limit for one of the names of what is counted.
func (c *Client) RateLimit(name string) RateLimit {
	if len(c.RateLimits) == 0 {
		return RateLimit{}
	}
	limits, err := parseRateLimits(c.RateLimits)
	if err != nil { // stored limits were validated
		return RateLimit{}
	}
	l := limits[name]
	return RateLimit{Max: l.Max, Window: time.Duration(l.Window) * time.Second}
}

// parseRateLimits reads a document such as {"token":{"max":1000,"window":60}}.
func parseRateLimits(raw json.RawMessage) (map[string]rateLimit, error) {
	var limits map[string]rateLimit
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&limits); err != nil {
		return nil, errors.New(`write them as {"token":{"max":1000,"window":60}}, with whole numbers; ` +
			`the window is in seconds`)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the document has more than one value")
	}
	for name, l := range limits {
		if !slices.Contains(rateNames(), name) {
			return nil, fmt.Errorf("there is no limit %q; use %s", shorten(name),
				strings.Join(rateNames(), " or "))
		}
		if l.Max < 1 || l.Max > maxRate || l.Window < 1 || l.Window > int64(maxRateWindow/time.Second) {
			return nil, fmt.Errorf("the limit %s needs max from 1 to %d and window from 1 second to 30 days",
				name, maxRate)
		}
	}
	return limits, nil
}

// normalRateLimits returns rate limits in their stored form, or nil if there are none.
func normalRateLimits(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null" {
		return nil, nil
	}
	limits, err := parseRateLimits(raw)
	if err != nil {
		return nil, fault.InvalidField("rate_limits", "%s", err.Error())
	}
	if len(limits) == 0 {
		return nil, nil
	}
	return json.Marshal(limits)
}

// readRateLimits reads rate limits from texts such as "token=1000/60", or from one text in JSON.
func readRateLimits(values []string) (json.RawMessage, error) {
	if len(values) == 1 && strings.HasPrefix(strings.TrimSpace(values[0]), "{") {
		return json.RawMessage(values[0]), nil
	}
	limits := map[string]rateLimit{}
	for _, v := range values {
		for item := range strings.FieldsSeq(v) {
			name, rate, _ := strings.Cut(item, "=")
			number, window, _ := strings.Cut(rate, "/")
			n, err := strconv.Atoi(number)
			d, derr := field.ParseDuration(window)
			if err != nil || derr != nil {
				return nil, fault.InvalidField("rate_limits",
					"%q is not a limit; write it as token=1000/60s", shorten(item))
			}
			limits[name] = rateLimit{Max: n, Window: int64(d / time.Second)}
		}
	}
	return json.Marshal(limits)
}

// showRateLimits returns the limits for people, as in "token=1000/1m0s".
func showRateLimits(c *Client) string {
	var out []string
	for _, name := range rateNames() {
		if l := c.RateLimit(name); l.Max > 0 {
			out = append(out, fmt.Sprintf("%s=%d/%s", name, l.Max, field.FormatDuration(l.Window)))
		}
	}
	return strings.Join(out, " ")
}
