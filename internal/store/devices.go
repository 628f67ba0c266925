package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	slowDownBy = 5 * time.Second // RFC 8628 §3.5
	// pollSlack allows for timers and networks that are not exact: many devices give up at
	// slow_down.
	pollSlack = 500 * time.Millisecond
)

var deviceTable = table[oauth.Device]{
	name: "devices",
	columns: []column[oauth.Device]{
		{"hash", func(v *oauth.Device) any { return (*string)(&v.Hash) }},
		{"user_code", func(v *oauth.Device) any { return &v.UserCode }},
		{"client_id", func(v *oauth.Device) any { return (*string)(&v.Client) }},
		{"scopes", func(v *oauth.Device) any { return spaceList{&v.Scopes} }},
		{"resources", func(v *oauth.Device) any { return spaceList{&v.Resources} }},
		{"state", func(v *oauth.Device) any { return &v.State }},
		{"interval_ms", func(v *oauth.Device) any { return millis{&v.Interval} }},
		{"ip", func(v *oauth.Device) any { return cleanText{&v.IP} }},
		{"agent", func(v *oauth.Device) any { return cleanText{&v.Agent} }},
		{"created_at", func(v *oauth.Device) any { return unixMillis{&v.CreatedAt} }},
		{"expires_at", func(v *oauth.Device) any { return unixMillis{&v.ExpiresAt} }},
	},
}

var (
	selectDevice     = "SELECT " + deviceTable.list() + " FROM devices WHERE hash = $1 AND client_id = $2"
	selectByUserCode = "SELECT " + deviceTable.list() + " FROM devices" +
		" WHERE user_code = $1 AND state = 'pending' AND expires_at > $2"
	// The bound and the insertion are one statement.
	insertDevice = deviceTable.into("grant_data", "last_poll_at", "slowed") + " SELECT " + deviceTable.params() +
		", '', 0, FALSE WHERE (SELECT COUNT(*) FROM devices) < " + deviceTable.next(1)
	selectApproved = "SELECT " + deviceTable.list() + ", grant_data FROM devices WHERE hash = $1 AND state = 'approved'"
	notePoll       = "UPDATE devices SET slowed = last_poll_at + interval_ms > CAST($1 AS BIGINT), last_poll_at = $2," +
		" interval_ms = CASE WHEN last_poll_at + interval_ms > CAST($1 AS BIGINT)" +
		" THEN interval_ms + CAST($3 AS BIGINT) ELSE interval_ms END" +
		" WHERE hash = $4 AND state = 'pending' AND expires_at > $2 RETURNING " + deviceTable.list() + ", slowed"
)

// PutDevice stores a pending device authorization. It returns Conflict if the user code is taken,
// and Limited if too many are pending.
func (d *DB) PutDevice(ctx context.Context, v *oauth.Device, ev ...audit.Event) error {
	pending := *v
	pending.State = oauth.DevicePending
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertDevice, deviceTable.args(&pending, d.o.MaxPendingDevices)...)
		if err == nil && n == 0 {
			return fault.RetryAfter(fault.Limited, time.Minute,
				"too many devices wait to be signed in; try again in a minute")
		}
		return err
	})
}

// DeviceByUserCode reads a pending, unexpired authorization by the normalised user code, or
// NotFound.
func (d *DB) DeviceByUserCode(
	ctx context.Context, userCode string, now time.Time,
) (*oauth.Device, error) {
	v, err := deviceTable.scan(d.sql.Row(ctx, selectByUserCode, clean(userCode), unixMilli(now)))
	return v, asNotFound(err, "code")
}

// DecideDevice approves or denies a pending authorization, once. It returns Consumed if the
// authorization was decided before, and NotFound if it is unknown or has expired.
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
		n, err := tx.Exec(ctx, "UPDATE devices SET state = $1, grant_data = $2"+
			" WHERE user_code = $3 AND state = 'pending' AND expires_at > $4",
			state, string(data), clean(v.UserCode), unixMilli(v.Now))
		if err != nil || n > 0 {
			return err
		}
		decided, err := exists(ctx, tx, "SELECT 1 FROM devices"+
			" WHERE user_code = $1 AND state <> 'pending' AND expires_at > $2",
			clean(v.UserCode), unixMilli(v.Now))
		if err == nil && decided {
			return consumed("code")
		}
		return requireOne(0, err, "code")
	})
}

// PollDevice answers one poll by the device. The row's state chooses the statement; only the
// statement, which repeats the condition, decides. If the row changed in between, it is read
// again.
func (d *DB) PollDevice(
	ctx context.Context, h secret.Hash, client client.ID, now time.Time,
) (*oauth.DevicePoll, error) {
	for range 3 {
		v, err := deviceTable.scan(d.sql.Row(ctx, selectDevice, h, client))
		if err != nil {
			return nil, asNotFound(err, "device code")
		}
		if !v.ExpiresAt.After(now) {
			return &oauth.DevicePoll{State: v.State, Expired: true, Device: *v}, nil
		}
		var p *oauth.DevicePoll
		switch v.State {
		case oauth.DevicePending:
			p, err = d.pollPending(ctx, h, now)
		case oauth.DeviceApproved:
			p, err = d.pollApproved(ctx, h)
		default:
			return &oauth.DevicePoll{State: v.State, Device: *v}, nil
		}
		if err == nil || !fault.Is(err, fault.NotFound) {
			return p, err
		}
	}
	return nil, notFound("device code")
}

// pollPending notes the time of a poll of a pending authorization, and lengthens its interval if
// the poll came too soon.
func (d *DB) pollPending(
	ctx context.Context, h secret.Hash, now time.Time,
) (*oauth.DevicePoll, error) {
	var p oauth.DevicePoll
	err := d.sql.Row(ctx, notePoll, unixMilli(now.Add(pollSlack)), unixMilli(now), slowDownBy.Milliseconds(), h).
		Scan(append(deviceTable.dest(nil, &p.Device), &p.TooFast)...)
	p.State = p.Device.State
	return &p, err
}

// pollApproved reads an approved authorization with its grant.
func (d *DB) pollApproved(ctx context.Context, h secret.Hash) (*oauth.DevicePoll, error) {
	var p oauth.DevicePoll
	var text string
	err := d.sql.Row(ctx, selectApproved, h).Scan(append(deviceTable.dest(nil, &p.Device), &text)...)
	if err != nil {
		return nil, err
	}
	var data grantData
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return nil, err
	}
	g, ok := data.grant()
	if !ok {
		return nil, errActor()
	}
	p.State, p.Grant = p.Device.State, &g
	return &p, nil
}

// RedeemDevice deletes an approved authorization and stores its grant, in one transaction. Of
// concurrent callers one finds the row; the others get Consumed. It returns Denied if what the
// grant depends on has been revoked, and the authorization is gone.
func (d *DB) RedeemDevice(
	ctx context.Context, h secret.Hash, g *oauth.Grant, now time.Time, ev ...audit.Event,
) error {
	return d.redeem(ctx, g, ev, func(tx sqldb.Tx) (bool, error) {
		n, err := tx.Exec(ctx, "DELETE FROM devices WHERE hash = $1 AND state = 'approved' AND expires_at > $2",
			h, unixMilli(now))
		return n == 1, err
	})
}
