package identity

import "time"

// Deletion is the wish of a person to have their account deleted. Until then the account is
// disabled, and signing in offers nothing but to keep it.
type Deletion struct {
	User        UserID
	RequestedAt time.Time
	DueAt       time.Time // when the account is erased
	Held        bool      // an administrator disabled the account meanwhile: its owner cannot keep it
}
