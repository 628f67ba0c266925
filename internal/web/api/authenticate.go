package api

import (
	"net/http"
	"time"

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
	c, err := s.Kit.ParseCall(withoutBody(x.r), 0, nil)
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
	x.actor, err = s.ActorOf(ctx, t, visit(ctx))
	return err
}

// withoutBody returns a copy of a request for reading its headers alone.
func withoutBody(r *http.Request) *http.Request {
	out := *r
	out.Body, out.ContentLength = http.NoBody, 0
	out.Header = r.Header.Clone()
	out.Header.Del("Content-Type")
	u := *r.URL
	u.RawQuery = ""
	out.URL = &u
	return &out
}
