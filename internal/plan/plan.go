// Package plan is configuration as code without input and output: it reads a document that
// describes clients, scopes, roles, routes and webhooks, writes one of what is stored, describes
// the changes between the two, and has the JSON Schema of documents. Package admin fills it with
// what is stored and makes the changes.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/field"
)

// Version is the version of the documents that this release reads and writes.
const Version = 1

// Kind is the form of a member's value.
type Kind string

// The kinds.
const (
	KindText     Kind = "text"
	KindSwitch   Kind = "switch"
	KindList     Kind = "list"
	KindNumber   Kind = "number"
	KindDuration Kind = "duration"
	KindObject   Kind = "object"
	KindSecret   Kind = "secret" // a reference and nothing else
)

// Member is one member of an item, such as the client_name of a client.
type Member struct {
	Name, Help string
	Kind       Kind
	Spaced     bool // a list that may be one text with spaces between the items
	Required   bool // an item has it
	Always     bool // an export has it even where it is not set
}

// Section is one list of a document.
type Section struct {
	Name    string // of the list, such as clients
	Noun    string // of an item, such as client
	Key     string // the member that identifies an item, such as client_id
	KeyHelp string
	Members []Member // without the key
}

// Members returns the members of an item that derive from the fields of a T, without its key.
func Members[T any](fields []field.Field[T], key string, always ...string) []Member {
	var out []Member
	for _, f := range fields {
		if f.Name == key {
			continue
		}
		m := Member{Name: f.Name, Help: f.Help, Required: f.Required, Kind: KindText}
		switch {
		case f.Switch != nil:
			m.Kind = KindSwitch
		case f.List != nil:
			m.Kind, m.Spaced = KindList, f.Joined
		case f.TTL != nil:
			m.Kind = KindDuration
		case f.Int != nil, f.Bytes != nil:
			m.Kind = KindNumber
		case f.JSON != nil:
			m.Kind = KindObject
		}
		for _, name := range always {
			m.Always = m.Always || name == f.Name
		}
		out = append(out, m)
	}
	return out
}

// member returns the member with that name, or nil.
func (s *Section) member(name string) *Member {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return &s.Members[i]
		}
	}
	return nil
}

// Action is what happens to a thing.
type Action string

// The actions. Keep is no change: the thing carries the label of the document, which does not have
// it any more, and deletions were not asked for.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	Keep   Action = "keep"
)

// Change is what a document changes in one thing.
type Change struct {
	Action  Action        `json:"action"`
	Section string        `json:"section"`
	Key     string        `json:"key"`
	Line    int           `json:"line,omitempty"` // of the document
	Fields  []FieldChange `json:"fields,omitempty"`

	// State names the stored state that the change is for. It is part of the plan's id.
	State string `json:"-"`
}

// FieldChange is a change of one member.
type FieldChange struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Hidden bool   `json:"hidden,omitempty"` // the values may be secret and are not shown
}

// Plan is what a document would change.
type Plan struct {
	ID      string   `json:"id"` // of the changes and the states that they are for
	Label   string   `json:"label"`
	Changes []Change `json:"changes"`
	Orphans []Change `json:"orphans"` // things that the document no longer has and that stay
	Same    int      `json:"unchanged"`
	Adopted int      `json:"adopted"` // things that get the label of the document without a change

	// Open names the members that were not compared, because of references without a value.
	Open []Open `json:"not_compared"`
	// Labeled is how many things carry the label now.
	Labeled int `json:"labeled"`
}

// Open is a member whose value refers to something that is not known here.
type Open struct {
	Section   string `json:"section"`
	Key       string `json:"key"`
	Field     string `json:"field"`
	Reference string `json:"reference"`
}

// Seal sets the id of a plan, a hash of its changes.
func (p *Plan) Seal() {
	h := sha256.New()
	enc := json.NewEncoder(h)
	_ = enc.Encode(p.Label) // a hash takes everything
	for i := range p.Changes {
		_ = enc.Encode(p.Changes[i])
		_ = enc.Encode(p.Changes[i].State)
	}
	p.ID = hex.EncodeToString(h.Sum(nil)[:16])
}

// Empty reports whether nothing changes.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// Count returns how many changes of an action there are.
func (p *Plan) Count(a Action) int {
	n := 0
	for i := range p.Changes {
		if p.Changes[i].Action == a {
			n++
		}
	}
	return n
}

// Bounds of deletions that need no further consent.
const (
	freeDeletions = 5
	freePercent   = 20
)

// TooManyDeletions reports whether a plan deletes so much that it is more likely a mistake than a
// wish: more than one thing, and more than five or a fifth of what carries the label.
func (p *Plan) TooManyDeletions() bool {
	n := p.Count(Delete)
	return n > 1 && (n > freeDeletions || n*100 > p.Labeled*freePercent)
}

// Summary returns the numbers of a plan in a sentence.
func (p *Plan) Summary() string {
	if p.Empty() {
		return fmt.Sprintf("Nothing to change; %d unchanged.", p.Same)
	}
	return fmt.Sprintf("%d to create, %d to update, %d to delete, %d unchanged.",
		p.Count(Create), p.Count(Update), p.Count(Delete), p.Same)
}
