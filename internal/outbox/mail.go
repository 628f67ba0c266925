package outbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The messages. Each has its texts in every catalogue of languages.
const (
	MessageTest            = "test"
	MessagePasswordReset   = "password-reset"
	MessagePasswordChanged = "password-changed"
	MessageTwoStepOn       = "two-step-on"
	MessageTwoStepOff      = "two-step-off"
	MessageAccountLocked   = "account-locked"
	MessageCodesLocked     = "codes-locked"
	MessagePasswordExpires = "password-expires"
	MessageSignInCode      = "sign-in-code"
	MessageSignInLink      = "sign-in-link"
	MessagePasskeyAdded    = "passkey-added"
	MessagePasskeyRemoved  = "passkey-removed"
	MessagePasskeyAskOn    = "passkey-ask-on"
	MessagePasskeyAskOff   = "passkey-ask-off"

	MessageNewSession        = "new-sign-in"
	MessageDataExported      = "data-exported"
	MessageDeletionRequested = "deletion-requested"
	MessageDeletionSoon      = "deletion-soon"
	MessageDeletionCancelled = "deletion-cancelled"
	MessageAccountDeleted    = "account-deleted"
	MessageSecretRotated     = "secret-rotated"
	MessageRecoveryStart     = "recovery-start"
	MessageRecoveryWaiting   = "recovery-waiting"
	MessageRecoveryReady     = "recovery-ready"
	MessagePasskeyLost       = "passkey-lost"
	MessagePasskeyWaiting    = "passkey-waiting"
	MessagePasskeyReady      = "passkey-ready"
	MessagePasskeyReplaced   = "passkey-replaced"
	MessageWelcome           = "welcome"
	MessageVerification      = "verification"
	MessageAddressInUse      = "address-in-use"
	MessageInvitation        = "invitation"
	MessageEmailConfirm      = "email-confirm" // to a new address of an account
	MessageEmailChange       = "email-change"  // a change was asked for
	MessageEmailChanged      = "email-changed" // it was made
	MessageEmailUndo         = "email-undo"    // the same, to the former address
	MessageEmailUndone       = "email-undone"  // the former address is back
	MessageEmailAdded        = "email-added"   // a further address
	MessageEmailRemoved      = "email-removed" // a further address
	MessageUsernameChanged   = "username-changed"

	MessageImpersonated = "impersonated" // an administrator acts as the person

	MessageAlertReplay        = "alert-replay" // to administrators, like all that follow
	MessageAlertLockouts      = "alert-lockouts"
	MessageAlertDeliveries    = "alert-deliveries"
	MessageAlertAdministrator = "alert-administrator"
	MessageSecretExpires      = "secret-expires"
	MessageSecretExpired      = "secret-expired"
)

// AlertMessage returns the name of the message about a kind of alert.
func AlertMessage(kind string) string { return "alert-" + kind }

// Messages returns the names of all messages.
func Messages() []string {
	return []string{
		MessageTest,
		MessagePasswordReset,
		MessagePasswordChanged,
		MessageTwoStepOn,
		MessageTwoStepOff,
		MessageAccountLocked,
		MessageCodesLocked,
		MessagePasswordExpires,
		MessageSignInCode,
		MessageSignInLink,
		MessagePasskeyAdded,
		MessagePasskeyRemoved,
		MessagePasskeyAskOn,
		MessagePasskeyAskOff,
		MessageNewSession,
		MessageDataExported,
		MessageDeletionRequested,
		MessageDeletionSoon,
		MessageDeletionCancelled,
		MessageAccountDeleted,
		MessageSecretRotated,
		MessageRecoveryStart,
		MessageRecoveryWaiting,
		MessageRecoveryReady,
		MessagePasskeyLost,
		MessagePasskeyWaiting,
		MessagePasskeyReady,
		MessagePasskeyReplaced,
		MessageWelcome,
		MessageVerification,
		MessageAddressInUse,
		MessageInvitation,
		MessageEmailConfirm,
		MessageEmailChange,
		MessageEmailChanged,
		MessageEmailUndo,
		MessageEmailUndone,
		MessageEmailAdded,
		MessageEmailRemoved,
		MessageUsernameChanged,
		MessageImpersonated,
		MessageAlertReplay,
		MessageAlertLockouts,
		MessageAlertDeliveries,
		MessageAlertAdministrator,
		MessageSecretExpires,
		MessageSecretExpired,
	}
}

// Mail is the content of a delivery of KindMail: which message goes to whom, and what it says. The
// text is rendered when the message is sent.
type Mail struct {
	To      string            `json:"to"`               // the address, as it is stored
	Name    string            `json:"name,omitempty"`   // the person's name, or ""
	Message string            `json:"message"`          // the name of the message, such as password-reset
	Locale  string            `json:"locale,omitempty"` // a BCP 47 tag, or "" for the default
	Zone    string            `json:"zone,omitempty"`   // the person's time zone, or "" for UTC
	Values  map[string]string `json:"values,omitempty"` // what the message mentions: links, codes, times
	// Expires is when the message loses its use, as a link does; zero means never. A message that
	// could not be sent until then is not sent.
	Expires time.Time `json:"-"`
}

// Mail returns the delivery of a message. Messages to one mailbox are sent in order.
func (s *Sealer) Mail(m Mail, now time.Time) Delivery {
	content, err := json.Marshal(m)
	if err != nil { // not for strings
		panic(err)
	}
	d := s.New(KindMail, strings.ToLower(m.To), content, now)
	d.To, d.About, d.ExpiresAt = m.To, m.Message, m.Expires
	return d
}

// OpenMail returns the message of a delivery.
func (s *Sealer) OpenMail(d *Delivery) (*Mail, error) {
	content, err := s.Open(d)
	if err != nil {
		return nil, fmt.Errorf("the message cannot be decrypted: %w", err)
	}
	m := new(Mail)
	if err := json.Unmarshal(content, m); err != nil {
		return nil, fmt.Errorf("the message cannot be read: %w", err)
	}
	m.Expires = d.ExpiresAt
	return m, nil
}
