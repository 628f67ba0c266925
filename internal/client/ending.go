package client

import "time"

// Notice is which notice of its end a secret has had.
type Notice int

// The notices, in order.
const (
	NoNotice Notice = iota
	ExpiresSoon
	HasExpired
)

// EndingSecret is a secret that expires.
type EndingSecret struct {
	Client    ID
	ID        string
	ExpiresAt time.Time
	Last      bool // the client authenticates by secrets, and has no other one that is active then
}
