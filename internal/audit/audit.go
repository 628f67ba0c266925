// Package audit defines the events of the audit log: their names, their shape, and the reasons of
// failures. Where events are stored is not its concern.
package audit

import (
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// Event is one entry of the audit log. No field ever holds a secret.
type Event struct {
	ID        string // UUIDv7
	At        time.Time
	Type      Type
	Actor     string // who caused it: a user id, a client id, "cli", "system", or "" for a stranger
	ActorType string // one of the Actor constants, or "" where it follows from the rest: see ActorKind
	User      string // the user concerned, or ""
	Client    string // the client concerned, or ""
	Session   string // the session concerned, or ""
	Grant     string // the grant concerned, or ""
	IP        string
	Agent     string
	RequestID string
	Reason    string            // of a failure: one of the Reason constants
	Detail    map[string]string // further facts under short, stable names

	// What the event concerns where that is none of the above: see Target.
	TargetType string   // one of the Target constants, or ""
	TargetID   string   // its id, or its name where it has no id
	Changes    []Change // of an update, in the order of the names

	// What the proof of the log needs of the entry; see Row.
	Salt   string
	Erased string

	// Guard decides in the transaction of the event whether the change may be made; nil: it may.
	Guard Guard

	// Deliveries are what must be sent because of the event, such as a notice by mail. They are
	// stored in the transaction of the event, and are not part of the log.
	Deliveries []outbox.Delivery
}

// Kinds of actors.
const (
	ActorUser   = "user"
	ActorClient = "client"
	ActorSystem = "system" // the server itself
	ActorCLI    = "cli"    // the command line on the database
)

// Kinds of things that events concern.
const (
	TargetUser     = "user"
	TargetClient   = "client"
	TargetSession  = "session"
	TargetGrant    = "authorization"
	TargetScope    = "scope"
	TargetRole     = "role"
	TargetRoute    = "route"
	TargetKey      = "key"
	TargetDelivery = "delivery"
	TargetAudit    = "audit_log"
	TargetBackup   = "backup"
	TargetWebhook  = "webhook"
	TargetInitial  = "initial_token"
	TargetSettings = "settings"
	TargetConfig   = "configuration"
	TargetRequests = "requests" // of one caller
	TargetBulk     = "bulk_action"
)

// A Change is one field that an update changed. Fields whose values are not shown have neither a
// value before nor one after.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// ActorKind returns the kind of the actor: ActorType, or what follows from whom the event concerns.
func (e *Event) ActorKind() string {
	switch {
	case e.ActorType != "" || e.Actor == "":
		return e.ActorType
	case e.Actor == ActorCLI, e.Actor == ActorSystem:
		return e.Actor
	case e.Actor == e.Client && e.Actor != e.User:
		return ActorClient
	}
	return ActorUser
}

// Target returns what the event concerns: TargetType and TargetID, or where these are empty the
// session, approval, user or client that the event names.
func (e *Event) Target() (kind, id string) {
	if e.TargetType != "" {
		return e.TargetType, e.TargetID
	}
	prefix, _, _ := strings.Cut(e.Type.Name(), ".")
	switch {
	case prefix == TargetSession && e.Session != "":
		return TargetSession, e.Session
	case prefix == TargetGrant && e.Grant != "":
		return TargetGrant, e.Grant
	case prefix == TargetClient && e.Client != "":
		return TargetClient, e.Client
	case e.User != "":
		return TargetUser, e.User
	case e.Client != "":
		return TargetClient, e.Client
	}
	return "", ""
}
