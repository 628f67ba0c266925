package app

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/console"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// administers reports whether the console is open to a person.
func administers(u *identity.User) bool { return u.Admin() }

// pageRoutes adds the pages of people and those of administrators.
func (s *server) pageRoutes(
	e *env, mux *http.ServeMux, kit *web.Kit, browser *ui.Server, pages *ui.Pages,
) error {
	browser.Routes(mux)
	ops, err := s.parts.operations(e)
	if err != nil {
		return err
	}
	c, err := console.New(console.Config{
		Kit:     kit,
		Ops:     ops,
		Browser: browser,
		Who:     s.administrator,
		Assets:  pages.Assets,
		Look:    consoleLook(pages),
		Keys:    s.parts.keys,
		Issuer:  s.parts.cfg.Server.BaseURL,
		Places:  s.parts.places,
		Banners: s.consoleBanners,
		CanMail: canMail(s.parts.cfg),
	})
	if err != nil {
		return err
	}
	c.Routes(mux)
	return nil
}

// administrator returns the account of a session, and what it may do.
func (s *server) administrator(ctx context.Context, _ *http.Request, sess *identity.Session) (
	*identity.User, admin.Actor, error,
) {
	u, err := s.parts.db.User(ctx, sess.User)
	if err != nil {
		return nil, admin.Actor{}, err
	}
	ev := web.EventOf(ctx)
	a := admin.Actor{User: u.ID, Session: sess.ID, Agent: ev.Agent, RequestID: ev.ID}
	a.IP, _ = netip.ParseAddr(ev.IP)
	if administers(u) && !u.Disabled {
		a.Scopes = []admin.Scope{admin.ScopeAll}
	}
	return u, a, nil
}

// consoleLook returns how the pages of administrators present the server.
func consoleLook(p *ui.Pages) console.Look {
	brand := p.Brand()
	return console.Look{
		Name:    brand.Name,
		Scheme:  brand.Scheme(),
		Theme:   p.ThemeURL(),
		Favicon: p.FaviconURL(),
	}
}

// consoleBanners returns what an administrator must do.
func (s *server) consoleBanners() []console.Banner {
	var out []console.Banner
	c := s.parts.cfg
	if !canMail(c) {
		out = append(out, console.Banner{
			Text: "No mail server is set, so nobody gets messages: passwords cannot be reset by mail, " +
				"and invitations must be passed on by hand. Set SMTP_HOST and SMTP_FROM.",
		})
	}
	return out
}
