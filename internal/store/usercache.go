package store

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// cachedUser is a user as it was read at a time.
type cachedUser struct {
	user   *identity.User
	readAt time.Time
}

const (
	userCacheTTL     = time.Second
	userCacheTimeout = time.Second // of reading a user again whose former value is cached
	userCacheSize    = 20_000      // users, of some 600 bytes each
)

func newUserCache() *otter.Cache[identity.UserID, cachedUser] {
	return otter.Must(&otter.Options[identity.UserID, cachedUser]{MaximumSize: userCacheSize})
}

// CachedUser returns a user as it was at most a second ago, or NotFound. A change by this process
// is visible at once. Use it to show a person's data, not to decide: that an account has been
// disabled or deleted is in the revocation log. The value is shared and must not be changed.
func (d *DB) CachedUser(
	ctx context.Context, id identity.UserID, now time.Time,
) (*identity.User, error) {
	c, ok := d.users.GetIfPresent(id)
	if ok && !now.Before(c.readAt) && now.Sub(c.readAt) < userCacheTTL {
		return c.user, nil
	}
	if ok { // what is shown can be shown without the user: do not wait long for a database that hangs
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, userCacheTimeout)
		defer cancel()
	}
	u, err := d.User(ctx, id)
	if err != nil {
		if !fault.Is(err, fault.Unavailable) {
			d.users.Invalidate(id)
		}
		return nil, err
	}
	d.users.Set(id, cachedUser{u, now})
	return u, nil
}
