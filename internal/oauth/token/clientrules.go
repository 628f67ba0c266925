package token

import (
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// ClientRules returns what a registration may choose from: everything that this program knows,
// whether or not an operator has switched it on.
func ClientRules() client.Rules { return clientRules(GrantTypes(), AuthMethods()) }

// ClientRules returns what a registration may choose from on this server.
func (s *Server) ClientRules() client.Rules { return clientRules(s.GrantTypes(), s.AuthMethods()) }

func clientRules(grants []client.GrantType, methods []client.AuthMethod) client.Rules {
	implied := func(g client.GrantType) bool { return g.Implied }
	return client.Rules{
		Grants:      slices.DeleteFunc(grants, implied),
		AuthMethods: methods,
		Algorithms:  jose.Algorithms(),
	}
}
