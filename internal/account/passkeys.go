package account

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

const (
	kindPasskey = "passkey"
	// How long after a sign-in a person need not prove again who they are.
	freshFor = 10 * time.Minute
)

// Passkeys returns the caller's passkeys, oldest first.
func (s *Server) Passkeys(ctx context.Context, c Caller) ([]login.PasskeyStatus, error) {
	return s.login.Passkeys(ctx, c.User.ID)
}

// Fresh reports whether the caller has signed in so recently that adding a passkey needs no proof.
func (c Caller) Fresh() bool { return c.Now.Sub(c.AuthTime) < freshFor }

// recent accepts a caller without a password: a recent sign-in proves who they are, unless they
// have a passkey that can.
func (s *Server) recent(ctx context.Context, c Caller) error {
	all, err := s.login.Passkeys(ctx, c.User.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(p login.PasskeyStatus) bool { return p.Verifies }) {
		return fault.New(fault.Denied, "Use your passkey to confirm that it is you.")
	}
	if !c.Fresh() {
		return fault.New(fault.Denied, "Sign out and in again to confirm that it is you.")
	}
	return nil
}

// AddPasskey begins to make a passkey. Input: current_password, unless the caller has just signed
// in.
func (s *Server) AddPasskey(
	ctx context.Context, c Caller, password string,
) (*login.Enrollment, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	if len(c.Proof) > 0 || !c.Fresh() {
		if err := s.reauthenticate(ctx, c, password); err != nil {
			return nil, err
		}
	}
	return s.login.Enroll(ctx, c.Visit, c.User, kindPasskey, "")
}

// ConfirmPasskey verifies and stores a new passkey. in holds the inputs of the factor, and the
// token of the enrollment as `enrollment`. It returns new backup codes where two-step verification
// begins with the passkey.
func (s *Server) ConfirmPasskey(ctx context.Context, c Caller, in url.Values) ([]string, error) {
	return s.ConfirmFactor(ctx, c, kindPasskey, in)
}

// RenamePasskey changes the name of one of the caller's passkeys. Input: passkey_name.
func (s *Server) RenamePasskey(
	ctx context.Context, c Caller, id identity.CredentialID, name string,
) error {
	if err := c.own(); err != nil {
		return err
	}
	return s.login.RenamePasskey(ctx, c.Visit, c.User, id, name)
}

// RemovePasskey removes one of the caller's passkeys. Inputs: current_password, and code where
// there is two-step verification. Conflict if the caller could not sign in without it.
func (s *Server) RemovePasskey(
	ctx context.Context, c Caller, id identity.CredentialID, in url.Values,
) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.login.CanRemovePasskey(ctx, c.User, id); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	return s.login.RemovePasskey(ctx, c.Visit, c.User, id)
}

// ProofByPasskey returns a challenge by which the caller proves who they are in place of the
// password. NotFound if the caller has no passkey that can.
func (s *Server) ProofByPasskey(ctx context.Context, c Caller) (*login.Opening, error) {
	if err := c.own(); err != nil {
		return nil, err
	}
	return s.login.OpenProof(ctx, c.Visit, c.User)
}

// AskSecond stores whether a caller with passkeys is asked for one after the password. Conflict if
// there is none. Inputs: current_password, code.
func (s *Server) AskSecond(ctx context.Context, c Caller, ask bool, in url.Values) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	return s.login.SetAskSecond(ctx, c.Visit, c.User, ask)
}
