package identity

import "strings"

// An Impersonator is who acts as another person: an administrator, a client that acts for itself,
// or the command line. The zero value is nobody.
type Impersonator struct {
	Kind string // of the actor, as the audit log has it
	ID   string
}

// String returns the form in which an impersonator is stored, or "" for nobody.
func (i Impersonator) String() string {
	if i == (Impersonator{}) {
		return ""
	}
	return i.Kind + ":" + i.ID
}

// ParseImpersonator reads what String has written. It reports false for any other text.
func ParseImpersonator(s string) (Impersonator, bool) {
	if s == "" {
		return Impersonator{}, true
	}
	kind, id, ok := strings.Cut(s, ":")
	return Impersonator{Kind: kind, ID: id}, ok && kind != "" && id != ""
}
