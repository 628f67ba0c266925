package remote

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

func sessionOf(doc *object) (identity.Session, error) {
	return identity.Session{
		ID:           member[identity.SessionID](*doc, "id"),
		User:         member[identity.UserID](*doc, "user_id"),
		CreatedAt:    at(*doc, "created_at"),
		LastSeenAt:   at(*doc, "last_activity"),
		ExpiresAt:    at(*doc, "expires_at"),
		AuthTime:     at(*doc, "auth_time"),
		ACR:          member[string](*doc, "acr"),
		AMR:          orNil(member[[]string](*doc, "amr")),
		IP:           member[string](*doc, "ip_address"),
		Agent:        member[string](*doc, "user_agent"),
		Impersonator: identity.Impersonator{ID: member[string](*doc, "impersonator")},
	}, nil
}

// selection returns the parameters that select sessions.
func selection(sel admin.SessionSelection) []string {
	var out []string
	if sel.OlderThan > 0 {
		out = append(out, "older_than", sel.OlderThan.String())
	}
	if sel.Network != (netip.Prefix{}) {
		out = append(out, "ip", sel.Network.String())
	}
	return out
}

// Sessions returns a page of sessions.
func (s *Server) Sessions(
	ctx context.Context, _ admin.Actor, user string, sel admin.SessionSelection, p admin.Page,
) (*admin.List[identity.Session], error) {
	query := parameters(append(selection(sel), "user", user)...)
	s.names = map[identity.UserID]string{}
	return page(ctx, s, query, p, func(doc *object) (identity.Session, error) {
		x, err := sessionOf(doc)
		if name := member[string](*doc, "user_name"); name != "" {
			s.names[x.User] = name
		}
		return x, err
	}, "sessions")
}

// Session returns a session.
func (s *Server) Session(ctx context.Context, _ admin.Actor, id identity.SessionID) (*identity.Session, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "sessions", string(id)); err != nil {
		return nil, err
	}
	x, err := sessionOf(&doc)
	return &x, err
}

// RevokeSession ends a session.
func (s *Server) RevokeSession(
	ctx context.Context, a admin.Actor, id identity.SessionID,
) (*identity.Session, error) {
	x, err := s.Session(ctx, a, id)
	if err != nil {
		return nil, err
	}
	return x, s.remove(ctx, nil, nil, 0, "sessions", string(id))
}

// RevokeSessions ends the sessions that a selection selects.
func (s *Server) RevokeSessions(ctx context.Context, _ admin.Actor, sel admin.SessionSelection) (int, error) {
	query := parameters(selection(sel)...)
	if len(query) == 0 {
		query.Set("all", "true")
	}
	var doc object
	err := s.remove(ctx, &doc, query, 0, "sessions")
	return member[int](doc, "revoked"), err
}

// RevokeUserSessions ends all browser sessions of a user.
func (s *Server) RevokeUserSessions(ctx context.Context, a admin.Actor, user string) (*admin.EndedAccess, error) {
	return s.endSessions(ctx, a, user, false)
}

// RevokeUserAccess ends all sessions and grants of a user.
func (s *Server) RevokeUserAccess(ctx context.Context, a admin.Actor, user string) (*admin.EndedAccess, error) {
	return s.endSessions(ctx, a, user, true)
}

func (s *Server) endSessions(
	ctx context.Context, a admin.Actor, user string, grants bool,
) (*admin.EndedAccess, error) {
	u, err := s.User(ctx, a, user)
	if err != nil {
		return nil, err
	}
	query := parameters()
	if grants {
		query.Set("grants", "true")
	}
	var doc object
	err = s.remove(ctx, &doc, query, 0, "users", string(u.ID), "sessions")
	return &admin.EndedAccess{User: u, Sessions: member[int](doc, "revoked")}, err
}

// SessionMetrics counts all sessions.
func (s *Server) SessionMetrics(ctx context.Context, _ admin.Actor, _ bool) (admin.SessionMetrics, error) {
	var doc object
	err := s.get(ctx, &doc, nil, "metrics", "sessions")
	return admin.SessionMetrics{
		Active: member[int](doc, "active_sessions"),
		Today:  member[int](doc, "sessions_today"),
		Users:  member[int](doc, "unique_users"),
	}, err
}

