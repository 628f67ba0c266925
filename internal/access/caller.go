package access

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// SetClient makes the caller one of a client of this server, with the roles and the restrictions of
// the client's registration. A network that cannot be parsed stays in the list as one that contains
// no address, because leaving it out could allow every address. The error names such networks, and
// the caller is usable all the same.
func (c *Caller) SetClient(cl *client.Client) error {
	c.Client, c.ClientRoles, c.Hosts, c.Routes = string(cl.ID), cl.Roles, cl.Hosts, cl.Routes
	c.Origins, c.Networks = cl.Origins, nil
	c.LoopbackOnly, c.Rate = cl.LoopbackOnly, cl.RateLimit(client.RateGateway)
	var failed error
	for _, text := range cl.Networks {
		network, err := netaddr.ParsePrefix(text)
		if err != nil {
			failed = errors.Join(failed,
				fmt.Errorf("the network %q of the client %s %w", clip(text), cl.ID, err))
			network = netip.Prefix{}
		}
		c.Networks = append(c.Networks, network)
	}
	return failed
}
