package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	deviceCols = "hash, user_code, client_id, scopes, resources, state, interval_ms, ip, agent, created_at, expires_at"
	slowDownBy = 5 * time.Second        // RFC 8628 §3.5
	pollSlack  = 500 * time.Millisecond // a device's timer and the network are not exact; many devices take slow_down for the end
)

func scanDevice(r sqldb.Row) (*oauth.Device, error) {
	var v oauth.Device
	err := r.Scan(deviceDest(&v)...)
	return &v, err
}

func deviceDest(v *oauth.Device) []any {
	return []any{
		(*string)(&v.Hash), &v.UserCode, (*string)(&v.Client),
		words{&v.Scopes},
		words{&v.Resources},
		&v.State,
		span{&v.Interval},
		&v.IP, &v.Agent,
		stamp{&v.CreatedAt},
		stamp{&v.ExpiresAt},
	}
}

// PutDevice stores a pending device authorization: Conflict if the user code is taken, Limited if there are too many.
// The bound and the insertion are one statement.
func (d *DB) PutDevice(ctx context.Context, v *oauth.Device, ev ...audit.Event) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "INSERT INTO devices ("+deviceCols+", grant_data, last_poll_at, slowed) "+
			"SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', 0, FALSE WHERE (SELECT COUNT(*) FROM devices) < $12",
			v.Hash, v.UserCode, v.Client, join(v.Scopes), join(v.Resources), oauth.DevicePending, v.Interval.Milliseconds(),
			clean(v.IP), clean(v.Agent), ms(v.CreatedAt), ms(v.ExpiresAt), d.o.MaxPendingDevices)
		if err == nil && n == 0 {
			return fault.RetryAfter(fault.Limited, time.Minute, "too many devices wait to be signed in; try again in a minute")
		}
		return err
	})
}

// DeviceByUserCode reads a pending, unexpired authorization by the normalised user code, or NotFound.
func (d *DB) DeviceByUserCode(ctx context.Context, userCode string, now time.Time) (*oauth.Device, error) {
	v, err := scanDevice(d.sql.Row(ctx, "SELECT "+deviceCols+" FROM devices WHERE user_code = $1 AND state = 'pending' AND expires_at > $2",
		clean(userCode), ms(now)))
	return v, named(err, "code")
}

// DecideDevice approves or denies a pending authorization, once: Consumed if it was decided before, NotFound if
// unknown or expired.
func (d *DB) DecideDevice(ctx context.Context, v oauth.DeviceDecision, ev ...audit.Event) error {
	state, data := oauth.DeviceDenied, []byte(nil)
	if v.Approve {
		if v.Grant == nil {
			return fault.New(fault.Invalid, "an approval needs the grant that the device gets")
		}
		var err error
		if data, err = json.Marshal(dataOfGrant(v.Grant)); err != nil {
			return err
		}
		state = oauth.DeviceApproved
	}
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE devices SET state = $1, grant_data = $2 WHERE user_code = $3 AND state = 'pending' AND expires_at > $4",
			state, string(data), clean(v.UserCode), ms(v.Now))
		if err != nil || n > 0 {
			return err
		}
		decided, err := exists(ctx, tx, "SELECT 1 FROM devices WHERE user_code = $1 AND state <> 'pending' AND expires_at > $2", clean(v.UserCode), ms(v.Now))
		if err == nil && decided {
			return spent("code")
		}
		return one(0, err, "code")
	})
}

// PollDevice is one poll by the device. What the row says chooses the statement; only the statement, which
// repeats the condition, decides. If the row moved in between, it is looked at again.
func (d *DB) PollDevice(ctx context.Context, h secret.Hash, client client.ID, now time.Time) (*oauth.DevicePoll, error) {
	for range 3 {
		v, err := scanDevice(d.sql.Row(ctx, "SELECT "+deviceCols+" FROM devices WHERE hash = $1 AND client_id = $2", h, client))
		if err != nil {
			return nil, named(err, "device code")
		}
		if !v.ExpiresAt.After(now) {
			return &oauth.DevicePoll{State: v.State, Expired: true, Device: *v}, nil
		}
		var p *oauth.DevicePoll
		switch v.State {
		case oauth.DevicePending:
			p, err = d.notePoll(ctx, h, now)
		case oauth.DeviceApproved:
			p, err = d.approvedDevice(ctx, h)
		default:
			return &oauth.DevicePoll{State: v.State, Device: *v}, nil
		}
		if err == nil || !fault.Is(err, fault.NotFound) {
			return p, err
		}
	}
	return nil, notFound("device code")
}

// notePoll marks a pending authorization as polled now, and slower if that came too soon.
func (d *DB) notePoll(ctx context.Context, h secret.Hash, now time.Time) (*oauth.DevicePoll, error) {
	var p oauth.DevicePoll
	err := d.sql.Row(ctx, "UPDATE devices SET slowed = last_poll_at + interval_ms > CAST($1 AS BIGINT), last_poll_at = $2, "+
		"interval_ms = CASE WHEN last_poll_at + interval_ms > CAST($1 AS BIGINT) THEN interval_ms + CAST($3 AS BIGINT) ELSE interval_ms END "+
		"WHERE hash = $4 AND state = 'pending' AND expires_at > $2 RETURNING "+deviceCols+", slowed",
		ms(now.Add(pollSlack)), ms(now), slowDownBy.Milliseconds(), h).Scan(append(deviceDest(&p.Device), &p.TooFast)...)
	p.State = p.Device.State
	return &p, err
}

// approvedDevice reads an approved authorization with its grant.
func (d *DB) approvedDevice(ctx context.Context, h secret.Hash) (*oauth.DevicePoll, error) {
	var p oauth.DevicePoll
	var text string
	err := d.sql.Row(ctx, "SELECT "+deviceCols+", grant_data FROM devices WHERE hash = $1 AND state = 'approved'", h).
		Scan(append(deviceDest(&p.Device), &text)...)
	if err != nil {
		return nil, err
	}
	var data grantData
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return nil, err
	}
	g := data.grant()
	p.State, p.Grant = p.Device.State, &g
	return &p, nil
}

// RedeemDevice takes an approved authorization away and stores its grant, in one transaction. Of concurrent callers one finds the
// row, the others get Consumed. Denied: what the grant hangs on has been revoked; the authorization is gone.
func (d *DB) RedeemDevice(ctx context.Context, h secret.Hash, g *oauth.Grant, now time.Time, ev ...audit.Event) error {
	return d.redeem(ctx, g, ev, func(tx sqldb.Tx) (bool, error) {
		n, err := tx.Exec(ctx, "DELETE FROM devices WHERE hash = $1 AND state = 'approved' AND expires_at > $2", h, ms(now))
		return n == 1, err
	})
}
