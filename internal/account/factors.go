package account

import (
	"context"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// Factors is what the caller has besides the password, and whether it may be removed.
type Factors struct {
	login.Factors
	Required   bool      // the account must have a second factor
	RequiredBy time.Time // when the days of grace without one end; zero if they have ended
}

// Removable reports whether the factor of a kind may be turned off.
func (f Factors) Removable(kind string) bool { return !f.Required || !f.Only(kind) }

// Factors returns the second factors that the caller has and can have.
func (s *Server) Factors(ctx context.Context, c Caller) (Factors, error) {
	f, err := s.login.Factors(ctx, c.User.ID)
	out := Factors{Factors: f, Required: s.login.MFARequired(c.User)}
	if err != nil {
		return out, err
	}
	left, err := s.login.Grace(ctx, c.Visit, c.User)
	if left > 0 {
		out.RequiredBy = c.Now.Add(left)
	}
	return out, err
}

// EnrollFactor begins to set up a factor of a kind. Input: current_password. NotFound if the kind
// cannot be set up, Conflict if it is.
func (s *Server) EnrollFactor(
	ctx context.Context, c Caller, kind, password string,
) (*login.Enrollment, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if err := s.reauthenticate(ctx, c, password); err != nil {
		return nil, err
	}
	return s.login.Enroll(ctx, c.Visit, c.User, kind, "")
}

// ResumeEnrollment returns the enrollment that a page shows again, by its token. Conflict if the
// token is none that EnrollFactor gave the caller within the last hour.
func (s *Server) ResumeEnrollment(
	ctx context.Context, c Caller, kind, token string,
) (*login.Enrollment, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if err := s.checkEnrollment(c, kind, token); err != nil {
		return nil, err
	}
	return s.login.Enroll(ctx, c.Visit, c.User, kind, token)
}

// ConfirmFactor proves that a factor works; from then on sign-ins ask for it. in holds the inputs
// of the factor, and the token of the enrollment as `enrollment`. It returns new backup codes if
// the caller had none left; they are shown only this once.
func (s *Server) ConfirmFactor(
	ctx context.Context, c Caller, kind string, in url.Values,
) ([]string, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if err := s.checkEnrollment(c, kind, in.Get("enrollment")); err != nil {
		return nil, err
	}
	return s.login.ConfirmEnrollment(ctx, c.Visit, c.User, kind, in)
}

// checkEnrollment makes sure that the password was checked before anything about a new factor is
// shown or confirmed: only then is there a token.
func (s *Server) checkEnrollment(c Caller, kind, token string) error {
	if !s.login.EnrollmentValid(c.Visit, c.User, kind, token) {
		return fault.New(fault.Conflict, "The setup took too long. Start it again.")
	}
	return nil
}

// DisableFactor turns off the caller's factor of a kind, and with the last one the backup codes. It
// reports whether that was the last one. Inputs: current_password, code. Denied if the account must
// have a second factor and this is the only one.
func (s *Server) DisableFactor(
	ctx context.Context, c Caller, kind string, in url.Values,
) (last bool, err error) {
	if err := c.own(); err != nil {
		return false, err
	}
	f, err := s.Factors(ctx, c)
	if err != nil {
		return false, err
	}
	if f.Required && (f.Only(kind) || !f.Enabled()) {
		return false, fault.New(fault.Denied,
			"Your account requires two-step verification, so it cannot be turned off.")
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return false, err
	}
	return f.Only(kind), s.login.RemoveFactor(ctx, c.Visit, c.User, kind)
}

// NewBackupCodes replaces the caller's backup codes and returns the new ones, which are shown only
// this once. Inputs: current_password, code. Conflict if there is no second factor.
func (s *Server) NewBackupCodes(ctx context.Context, c Caller, in url.Values) ([]string, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return nil, err
	}
	return s.login.NewBackupCodes(ctx, c.Visit, c.User.ID)
}
