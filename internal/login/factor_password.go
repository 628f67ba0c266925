package login

import (
	"context"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

const maxUsername = 320 // bytes; the longest e-mail address (RFC 3696 erratum 1690 allows 254)

const wrongPassword = "The name or the password is not right."

type passwordFactor struct {
	store Store
	pw    hasher
}

func (passwordFactor) Step() string                    { return "password" }
func (passwordFactor) Held([]identity.Credential) bool { return false }
func (passwordFactor) Claims(in url.Values) bool       { return in.Has("password") }
func (passwordFactor) Serial() bool                    { return false }

func (f passwordFactor) Check(ctx context.Context, _ Visit, u *identity.User, in url.Values) (Proof, error) {
	stored, reason := "", "unknown_user"
	if u != nil {
		stored, reason = u.PasswordHash, "wrong_password"
	}
	password := identity.NormalizePassword(in.Get("password"))
	ok, err := f.pw.Verify(ctx, password, stored)
	if fault.Is(err, fault.Invalid) { // a hash of a kind we cannot verify was refused at once: do the work all the same
		reason = "unusable_hash"
		ok, err = f.pw.Verify(ctx, password, "")
	}
	if err != nil {
		return Proof{}, err
	}
	if !ok {
		return Proof{Reason: reason, Text: wrongPassword}, nil
	}
	return Proof{OK: true, AMR: []string{"pwd"}}, nil
}

// checkInput bounds what a stranger sends before any work is done for it.
func checkInput(username, password string) error {
	switch {
	case strings.TrimSpace(username) == "":
		return fault.InvalidField("username", "Enter your email address or user name.")
	case len(username) > maxUsername:
		return fault.InvalidField("username", "This name is too long; at most %d bytes are accepted.", maxUsername)
	case !utf8.ValidString(username) || strings.ContainsFunc(username, unicode.IsControl):
		return fault.InvalidField("username", "This name contains characters that cannot be accepted.")
	}
	return checkSecret("password", password)
}

func checkSecret(field, password string) error {
	switch {
	case password == "":
		return fault.InvalidField(field, "Enter your password.")
	case len(password) > identity.MaxPassword:
		return fault.InvalidField(field, "This password is too long; at most %d bytes are accepted.", identity.MaxPassword)
	case !utf8.ValidString(password):
		return fault.InvalidField(field, "This password contains characters that cannot be accepted.")
	}
	return nil
}

// rehash brings a password that was just proved to today's parameters. It is a courtesy: when the pool is full, or
// the password has changed meanwhile, the next sign-in will do.
func (s *Server) rehash(ctx context.Context, u *identity.User, password string) error {
	if !s.pw.Outdated(u.PasswordHash) {
		return nil
	}
	hash, err := s.pw.Hash(ctx, identity.NormalizePassword(password))
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
