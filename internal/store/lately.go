package store

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// lately is a user as read a moment ago.
type lately struct {
	user *identity.User
	read time.Time
}

const (
	latelyLife = time.Second
	latelyWait = time.Second
	maxLately  = 20_000 // some 600 bytes each
)

func newLately() *otter.Cache[identity.UserID, lately] {
	return otter.Must(&otter.Options[identity.UserID, lately]{MaximumSize: maxLately})
}

// CachedUser gives a user as they were at most a second ago, or NotFound; a change by this process is seen at once. It is for telling
// about a person, not for deciding: that an account has been disabled or deleted is in the log of revocations. The value is shared:
// never change it.
func (d *DB) CachedUser(ctx context.Context, id identity.UserID, now time.Time) (*identity.User, error) {
	l, ok := d.users.GetIfPresent(id)
	if ok && !now.Before(l.read) && now.Sub(l.read) < latelyLife {
		return l.user, nil
	}
	if ok { // a database that hangs must not hold up for long what can be told without it
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, latelyWait)
		defer cancel()
	}
	u, err := d.User(ctx, id)
	if err != nil {
		if !fault.Is(err, fault.Unavailable) {
			d.users.Invalidate(id)
		}
		return nil, err
	}
	d.users.Set(id, lately{u, now})
	return u, nil
}
