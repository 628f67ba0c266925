// Package passkey checks what browsers answer for authenticators (Web Authentication Level 3). It
// holds the policy of one server and stores nothing.
package passkey

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// timeout is how long a browser waits for the person, in milliseconds. The challenge lives longer.
const timeout = 5 * 60 * 1000

// Config is what the operator decides about passkeys.
type Config struct {
	ID      string   // the host name that passkeys are bound to; "" is the host of Origin
	Name    string   // of the server, for people
	Origin  string   // of the pages, such as https://login.example.com
	Related []string // other origins whose pages may use the same passkeys
	Direct  bool     // ask for an attestation
	AAGUIDs []string // of the authenticators that are accepted; none accepts all
}

// RelyingParty implements login.RelyingParty. It is safe for concurrent use.
type RelyingParty struct {
	lib     *webauthn.WebAuthn
	direct  bool
	allowed []uuid.UUID
}

var _ login.RelyingParty = (*RelyingParty)(nil)

// New returns a RelyingParty. Invalid if passkeys cannot be bound to the host name: an IP address
// is not one.
func New(c Config) (*RelyingParty, error) {
	if c.ID == "" {
		u, err := url.Parse(c.Origin)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the address %q cannot be read", c.Origin)
		}
		c.ID = u.Hostname()
	}
	rp := &RelyingParty{direct: c.Direct}
	for _, text := range c.AAGUIDs {
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "%q is not an AAGUID", text)
		}
		rp.allowed = append(rp.allowed, id)
	}
	attestation := protocol.PreferNoAttestation
	if c.Direct {
		attestation = protocol.PreferDirectAttestation
	}
	lib, err := webauthn.New(&webauthn.Config{
		RPID:                  c.ID,
		RPDisplayName:         c.Name,
		RPOrigins:             append([]string{c.Origin}, c.Related...),
		AttestationPreference: attestation,
		// Some password managers return outputs that nobody asked for.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "passkeys cannot be bound to %q", c.ID)
	}
	rp.lib = lib
	return rp, nil
}

// ID returns the host name that passkeys are bound to.
func (rp *RelyingParty) ID() string { return rp.lib.Config.RPID }

// verification returns what is asked about the person, which is also what is checked: a second step
// after the password needs the device alone, and asks nothing more of people.
func verification(c login.Ceremony) protocol.UserVerificationRequirement {
	if c.Required {
		return protocol.VerificationRequired
	}
	return protocol.VerificationDiscouraged
}

// RequestOptions returns the options by which a page asks for a passkey, as JSON.
func (rp *RelyingParty) RequestOptions(c login.Ceremony, allowed []login.Passkey) (string, error) {
	list, err := descriptors(allowed)
	if err != nil {
		return "", err
	}
	return encode(protocol.PublicKeyCredentialRequestOptions{
		Challenge:          c.Challenge,
		Timeout:            timeout,
		RelyingPartyID:     rp.ID(),
		AllowedCredentials: list,
		UserVerification:   verification(c),
	})
}

func encode(options any) (string, error) {
	out, err := json.Marshal(options)
	if err != nil {
		return "", fmt.Errorf("options for an authenticator: %w", err)
	}
	return string(out), nil
}

func descriptors(all []login.Passkey) ([]protocol.CredentialDescriptor, error) {
	var list []protocol.CredentialDescriptor
	for _, p := range all {
		id, err := decode(p.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, protocol.CredentialDescriptor{
			Type:         protocol.PublicKeyCredentialType,
			CredentialID: id,
			Transport:    transports(p.Transports),
		})
	}
	return list, nil
}

func transports(names []string) []protocol.AuthenticatorTransport {
	var out []protocol.AuthenticatorTransport
	for _, name := range names {
		out = append(out, protocol.AuthenticatorTransport(name))
	}
	return out
}

// decode reads what we have stored in base64url.
func decode(text string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("a stored passkey is damaged: %w", err)
	}
	return raw, nil
}

