package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/geoip"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// places finds places in GEOIP_DATABASE, once the server has opened it: commands need none.
type places struct {
	db atomic.Pointer[geoip.Database]
}

// Find returns the place of an address, or the zero Place if it is not known.
func (p *places) Find(ip string) visitor.Place {
	if db := p.db.Load(); db != nil {
		return db.Find(ip)
	}
	return visitor.Place{}
}

// openPlaces opens GEOIP_DATABASE, and follows its replacement in the background.
func (s *server) openPlaces() error {
	path := s.parts.cfg.Accounts.Places
	if path == "" {
		return nil
	}
	db, err := geoip.Open(path)
	if err != nil {
		return err
	}
	s.parts.places.db.Store(db)
	s.behind = append(s.behind, func(ctx context.Context) {
		db.Watch(ctx, func(err error) {
			s.log.Error("the database of places stays as it was", "error", err)
		})
	})
	return nil
}

// newAccounts returns what people do with their own accounts.
func (s *server) newAccounts() (*account.Server, error) {
	p := s.parts
	if err := s.openPlaces(); err != nil {
		return nil, err
	}
	return account.New(account.Config{
		RevokeTokens:  p.cfg.Sessions.RevokeTokens,
		BaseURL:       p.cfg.Server.BaseURL,
		DeletionGrace: p.cfg.Accounts.DeletionGrace,
		Places:        p.places,
	}, p.db, p.login), nil
}

// maxUpload bounds the request that uploads a picture. It is more than a picture may have, so that
// a person whose picture is too large gets an answer instead of a broken connection.
const maxUpload = 32 << 20

// exportRate returns how often a person may download a copy of their data.
func exportRate() web.Rate { return web.Rate{Max: 10, Window: time.Hour} }
