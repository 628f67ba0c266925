// Package session describes the sessions of browser apps whose tokens stay on the server. It holds
// values only: package bff opens and ends sessions, package store keeps them.
package session

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// CallbackPath is the path of the redirect URI that makes a client session-managed: this server
// keeps the client's tokens, and its browsers hold a cookie instead.
const CallbackPath = "/session/callback"

// Session is what the cookie of a browser app stands for.
type Session struct {
	ID         string // UUIDv7; not the cookie's secret
	Client     client.ID
	User       identity.UserID
	Grant      oauth.GrantID
	Session    identity.SessionID // the browser session that the grant came from, or ""
	Tokens     string             // sealed
	Version    int64              // of Tokens: grows with every refresh
	BusyUntil  time.Time          // until then one server has claimed the refresh of the tokens
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time // absolute end
}
