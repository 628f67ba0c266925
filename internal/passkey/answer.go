package passkey

import (
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// answer implements login.PasskeyAnswer.
type answer struct {
	rp     *RelyingParty
	parsed *protocol.ParsedCredentialAssertionData
}

// ReadAnswer parses the answer to RequestOptions without verifying it.
func (rp *RelyingParty) ReadAnswer(text string) (login.PasskeyAnswer, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(text))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, reasonOf(err), "the answer of an authenticator cannot be read")
	}
	return &answer{rp: rp, parsed: parsed}, nil
}

func (a *answer) CredentialID() string { return text(a.parsed.RawID) }
func (a *answer) UserHandle() string   { return text(a.parsed.Response.UserHandle) }

func (a *answer) UserVerified() bool {
	return a.parsed.Response.AuthenticatorData.Flags.HasUserVerified()
}

// Verify checks the answer with a passkey.
func (a *answer) Verify(c login.Ceremony, p login.Passkey) (login.Assertion, error) {
	cred, handle, err := record(p)
	if err != nil {
		return login.Assertion{}, err
	}
	_, err = a.rp.lib.ValidateLogin(holder{handle, []webauthn.Credential{cred}}, webauthn.SessionData{
		Challenge:        text(c.Challenge),
		UserID:           handle,
		UserVerification: verification(c),
	}, a.parsed)
	if err != nil {
		return login.Assertion{}, fault.Wrap(fault.Denied, reasonOf(err), "the answer does not verify")
	}
	data := a.parsed.Response.AuthenticatorData
	return login.Assertion{
		Count:    data.Counter,
		Verified: data.Flags.HasUserVerified(),
		BackedUp: data.Flags.HasBackupState(),
	}, nil
}

// record returns a stored passkey as the library knows it, and the handle of its account.
func record(p login.Passkey) (cred webauthn.Credential, handle []byte, err error) {
	if handle, err = decode(p.Handle); err != nil {
		return cred, nil, err
	}
	if cred.ID, err = decode(p.ID); err != nil {
		return cred, nil, err
	}
	if cred.PublicKey, err = decode(p.PublicKey); err != nil {
		return cred, nil, err
	}
	model, err := uuid.Parse(p.AAGUID)
	if err != nil {
		return cred, nil, fault.Wrap(fault.Internal, err, "a stored passkey is damaged")
	}
	cred.Authenticator.AAGUID = model[:]
	cred.Authenticator.SignCount = p.Count
	cred.Authenticator.Attachment = protocol.AuthenticatorAttachment(p.Attachment)
	cred.AttestationType, cred.AttestationFormat = p.AttestationType, p.AttestationFormat
	cred.Transport = transports(p.Transports)
	cred.Flags = webauthn.CredentialFlags{
		UserPresent:    true,
		UserVerified:   p.Verified,
		BackupEligible: p.Synced,
		BackupState:    p.BackedUp,
	}
	return cred, handle, nil
}
