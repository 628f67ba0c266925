package login

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

const enrollContext = "enroll/1"

// Factors is what a user has besides the password.
type Factors struct {
	Second     []FactorStatus // every kind that can be set up, in the order of the table
	BackupLeft int            // backup codes not yet used
	Passkeys   int            // whether they are a second step or not
}

// FactorStatus is the state of one kind of second factor.
type FactorStatus struct {
	Kind       string
	Enabled    bool
	Since      time.Time // when it was confirmed
	LastUsedAt time.Time
}

// Enabled reports whether the user has a second factor.
func (f Factors) Enabled() bool { return f.count() > 0 }

// Has reports whether the user has set up the factor of a kind.
func (f Factors) Has(kind string) bool {
	for _, x := range f.Second {
		if x.Kind == kind {
			return x.Enabled
		}
	}
	return false
}

// Only reports whether the factor of a kind is the only one that the user has.
func (f Factors) Only(kind string) bool { return f.Has(kind) && f.count() == 1 }

func (f Factors) count() int {
	n := 0
	for _, x := range f.Second {
		if x.Enabled {
			n++
		}
	}
	return n
}

// Factors returns the second factors that a user has and can have.
func (s *Server) Factors(ctx context.Context, id identity.UserID) (Factors, error) {
	creds, err := s.store.Credentials(ctx, id)
	if err != nil {
		return Factors{}, err
	}
	var out Factors
	on := s.twoStep(creds, s.kindsOf(creds))
	for _, c := range creds {
		if confirmedPasskey(c) {
			out.Passkeys++
		}
	}
	for _, f := range s.factors {
		_, enrolls := f.(Enroller)
		if f.Use()&UseSecond == 0 || !enrolls && !f.Enrolled(creds) {
			continue
		}
		x := status(f, creds)
		x.Enabled = x.Enabled && on // a passkey that replaces the password is not a second step
		out.Second = append(out.Second, x)
	}
	if !out.Enabled() {
		return out, nil
	}
	out.BackupLeft, err = s.store.BackupCodesLeft(ctx, id)
	return out, err
}

func status(f Factor, creds []identity.Credential) FactorStatus {
	out := FactorStatus{Kind: f.Kind(), Enabled: f.Enrolled(creds)}
	for _, c := range creds {
		if c.Kind != out.Kind || c.ConfirmedAt.IsZero() {
			continue
		}
		if out.Since.IsZero() {
			out.Since = c.ConfirmedAt
		}
		if c.LastUsedAt.After(out.LastUsedAt) {
			out.LastUsedAt = c.LastUsedAt
		}
	}
	return out
}

// Enroll returns what a user needs to set up the factor of a kind. token is Enrollment.Token of the
// page that is shown again, or "". NotFound if the kind cannot be set up, Conflict if it is.
func (s *Server) Enroll(
	ctx context.Context, v Visit, u *identity.User, kind, token string,
) (*Enrollment, error) {
	f, err := s.enroller(kind)
	if err != nil {
		return nil, err
	}
	state, _ := s.openEnrollment(v, u, kind, token)
	e, err := f.Enroll(ctx, Flow{Visit: v, State: state}, u)
	if err != nil {
		return nil, err
	}
	e.Kind = kind
	e.Token, err = s.sealEnrollment(v, u, e)
	return &e, err
}

// ConfirmEnrollment proves that a factor works; from then on sign-ins ask for it. in holds what the
// page sent: the factor's inputs, and Enrollment.Token as `enrollment`. It returns new backup codes
// if the user had none left; they are shown only this once. Conflict without an enrollment.
func (s *Server) ConfirmEnrollment(
	ctx context.Context, v Visit, u *identity.User, kind string, in url.Values,
) ([]string, error) {
	f, err := s.enroller(kind)
	if err != nil {
		return nil, err
	}
	state, _ := s.openEnrollment(v, u, kind, in.Get("enrollment"))
	proof, err := f.Confirm(ctx, Flow{Visit: v, State: state}, u, in)
	if err != nil {
		return nil, err
	}
	if !proof.OK {
		if err := s.recordFailureEvent(ctx, v, v.failure(u.ID, proof.Reason)); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.Denied, "%s", proof.Text)
	}
	second, err := s.enrolledKinds(ctx, u.ID)
	if err != nil || len(second) == 0 && !s.MFARequired(u) {
		return nil, err
	}
	return s.firstBackupCodes(ctx, v, u.ID)
}

// RemoveFactor removes a user's second factor of a kind, and with the last one the backup codes.
func (s *Server) RemoveFactor(ctx context.Context, v Visit, u *identity.User, kind string) error {
	if _, err := s.enroller(kind); err != nil {
		return err
	}
	if kind == kindPasskey { // they are removed one by one, and the last way in stays
		return fault.New(fault.NotFound, "There is no second step that is called %q.", kind)
	}
	ev := v.event(audit.MFADisabled, u.ID)
	ev.Detail = map[string]string{"kind": kind}
	s.notices.notify(&ev, u, outbox.MessageTwoStepOff, pageSecurity)
	return s.store.DeleteCredentials(ctx, u.ID, kind, ev)
}

func (s *Server) enroller(kind string) (Enroller, error) {
	if f, ok := s.factor(kind, UseFirst|UseSecond).(Enroller); ok {
		return f, nil
	}
	return nil, fault.New(fault.NotFound, "There is no way to sign in that is called %q.", kind)
}

// enrollState is what a factor keeps between Enroll and Confirm, as it is sealed into the page.
type enrollState struct {
	State  []byte `json:"t"`
	Issued int64  `json:"i"` // Unix milliseconds
}

func enrollmentContext(u *identity.User, kind string) string {
	return enrollContext + "/" + string(u.ID) + "/" + kind
}

func (s *Server) sealEnrollment(v Visit, u *identity.User, e Enrollment) (string, error) {
	if err := checkState(e.Kind, e.State); err != nil {
		return "", err
	}
	plain, err := json.Marshal(enrollState{State: e.State, Issued: v.Now.UnixMilli()})
	if err != nil {
		return "", err
	}
	return s.pending.Seal(plain, enrollmentContext(u, e.Kind)), nil
}

// EnrollmentValid reports whether a token is one that Enroll returned for the user and the kind of
// factor within the last hour.
func (s *Server) EnrollmentValid(v Visit, u *identity.User, kind, token string) bool {
	_, ok := s.openEnrollment(v, u, kind, token)
	return ok
}

// openEnrollment returns the state sealed in a token, or false if it is not ours, another user's or
// factor's, or too old.
func (s *Server) openEnrollment(
	v Visit, u *identity.User, kind, token string,
) (state []byte, ok bool) {
	if token == "" || len(token) > maxPending {
		return nil, false
	}
	plain, err := s.pending.Open(token, enrollmentContext(u, kind))
	if err != nil {
		return nil, false
	}
	var e enrollState
	if json.Unmarshal(plain, &e) != nil || !inTime(v.Now, e.Issued, enrollTTL) {
		return nil, false
	}
	return e.State, true
}
