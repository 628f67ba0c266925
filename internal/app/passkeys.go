package app

import (
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/passkey"
)

// withPasskeys returns the configuration of sign-ins with what the settings say about passkeys.
func withPasskeys(c *config.Config, out login.Config) login.Config {
	out.Passkeys, out.PasskeysVerified = relyingParty(c), c.Passkeys.Verification == "required"
	return out
}

// relyingParty returns what checks passkeys, or nil where they cannot be: browsers bind them to a
// name, so that a server at an IP address has none.
func relyingParty(c *config.Config) login.RelyingParty {
	rp, err := passkey.New(passkey.Config{
		ID:      c.Passkeys.ServerID,
		Name:    c.Branding.AppName,
		Origin:  c.Server.BaseURL,
		Related: c.Passkeys.Related,
		Direct:  c.Passkeys.Attestation == "direct",
		AAGUIDs: c.Passkeys.AAGUIDs,
	})
	if err != nil {
		return nil
	}
	return rp
}