func text(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// CreationOptions returns the options by which a page makes a passkey, as JSON. The passkey must be
// discoverable: a sign-in begins without a name.
func (rp *RelyingParty) CreationOptions(
	c login.Ceremony, a login.PasskeyAccount, existing []login.Passkey,
) (string, error) {
	handle, err := decode(a.Handle)
	if err != nil {
		return "", err
	}
	list, err := descriptors(existing)
	if err != nil {
		return "", err
	}
	verify := protocol.VerificationPreferred // what can, becomes a way to sign in
	if c.Required {
		verify = protocol.VerificationRequired
	}
	return encode(protocol.PublicKeyCredentialCreationOptions{
		RelyingParty: protocol.RelyingPartyEntity{
			CredentialEntity: protocol.CredentialEntity{Name: rp.lib.Config.RPDisplayName},
			ID:               rp.ID(),
		},
		User: protocol.UserEntity{
			CredentialEntity: protocol.CredentialEntity{Name: a.Name},
			DisplayName:      a.Label,
			ID:               protocol.URLEncodedBase64(handle),
		},
		Challenge:             c.Challenge,
		Parameters:            webauthn.CredentialParametersDefault(),
		Timeout:               timeout,
		CredentialExcludeList: list,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification:   verify,
		},
		Attestation: rp.lib.Config.AttestationPreference,
	})
}

// Register verifies the answer to CreationOptions and returns the new passkey.
func (rp *RelyingParty) Register(
	c login.Ceremony, a login.PasskeyAccount, answer string,
) (*login.Passkey, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, reasonOf(err), "The answer of your passkey cannot be read. Try again.")
	}
	handle, err := decode(a.Handle)
	if err != nil {
		return nil, err
	}
	made, err := rp.lib.CreateCredential(holder{handle: handle}, webauthn.SessionData{
		Challenge:        text(c.Challenge),
		UserID:           handle,
		UserVerification: verification(c),
		CredParams:       webauthn.CredentialParametersDefault(),
	}, parsed)
	flags := parsed.Response.AttestationObject.AuthData.Flags
	switch {
	case err != nil && c.Required && !flags.HasUserVerified():
		return nil, fault.Wrap(fault.Denied, reasonOf(err), "This passkey did not check that it is you. "+
			"Turn on a fingerprint, face or PIN on your device, and try again.")
	case err != nil:
		return nil, fault.Wrap(fault.Denied, reasonOf(err), "This passkey was not accepted. Try again.")
	}
	return rp.accept(made)
}

// accept applies the list of authenticators and returns the record of a new passkey.
func (rp *RelyingParty) accept(made *webauthn.Credential) (*login.Passkey, error) {
	model, err := uuid.FromBytes(made.Authenticator.AAGUID)
	if err != nil {
		return nil, fault.Wrap(fault.Denied, err, "This passkey was not accepted. Try again.")
	}
	none := made.AttestationFormat == string(protocol.AttestationFormatNone)
	if len(rp.allowed) > 0 && (none || !slices.Contains(rp.allowed, model)) {
		return nil, fault.New(fault.Denied,
			"Your administrator does not accept passkeys of this kind. Use another device or security key.")
	}
	p := &login.Passkey{
		ID:                text(made.ID),
		PublicKey:         text(made.PublicKey),
		Count:             made.Authenticator.SignCount,
		Verified:          made.Flags.UserVerified,
		Synced:            made.Flags.BackupEligible,
		BackedUp:          made.Flags.BackupState,
		AAGUID:            model.String(),
		Attachment:        string(made.Authenticator.Attachment),
		AttestationType:   made.AttestationType,
		AttestationFormat: made.AttestationFormat,
	}
	for _, t := range made.Transport {
		if len(p.Transports) < 8 && len(t) <= 32 {
			p.Transports = append(p.Transports, string(t))
		}
	}
	if rp.direct {
		p.Attestation, p.ClientData = text(made.Attestation.Object), text(made.Attestation.ClientDataJSON)
	}
	return p, nil
}

// reasonOf returns an error of the library with what it says for developers, for the log.
func reasonOf(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %s: %w", e.Details, e.DevInfo, err)
	}
	return err
}

// holder is the account of one ceremony.
type holder struct {
	handle []byte
	creds  []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return h.handle }
func (h holder) WebAuthnName() string                       { return "" }
func (h holder) WebAuthnDisplayName() string                { return "" }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.creds }