// Overview returns what has happened.
func (s *Server) Overview(ctx context.Context, _ admin.Actor, period string) (*admin.Overview, error) {
	var doc object
	if err := s.get(ctx, &doc, parameters("period", period), "metrics", "overview"); err != nil {
		return nil, err
	}
	attention := member[object](doc, "attention")
	return &admin.Overview{
		Sizes: admin.Sizes{
			LockedUsers: sizeOf(doc, "locked_users"),
			DeadMail:    sizeOf(doc, "dead_messages"),
			Attention: admin.Attention{
				ExpiringSecrets: sizeOf(attention, "expiring_secrets"),
				FailingSinks:    sizeOf(attention, "failing_sinks"),
				Gaps:            sizeOf(attention, "gaps"),
				EndedWebhooks:   sizeOf(attention, "ended_webhooks"),
				OldKeys:         sizeOf(attention, "old_keys"),
			},
		},
		Period:   member[string](doc, "period"),
		From:     at(doc, "from"),
		Step:     time.Duration(member[int64](doc, "step_seconds")) * time.Second,
		SignIns:  member[[]int](doc, "sign_ins"),
		Failures: member[[]int](doc, "failures"),
		Tokens:   member[[]int](doc, "tokens"),
		Locks:    member[[]int](doc, "locks"),
		Sessions: member[[]int](doc, "sessions"),
	}, nil
}

func sizeOf(doc object, name string) admin.Size {
	size := member[object](doc, name)
	return admin.Size{N: member[int](size, "n"), AtLeast: member[bool](size, "at_least")}
}

// Settings returns the settings in force.
func (s *Server) Settings(ctx context.Context, _ admin.Actor) ([]admin.Setting, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "settings"); err != nil {
		return nil, err
	}
	out := make([]admin.Setting, len(answer.Data))
	for i, doc := range answer.Data {
		out[i] = admin.Setting{
			Name:        member[string](doc, "name"),
			Group:       member[string](doc, "group"),
			Value:       member[string](doc, "value"),
			Secret:      string(doc["value"]) == "null",
			Default:     member[string](doc, "default"),
			Source:      member[string](doc, "source"),
			Description: member[string](doc, "description"),
		}
	}
	return out, nil
}

func keyOf(doc object) jose.StoredKey {
	return jose.StoredKey{
		ID:        member[string](doc, "id"),
		Alg:       member[string](doc, "alg"),
		CreatedAt: at(doc, "created_at"),
		ActiveAt:  at(doc, "active_at"),
		RetiredAt: at(doc, "retired_at"),
		ExpiresAt: at(doc, "expires_at"),
	}
}

// Keys returns the signing keys.
func (s *Server) Keys(ctx context.Context, _ admin.Actor) ([]jose.StoredKey, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "keys"); err != nil {
		return nil, err
	}
	var out []jose.StoredKey
	for _, doc := range answer.Data {
		out = append(out, keyOf(doc))
	}
	return out, nil
}

// RotateKey makes a new signing key.
func (s *Server) RotateKey(ctx context.Context, _ admin.Actor, in admin.KeyRotation) (*admin.RotatedKey, error) {
	b := map[string]any{"publish_ahead": wholeSeconds(in.PublishAhead)}
	if in.Algorithm != "" {
		b["alg"] = in.Algorithm
	}
	if in.Now {
		b["now"] = true
	}
	var doc object
	if err := s.post(ctx, &doc, b, "keys", "rotate"); err != nil {
		return nil, err
	}
	return &admin.RotatedKey{
		Key:            keyOf(member[object](doc, "key")),
		Retires:        orNil(member[[]string](doc, "retires")),
		PublishedUntil: at(doc, "published_until"),
	}, nil
}

// RetirableKey returns a key. Whether it can be withdrawn is decided when it is.
func (s *Server) RetirableKey(ctx context.Context, _ admin.Actor, id string) (admin.KeyUse, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "keys"); err != nil {
		return admin.KeyUse{}, err
	}
	for _, doc := range answer.Data {
		if k := keyOf(doc); k.ID == id {
			return admin.KeyUse{StoredKey: k, TokensUntil: at(doc, "tokens_until"), Issued: -1}, nil
		}
	}
	return admin.KeyUse{}, fault.New(fault.NotFound, "there is no key %q", id)
}

