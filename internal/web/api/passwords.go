package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// ValidatePassword reports whether a password could be set.
func (s handlers) ValidatePassword(
	ctx context.Context, in gen.ValidatePasswordRequestObject,
) (gen.ValidatePasswordResponseObject, error) {
	x := exchangeOf(ctx)
	if err := s.Kit.Allow(x.w, x.r, "validate_password", web.Subject{}); err != nil {
		return nil, err
	}
	u := &identity.User{
		Email:    value(in.Body.Email),
		Username: value(in.Body.Username),
		Name:     value(in.Body.Name),
	}
	a, err := s.Login.AssessPassword(ctx, u, in.Body.Password)
	if err != nil {
		return nil, err
	}
	out := gen.ValidatePassword200JSONResponse{
		Valid:    len(a.Wrong) == 0,
		Errors:   append([]string{}, a.Texts()...),
		Unmet:    []string{},
		Strength: string(a.Strength),
	}
	for _, w := range a.Wrong {
		out.Unmet = append(out.Unmet, w.Reason)
	}
	return out, nil
}

// value returns what a pointer points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// RequestPasswordReset asks for a link by mail to set a new password, as the page does. The answer
// is the same whether the account exists or not.
func (s handlers) RequestPasswordReset(
	ctx context.Context, in gen.RequestPasswordResetRequestObject,
) (gen.RequestPasswordResetResponseObject, error) {
	x := exchangeOf(ctx)
	if err := s.Kit.Allow(x.w, x.r, "password_reset", web.Subject{}); err != nil {
		return nil, err
	}
	err := s.Login.RequestPasswordReset(ctx, visit(ctx), in.Body.Email, web.Locale(x.r))
	if err != nil {
		return nil, err
	}
	text := "If an account with that email address exists, a reset link has been sent."
	return gen.RequestPasswordReset200JSONResponse{Success: true, Message: &text}, nil
}

// CompletePasswordReset sets the password of a link.
func (s handlers) CompletePasswordReset(
	ctx context.Context, in gen.CompletePasswordResetRequestObject,
) (gen.CompletePasswordResetResponseObject, error) {
	x := exchangeOf(ctx)
	u, err := s.Login.LinkUser(ctx, visit(ctx), in.Body.Token)
	if err != nil {
		return nil, invalidLink(err)
	}
	// A password that the policy rejects costs little and is not counted: the link is a secret.
	if err := s.Login.CheckPolicy(ctx, u, in.Body.Password); err != nil {
		return nil, atPassword(err)
	}
	if err := s.Kit.Allow(x.w, x.r, "password_reset", web.Subject{User: string(u.ID)}); err != nil {
		return nil, err
	}
	if _, err = s.Login.UsePasswordLink(ctx, visit(ctx), in.Body.Token, in.Body.Password); err != nil {
		return nil, atPassword(invalidLink(err))
	}
	return gen.CompletePasswordReset200JSONResponse(management.Done{Success: true}), nil
}

// atPassword returns an error about the page's input as one about the member.
func atPassword(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Field != "new_password" {
		return err
	}
	var all []error
	for _, input := range f.Inputs() {
		input.Field = "password"
		all = append(all, input)
	}
	return fault.Join(all...)
}

// invalidLink returns the error of a link that was used, has expired or is none.
func invalidLink(err error) error {
	if !fault.Is(err, fault.Consumed) {
		return err
	}
	return &statusError{err, http.StatusBadRequest, codeInvalidToken}
}
