package app

import (
	"context"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/console"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// pageRoutes adds the pages of people and those of administrators.
func (s *server) pageRoutes(
	e *env, mux *http.ServeMux, kit *web.Kit, browser *ui.Server, pages *ui.Pages,
) error {
	ops, err := s.parts.operations(e)
	if err != nil {
		return err
	}
	browser.ShowConsole(ops.Administers)
	browser.Routes(mux)
	c, err := console.New(console.Config{
		Kit:     kit,
		Ops:     ops,
		Browser: browser,
		Who:     s.administratorOf(ops),
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

// administratorOf returns a function that returns the account of a session, and what it may do.
func (s *server) administratorOf(ops *admin.Operations) console.Who {
	return func(ctx context.Context, _ *http.Request, sess *identity.Session) (
		*identity.User, admin.Actor, error,
	) {
		u, err := s.parts.db.User(ctx, sess.User)
		if err != nil {
			return nil, admin.Actor{}, err
		}
		ev := web.EventOf(ctx)
		a, err := ops.SessionActor(ctx, sess, login.Visit{
			Now:       ev.Now,
			IP:        ev.IP,
			Agent:     ev.Agent,
			RequestID: ev.ID,
		})
		return u, a, err
	}
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
