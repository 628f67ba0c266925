package login

import (
	"context"
	"maps"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Acting as another person: an administrator gets a one-time link, which opens a session of the
// person that is marked with who acts in it. Its cookie has a prefix of its own, so that whatever
// expects the session of a person who has signed in takes it for none.

// PageImpersonate is the page that a link to act as another person opens.
const PageImpersonate = "/impersonate"

const pageSignIns = "/account/security/sign-ins" // the history of an account

const (
	impersonationLinkTTL = 2 * time.Minute
	maxImpersonations    = 20 // links and sessions of one actor
	impersonationChunk   = 100
)

// Details of events about sessions in which somebody acts as another person.
const (
	DetailBecause = "because"  // the dotted name of the event that ended the session
	DetailEndedBy = "ended_by" // the actor of that event
	detailReason  = "reason"   // why somebody acts as the person
	detailUntil   = "until"
	detailStarted = "started"
)

// ReasonImpersonated is the reason of what cannot be done while somebody acts as another person.
const ReasonImpersonated = "impersonated"

// ErrImpersonated returns the denial of what only a person may do, to whoever acts as them.
func ErrImpersonated() error {
	return &fault.Error{
		Kind:   fault.Denied,
		Reason: ReasonImpersonated,
		Text:   "This cannot be done while you act as another person.",
	}
}

// Impersonation is a session in which somebody acts as another person, or the link that opens it.
type Impersonation struct {
	Session      identity.SessionID // that the link opens
	User         identity.UserID    // the person
	Actor        identity.Impersonator
	ActorSession identity.SessionID // of the actor's own browser, with which it ends; or ""
	Bound        bool               // only that browser may use the link
	Reason       string
	CreatedAt    time.Time
	ExpiresAt    time.Time // of the link
	OpenedAt     time.Time // zero until the link was used
}

// Ended returns the event that the session has ended: as it is given, with who acted as whom. The
// reason says something about the person, and is left out of what is recorded after the person
// was deleted.
func (i *Impersonation) Ended(ev audit.Event, exists bool) audit.Event {
	ev.ID, ev.Type = "", audit.ImpersonationEnded
	ev.Actor, ev.ActorType = i.Actor.ID, i.Actor.Kind
	ev.User, ev.Session = string(i.User), string(i.Session)
	ev.Detail = maps.Clone(ev.Detail)
	if ev.Detail == nil {
		ev.Detail = map[string]string{}
	}
	ev.Detail[detailStarted] = i.OpenedAt.UTC().Format(time.RFC3339)
	if exists {
		ev.Detail[detailReason] = i.Reason
	}
	return ev
}

// ImpersonationCookie reports whether a session cookie is that of a session in which somebody acts
// as another person. It may have ended.
func ImpersonationCookie(cookie string) bool {
	return secret.WellFormed(secret.PrefixImpersonated, cookie)
}

// NewImpersonation returns a one-time link by which an actor becomes a user for a while, and when
// it expires. v.Actor is the actor, v.Guard decides.
func (s *Server) NewImpersonation(
	ctx context.Context, v Visit, i Impersonation,
) (link string, expires time.Time, err error) {
	token := newLinkToken()
	i.Session = identity.SessionID(secret.NewID(v.Now))
	i.CreatedAt, i.ExpiresAt = v.Now, v.Now.Add(impersonationLinkTTL)
	ev := v.event(audit.ImpersonationLinkMade, i.User)
	ev.Session, ev.Detail = string(i.Session), map[string]string{detailReason: i.Reason}
	err = s.store.PutImpersonation(ctx, s.keys.Hash(token), &i, maxImpersonations, ev)
	return s.cfg.BaseURL + PageImpersonate + "?token=" + token, i.ExpiresAt, err
}

// RefusedImpersonation returns the event that an actor may not act as a user.
func RefusedImpersonation(v Visit, i Impersonation, why error) audit.Event {
	ev := v.event(audit.ImpersonationRefused, i.User)
	if ev.Reason = fault.Reason(why); ev.Reason == "" {
		ev.Reason = "not_allowed"
	}
	ev.Guard, ev.Detail = nil, map[string]string{detailReason: i.Reason}
	return ev
}

// RecordActingRefused records that whoever acts as another person tried what only the person may
// do.
func (s *Server) RecordActingRefused(
	ctx context.Context, v Visit, sess *identity.Session, path string,
) error {
	ev := v.event(audit.ImpersonationRefused, sess.User)
	ev.Session, ev.Reason = string(sess.ID), ReasonImpersonated
	ev.Detail = map[string]string{"path": path}
	return s.store.Record(ctx, ev)
}

// ImpersonationLink is what a link opens, for the page that asks before.
type ImpersonationLink struct {
	Impersonation
	Person *identity.User
	Until  time.Time // when the session would end
}

// ImpersonationLink returns what a link opens in the browser with a session, nil if there is none.
// Consumed if it cannot be used there.
func (s *Server) ImpersonationLink(
	ctx context.Context, v Visit, token string, browser *identity.Session,
) (*ImpersonationLink, error) {
	if s.cfg.ImpersonationTTL <= 0 || !secret.WellFormed(secret.PrefixLink, token) {
		return nil, errLink()
	}
	i, err := s.store.ImpersonationByLink(ctx, s.keys.Hash(token), v.Now)
	if err != nil {
		return nil, linkError(err)
	}
	switch {
	case browser != nil && browser.Impersonated():
		return nil, ErrImpersonated()
	case i.Bound && (browser == nil || browser.ID != i.ActorSession):
		return nil, fault.New(fault.Denied,
			"This link works only in the browser in which it was asked for.")
	}
	u, err := s.store.User(ctx, i.User)
	if err != nil {
		return nil, linkError(err)
	}
	return &ImpersonationLink{Impersonation: *i, Person: u, Until: v.Now.Add(s.cfg.ImpersonationTTL)}, nil
}

// Impersonate uses a link, once: it opens a session in which the actor of the link acts as its
// person, and returns the cookie. browser is the session of the browser that uses the link, or nil.
// Consumed if the link cannot be used, Denied if the actor may not act as the person by now.
func (s *Server) Impersonate(
	ctx context.Context, v Visit, token string, browser *identity.Session,
) (cookie string, sess *identity.Session, err error) {
	link, err := s.ImpersonationLink(ctx, v, token, browser)
	if err != nil {
		return "", nil, err
	}
	i := &link.Impersonation
	v.Actor, v.ActorType = i.Actor.ID, i.Actor.Kind
	sess = &identity.Session{ // neither AuthTime, AMR nor ACR: the person has proved nothing
		ID:           i.Session,
		User:         i.User,
		CreatedAt:    v.Now,
		LastSeenAt:   v.Now,
		ExpiresAt:    link.Until,
		IP:           v.IP,
		Agent:        v.agent(),
		Impersonator: i.Actor,
	}
	ev := s.impersonationStarted(v, link)
	var id identity.SessionID
	if browser != nil {
		id = browser.ID
	}
	cookie = secret.NewToken(secret.PrefixImpersonated)
	err = s.store.OpenImpersonation(ctx, s.keys.Hash(token), s.keys.Hash(cookie), id, sess, ev)
	if fault.Is(err, fault.Denied) {
		if failed := s.store.Record(ctx, RefusedImpersonation(v, *i, err)); failed != nil {
			return "", nil, failed
		}
	}
	if err != nil {
		return "", nil, linkError(err)
	}
	return cookie, sess, nil
}

// impersonationStarted returns the event of a session that a link opens, with the notice to the
// person.
func (s *Server) impersonationStarted(v Visit, link *ImpersonationLink) audit.Event {
	ev := v.event(audit.ImpersonationStarted, link.User)
	ev.Session = string(link.Session)
	ev.Detail = map[string]string{
		detailReason: link.Reason,
		detailUntil:  link.Until.UTC().Format(time.RFC3339),
	}
	ev.Guard = s.impersonationGuard(&link.Impersonation)
	if s.cfg.NotifyImpersonation {
		s.notices.attach(&ev, link.Person, outbox.Mail{
			Message: outbox.MessageImpersonated,
			Values: map[string]string{
				"time":   ev.At.UTC().Format(time.RFC3339),
				"ends":   link.Until.UTC().Format(time.RFC3339),
				"reason": link.Reason,
				"link":   s.cfg.BaseURL + pageSignIns,
			},
		})
	}
	return ev
}

// impersonationGuard returns what decides whether somebody may act as a person.
func (s *Server) impersonationGuard(i *Impersonation) audit.Guard {
	if s.cfg.MayImpersonate == nil {
		return func(context.Context, audit.Rows) error { return ErrImpersonated() }
	}
	return s.cfg.MayImpersonate(i)
}

// resumeImpersonation returns the active session of a cookie in which somebody acts as another
// person, while they still may; else it ends the session, and returns NotFound.
func (s *Server) resumeImpersonation(
	ctx context.Context, v Visit, cookie string,
) (*identity.Session, error) {
	sess, err := s.store.SessionByCookie(ctx, s.keys.Hash(cookie), v.Now, s.cfg.Idle)
	if err != nil {
		return nil, err
	}
	i, err := s.store.Impersonation(ctx, sess.ID)
	if err != nil {
		return nil, err
	}
	if !sess.Impersonated() || i.Actor != sess.Impersonator || i.User != sess.User {
		return nil, errNotSignedIn()
	}
	because, err := s.impersonationOver(ctx, v, i)
	if err != nil {
		return nil, err
	}
	if because != "" {
		if err := s.endImpersonation(ctx, v, sess.ID, because); err != nil {
			return nil, err
		}
		return nil, errNotSignedIn()
	}
	return s.touch(ctx, v, sess)
}

// Reasons why the server ends a session in which somebody acts as another person.
const (
	becauseSignedOut = "actor_signed_out"
	becauseRights    = "not_allowed_any_more"
	becauseExpired   = "session.expired"
)

// impersonationOver returns why an actor may not act as the person any more, or "". The actor's own
// session stays in use meanwhile.
func (s *Server) impersonationOver(ctx context.Context, v Visit, i *Impersonation) (string, error) {
	if i.ActorSession != "" {
		own, err := s.store.Session(ctx, i.ActorSession, v.Now)
		if fault.Is(err, fault.NotFound) {
			return becauseSignedOut, nil
		}
		if err != nil {
			return "", err
		}
		if v.Now.Sub(own.LastSeenAt) >= touchEvery {
			if err := s.store.TouchSession(ctx, own.ID, v.Now, own.IP, own.Agent); err != nil {
				return "", err
			}
		}
	}
	err := s.store.Decide(ctx, s.impersonationGuard(i))
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
		return becauseRights, nil
	}
	return "", err
}

