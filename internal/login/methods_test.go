package login

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Where people sign in without passwords, none is accepted, set or reset; second factors stay.
func TestWithoutPasswords(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Methods, c.Mail, c.BaseURL = []string{"passkey"}, true, "https://id.example.com"
	})
	token, err := h.s.PasswordLink(ctx, h.visit(), h.get(h.alice))
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.signIn("alice", right)
	h.wantErr(err, fault.Denied, "without passwords")
	_, err = h.s.ResourceOwner(ctx, h.visit(), "alice", right)
	h.wantErr(err, fault.Denied, "without passwords")
	h.wantErr(h.s.RequestPasswordReset(ctx, h.visit(), "alice", ""), fault.Denied, "without passwords")
	_, err = h.s.UsePasswordLink(ctx, h.visit(), token, newWord)
	h.wantErr(err, fault.Consumed, "link")
	if h.s.PasswordAllowed() || h.s.Begins(kindPassword) {
		t.Error("passwords are allowed")
	}
	if kinds := h.s.Kinds(UseSecond); !slices.Contains(kinds, kindTOTP) {
		t.Errorf("second factors are %v", kinds)
	}
}
