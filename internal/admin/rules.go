package admin

import (
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// ClientRules returns what clients may choose from, by the tables of the protocol.
func ClientRules() client.Rules {
	words := map[string]client.GrantType{
		client.GrantTypeCode:    {Aliases: []string{"code"}},
		client.GrantTypeRefresh: {Aliases: []string{"refresh"}},
		client.GrantTypeClient:  {Confidential: true},
		client.GrantTypeDevice:  {Short: "device_code", Aliases: []string{"device"}},
	}
	r := client.Rules{AuthMethods: oauth.Methods(), Algorithms: jose.Algorithms()}
	for _, name := range oauth.GrantTypeNames() {
		g := words[name]
		g.Name = name
		r.Grants = append(r.Grants, g)
	}
	return r
}