// RetireKey withdraws a key.
func (s *Server) RetireKey(ctx context.Context, a admin.Actor, id string) (jose.StoredKey, error) {
	found, err := s.RetirableKey(ctx, a, id)
	k := found.StoredKey
	if err != nil {
		return k, err
	}
	header, err := s.callHeader(ctx, &request{method: http.MethodDelete, path: []string{"keys", id}}, nil)
	if err != nil {
		return k, err
	}
	// The clock of the server decides.
	if k.RetiredAt, err = http.ParseTime(header.Get("Date")); err != nil {
		k.RetiredAt = time.Now()
	}
	k.ExpiresAt = k.RetiredAt
	return k, nil
}

func mailOf(doc *object) (outbox.Delivery, error) {
	return outbox.Delivery{
		ID:            member[outbox.ID](*doc, "id"),
		To:            member[string](*doc, "to"),
		About:         member[string](*doc, "kind"),
		State:         member[outbox.State](*doc, "state"),
		Attempts:      member[int](*doc, "attempts"),
		CreatedAt:     at(*doc, "created_at"),
		NextAttemptAt: at(*doc, "next_attempt_at"),
		FinishedAt:    at(*doc, "finished_at"),
		LastError:     member[string](*doc, "last_error"),
	}, nil
}

// Mail returns a page of messages.
func (s *Server) Mail(
	ctx context.Context, _ admin.Actor, q admin.DeliveryQuery,
) (*admin.List[outbox.Delivery], error) {
	return page(ctx, s, parameters("state", string(q.State), "to", q.To), q.Page, mailOf, "mail")
}

// TestMail sends a message at once.
func (s *Server) TestMail(ctx context.Context, _ admin.Actor, in admin.MailTest) error {
	b := map[string]any{"to": in.To}
	if in.Message != "" {
		b["template"] = in.Message
	}
	if in.Locale != "" {
		b["locale"] = in.Locale
	}
	return s.post(ctx, nil, b, "mail", "test")
}

// RetryMail queues a message again.
func (s *Server) RetryMail(ctx context.Context, _ admin.Actor, id outbox.ID) (*outbox.Delivery, error) {
	var doc object
	if err := s.post(ctx, &doc, nil, "mail", string(id), "retry"); err != nil {
		return nil, err
	}
	d, err := mailOf(&doc)
	return &d, err
}

func webhookOf(doc object) (*webhook.Webhook, error) {
	w := &webhook.Webhook{
		ID:            member[webhook.ID](doc, "id"),
		Ended:         member[string](doc, "ended"),
		PreviousUntil: at(doc, "previous_secret_until"),
		Version:       member[int64](doc, "version"),
		CreatedAt:     at(doc, "created_at"),
		UpdatedAt:     at(doc, "updated_at"),
	}
	return w, read(webhook.Fields(), doc, w)
}

func createdWebhook(doc object) (*admin.CreatedWebhook, error) {
	w, err := webhookOf(doc)
	return &admin.CreatedWebhook{Webhook: w, Secret: member[string](doc, "secret")}, err
}

// ListWebhooks returns all webhooks.
func (s *Server) ListWebhooks(ctx context.Context, _ admin.Actor) ([]webhook.Webhook, error) {
	var answer list[object]
	if err := s.get(ctx, &answer, nil, "webhooks"); err != nil {
		return nil, err
	}
	var out []webhook.Webhook
	for _, doc := range answer.Data {
		w, err := webhookOf(doc)
		if err != nil {
			return nil, err
		}
		out = append(out, *w)
	}
	return out, nil
}

// Webhook returns a webhook.
func (s *Server) Webhook(ctx context.Context, _ admin.Actor, ref string) (*webhook.Webhook, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "webhooks", ref); err != nil {
		return nil, err
	}
	return webhookOf(doc)
}

