package login

import (
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// TryCredential returns an error unless the secret of a credential can be opened.
func (s *Server) TryCredential(c *identity.Credential) error {
	switch c.Kind {
	case kindTOTP, kindPasskey:
		if _, err := s.keys.Box(c.Kind).Open(c.Sealed, string(c.ID)); err != nil {
			return fault.Wrap(fault.Invalid, err, "credential %s", c.ID)
		}
	}
	return nil
}
