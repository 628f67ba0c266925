package api

import (
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// RateName names the rate limit of the operations that need a token.
const RateName = "management"

// Rate returns the rate limit of the operations that need a token: twenty a second on average.
func Rate() web.Rate { return web.Rate{Max: 1200, Window: time.Minute} }

// authenticate finds out who calls an operation. Public operations have no actor.
func (s *Server) authenticate(x *exchange) error {
	if x.op.public() {
		return nil
	}
	ctx := x.r.Context()
	v := visit(ctx)
	ip, _ := netip.ParseAddr(v.IP) // an address that cannot be read is not an allowed one
	if err := s.Operations.AllowAddress(ip); err != nil {
		return err
	}
	if x.browser && s.Browser != nil && x.r.Header.Get("Authorization") == "" {
		a, ok, err := s.Browser(x.r)
		if err != nil || ok {
			x.actor = a
			return err
		}
	}
	c, err := s.Kit.ParseCall(web.WithoutBody(x.r), 0, nil)
	if err != nil {
		return err
	}
	t, err := s.Tokens.Caller(ctx, c)
	if err != nil {
		return err
	}
	ev := web.EventOf(ctx)
	ev.Client, ev.User = string(t.Client), string(t.User)
	who := web.Subject{Client: string(t.Client), User: string(t.User)}
	if err := s.Kit.Allow(x.w, x.r, RateName, who); err != nil {
		return err
	}
	x.actor, err = s.Operations.ActorOf(ctx, t, v)
	if fault.Is(err, fault.NotFound) {
		return oauth.InvalidToken("The user or the client of the access token does not exist any more.")
	}
	return err
}