// CreateWebhook subscribes an address.
func (s *Server) CreateWebhook(
	ctx context.Context, _ admin.Actor, p webhook.Patch,
) (*admin.CreatedWebhook, error) {
	b, err := body(webhook.Fields(), &p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.post(ctx, &doc, b, "webhooks"); err != nil {
		return nil, err
	}
	return createdWebhook(doc)
}

// UpdateWebhook changes a webhook.
func (s *Server) UpdateWebhook(
	ctx context.Context, _ admin.Actor, ref string, p webhook.Patch, ifVersion int64,
) (*webhook.Webhook, error) {
	b, err := body(webhook.Fields(), &p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.patch(ctx, &doc, b, ifVersion, "webhooks", ref); err != nil {
		return nil, err
	}
	return webhookOf(doc)
}

// DeleteWebhook deletes a webhook.
func (s *Server) DeleteWebhook(
	ctx context.Context, _ admin.Actor, ref string, ifVersion int64,
) (*webhook.Webhook, error) {
	return &webhook.Webhook{ID: webhook.ID(ref)}, s.remove(ctx, nil, nil, ifVersion, "webhooks", ref)
}

// RotateWebhookSecret makes a new secret.
func (s *Server) RotateWebhookSecret(
	ctx context.Context, _ admin.Actor, ref string, overlap time.Duration,
) (*admin.CreatedWebhook, error) {
	b := map[string]any{}
	if overlap >= 0 {
		b["overlap"] = wholeSeconds(overlap)
	}
	var doc object
	if err := s.post(ctx, &doc, b, "webhooks", ref, "rotate_secret"); err != nil {
		return nil, err
	}
	return createdWebhook(doc)
}

func deliveryOf(doc object) webhook.Delivery {
	d := webhook.Delivery{
		ID:            member[string](doc, "id"),
		Event:         member[string](doc, "event_id"),
		State:         member[webhook.State](doc, "state"),
		Attempts:      member[int](doc, "attempts"),
		CreatedAt:     at(doc, "created_at"),
		NextAttemptAt: at(doc, "next_attempt_at"),
		FinishedAt:    at(doc, "finished_at"),
		Status:        member[int](doc, "status"),
		Answer:        member[string](doc, "answer"),
		Duration:      time.Duration(member[int64](doc, "duration_ms")) * time.Millisecond,
		Error:         member[string](doc, "error"),
	}
	if types := audit.Matching(member[string](doc, "event")); len(types) > 0 {
		d.Type = types[0] // of several with this name: the name is what is shown
	}
	return d
}

// WebhookDeliveries returns a page of deliveries.
func (s *Server) WebhookDeliveries(
	ctx context.Context, _ admin.Actor, ref string, q webhook.Query,
) ([]webhook.Delivery, int, error) {
	docs, total, err := part[object](ctx, s, parameters("state", string(q.State)), q.Limit, q.Offset,
		"webhooks", ref, "deliveries")
	var out []webhook.Delivery
	for _, doc := range docs {
		out = append(out, deliveryOf(doc))
	}
	return out, total, err
}

// ResendDelivery asks for one more attempt.
func (s *Server) ResendDelivery(
	ctx context.Context, _ admin.Actor, ref, delivery string,
) (*webhook.Delivery, error) {
	var doc object
	if err := s.post(ctx, &doc, nil, "webhooks", ref, "deliveries", delivery, "resend"); err != nil {
		return nil, err
	}
	d := deliveryOf(doc)
	return &d, nil
}

// TestWebhook sends a message and returns what the target says.
func (s *Server) TestWebhook(ctx context.Context, _ admin.Actor, ref string) (*webhook.Delivery, error) {
	var doc object
	if err := s.post(ctx, &doc, nil, "webhooks", ref, "test"); err != nil {
		return nil, err
	}
	d := deliveryOf(doc)
	return &d, nil
}

// Examine looks for what is wrong with the installation of the server.
func (s *Server) Examine(ctx context.Context, _ admin.Actor) (*doctor.Report, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "doctor"); err != nil {
		return nil, err
	}
	out := &doctor.Report{}
	for _, f := range member[[]object](doc, "findings") {
		out.Findings = append(out.Findings, doctor.Finding{
			Check: member[string](f, "check"),
			Level: member[doctor.Level](f, "level"),
			Title: member[string](f, "title"),
			Fix:   member[string](f, "fix"),
		})
	}
	return out, nil
}

// gapLimit returns how many gaps to request of a wanted number.
func gapLimit(n int) string { return strconv.Itoa(min(n, apiPage)) }
