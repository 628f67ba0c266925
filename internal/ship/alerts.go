package ship

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

const (
	// Many accounts that are locked within lockWindow are one alert.
	manyLocks  = 10
	lockWindow = 10 * time.Minute
	// quiet is how long the same alert about the same subject is not raised again.
	quiet = time.Hour
	// tooOld is how old an event may be to be worth an alert.
	tooOld = 24 * time.Hour
	// maxAdmins bounds the administrators who get one message.
	maxAdmins = 50
	// maxQuiet bounds what is remembered of alerts.
	maxQuiet = 10_000
	// maxAlertsHour bounds the alerts of one kind in an hour, whatever their subjects.
	maxAlertsHour = 20
)

// The kinds of alerts, in Detail of their events under "alert".
const (
	AlertReplay        = "replay"
	AlertLockouts      = "lockouts"
	AlertDeliveries    = "deliveries"
	AlertAdministrator = "administrator"
)

// People is what alerts need of storage.
type People interface {
	// Administrators returns up to limit active users with an administrator's role.
	Administrators(ctx context.Context, limit int) ([]identity.User, error)
	// User returns the user with that id, or fault.NotFound.
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
	// Client returns a shared value that must not be changed, or fault.NotFound.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	// RecentEvents returns the newest events of a type since a time, newest first, up to limit.
	RecentEvents(ctx context.Context, t audit.Type, since time.Time, limit int) ([]audit.Event, error)
}

// Alerts watches the log for what administrators should know at once. It records an event for each
// alert, with messages to them.
type Alerts struct {
	People People
	Sealer *outbox.Sealer
	Mail   bool // administrators get messages
	Now    func() time.Time

	ready  bool
	raised map[string]time.Time // by kind and subject
	counts map[string][]time.Time
	locks  []time.Time // in the last lockWindow
}

// Name returns the name of the sink.
func (a *Alerts) Name() string { return "alerts" }

// Types returns the types of events that can cause an alert.
func (a *Alerts) Types() []audit.Type {
	return []audit.Type{
		audit.RefreshTokenReplayed,
		audit.AuthorizationCodeReplayed,
		audit.AccountLocked,
		audit.DeliveryDead,
		audit.AdminCreated,
		audit.AdminRoleChanged,
	}
}

// Close forgets what was raised; it is read from the log again.
func (a *Alerts) Close() { a.ready = false }

// Deliver raises the alerts that events cause. They are recorded together with the progress.
func (a *Alerts) Deliver(ctx context.Context, events []audit.Event) (out Outcome) {
	if err := a.remember(ctx); err != nil {
		return Outcome{Err: err}
	}
	for i := range events {
		alert, ok := a.alert(&events[i])
		if ok && a.allowed(alert.Detail["alert"], alert.Detail["subject"], events[i].At) {
			if err := a.notify(ctx, &alert, &events[i]); err != nil {
				a.ready = false
				out.Err = err
				return out
			}
			out.Events = append(out.Events, alert)
		}
		out.Done++
	}
	return out
}

// remember reads what was raised lately, after a start or a change of servers.
func (a *Alerts) remember(ctx context.Context) error {
	if a.ready {
		return nil
	}
	now := a.Now()
	a.raised, a.counts = map[string]time.Time{}, map[string][]time.Time{}
	raised, err := a.People.RecentEvents(ctx, audit.AlertRaised, now.Add(-quiet), 1000)
	if err != nil {
		return err
	}
	for i := range raised {
		kind := raised[i].Detail["alert"]
		a.raised[kind+" "+raised[i].Detail["subject"]] = raised[i].At
		a.counts[kind] = append(a.counts[kind], raised[i].At)
	}
	a.ready = true
	return nil
}

