// Package webhook defines the subscriptions by which other programs learn of audit events: what a
// valid one is, which events it receives, and how each message is signed (Standard Webhooks 1.0).
package webhook

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// ID names a webhook: a UUIDv7.
type ID string

const (
	// SinkPrefix precedes the id in the name of a webhook's sink.
	SinkPrefix = "webhook:"
	// All is the pattern of every event.
	All = "*"
	// Max is how many webhooks there may be.
	Max = 100

	maxURL         = 2048
	maxDescription = 200 // bytes
	maxEvents      = 100
)

// Webhook is a subscription of one address to audit events.
type Webhook struct {
	ID          ID
	URL         string
	Events      []string // dotted names such as user.login, and prefixes such as user.*; All for every event
	Active      bool
	Description string
	// Ended says why the server switched the webhook off: EndedGone, or "".
	Ended string
	// Secret and Previous are sealed: see Keys. Previous signs beside Secret until PreviousUntil.
	Secret        string
	Previous      string
	PreviousUntil time.Time
	Version       int64
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// EndedGone is why a webhook is off whose target answered 410 Gone.
const EndedGone = "gone"

// Patch is a change of the fields in Fields.
type Patch = field.Patch[Webhook]

// Fields returns the fields of a webhook that can be set. The address may contain a token, so that
// the audit log does not show its value.
func Fields() []field.Field[Webhook] {
	return []field.Field[Webhook]{
		{
			Name:        "url",
			Flag:        "url",
			Placeholder: "URL",
			Required:    true,
			Help:        "The address that receives the events, with https://.",
			Text:        func(w *Webhook) *string { return &w.URL },
			Normalize:   strings.TrimSpace,
		},
		{
			Name:        "events",
			Flag:        "event",
			Placeholder: "NAME",
			Required:    true,
			Help: "Which events it receives: a name such as user.login, a prefix such as " +
				"user.*, or * for all. Repeat it for several.",
			Audited:    true,
			List:       func(w *Webhook) *[]string { return &w.Events },
			Separators: " ,",
			Normalize:  strings.ToLower,
		},
		{
			Name:    "active",
			Flag:    "active",
			Help:    "Whether events are sent. One that is switched off misses the events of that time.",
			Audited: true,
			Switch:  func(w *Webhook) *bool { return &w.Active },
		},
		{
			Name:        "description",
			Flag:        "description",
			Placeholder: "TEXT",
			Help:        "What the webhook is for.",
			Audited:     true,
			Text:        func(w *Webhook) *string { return &w.Description },
			Normalize:   strings.TrimSpace,
		},
	}
}

// Rules are what a webhook is checked against.
type Rules struct {
	Plain bool // http:// may be used, for networks of OUTBOUND_ALLOW
}

// Validate returns an error about each field that is not valid.
func (w *Webhook) Validate(r Rules) error {
	return fault.Join(w.checkURL(r), w.checkEvents(), w.checkDescription())
}

func (w *Webhook) checkURL(r Rules) error {
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
		return fault.InvalidField("url", "enter the address that receives the events")
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(w.URL) > maxURL || !printable(w.URL):
		return fault.InvalidField("url", "the address is not an absolute URL of at most %d characters", maxURL)
	case u.User != nil:
		return fault.InvalidField("url",
			"the address must not contain a username or password; the signature proves who sends the events")
	case strings.Contains(w.URL, "#"):
		return fault.InvalidField("url", "the address must not have a fragment")
	case u.Scheme == "http" && !r.Plain:
		return fault.InvalidField("url",
			"the address must begin with https://; http:// is for networks in OUTBOUND_ALLOW only")
	case u.Scheme != "https" && u.Scheme != "http":
		return fault.InvalidField("url", "the address must begin with https://")
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError })
}

func (w *Webhook) checkEvents() error {
	switch {
	case len(w.Events) == 0:
		return fault.InvalidField("events", "name at least one event, or * for all")
	case len(w.Events) > maxEvents:
		return fault.InvalidField("events", "name at most %d events; a prefix such as user.* stands for many", maxEvents)
	}
	for _, pattern := range w.Events {
		if len(types(pattern)) == 0 {
			return fault.InvalidField("events",
				"there is no event %.64q; use names such as user.login, prefixes such as user.*, or *", pattern)
		}
	}
	return nil
}

func (w *Webhook) checkDescription() error {
	if len(w.Description) > maxDescription {
		return fault.InvalidField("description", "the description may have at most %d bytes", maxDescription)
	}
	if strings.ContainsFunc(w.Description, func(r rune) bool { return r < ' ' || r == 0x7f }) ||
		!utf8.ValidString(w.Description) {
		return fault.InvalidField("description", "the description contains a control character")
	}
	return nil
}

// Host returns the host of the address, for records: the whole address may contain a token.
func (w *Webhook) Host() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// Receives reports whether the webhook is subscribed to a type of event.
func (w *Webhook) Receives(t audit.Type) bool {
	name := t.Name()
	return slices.ContainsFunc(w.Events, func(pattern string) bool { return matches(pattern, name) })
}

// Types returns the types of events that the webhook is subscribed to, or nil for all.
func (w *Webhook) Types() []audit.Type {
	if slices.Contains(w.Events, All) {
		return nil
	}
	var all []audit.Type
	for _, t := range audit.Types() {
		if w.Receives(t) {
			all = append(all, t)
		}
	}
	return all
}

// types returns the types of events that a pattern stands for.
func types(pattern string) []audit.Type {
	return slices.DeleteFunc(audit.Types(), func(t audit.Type) bool { return !matches(pattern, t.Name()) })
}

func matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return prefix == "" || strings.HasSuffix(prefix, ".") && strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
