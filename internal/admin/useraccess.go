package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// AccessStore is what the operations on what people have allowed need of storage.
type AccessStore interface {
	// UserConsents returns what a user has allowed which clients.
	UserConsents(ctx context.Context, id identity.UserID) ([]oauth.Consent, error)
	// DeleteConsent deletes a user's consent to a client and ends the client's grants of that user.
	// It returns fault.NotFound where there is neither.
	DeleteConsent(ctx context.Context, u identity.UserID, c client.ID, now time.Time, ev ...audit.Event) error
	// DeleteConsents does it for all clients of a user, and revokes every token issued so far.
	DeleteConsents(ctx context.Context, u identity.UserID, now time.Time, ev ...audit.Event) error
	// EndUserGrants ends all grants of a user, and revokes every token issued so far.
	EndUserGrants(ctx context.Context, u identity.UserID, now time.Time, ev ...audit.Event) error
	// DeleteCredential deletes a second factor, or returns fault.NotFound. remains may be "".
	DeleteCredential(ctx context.Context, u identity.UserID, id, remains identity.CredentialID, ev ...audit.Event) error
	// SessionMetrics counts active sessions, those that began since a time, and their users: of all
	// sessions, or of the newest ones.
	SessionMetrics(ctx context.Context, now, since time.Time, newest int) (SessionMetrics, error)
}

// Authorization is what a user has allowed a client, and the access that it has now.
type Authorization struct {
	Client     client.ID
	ClientName string
	Scopes     []string  // none for clients that do not ask
	Since      time.Time // zero for clients that do not ask
	LastUsedAt time.Time // zero without grants
	Grants     int
}

// UserAuthorizations returns the clients that act for a user or may do so, the one used last first.
func (o *Operations) UserAuthorizations(ctx context.Context, a Actor, ref string) ([]Authorization, error) {
	u, err := o.User(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	return o.authorizations(ctx, u)
}

func (o *Operations) authorizations(ctx context.Context, u *identity.User) ([]Authorization, error) {
	consents, err := o.store.UserConsents(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	grants, err := o.store.UserGrants(ctx, u.ID, o.parts.Now())
	if err != nil {
		return nil, err
	}
	var out []Authorization
	of := func(id client.ID) *Authorization {
		i := slices.IndexFunc(out, func(x Authorization) bool { return x.Client == id })
		if i < 0 {
			i, out = len(out), append(out, Authorization{Client: id})
		}
		return &out[i]
	}
	for _, c := range consents {
		x := of(c.Client)
		x.Scopes, x.Since = c.Scopes, c.CreatedAt
	}
	for i := range grants {
		x := of(grants[i].Client)
		x.Grants++
		if grants[i].LastUsedAt.After(x.LastUsedAt) {
			x.LastUsedAt = grants[i].LastUsedAt
		}
	}
	for i := range out {
		if c, err := o.store.Client(ctx, out[i].Client); err == nil {
			out[i].ClientName = c.Name
		} else if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(x, y Authorization) int { return y.LastUsedAt.Compare(x.LastUsedAt) })
	return out, nil
}

// RevokeUserAuthorizations deletes the consent of a user to a client and ends the client's access,
// or that of all clients if ref is "". It returns how many clients were concerned.
func (o *Operations) RevokeUserAuthorizations(ctx context.Context, a Actor, user, ref string) (int, error) {
	n := 0
	_, err := o.changeUser(ctx, a, user, audit.GrantRevoked, func(u *identity.User, ev audit.Event) error {
		if ref == "" {
			before, err := o.authorizations(ctx, u)
			if err != nil {
				return err
			}
			n = len(before)
			ev.Detail = map[string]string{"which": "all"}
			return o.store.DeleteConsents(ctx, u.ID, ev.At, ev)
		}
		id := client.ID(ref)
		if c, err := o.client(ctx, ref); err == nil {
			id = c.ID
		} else if !fault.Is(err, fault.NotFound) {
			return err
		}
		ev.Client, ev.Detail = string(id), map[string]string{"which": "all_of_client"}
		err := o.store.DeleteConsent(ctx, u.ID, id, ev.At, ev)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "%s has not allowed %q anything", u.LoginName(), ref)
		}
		n = 1
		return err
	})
	return n, err
}

