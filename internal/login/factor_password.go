package login

import (
	"context"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

const (
	kindPassword = "password"
	maxUsername  = 320 // bytes; the longest email address (RFC 3696 erratum 1690 allows 254)

	wrongPassword = "Incorrect email, username, or password."
)

// passwordFactor compares a password with the user's stored hash.
type passwordFactor struct{ pw hasher }

func (passwordFactor) Kind() string                        { return kindPassword }
func (passwordFactor) AMR() []string                       { return []string{"pwd"} }
func (passwordFactor) Use() Use                            { return UseFirst }
func (passwordFactor) Enrolled([]identity.Credential) bool { return false }
func (passwordFactor) Serial() bool                        { return false }

func (passwordFactor) Begin(context.Context, Flow, *identity.User) (Challenge, error) {
	return Challenge{}, nil
}

func (passwordFactor) CheckInput(in url.Values) error {
	return checkPasswordInput("password", in.Get("password"))
}

func (f passwordFactor) Check(
	ctx context.Context, _ Flow, u *identity.User, in url.Values,
) (Proof, error) {
	stored, reason := "", audit.ReasonUnknownUser
	if u != nil {
		stored, reason = u.PasswordHash, audit.ReasonWrongPassword
	}
	password := in.Get("password")
	ok, err := f.pw.Verify(ctx, password, stored)
	if fault.Is(err, fault.Invalid) {
		// The hash is of a kind that cannot be verified, which is known at once: do the work of a
		// wrong password all the same.
		reason = audit.ReasonUnusableHash
		ok, err = f.pw.Verify(ctx, password, "")
	}
	if err != nil {
		return Proof{}, err
	}
	if !ok {
		return Proof{Reason: reason, Text: wrongPassword}, nil
	}
	return Proof{OK: true}, nil
}

// checkUsername bounds a name that a stranger sends before any work is done for it.
func checkUsername(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fault.InvalidField("username", "Enter your email address or username.")
	case len(name) > maxUsername:
		return fault.InvalidField("username",
			"This name is too long. At most %d bytes are accepted.", maxUsername)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fault.InvalidField("username",
			"This name contains characters that cannot be accepted.")
	}
	return nil
}

func checkPasswordInput(field, password string) error {
	switch {
	case password == "":
		return fault.InvalidField(field, "Enter your password.")
	case len(password) > identity.MaxPassword:
		return fault.InvalidField(field,
			"This password is too long. At most %d bytes are accepted.", identity.MaxPassword)
	case !utf8.ValidString(password):
		return fault.InvalidField(field, "This password contains characters that cannot be accepted.")
	}
	return nil
}

// rehash stores a password that was just proved under today's parameters. It gives up without an
// error when the pool is full or the password has changed meanwhile: the next sign-in will do.
func (s *Server) rehash(ctx context.Context, u *identity.User, password string) error {
	if !s.pw.Outdated(u.PasswordHash) {
		return nil
	}
	hash, err := s.pw.Hash(ctx, password)
	if fault.Is(err, fault.Unavailable) {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.store.RehashPassword(ctx, u.ID, u.PasswordHash, hash)
	switch fault.KindOf(err) {
	case fault.Consumed, fault.Conflict, fault.NotFound:
		return nil
	}
	return err
}