// alert returns the alert that an event causes, if any.
func (a *Alerts) alert(ev *audit.Event) (audit.Event, bool) {
	now := a.Now()
	if now.Sub(ev.At) > tooOld {
		return audit.Event{}, false
	}
	out := audit.Event{
		At:     now,
		Type:   audit.AlertRaised,
		Actor:  audit.ActorSystem,
		User:   ev.User,
		Client: ev.Client,
		Grant:  ev.Grant,
		IP:     ev.IP,
		Detail: map[string]string{"event": ev.ID, "caused_by": ev.Type.Name(), "at": audit.Timestamp(ev.At)},
	}
	kind, subject := "", ""
	switch ev.Type {
	case audit.RefreshTokenReplayed, audit.AuthorizationCodeReplayed:
		kind, subject = AlertReplay, ev.Client+"/"+ev.User
	case audit.AccountLocked:
		if !a.manyLocks(ev.At) {
			return audit.Event{}, false
		}
		kind = AlertLockouts
		out.User, out.Client = "", ""
		out.Detail["count"] = strconv.Itoa(len(a.locks))
	case audit.DeliveryDead:
		if ev.Detail["sink"] == "" { // mail: an address that does not exist is no alert
			return audit.Event{}, false
		}
		kind, subject = AlertDeliveries, ev.Detail["sink"]
		out.Detail["target"] = targetOf(ev)
		out.Detail["count"] = ev.Detail["events"]
	default:
		if ev.Actor == ev.User { // the first administrator, or one who lowers themselves
			return audit.Event{}, false
		}
		kind, subject = AlertAdministrator, ev.User
		out.Detail["by"] = ev.Actor
	}
	out.Detail["alert"], out.Detail["subject"] = kind, subject
	return out, true
}

// targetOf returns what an event of dead deliveries is about, for people.
func targetOf(ev *audit.Event) string {
	if host := ev.Detail["host"]; host != "" {
		return host
	}
	return ev.Detail["sink"]
}

// manyLocks counts a locked account, and reports whether there are many.
func (a *Alerts) manyLocks(at time.Time) bool {
	a.locks = append(since(a.locks, at.Add(-lockWindow)), at)
	a.locks = a.locks[max(0, len(a.locks)-10*manyLocks):]
	return len(a.locks) >= manyLocks
}

// since returns the times that are not before another one.
func since(times []time.Time, first time.Time) []time.Time {
	out := times[:0]
	for _, t := range times {
		if !t.Before(first) {
			out = append(out, t)
		}
	}
	return out
}

// allowed reports whether an alert may be raised: not the same twice within an hour, and not too
// many of a kind.
func (a *Alerts) allowed(kind, subject string, at time.Time) bool {
	key := kind + " " + subject
	if last, ok := a.raised[key]; ok && at.Sub(last) < quiet {
		return false
	}
	now := a.Now()
	a.counts[kind] = since(a.counts[kind], now.Add(-quiet))
	if len(a.counts[kind]) >= maxAlertsHour {
		return false
	}
	if len(a.raised) >= maxQuiet {
		clear(a.raised)
	}
	a.raised[key] = now
	a.counts[kind] = append(a.counts[kind], now)
	return true
}

// notify attaches messages to an alert: one to each administrator with an address.
func (a *Alerts) notify(ctx context.Context, alert, cause *audit.Event) error {
	if !a.Mail {
		return nil
	}
	admins, err := a.People.Administrators(ctx, maxAdmins)
	if err != nil {
		return err
	}
	values := map[string]string{"time": cause.At.UTC().Format(time.RFC3339)}
	if alert.IP != "" {
		values["ip"] = alert.IP
	}
	if alert.Client != "" {
		values["client"] = a.clientName(ctx, alert.Client)
	}
	if alert.User != "" {
		values["username"] = a.userName(ctx, alert.User)
	}
	if by := alert.Detail["by"]; by != "" {
		values["by"] = a.userName(ctx, by)
	}
	for _, name := range []string{"count", "target"} {
		if v := alert.Detail[name]; v != "" {
			values[name] = v
		}
	}
	alert.Deliveries = toAdmins(a.Sealer, admins, outbox.AlertMessage(alert.Detail["alert"]), values, alert.At)
	return nil
}

// toAdmins returns a message to each administrator with an address.
func toAdmins(
	s *outbox.Sealer, admins []identity.User, message string, values map[string]string, now time.Time,
) (all []outbox.Delivery) {
	for i := range admins {
		if admins[i].Email == "" {
			continue
		}
		all = append(all, s.Mail(outbox.Mail{
			To:      admins[i].Email,
			Name:    admins[i].Name,
			Locale:  admins[i].Locale,
			Zone:    admins[i].Zoneinfo,
			Message: message,
			Values:  values,
		}, now))
	}
	return all
}

// clientName returns the name and the id of a client, or its id alone.
func (a *Alerts) clientName(ctx context.Context, id string) string {
	c, err := a.People.Client(ctx, client.ID(id))
	if err != nil || c.Name == "" {
		return id
	}
	return c.Name + " (" + id + ")"
}

// userName returns how a person is called, or the id.
func (a *Alerts) userName(ctx context.Context, id string) string {
	u, err := a.People.User(ctx, identity.UserID(id))
	if err != nil {
		return id
	}
	return u.Label()
}
