package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// clientRule requires one of some clients. A client of an external issuer is written with the
// issuer's name before it, auth0:abc, because the issuer chooses the id, which may equal an id of
// this server.
type clientRule struct {
	own     []string
	foreign []foreignClient
	written []string
}

type foreignClient struct{ issuer, id string }

func compileClient(c *Compiled, _ *Options) (rule, error) {
	if len(c.route.Clients) == 0 {
		return nil, nil
	}
	r := clientRule{written: c.route.Clients}
	for _, s := range c.route.Clients {
		if !visible(s) || len(s) > maxAddress {
			return nil, fault.InvalidField("clients", "%q is not a client id; write the id that "+
				"`gatehouse client list` shows", clip(s))
		}
		issuer, id, qualified := strings.Cut(s, ":")
		if qualified && id != "" && slices.Contains(c.route.Issuers, issuer) {
			r.foreign = append(r.foreign, foreignClient{issuer, id})
		} else {
			r.own = append(r.own, s)
		}
	}
	return r, nil
}

func (r clientRule) check(_ *Target, c *Caller) *Denial {
	switch {
	case c.Client == "":
	case c.Issuer == "":
		if slices.Contains(r.own, c.Client) {
			return nil
		}
	case slices.Contains(r.foreign, foreignClient{c.Issuer, c.Client}):
		return nil
	}
	out := &Denial{
		Rule:   "client",
		Needed: shown(r.written...),
		Remedy: "Call with one of these clients, or add the client to the route.",
	}
	had := c.Client
	if c.Issuer != "" {
		had = c.Issuer + ":" + c.Client
	}
	if c.Client == "" {
		out.Reason = "The request comes from no client, and the route is for some clients only."
		return out
	}
	out.Had, out.Reason = shown(had), fmt.Sprintf("The route is not for the client %q.", clip(had))
	return out
}
