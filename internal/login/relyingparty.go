package login

// RelyingParty checks what browsers answer for authenticators (Web Authentication Level 3 §7). It
// stores nothing and knows no accounts; internal/passkey implements it.
type RelyingParty interface {
	// ID returns the host name that passkeys are bound to.
	ID() string
	// RequestOptions returns the options by which a page asks for one of some passkeys, or for any
	// that the device offers if there are none, as JSON.
	RequestOptions(c Ceremony, allowed []Passkey) (string, error)
	// ReadAnswer parses the answer to RequestOptions without verifying it. Invalid if it is none.
	ReadAnswer(answer string) (PasskeyAnswer, error)
	// CreationOptions returns the options by which a page makes a passkey, unless the device holds
	// one of those that exist, as JSON.
	CreationOptions(c Ceremony, a PasskeyAccount, existing []Passkey) (string, error)
	// Register verifies the answer to CreationOptions and returns the new passkey. Invalid if it
	// is not an answer, Denied if it does not verify or policy does not accept the authenticator.
	Register(c Ceremony, a PasskeyAccount, answer string) (*Passkey, error)
}

// PasskeyAnswer is the answer of an authenticator to RequestOptions.
type PasskeyAnswer interface {
	// CredentialID returns which passkey answers, in base64url. It is not verified.
	CredentialID() string
	// UserHandle returns the handle of the account that the authenticator knows, in base64url, or
	// "". It is not verified.
	UserHandle() string
	// UserVerified reports whether the answer says that the person was verified, by a fingerprint,
	// face or PIN. It is not verified.
	UserVerified() bool
	// Verify checks the answer with a passkey. Denied if it does not verify.
	Verify(c Ceremony, p Passkey) (Assertion, error)
}

// Ceremony is one question to an authenticator.
type Ceremony struct {
	Challenge []byte
	Required  bool // the person must be verified, not only present
}

// PasskeyAccount is the account that a passkey is made for.
type PasskeyAccount struct {
	Handle string // in base64url
	Name   string // which tells accounts apart
	Label  string // what people call it
}

// Passkey is the record of a passkey (Web Authentication §4, credential record), as it is stored.
type Passkey struct {
	ID         string   `json:"id"`     // in base64url
	Handle     string   `json:"handle"` // of its account, in base64url
	PublicKey  string   `json:"key"`    // COSE_Key in base64url
	Count      uint32   `json:"count"`  // of signatures, at registration
	Verified   bool     `json:"uv"`     // it can verify the person
	Synced     bool     `json:"be"`     // it may be on several devices (backup eligible)
	BackedUp   bool     `json:"bs"`     // it is
	Transports []string `json:"transports,omitempty"`
	AAGUID     string   `json:"aaguid"` // of the authenticator's model, as a UUID
	Attachment string   `json:"attachment,omitempty"`

	AttestationType   string `json:"attestation_type,omitempty"`
	AttestationFormat string `json:"attestation_format,omitempty"`
	Attestation       string `json:"attestation,omitempty"` // the object, where one was asked for
	ClientData        string `json:"client_data,omitempty"` // which the attestation signs
}

// Assertion is what a verified answer says.
type Assertion struct {
	Count    uint32
	Verified bool
	BackedUp bool
}
