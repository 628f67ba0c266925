package login

import (
	"context"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// Factor is one way to prove who you are. It is handed values and returns values. To add one is to write its file and
// to name it in the table that build makes.
type Factor interface {
	// Step is the step that the factor answers; several factors may answer the same one.
	Step() string
	// Held reports whether a person with these credentials must show this factor, or one that answers the same step,
	// after the password.
	Held(creds []identity.Credential) bool
	// Claims reports whether the input looks like this factor's. It only looks.
	Claims(in url.Values) bool
	// Serial reports whether guesses cost so little that they must be checked one after another for each person.
	Serial() bool
	// Check tries the input. u is nil when nobody has the name that was given: the work must be the same. An error
	// means that no answer could be found; a wrong answer is a Proof that is not OK.
	Check(ctx context.Context, v Visit, u *identity.User, in url.Values) (Proof, error)
}

// Proof is the outcome of a check.
type Proof struct {
	OK     bool
	AMR    []string // what was proved (RFC 8176)
	Reason string   // why not: a stable word for the audit log
	Text   string   // why not: a sentence for the person
}