// EndImpersonation ends a session in which somebody acts as another person, by their own wish.
func (s *Server) EndImpersonation(ctx context.Context, v Visit, sess *identity.Session) error {
	return s.endImpersonation(ctx, v, sess.ID, "")
}

func (s *Server) endImpersonation(
	ctx context.Context, v Visit, id identity.SessionID, because string,
) error {
	ev := audit.Event{At: v.Now, RequestID: v.RequestID}
	if because == "" {
		ev.IP, ev.Agent = v.IP, v.agent()
	} else {
		ev.Detail = map[string]string{DetailBecause: because}
	}
	return s.store.EndImpersonation(ctx, id, ev)
}

// EndImpersonations ends the sessions in which somebody acts as another person and that have
// expired, or that the rights of the actor or the person do not allow any more. It runs every few
// seconds, also for sessions that nobody uses but whose tokens are in use.
func (s *Server) EndImpersonations(ctx context.Context, now time.Time) error {
	v := Visit{Now: now}
	for after := identity.SessionID(""); ; {
		all, err := s.store.Impersonations(ctx, after, impersonationChunk)
		if err != nil {
			return err
		}
		for i := range all {
			because, err := s.impersonationEnds(ctx, v, &all[i])
			if err == nil && because != "" {
				err = s.endImpersonation(ctx, v, all[i].Session, because)
			}
			if err != nil {
				return err
			}
			after = all[i].Session
		}
		if len(all) < impersonationChunk {
			return nil
		}
	}
}

// impersonationEnds returns why a session ends now, or "". It does not count as a use of any.
func (s *Server) impersonationEnds(ctx context.Context, v Visit, i *Impersonation) (string, error) {
	for _, x := range []struct {
		id      identity.SessionID
		because string
	}{
		{i.Session, becauseExpired},
		{i.ActorSession, becauseSignedOut},
	} {
		if x.id == "" {
			continue
		}
		_, err := s.store.Session(ctx, x.id, v.Now)
		if fault.Is(err, fault.NotFound) {
			return x.because, nil
		}
		if err != nil {
			return "", err
		}
	}
	err := s.store.Decide(ctx, s.impersonationGuard(i))
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
		return becauseRights, nil
	}
	return "", err
}

// ownSession returns the active session of a cookie in which its person has signed in.
func (s *Server) ownSession(ctx context.Context, v Visit, cookie string) (*identity.Session, error) {
	sess, err := s.Resume(ctx, v, cookie)
	if err == nil && sess.Impersonated() {
		return nil, ErrImpersonated()
	}
	return sess, err
}