// RevokeUserTokens ends all tokens of a user and what applications and devices hold in their name.
// Browsers stay signed in, and consents stay.
func (o *Operations) RevokeUserTokens(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.GrantRevoked, func(u *identity.User, ev audit.Event) error {
		ev.Detail = map[string]string{"which": "all_tokens"}
		return o.store.EndUserGrants(ctx, u.ID, ev.At, ev)
	})
}

// SendPasswordReset mails a user a link to set a new password.
func (o *Operations) SendPasswordReset(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.PasswordResetRequested, func(u *identity.User, ev audit.Event) error {
		if err := o.decide(ctx, ev.Guard); err != nil { // before the message is counted
			return err
		}
		return o.parts.Accounts.MailPasswordLink(ctx, o.visitTo(a, u.ID), u)
	})
}

// SendVerification mails a user a link that proves the address of the account.
func (o *Operations) SendVerification(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.VerificationSent, func(u *identity.User, ev audit.Event) error {
		if err := o.decide(ctx, ev.Guard); err != nil { // before the message is counted
			return err
		}
		return o.parts.Accounts.SendVerification(ctx, o.visitTo(a, u.ID), u)
	})
}

// UserFactors returns the confirmed second factors of a user.
func (o *Operations) UserFactors(ctx context.Context, a Actor, ref string) ([]identity.Credential, error) {
	u, err := o.User(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	all, err := o.store.Credentials(ctx, u.ID)
	return slices.DeleteFunc(all, func(c identity.Credential) bool { return c.ConfirmedAt.IsZero() }), err
}

// RemoveFactor removes one second factor of a user, and with the last one the backup codes.
func (o *Operations) RemoveFactor(ctx context.Context, a Actor, ref string, id identity.CredentialID) error {
	_, err := o.changeUser(ctx, a, ref, audit.MFADisabled, func(u *identity.User, ev audit.Event) error {
		notFound := fault.New(fault.NotFound, "%s has no second factor with the id %.64q", u.LoginName(), id)
		all, err := o.store.Credentials(ctx, u.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(c identity.Credential) bool { return c.ID == id })
		if i < 0 {
			return notFound
		}
		ev.Detail = map[string]string{"kind": all[i].Kind}
		o.parts.Accounts.NotifyTwoStepOff(&ev, u)
		err = o.store.DeleteCredential(ctx, u.ID, id, "", ev)
		if fault.Is(err, fault.NotFound) {
			return notFound
		}
		return err
	})
	return err
}

// PasswordStatus is the state of a password.
type PasswordStatus struct {
	LastChanged    time.Time // zero: there is none
	ExpiresAt      time.Time // zero: never
	RequiresChange bool      // the next sign-in must set a new one
}

// PasswordStatus returns the state of a user's password. A person may ask about themselves.
func (o *Operations) PasswordStatus(ctx context.Context, a Actor, ref string) (*PasswordStatus, error) {
	u, err := o.userOrSelf(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	end := o.parts.Accounts.PasswordEnd(a.visit(now), u)
	return &PasswordStatus{
		LastChanged:    u.PasswordChangedAt,
		ExpiresAt:      end.At,
		RequiresChange: u.MustChange || !end.At.IsZero() && !now.Before(end.At),
	}, nil
}

// userOrSelf returns an account that an actor may read: any with the scope, else their own.
func (o *Operations) userOrSelf(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	if a.User != "" && strings.EqualFold(string(a.User), ref) && !a.Can(ScopeUsersRead) {
		return o.user(ctx, ref)
	}
	return o.User(ctx, a, ref)
}

// SessionMetrics are numbers of sessions.
type SessionMetrics struct {
	Active int
	Today  int // that began today (UTC)
	Users  int // that have an active session

	AtLeast bool // the numbers are lower bounds
}

// SessionMetrics counts the sessions: all of them, however long it takes, or the newest MaxTotal.
func (o *Operations) SessionMetrics(ctx context.Context, a Actor, all bool) (SessionMetrics, error) {
	if err := o.authorize(a, ScopeMetricsRead); err != nil {
		return SessionMetrics{}, err
	}
	now := o.parts.Now().UTC()
	newest := MaxTotal
	if all {
		newest = 0
	}
	return o.store.SessionMetrics(ctx, now, now.Truncate(24*time.Hour), newest)
}
